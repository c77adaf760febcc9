"""TensorBoard and MLflow: what reaches them, and that neither can stop a training."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from lightning_fabric import Fabric
from lightning_fabric.loggers import Logger

from edgekd.distill import loggers
from edgekd.errors import MissingExtraError, RecipeError
from edgekd.recipe import Recipe
from tests.fixtures_tiny import TINY
from tests.synthetic_runs import RECIPE

LINE = {
    "phase": "student", "seed": 3, "epoch": 5, "loss": 2.0, "terms": {"kd": 1.5},
    "validation_accuracy": 0.9, "learning_rate": 1e-3, "collapsed": False, "best": None,
}  # fmt: skip

needs_tensorboard = pytest.mark.skipif(
    importlib.util.find_spec("tensorboard") is None, reason="needs the extra tensorboard"
)
needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="needs the extra mlflow"
)


class Kept(Logger):
    """Keeps what it is told; fails from a step on."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.metrics: list[tuple[dict[str, float], int | None]] = []
        self.params: dict[str, Any] = {}
        self.ended: str | None = None
        self.fails_at = fails_at

    name = "kept"
    version = "1"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self.fails_at is not None and (step or 0) >= self.fails_at:
            raise ConnectionError("http://user:secret@host")
        self.metrics.append((dict(metrics), step))

    def log_hyperparams(self, params: Any, *_: Any, **__: Any) -> None:
        self.params = dict(params)

    def finalize(self, status: str) -> None:
        self.ended = status


def recipe(*names: str) -> Recipe:
    return Recipe.from_dict({**RECIPE, "train": {"loggers": [*names]}}, options=False)


def test_the_numbers_of_a_line() -> None:
    assert loggers.numbers(LINE) == {
        "student-3/loss": 2.0,
        "student-3/loss/kd": 1.5,
        "student-3/validation_accuracy": 0.9,
        "student-3/learning_rate": 1e-3,
    }


def test_the_recipe_goes_first_and_epochs_follow() -> None:
    kept = Kept()
    logging = loggers.Logging([kept], pytest.fail)
    logging.begin(recipe())
    logging.line(LINE)
    logging.end("success")
    assert kept.params["loss.1.temperature"] == "4.0"
    assert kept.params["student.model"] == "resnet8"
    assert kept.metrics == [(loggers.numbers(LINE), 5)]
    assert kept.ended == "success"


def test_a_logger_that_fails_is_dropped_and_no_secret_is_said() -> None:
    said: list[str] = []
    bad, good = Kept(fails_at=2), Kept()
    logging = loggers.Logging([bad, good], said.append)
    for epoch in (1, 2, 3):
        logging.line({**LINE, "epoch": epoch})
    assert [step for _, step in bad.metrics] == [1]
    assert [step for _, step in good.metrics] == [1, 2, 3]
    assert said == ["Kept failed, nothing more goes there: ConnectionError"]


def test_an_unknown_logger_is_a_fault_of_the_recipe() -> None:
    with pytest.raises(RecipeError, match="tensorbord"):
        recipe("tensorbord")


@pytest.mark.parametrize("name", ["tensorboard", "mlflow"])
def test_a_missing_package_is_said_before_training(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda _: None)
    with pytest.raises(MissingExtraError) as caught:
        loggers.make(tmp_path, recipe(name))
    assert f'pip install "edgekd[{name}]"' in str(caught.value.hint)


MADE: list[Kept] = []


def kept(path: Path, recipe: Recipe) -> Kept:
    """A logger of somebody else's, named by import path."""
    MADE.append(Kept())
    return MADE[-1]


def test_a_training_logs_every_epoch_of_every_network(runs_folder: Path) -> None:
    from edgekd.distill.stage import distill

    raw = {
        **TINY,
        "train": {**TINY["train"], "loggers": ["tests.distill.test_loggers:kept"], "epochs": 2},
    }
    run = distill(Recipe.from_dict(raw))
    # The module may have been imported under this name a second time.
    from tests.distill import test_loggers as named

    (made,) = named.MADE
    lines = run.metrics()
    assert [(loggers.numbers(line), line["epoch"]) for line in lines] == made.metrics
    assert {line["phase"] for line in lines} == {"teacher", "student"}
    assert made.ended == "success"
    assert made.params["student.model"] == raw["student"]["model"]


@needs_tensorboard
def test_tensorboard_has_the_curve(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fabric = Fabric(
        accelerator="cpu", devices=1, loggers=loggers.make(tmp_path, recipe("tensorboard"))
    )
    logging = loggers.Logging(fabric.loggers, pytest.fail)
    logging.begin(recipe("tensorboard"))
    for epoch, loss in ((1, 3.0), (2, 2.5)):
        logging.line({**LINE, "epoch": epoch, "loss": loss})
    logging.end("success")
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("student-3/loss")] == [(1, 3.0), (2, 2.5)]


@pytest.mark.slow  # making its database takes 13 s
@needs_mlflow
@pytest.mark.filterwarnings("default")  # of the packages underneath, on their own account
def test_mlflow_has_the_curve_and_a_resumed_run_goes_on_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    uri = f"sqlite:///{tmp_path / 'mlflow.sqlite'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for epoch in (1, 2):
        logging = loggers.Logging(loggers.make(tmp_path / "run-7", recipe("mlflow")), pytest.fail)
        logging.begin(recipe("mlflow"))
        logging.line({**LINE, "epoch": epoch, "loss": float(epoch)})
        logging.end("success")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "run-7"
    assert run.info.status == "FINISHED"
    assert run.data.params["student.model"] == "resnet8"
    history = client.get_metric_history(run.info.run_id, "student-3/loss")
    assert [(point.step, point.value) for point in history] == [(1, 1.0), (2, 2.0)]
