"""Reinforcement learning on discrete codes.

Importing this package imports neither torch nor gymnasium; each subpackage imports what it needs.
"""

__version__ = "0.1.0"
