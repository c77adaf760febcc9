"""Modules whose doctests cannot be collected here: what they import is not installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("tensorflow") else ["edgekd/runtimes/saved_model.py"]
if not find_spec("executorch"):
    collect_ignore += [
        "edgekd/bench/executorch_factory.py",
        "edgekd/export/executorch_passes.py",
        "edgekd/quantize/executorch.py",
        "edgekd/runtimes/executorch.py",
    ]
