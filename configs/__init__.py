"""YAML presets, one folder a command: installed as `rl_discrete.configs`."""
