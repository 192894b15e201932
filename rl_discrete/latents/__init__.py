"""Discrete latents: bottlenecks, packed codes, autoencoders, priors over codes, and the one loop that fits them.

Importing the package imports no torch; import what you need from its modules, for example
`from rl_discrete.latents.semantic_hashing import SemanticHashing`.
"""
