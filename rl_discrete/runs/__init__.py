"""What every run needs, whatever it learns: its folder, checkpoints, metrics, seeds, signals and errors.

Nothing here knows about autoencoders, tables or world models. Importing this package imports no torch.
"""
