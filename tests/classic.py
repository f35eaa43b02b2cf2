"""Synthetic results in the shape of the suite `gail-classic`, with known scores."""

import numpy as np
import pandas as pd

SEEDS = 16
RETURNS = {"CartPole-v1": (22.0, 200.0), "Acrobot-v1": (-200.0, -80.0)}
"""Of the random policy and the expert."""
PAPER = {"CartPole-v1": "subsample=10", "Acrobot-v1": "subsample=5"}


def rows_of(environment, algorithm, num_demos, score, spread=0.0, num_seeds=SEEDS, horizon=200):
    """Rows whose scores are `score` plus `spread` times a fixed ladder from -1 to 1."""
    random, expert = RETURNS[environment.split(":")[0]]
    scores = score + spread * np.linspace(-1, 1, num_seeds)
    earned = random + scores * (expert - random)
    frame = pd.DataFrame({"seed": np.arange(num_seeds), "learner_return": earned})
    cell = {"environment": environment, "algorithm": algorithm, "horizon": horizon}
    cell |= {"num_demos": num_demos, "expert_return": expert, "status": "ok"}
    cell |= {"expert_labels": 20 * num_demos, "knows_dynamics": False, "iterations": 10}
    steps = 0 if algorithm.split(":")[0] in ("bc", "expert", "random") else 300_000
    cell |= {"environment_steps": steps}
    return frame.assign(regret=expert - earned, **cell)


def main_rows(environment):
    """The paper's protocol, with both controls, for 1, 4, 7 and 10 demonstrations."""
    spec = f"{environment}:{PAPER[environment]}"
    sign = "reward=softplus" if environment == "CartPole-v1" else "reward=log"
    parts = []
    for demos in (1, 4, 7, 10):
        known = 1 - 0.5 / demos
        parts += [
            rows_of(spec, "expert", demos, 1.0),
            rows_of(spec, "random", demos, 0.0),
            rows_of(spec, "bc", demos, known, 0.3 / demos),
            rows_of(spec, "fem", demos, 0.98, 0.02),
            rows_of(spec, "gtal", demos, 0.9, 0.1),
            rows_of(spec, f"gail:{sign}", demos, 1.0, 0.01),
        ]
    return parts


def changed_rows(environment):
    """What the paper left out, at four demonstrations."""
    paper = PAPER[environment]
    sign, other = ("softplus", "log") if environment == "CartPole-v1" else ("log", "softplus")
    gail, fixed = f"gail:reward={sign}", f"{environment}:fixed=true,{paper}"
    return [
        rows_of(environment, "bc", 4, 0.99, 0.01),
        rows_of(environment, "expert", 4, 1.0),
        rows_of(environment, "random", 4, 0.0),
        rows_of(f"{environment}:{paper}", f"gail:reward={other}", 4, 0.2, 0.2),
        rows_of(f"{environment}:{paper}", f"gail:discriminator=constant,reward={sign}", 4, 0.97),
        rows_of(f"{environment}:demos=random,{paper}", gail, 4, 0.6, 0.4),
        rows_of(f"{environment}:demos=shuffled,{paper}", gail, 4, 0.9, 0.1),
        rows_of(fixed, "expert", 4, 1.0),
        rows_of(fixed, "random", 4, 0.0),
        rows_of(fixed, gail, 4, 0.95, 0.05),
        rows_of(fixed, f"gail:discriminator=constant,reward={sign}", 4, -0.05, 0.1),
        rows_of(f"{environment}:demos=random,fixed=true,{paper}", gail, 4, 0.1, 0.1),
    ]


def results():
    """Everything, with three diverged seeds of BC, whose returns mean nothing."""
    frames = [part for name in PAPER for part in [*main_rows(name), *changed_rows(name)]]
    rows = pd.concat(frames, ignore_index=True)
    spec = f"Acrobot-v1:{PAPER['Acrobot-v1']}"
    cell = (rows.environment == spec) & (rows.algorithm == "bc") & (rows.num_demos == 1)
    bad = rows.index[cell][:3]
    rows.loc[bad, "status"] = "diverged"
    rows.loc[bad, "regret"] = np.nan
    rows.loc[bad, "learner_return"] = 12345.0
    return rows


def curve_points(rows, num_checkpoints=5):
    """Learning curves that rise from the random policy's return to the row's own."""
    frames = []
    for k in range(num_checkpoints):
        share = (k + 1) / num_checkpoints
        base = rows["environment"].map(lambda spec: RETURNS[spec.split(":")[0]][0])
        earned = base + share * (rows["learner_return"] - base)
        steps = {name: (rows[name] * share).astype(int) for name in ("environment_steps",)}
        iterations = np.maximum(1, (rows["iterations"] * share).astype(int))
        frames.append(
            rows.assign(learner_return=earned, checkpoint=k, iterations=iterations, **steps)
        )
    return pd.concat(frames, ignore_index=True)
