"""Benchmark programs that a user has for a device without Python.

One module a program says how it is called and reads what it prints; `measure` runs it. A figure
that a program does not give stays unknown, with the reason.
"""
