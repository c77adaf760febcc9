"""Paired tests: is the difference of two models more than chance? NumPy and SciPy only.

`edgekd.statistics.paired` compares two models on the same samples, `edgekd.statistics.seeds` two
ways of training over the same seeds, `edgekd.statistics.gate` the latencies of two files that took
turns.
"""
