"""Every kind of network through every target and scheme: ``python -m benchmarks.export_matrix``."""
