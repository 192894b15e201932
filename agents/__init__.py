"""Whole algorithms, each readable from top to bottom: installed as `rl_discrete.agents`."""
