"""Observations to keys: learned encoders and the controls beside them."""
