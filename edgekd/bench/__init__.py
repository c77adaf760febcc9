"""Measuring a model file on a device: latency, memory, accuracy, agreement with the teacher.

The verb is `edgekd.bench.stage.benchmark`.
"""
