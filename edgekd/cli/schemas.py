"""What every command prints under ``--json``; published as JSON Schema in ``docs/schemas``."""

from __future__ import annotations

from typing import Any

from edgekd.emulation.state import State
from edgekd.errors import EdgekdError, RecipeError
from edgekd.recordbase import Record, Versioned
from edgekd.records import ArtifactManifest, Measurement, ModelFacts, RunManifest, Verdict
from edgekd.records_devices import DeviceReport
from edgekd.records_distill import Finding
from edgekd.records_evaluation import Evaluation
from edgekd.records_exits import ExitCurve
from edgekd.records_history import Trend
from edgekd.records_modelfile import Inspection
from edgekd.records_robustness import Robustness


class ErrorOutput(Versioned):
    """Any command that failed."""

    error: str
    message: str
    hint: str | None = None
    faults: tuple[str, ...] = ()
    exit_code: int

    @classmethod
    def of(cls, error: EdgekdError) -> ErrorOutput:
        """Describe an error."""
        return cls(
            error=type(error).__name__,
            message=error.message,
            hint=error.hint,
            faults=error.faults if isinstance(error, RecipeError) else (),
            exit_code=error.exit_code,
        )


class DistillOutput(Versioned):
    """``edgekd distill``."""

    run: str
    manifest: RunManifest


class DoctorOutput(Versioned):
    """``edgekd distill --dry-run``."""

    findings: tuple[Finding, ...]
    networks: dict[str, ModelFacts]


class ExportedFile(ArtifactManifest):
    """An artifact's manifest with the path of its file."""

    path: str


class SkippedFile(Record):
    """A file of ``--target all`` that was not made, and why."""

    name: str
    reason: str


class ExportOutput(Versioned):
    """``edgekd export``."""

    artifacts: tuple[ExportedFile, ...]
    skipped: tuple[SkippedFile, ...] = ()


class BenchmarkOutput(Versioned):
    """``edgekd benchmark``."""

    measurements: tuple[Measurement, ...]


class ExitsOutput(Versioned):
    """``edgekd exits``."""

    curves: tuple[ExitCurve, ...]


class CheckOutput(Versioned):
    """``edgekd check``."""

    passed: bool
    strict: bool = False
    subject: str = ""
    budget: str = ""
    baseline: str | None = None
    verdicts: tuple[Verdict, ...]


class BudgetOutput(Versioned):
    """``edgekd check --init`` and ``--update``: the file, and what was rewritten in it."""

    path: str
    text: str
    changes: tuple[str, ...] = ()


class HistoryOutput(Versioned):
    """``edgekd history``."""

    trends: tuple[Trend, ...]


class ReportOutput(Versioned):
    """``edgekd report``."""

    path: str


class RecipesOutput(Versioned):
    """``edgekd recipes list``."""

    recipes: dict[str, str]


class RecipeOutput(Versioned):
    """``edgekd recipes show``."""

    name: str
    path: str
    recipe: dict[str, Any]


class InitOutput(Versioned):
    """``edgekd recipes init``: the path it wrote, or with ``--stdout`` the text."""

    path: str | None = None
    text: str | None = None


class NetworkLayers(Record):
    """The layers of one network that can be captured, in the order they run.

    Attributes:
        model: its name in the recipe.
        layers: shapes without the batch axis, by name.
    """

    model: str
    layers: dict[str, tuple[int, ...]]


class LayersOutput(Versioned):
    """``edgekd layers``."""

    student: NetworkLayers
    teacher: NetworkLayers
    pairs: tuple[tuple[str, str], ...]


class RecordOutput(Versioned):
    """``edgekd record``.

    Attributes:
        path: the file.
        teacher: whose answers these are.
        samples: how many, over all splits.
        classes: the names of the outputs, in order.
        top_k: how many classes a sample; 0: all.
    """

    path: str
    teacher: str
    samples: int
    classes: tuple[str, ...]
    top_k: int


class DevicesOutput(Versioned):
    """``edgekd devices list`` and ``edgekd devices show``."""

    devices: tuple[dict[str, Any], ...]
    states: dict[str, str] = {}


class SetupOutput(Versioned):
    """``edgekd devices setup``.

    Attributes:
        device: which.
        folder: on the device, where the runtimes are, were, or would be.
        planned: runtimes to install.
        skipped: runtimes that there is no wheel of, and why.
        installed: versions of those that the device can import now.
        failed: those that it cannot, and why.
        removed: whether an earlier setup was taken away.
    """

    device: str
    folder: str | None
    planned: tuple[str, ...] = ()
    skipped: dict[str, str] = {}
    installed: dict[str, str] = {}
    failed: dict[str, str] = {}
    removed: bool = False


class BoxesUpOutput(Versioned):
    """``edgekd devices up``."""

    devices: tuple[State, ...]


class BoxesDownOutput(Versioned):
    """``edgekd devices down``."""

    devices: tuple[str, ...]
    roots_removed: bool = False


class RunsOutput(Versioned):
    """``edgekd runs list``."""

    runs: dict[str, RunManifest]


class RunOutput(Versioned):
    """``edgekd runs show``."""

    path: str
    manifest: RunManifest
    artifacts: tuple[ArtifactManifest, ...]
    measurements: tuple[Measurement, ...]
    faults: tuple[str, ...]


OUTPUTS: dict[str, type[Versioned]] = {
    "distill": DistillOutput,
    "distill-dry-run": DoctorOutput,
    "export": ExportOutput,
    "inspect": Inspection,
    "benchmark": BenchmarkOutput,
    "evaluate": Evaluation,
    "evaluate-corruptions": Robustness,
    "exits": ExitsOutput,
    "check": CheckOutput,
    "check-budget": BudgetOutput,
    "history": HistoryOutput,
    "report": ReportOutput,
    "recipes-list": RecipesOutput,
    "recipes-show": RecipeOutput,
    "recipes-init": InitOutput,
    "layers": LayersOutput,
    "record": RecordOutput,
    "devices": DevicesOutput,
    "devices-doctor": DeviceReport,
    "devices-setup": SetupOutput,
    "devices-up": BoxesUpOutput,
    "devices-down": BoxesDownOutput,
    "runs-list": RunsOutput,
    "runs-show": RunOutput,
    "error": ErrorOutput,
}
