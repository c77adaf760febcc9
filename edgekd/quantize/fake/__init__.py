"""Fake quantization: a network that computes in float what its int8 file will compute.

`network.FakeQuantized` is what is trained, `learned.LearnedRanges` what it hands to the export,
and `restore.restore` gives both of a run back.
"""
