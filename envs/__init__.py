"""Real and model environments: installed as `rl_discrete.envs`."""
