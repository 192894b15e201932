"""Looking at what was learned: diagnostics of codes and tables, the MDP explorer, plots."""
