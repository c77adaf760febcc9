"""What an export costs beside the bare converter: ``python benchmarks/export.py``."""
