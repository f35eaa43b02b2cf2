"""Which marker each test module has. `pytest -m unit` runs what needs no large program."""

MODULES = {
    "unit": """
        actor_critic arrangement closed_forms data data_archives data_contents distributions
        draws early_pictures expert_files fairness files fit_refusals game_refusals layers
        losses marks network_refusals networks numerics oracles orders original_experts packing
        peers products provenance published refusals report report_returns schema scores settings
        statistics
    """,
    "contract": "contract invariants",
    "gates": """
        airl blocks critics curves dagger dart demonstrations endings envs envs_control
        envs_grid experts experts_training first_seed fit fit_notes fused gail
        gail_convergence gail_theory gates gates_exponents gymnax_episodes gymnax_ids
        instances kept label_noise layout linear linear_rewards maxent_irl mdp obstacle
        pairs ppo precision sampled_games samples soft soft_experts supervised training
    """,
    "process": """
        cache cli devices distributed meshes package remote shards start store sweep
        throughput
    """,
}
"""Modules by marker, without `test_`."""
MARK_OF = {f"test_{name}": mark for mark, names in MODULES.items() for name in names.split()}
