"""The MNIST benchmark: configuration, judge, metrics and report."""
