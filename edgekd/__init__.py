"""edgekd: from knowledge distillation to on-device inference.

The same verbs as the command line, as functions::

    import edgekd

    run = edgekd.distill("digits")
    artifact = edgekd.export(run, target="tflite", quantize="int8")
    measurements = edgekd.benchmark(run)
    evaluation = edgekd.evaluate(run)
    verdicts = edgekd.check(run)

Nothing heavy is imported before it is used: ``import edgekd`` loads no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edgekd.telemetry import switch_off

if TYPE_CHECKING:
    from edgekd.bench.stage import benchmark
    from edgekd.check.stage import check
    from edgekd.distill.stage import distill
    from edgekd.errors import EdgekdError
    from edgekd.evaluate.robustness import evaluate_corruptions
    from edgekd.evaluate.stage import evaluate
    from edgekd.export.stage import export
    from edgekd.inspect.stage import inspect
    from edgekd.recipe import Recipe
    from edgekd.records import Measurement, Verdict
    from edgekd.records_evaluation import Evaluation
    from edgekd.records_modelfile import Inspection
    from edgekd.records_robustness import Robustness
    from edgekd.report.stage import report
    from edgekd.rundir import Artifact, Run

__version__ = "0.1.0"

switch_off()

#: Public name -> where it lives.
_PUBLIC = {
    "Artifact": "edgekd.rundir",
    "EdgekdError": "edgekd.errors",
    "Evaluation": "edgekd.records_evaluation",
    "Inspection": "edgekd.records_modelfile",
    "Measurement": "edgekd.records",
    "Recipe": "edgekd.recipe",
    "Robustness": "edgekd.records_robustness",
    "Run": "edgekd.rundir",
    "Verdict": "edgekd.records",
    "benchmark": "edgekd.bench.stage",
    "evaluate_corruptions": "edgekd.evaluate.robustness",
}

#: Verbs that share their name with the package behind them; see `edgekd.verbs`.
_VERBS = ("check", "distill", "evaluate", "export", "inspect", "report")

__all__ = [
    "Artifact",
    "EdgekdError",
    "Evaluation",
    "Inspection",
    "Measurement",
    "Recipe",
    "Robustness",
    "Run",
    "Verdict",
    "benchmark",
    "check",
    "distill",
    "evaluate",
    "evaluate_corruptions",
    "export",
    "inspect",
    "report",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in _VERBS:
        return importlib.import_module(f"edgekd.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'edgekd' has no attribute {name!r}")
    return getattr(importlib.import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
