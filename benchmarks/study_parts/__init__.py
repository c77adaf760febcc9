"""The parts of ``benchmarks/study.py``: does distillation work, and where does it not?"""
