"""imitax: imitation learning as pure functions of a key.

    env, _ = imitax.make("reset-cliff:num_states=21")
    algorithm = imitax.bc(env)
    outcome = imitax.experiment(env, algorithm, seed, horizon, num_demos, capacity)

which is

    instance = imitax.pose(env, seed, horizon, num_demos, capacity, algorithm.demand)
    trained = imitax.train(instance.learner_key, algorithm, instance.problem)
    outcome = imitax.evaluate(env, instance, algorithm.policy(instance.problem, trained.state))

Everything below a seed is traced: jit, vmap and shard it from outside.

Nothing but the standard library is loaded until a name is used.
"""

import importlib
from typing import Any

_NAMES = {
    "imitax.algorithms": "ALGORITHMS",
    "imitax.algorithms.adversarial.airl": "airl AIRLConfig",
    "imitax.algorithms.adversarial.gail": "gail GAILConfig",
    "imitax.algorithms.adversarial.gail_networks": "NetworkGAILConfig",
    "imitax.algorithms.adversarial.wail": "wail WAILConfig",
    "imitax.algorithms.baselines": "expert noisy_expert NoisyExpertConfig random",
    "imitax.algorithms.cloning.bc": "bc NetworkBCConfig TabularBCConfig",
    "imitax.algorithms.interactive.dagger": "dagger NetworkDaggerConfig TabularDaggerConfig",
    "imitax.algorithms.interactive.dart": "dart NetworkDartConfig TabularDartConfig",
    "imitax.algorithms.inverse.apprenticeship": "fem FEMConfig gtal GTALConfig",
    "imitax.algorithms.inverse.maxent_irl": "maxent_irl MaxEntConfig",
    "imitax.algorithms.inverse.maxent_networks": "NetworkMaxEntConfig",
    "imitax.catalogue": "algorithm environment make",
    "imitax.core.errors": "NotApplicable SpecError",
    "imitax.core.policies": "Policy tabulate",
    "imitax.core.train": "train Trained",
    "imitax.core.types": "Algorithm Capacity Demand Demonstrations Metrics Problem Transition",
    "imitax.core.version": "__version__",
    "imitax.envs": "ENVIRONMENTS",
    "imitax.tabular.mdp": "TabularMDP",
    "imitax.tasks.evaluate": "evaluate Outcome regret",
    "imitax.tasks.experiment": "experiment",
    "imitax.tasks.pose": "Instance pose",
}
"""Module -> the public names that it defines; the stub beside says the same to a type checker."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = sorted(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """A public name, from the module that defines it (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'imitax' has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
