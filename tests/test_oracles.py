"""The oracles against the numbers printed in the theory notes and against simulated datasets."""

import itertools

import numpy as np
import oracles
import pytest

HORIZONS = (8, 16, 32, 64, 128)
SIZES = (10, 30, 100, 300, 1000, 3000, 10000)


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def bc(kind, H, N, *, A=5, S=10, initial="rajaraman", reward="dense", unseen="uniform"):
    return oracles.bc_regret_expected(kind, S, A, initial, reward, "state", unseen, H, N)


def bc_slope(kind, N, **options):
    return slope(HORIZONS, [bc(kind, H, N, **options) for H in HORIZONS])


# ---------------------------------------------------------------- numbers printed in the theory


@pytest.mark.parametrize(
    ("N", "printed", "printed_slope"),
    [
        (10, (5.10664, 12.7614, 28.7152, 60.7146, 124.715), 1.147),
        (100, (0.798861, 2.84172, 9.83694, 31.4574, 88.3199), 1.705),
        (1000, (0.0842535, 0.316307, 1.21283, 4.66145, 17.6284), 1.930),
        (10000, (0.00847086, 0.031981, 0.124006, 0.487284, 1.92449), 1.959),
    ],
)
def test_reset_cliff_table(N, printed, printed_slope):
    regrets = [bc("reset-cliff", H, N) for H in HORIZONS]
    np.testing.assert_allclose(regrets, printed, rtol=6e-6)
    assert abs(slope(HORIZONS, regrets) - printed_slope) < 6e-4


@pytest.mark.parametrize(("N", "H"), list(itertools.product((10, 1000), (8, 128))))
def test_reset_cliff_closed_forms(N, H):
    u = 0.8 * oracles.missing_mass(oracles.initial_distribution("rajaraman", 9, N), N)
    dense, terminal = (bc("reset-cliff", H, N, reward=reward) for reward in ("dense", "terminal"))
    np.testing.assert_allclose(dense, H - (1 - u) * (1 - (1 - u) ** H) / u, rtol=1e-9)
    np.testing.assert_allclose(terminal, 1 - (1 - u) ** H, rtol=1e-9)


def test_local_doubling_slope_of_the_reset_cliff():
    for uH, printed in ((0.01, 1.984), (0.1, 1.942), (0.5, 1.776), (1, 1.613), (5, 1.153)):
        pair = [oracles.cliff_regret(uH / 64, 0.0, H, "dense") for H in (64, 128)]
        assert abs(np.log2(pair[1] / pair[0]) - printed) < 6e-4


def test_standard_imitation_numbers():
    np.testing.assert_allclose(bc("standard-imitation", 32, 100), 0.843381, rtol=1e-6)
    np.testing.assert_allclose(bc("standard-imitation", 32, 1000), 0.0847171, rtol=1e-6)
    assert bc_slope("standard-imitation", 100) == pytest.approx(1.0, abs=1e-12)


def test_dyadic_missing_mass():
    rho = oracles.initial_distribution("dyadic", 20, 0)
    missing = [oracles.missing_mass(rho, N) for N in SIZES]
    printed = (0.131, 0.0465, 0.01428, 0.00479, 0.001441)
    np.testing.assert_allclose(missing[:5], printed, rtol=2e-3)
    assert missing[-1] == pytest.approx(1.442e-4, rel=5e-4)
    assert abs(slope(SIZES, missing) + 0.989) < 6e-4


def test_total_variation_and_maximum_entropy_numbers():
    rho, sizes = np.full(9, 1 / 9), (10, 30, 100, 300, 1000, 10000)
    tv = [oracles.tv_expected(rho, N) for N in sizes]
    np.testing.assert_allclose(
        tv, (0.34644, 0.20841, 0.11254, 0.06523, 0.03567, 0.01128), atol=6e-6
    )
    assert abs(slope(sizes, tv) + 0.498) < 6e-4
    gap = [oracles.max_entropy_gap(rho, N, 5) for N in sizes[:5]]
    np.testing.assert_allclose(gap, (0.28485, 0.20257, 0.11251, 0.06523, 0.03567), atol=6e-6)


def test_crossover_numbers():
    assert bc("reset-cliff", 128, 10, initial="uniform") == pytest.approx(124.9, abs=0.05)
    assert bc("reset-cliff", 8, 80, initial="uniform") == pytest.approx(0.0023, abs=5e-5)
    for N, printed, worst in ((20, 3.11, 8.21), (10, 8.93, 11.16)):
        imitation = bc("standard-imitation", 32, N, initial="uniform")
        assert imitation == pytest.approx(printed, abs=6e-3)
        assert 32 * oracles.tv_expected(np.full(10, 0.1), N) == pytest.approx(worst, abs=6e-3)


@pytest.mark.parametrize(
    ("A", "unseen", "printed"),
    [(2, "uniform", 1.059), (5, "uniform", 1.184), (1000, "uniform", 1.909), (5, "first", 1.897)],
)
def test_recoverable_cliff_slopes(A, unseen, printed):
    assert abs(bc_slope("recoverable-cliff", 1000, A=A, unseen=unseen) - printed) < 6e-4


@pytest.mark.parametrize(
    ("kind", "N", "measured"),
    [
        ("recoverable-cliff", 100, 1.681),
        ("recoverable-cliff", 300, 1.827),
        ("reset-cliff", 100, 1.703),
        ("reset-cliff", 300, 1.862),
    ],
)
def test_first_action_slopes_measured_over_1000_datasets(kind, N, measured):
    assert abs(bc_slope(kind, N, unseen="first") - measured) < 0.015


def test_first_action_regrets_measured_over_1000_datasets():
    for kind, printed in (
        ("recoverable-cliff", (0.703, 2.409, 8.302, 26.16, 72.20)),
        ("reset-cliff", (0.796, 2.812, 9.746, 31.2, 87.5)),
    ):
        exact = [bc(kind, H, 100, unseen="first") for H in HORIZONS]
        np.testing.assert_allclose(exact, printed, rtol=0.03)


@pytest.mark.parametrize(
    ("N", "reward", "printed"),
    [
        (10**4, "dense", 1.96),
        (10**3, "dense", 1.95),
        (10**3, "terminal", 0.98),
        (100, "terminal", 0.79),
    ],
)
def test_non_stationary_half_of_the_two_by_two(N, reward, printed):
    exponent = bc_slope("reset-cliff", N, S=21, initial="dyadic", reward=reward)
    assert abs(exponent - printed) < 6e-3


def test_stationary_half_of_the_two_by_two():
    def regrets(N, reward):
        settings = (21, 5, "dyadic", reward)
        return [oracles.stationary_bc_regret_expected(*settings, H, N) for H in HORIZONS]

    printed = {3: (0.2956, 0.2944, 0.2968, 0.2976, 0.2943)}
    printed[10] = (0.1088, 0.1078, 0.1062, 0.1068, 0.1071)
    for N in (3, 10):
        terminal = regrets(N, "terminal")
        np.testing.assert_allclose(terminal, printed[N], atol=3e-3)
        assert abs(slope(HORIZONS, terminal)) < 2e-3
        assert abs(slope(HORIZONS, regrets(N, "dense")) - 0.965) < 6e-3


@pytest.mark.parametrize(("epsilon", "printed"), [(1e-4, 2.042), (1e-3, 2.030), (0.01, 1.918)])
def test_three_state_slopes(epsilon, printed):
    for off_support, expected in (("recover", 1.043), ("stay", printed)):
        regrets = [
            oracles.noisy_expert_regret_three_state(epsilon, H, off_support) for H in HORIZONS
        ]
        assert abs(slope(HORIZONS, regrets) - expected) < 6e-4


# ---------------------------------------------------------------- internal consistency


def random_mdp(rng, S=4, A=3):
    P = rng.dirichlet(np.ones(S), (S, A))
    return P, rng.normal(size=(S, A)), rng.normal(size=(S, A)), rng.dirichlet(np.ones(S))


def every_policy(S, A, H):
    for choice in itertools.product(range(A), repeat=S * H):
        yield np.eye(A)[np.reshape(choice, (H, S))]


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_forward_equals_backward(discount):
    P, r, f, rho = random_mdp(np.random.default_rng(0))
    noise = np.random.default_rng(1).dirichlet(np.ones(3), (6, 4))
    best, V, Q = oracles.hard_plan(P, r, f, 6, discount)
    for policy in (best, noise, noise[0]):
        value = oracles.policy_value(P, r, f, policy, 6, discount)
        forward = oracles.policy_return(P, r, f, rho, policy, 6, discount)
        assert forward == pytest.approx(rho @ value[0], rel=1e-13)
    np.testing.assert_allclose(oracles.policy_value(P, r, f, best, 6, discount), V, rtol=1e-12)
    d = oracles.occupancy(P, rho, noise, 6)
    np.testing.assert_allclose(d.sum(-1), 1.0, rtol=1e-14)
    lost = np.einsum("t,ts,tsa,tsa->", discount ** np.arange(6), d, noise, V[:, :, None] - Q)
    assert oracles.regret(P, r, f, rho, best, noise, 6, discount) == pytest.approx(lost, rel=1e-12)
    for pair in ((best, noise), (noise, best), (noise, noise[0])):
        difference = oracles.regret(P, r, f, rho, *pair, 6, discount)
        lost = oracles.regret_by_advantages(P, r, f, rho, *pair, 6, discount)
        assert difference == pytest.approx(lost, rel=1e-12)
    assert oracles.regret(P, r, f, rho, best, best, 6, discount) == 0.0


def test_hard_plan_is_the_best_of_every_deterministic_policy():
    P, r, f, rho = random_mdp(np.random.default_rng(2), S=2, A=2)
    policies = every_policy(2, 2, 3)
    best = max(oracles.policy_return(P, r, f, rho, policy, 3, 0.8) for policy in policies)
    assert rho @ oracles.hard_plan(P, r, f, 3, 0.8)[1][0] == pytest.approx(best, rel=1e-13)


def test_ties_go_to_the_first_action():
    P, r, _, _ = random_mdp(np.random.default_rng(3))
    policy, _, _ = oracles.hard_plan(P, 0 * r, None, 3)
    assert (policy[..., 0] == 1).all()


@pytest.mark.parametrize(("discount", "temperature"), [(1.0, 1.0), (0.9, 0.5)])
def test_soft_value_is_reward_plus_entropy(discount, temperature):
    P, r, _, rho = random_mdp(np.random.default_rng(4))
    policy, V = oracles.soft_plan(P, r, 5, discount, temperature)
    entropy = oracles.causal_entropy(P, rho, policy, 5, discount)
    total = oracles.policy_return(P, r, None, rho, policy, 5, discount) + temperature * entropy
    assert rho @ V[0] == pytest.approx(total, rel=1e-13)
    np.testing.assert_allclose(oracles.soft_plan(P, 0 * r, 5)[1][0], 5 * np.log(3), rtol=1e-14)


def test_soft_plan_against_every_path():
    rng = np.random.default_rng(5)
    _, r, _, rho = random_mdp(rng, S=3, A=2)
    P = np.eye(3)[rng.integers(0, 3, (3, 2))]
    policy, V = oracles.soft_plan(P, r, 4)
    log_z, visits, first, entropy = oracles.path_weights(P, r, rho, 4)
    np.testing.assert_allclose(V[0], log_z, rtol=1e-13)
    np.testing.assert_allclose(policy[0], first, rtol=1e-12)
    d = oracles.occupancy(P, rho, policy, 4)
    np.testing.assert_allclose(d[:, :, None] * policy, visits, atol=1e-13)
    assert entropy == pytest.approx(oracles.causal_entropy(P, rho, policy, 4), rel=1e-12)


def test_non_causal_path_weights_differ_with_stochastic_dynamics():
    P, r, _, rho = random_mdp(np.random.default_rng(6), S=3, A=2)
    assert sum(weight for *_, weight in oracles.paths(P, rho, 3)) == pytest.approx(2**3)
    log_z = oracles.path_weights(P, r, rho, 3)[0]
    assert (log_z > oracles.soft_plan(P, r, 3)[1][0] + 1e-3).all()


def test_epic_identities():
    rng = np.random.default_rng(7)
    R, other, phi = rng.normal(size=(4, 3, 4)), rng.normal(size=(4, 3, 4)), rng.normal(size=4)
    shaped = R + 0.9 * phi[None, None, :] - phi[:, None, None]
    assert oracles.epic_distance(R, shaped, 0.9) < 1e-7
    assert oracles.epic_distance(R, 3 * R + 2, 0.9) < 1e-7
    assert oracles.epic_distance(R, -R, 0.9) == pytest.approx(1.0, abs=1e-12)
    assert 0.3 < oracles.epic_distance(R, other, 0.9) < 0.99
    assert oracles.epic_distance(R, shaped, 0.5) > 1e-2


def test_three_state_formula_is_the_return_of_the_noisy_policy():
    """Slips of 1.9 as a policy of the MDP, the reward for being in s1 at t = 1..H-1."""
    epsilon, H = 0.07, 9
    P = np.eye(3)[[[1, 2], [2, 1], [1, 2]]]
    r, rho, expert = np.array([[0.0] * 2, [1.0] * 2, [0.0] * 2]), np.eye(3)[0], np.eye(2)[[0, 1, 0]]
    for off_support, action in (("recover", 0), ("stay", 1)):
        noisy = (1 - epsilon) * expert + epsilon * expert[:, ::-1]
        noisy[2] = np.eye(2)[action]
        lost = oracles.regret(P, r, None, rho, expert, noisy, H)
        formula = oracles.noisy_expert_regret_three_state(epsilon, H, off_support)
        assert formula == pytest.approx(lost, rel=1e-12)


# ---------------------------------------------------------------- simulated datasets


def visited(rng, P, rho, label, H, N):
    """Whether N expert rollouts see (h, s)."""
    S, seen = P.shape[0], np.zeros((H, P.shape[0]), bool)
    s = rng.choice(S, N, p=rho)
    for h in range(H):
        seen[h, s] = True
        s = (rng.random((N, 1)) > P[s, label[s]].cumsum(-1)[:, :-1]).sum(-1)
    return seen


def simulated_regret(rng, kind, S, A, initial, reward, labels, unseen, H, N, stationary):
    G = S - (kind != "standard-imitation")
    good = oracles.initial_distribution(initial, G, N)
    rho = np.pad(good, (0, S - G))
    label = rng.integers(0, A, S) if labels == "state" else np.zeros(S, int)
    P, r = oracles.labelled_mdp(kind, good, label, A)
    seen = visited(rng, P, rho, label, H, N)
    seen = seen | seen.any(0) if stationary else seen
    fallback = np.full(A, 1 / A) if unseen == "uniform" else np.eye(A)[0]
    policy = np.where(seen[..., None], np.eye(A)[label], fallback)
    r, f = (r, None) if reward == "dense" else (0 * r, r)
    return oracles.regret(P, r, f, rho, np.eye(A)[label], policy, H)


def assert_mean(samples, exact, sigmas=4.0):
    error = np.std(samples, ddof=1) / np.sqrt(len(samples))
    assert error < 0.1 * exact
    assert abs(np.mean(samples) - exact) < sigmas * error


@pytest.mark.parametrize(
    ("kind", "initial", "reward", "labels", "unseen"),
    [
        ("reset-cliff", "uniform", "dense", "state", "uniform"),
        ("reset-cliff", "dyadic", "dense", "state", "first"),
        ("reset-cliff", "rajaraman", "terminal", "first", "uniform"),
        ("recoverable-cliff", "uniform", "dense", "state", "uniform"),
        ("recoverable-cliff", "rajaraman", "dense", "state", "first"),
        ("recoverable-cliff", "dyadic", "terminal", "state", "first"),
        ("recoverable-cliff", "dyadic", "terminal", "first", "uniform"),
        ("standard-imitation", "uniform", "dense", "state", "uniform"),
        ("standard-imitation", "dyadic", "terminal", "state", "first"),
    ],
)
def test_behavioural_cloning_simulated(kind, initial, reward, labels, unseen):
    rng, H, N = np.random.default_rng(8), 6, 4
    setting = (kind, 5, 3, initial, reward, labels, unseen, H, N)
    samples = [simulated_regret(rng, *setting, stationary=False) for _ in range(2000)]
    assert_mean(samples, oracles.bc_regret_expected(*setting))


@pytest.mark.parametrize(("initial", "reward"), [("uniform", "dense"), ("dyadic", "terminal")])
def test_stationary_behavioural_cloning_simulated(initial, reward):
    rng, H, N = np.random.default_rng(9), 3, 2
    setting = ("reset-cliff", 7, 3, initial, reward, "state", "uniform", H, N)
    samples = [simulated_regret(rng, *setting, stationary=True) for _ in range(2000)]
    exact = oracles.stationary_bc_regret_expected(7, 3, initial, reward, H, N)
    assert_mean(samples, exact)


@pytest.mark.parametrize("kind", ["reset-cliff", "recoverable-cliff", "standard-imitation"])
def test_expert_always_first_and_unseen_first_costs_nothing(kind):
    setting = (kind, 5, 3, "uniform", "dense", "first", "first", 6, 4)
    assert oracles.bc_regret_expected(*setting) == 0.0
    assert simulated_regret(np.random.default_rng(10), *setting, stationary=False) == 0.0


def test_recovery_interpolates_between_the_cliffs():
    setting = (10, 5, "uniform", "dense", "state", "uniform", 32, 10)
    reset = oracles.bc_regret_expected("reset-cliff", *setting)
    assert oracles.bc_regret_expected("recoverable-cliff", *setting, recover=0.0) == reset
    assert oracles.bc_regret_expected("recoverable-cliff", *setting, recover=1.0) < reset / 2


def test_total_variation_and_maximum_entropy_simulated():
    rng, rho, N, A = np.random.default_rng(11), oracles.initial_distribution("dyadic", 6, 0), 12, 3
    seen = rng.multinomial(N, rho, 4000) / N
    assert_mean(np.abs(seen - rho).sum(-1) / 2, oracles.tv_expected(rho, N))
    gap = np.maximum(rho - np.maximum(seen, rho / A), 0).sum(-1)
    assert_mean(gap, oracles.max_entropy_gap(rho, N, A))
