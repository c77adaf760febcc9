"""The parts of ``benchmarks/peers.py``: the same distillation by edgekd and by torchdistill."""
