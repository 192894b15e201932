"""The MNIST benchmark: its judge, its metrics, the rows it runs and the report it writes."""
