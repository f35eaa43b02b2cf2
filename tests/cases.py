"""The table of algorithms that the contract runs over, and one experiment of a case."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

import imitax

GAMES = ("gail", "wail", "airl", "fem", "gtal", "maxent-irl")


@dataclasses.dataclass(frozen=True)
class Case:
    """An environment and an algorithm small enough to run everywhere."""

    environment: str
    algorithm: str
    is_random: bool = True
    """Whether another seed gives another policy."""

    def __str__(self):
        return f"{self.environment}-{self.algorithm}"

    @property
    def is_tabular(self):
        """Whether results must be bit-equal in any batch: a table learned in a table."""
        is_table = self.environment.split(":")[0] in imitax.ENVIRONMENTS
        continuous = self.environment.split(":")[0] in ("lane", "sine-path", "obstacle")
        return is_table and not continuous and "mlp" not in self.algorithm

    @property
    def trains_a_network(self):
        """Whether a network is trained."""
        is_learner = self.algorithm.split(":")[0] not in ("expert", "random", "noisy-expert")
        return is_learner and not self.is_tabular

    def with_reward(self, params, value):
        """A learner's parameters with every reward set to a value."""
        if hasattr(params, "mdp"):
            shape = params.mdp.transition.shape[:2]
            reward = jnp.broadcast_to(value, shape)
            mdp = params.mdp._replace(step_reward=reward, final_reward=reward)
            return params.replace(mdp=mdp)
        return params.replace(reward_weight=value)

    def spoil(self, shown, horizon, garbage):
        """Demonstrations with numbers without meaning wherever nothing was shown."""
        if shown.counts is not None:
            padding = jnp.arange(shown.counts.shape[0]) >= horizon
            counts = jnp.where(
                padding[:, None, None], 12345.0 * garbage + shown.counts, shown.counts
            )
            return shown._replace(counts=counts)
        if shown.obs is None:
            return shown
        padding = jnp.arange(shown.obs.shape[1]) >= shown.length[:, None]
        return shown._replace(
            obs=_spoil(shown.obs, padding, garbage), action=_spoil(shown.action, padding, garbage)
        )


def _spoil(rows, padding, garbage):
    padding = padding.reshape(*padding.shape, *(1,) * (rows.ndim - 2))
    return jnp.where(padding, rows + (2 * garbage).astype(rows.dtype), rows)


SMALL_NETWORK = "hidden=8,batch_size=8"
SMALL_GAME = "num_envs=4,rollout=8,batch_size=16,rounds=2,epochs=1,hidden=8"
SMALL_CRITIC = "discriminator_hidden=8,discriminator_batch=8,discriminator_steps=2"
CASES = [
    Case("reset-cliff:num_states=4,num_actions=3", "bc"),
    Case("recoverable-cliff:num_states=4,num_actions=3", "bc:stationary=true,unseen=first"),
    Case("reset-cliff:num_states=4,num_actions=3", f"bc:policy=mlp,num_steps=3,{SMALL_NETWORK}"),
    Case("lane", f"bc:num_steps=3,{SMALL_NETWORK}"),
    Case("sine-path", f"bc:loss=gaussian,num_steps=3,act=sample,{SMALL_NETWORK}"),
    Case("CartPole-v1", f"bc:num_steps=3,{SMALL_NETWORK}"),
    Case(
        "sine-path",
        "bc:loss=mixture,components=2,act=sample,normalise=true,validation=30,check_every=2,"
        f"patience=1,num_steps=3,{SMALL_NETWORK}",
    ),
    Case(
        "CartPole-v1",
        "bc:augment=both,dropout=0.3,input_noise=0.2,normalise=true,l2=0.01,decay=cosine,"
        f"num_steps=3,{SMALL_NETWORK}",
    ),
    Case(
        "CartPole-v1:demos=shuffled,fixed=true,shift=both,subsample=2",
        f"bc:num_steps=3,{SMALL_NETWORK}",
    ),
    Case("obstacle", f"bc:num_steps=3,{SMALL_NETWORK}"),
    Case("recoverable-cliff:num_states=4,num_actions=3", "dagger"),
    Case("random-mdp:num_states=5,num_actions=3", "dagger:beta=linear,episodes_per_round=2"),
    Case("gridworld:size=3x2,goal=2x1", "dagger:beta=0.3,stationary=true"),
    Case("lane", f"dagger:updates_per_round=2,first_updates=2,{SMALL_NETWORK}"),
    Case(
        "CartPole-v1",
        "dagger:beta=linear,rampdown=3,first_episodes=2,minibatches=epochs,entropy=0.01,"
        f"updates_per_round=2,first_updates=2,{SMALL_NETWORK}",
    ),
    Case(
        "lane",
        "dagger:refit=restart,loss=squashed,scale=state,normalise=true,validation=20,check_every=1,"
        f"patience=1,augment=dropout,first_updates=2,{SMALL_NETWORK}",
    ),
    Case("recoverable-cliff:num_states=4,num_actions=3", "dart:noise=0.3"),
    Case("lane", f"dart:alpha=0.5,updates_per_round=2,first_updates=2,{SMALL_NETWORK}"),
    Case("reset-cliff:num_states=4,num_actions=3", "maxent-irl:num_steps=12"),
    Case("gridworld:size=3x2,goal=2x1", "maxent-irl:num_steps=12,discount=0.9"),
    Case("gridworld:size=3x2,goal=2x1,shift=both,subsample=2", "maxent-irl:num_steps=12"),
    Case("reset-cliff:num_states=4,num_actions=3", "gail:num_steps=4"),
    Case("standard-imitation:num_states=4", "gail:divergence=tv,num_steps=4,entropy=0.01"),
    Case("gridworld:size=3x2,goal=2x1", "gail:reward=log,inputs=sa,num_steps=4"),
    Case(
        "recoverable-cliff:num_states=4,num_actions=3",
        "gail:player=policy-gradient,reward=logit,num_steps=4",
    ),
    Case("reset-cliff:num_states=4", "gail:rollouts=sampled,episodes=6,num_steps=4"),
    Case("reset-cliff:num_states=4", "expert"),
    Case("lane", "expert", is_random=False),
    Case("reset-cliff:num_states=4", "random", is_random=False),
    Case("lane", "random", is_random=False),
    Case("three-state", "noisy-expert:epsilon=0.2,off_support=stay", is_random=False),
    Case("lane", f"gail:absorbing=true,warm_start=2,{SMALL_GAME},{SMALL_CRITIC}"),
    Case(
        "CartPole-v1",
        f"gail:spectral=true,reward=log,replay=true,centred=true,{SMALL_GAME},{SMALL_CRITIC}",
    ),
    Case("lane", f"wail:inputs=state,act=sample,slope=free,{SMALL_GAME},{SMALL_CRITIC}"),
    Case(
        "CartPole-v1",
        f"airl:retrain_rounds=1,scaling=none,discriminator_activation=relu,{SMALL_GAME},{SMALL_CRITIC}",
    ),
    Case("CartPole-v1", f"fem:absorbing=true,sign=positive,decay=none,{SMALL_GAME}"),
    Case("gridworld:size=3x2,goal=2x1", f"gtal:policy=mlp,gap_rate=0.5,rescale=false,{SMALL_GAME}"),
    Case(
        "gridworld:size=3x2,goal=2x1",
        f"maxent-irl:policy=mlp,policy_updates=1,{SMALL_GAME},{SMALL_CRITIC}",
    ),
    Case(
        "CartPole-v1",
        f"maxent-irl:reward=linear,policy_updates=2,replay=false,retrain_rounds=1,{SMALL_GAME}",
    ),
]


@functools.cache
def build(case):
    """The environment and the resolved algorithm of a case."""
    env = imitax.environment(case.environment)
    return env, imitax.algorithm(case.algorithm, env)


def experiment(
    env, algorithm, seed, horizon, num_demos, capacity, change=lambda instance: instance
):
    """One seed, start to finish, as a flat record; of the task as `change` has it."""
    posed = imitax.pose(env, seed, horizon, num_demos, capacity, algorithm.demand)
    instance = change(posed)
    trained = imitax.train(instance.learner_key, algorithm, instance.problem)
    policy = algorithm.policy(instance.problem, trained.state)
    outcome = imitax.evaluate(env, instance, policy, num_episodes=3)
    return {
        **outcome._asdict(),
        "metrics": trained.metrics,
        "policy": policy.params,
        "demonstrations": posed.problem.demonstrations,
        "learner_key": jax.random.key_data(instance.learner_key),
    }


def table_rows(params, horizon):
    """A policy's parameters; of a table over time only the rows before the horizon."""
    is_table = isinstance(params, jax.Array) and params.ndim == 3
    return params[:horizon] if is_table else params


def same(left, right):
    """Whether two trees are equal bit for bit, NaN equal to itself."""
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.array_equal(x, y, equal_nan=True) for x, y in pairs)
