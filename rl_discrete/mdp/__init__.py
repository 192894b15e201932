"""Tabular MDPs on codes: counts, small-backup planning, exact solutions, lookup, export. numpy and numba only."""
