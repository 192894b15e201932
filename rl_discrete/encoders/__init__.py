"""Encoders: observations in, keys of a table out; learned ones and controls behind one protocol.

Importing the package imports no torch; import what you need from its modules, for example
`from rl_discrete.encoders.base import build_encoder`.
"""
