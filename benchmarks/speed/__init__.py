"""Parts of ``benchmarks/training.py``: who is measured, and how they take turns."""
