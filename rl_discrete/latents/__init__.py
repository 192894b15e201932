"""Discrete autoencoders: bottlenecks, codes, priors and the loop that fits them."""
