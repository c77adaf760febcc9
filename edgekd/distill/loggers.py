"""Where a training is logged beside ``metrics.jsonl``: TensorBoard and MLflow, through Fabric.

A logger is a factory: it takes the run's folder and its recipe and returns a logger of Lightning
Fabric. Only the first process logs. A service that is not to be reached stops no training: it is
said once, and its lines are in ``metrics.jsonl`` all the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_fabric.loggers.logger import Logger
from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from edgekd.errors import MissingExtraError
from edgekd.registry import table
from edgekd.runs import runs_root

if TYPE_CHECKING:
    from argparse import Namespace

    from lightning_fabric import Fabric

    from edgekd.distill.progress import Progress
    from edgekd.distill.session import Session
    from edgekd.recipe import Recipe

#: Tag that tells whose run an MLflow run is, so that a resumed one goes on in it.
_TAG = "edgekd.run"

#: Hyperparameters of MLflow have at most so many characters.
_LONGEST = 500


def tensorboard(path: Path, recipe: Recipe) -> Logger:
    """Return a logger that writes TensorBoard's event files into the run, ``tensorboard/``.

    Args:
        path: the run's folder.
        recipe: of the run.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    if find_spec("tensorboard") is None and find_spec("tensorboardX") is None:
        raise MissingExtraError("tensorboard", extra="tensorboard", package="tensorboard")
    return TensorBoardLogger(root_dir=path, name="", version="tensorboard")


def mlflow(path: Path, recipe: Recipe) -> Logger:
    """Return a logger that writes to MLflow: an experiment a recipe, a run a run.

    It goes where ``MLFLOW_TRACKING_URI`` says, else into ``mlflow.sqlite`` in the folder of runs.

    Args:
        path: the run's folder.
        recipe: of the run.

    Raises:
        MissingExtraError: MLflow is not installed.
    """
    if find_spec("mlflow") is None:
        raise MissingExtraError("mlflow", extra="mlflow", package="mlflow")
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return MlflowLogger(
        uri or f"sqlite:///{(runs_root() / 'mlflow.sqlite').resolve()}", path, recipe
    )


class MlflowLogger(Logger):
    """MLflow as a logger of Fabric. Nothing is asked of MLflow before the first line.

    Args:
        uri: of the tracking server or database.
        path: the run's folder.
        recipe: of the run.
    """

    def __init__(self, uri: str, path: Path, recipe: Recipe) -> None:
        """Store where to log."""
        self.uri, self.path, self.recipe = uri, path, recipe
        self._open: tuple[Any, str] | None = None

    @property
    def name(self) -> str:
        """The experiment."""
        return self.recipe.name

    @property
    def version(self) -> str:
        """The run."""
        return self.path.name

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log numbers of a step."""
        client, run = self._opened()
        for name, value in metrics.items():
            client.log_metric(run, name, value, step=step or 0)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Log the recipe's keys; a run that is resumed has them already."""
        client, run = self._opened()
        known = client.get_run(run).data.params
        for name, value in (params if isinstance(params, dict) else vars(params)).items():
            if name not in known:
                client.log_param(run, name, str(value)[:_LONGEST])

    def finalize(self, status: str) -> None:
        """End the run, as ``success`` or anything else."""
        if self._open is not None:
            client, run = self._open
            client.set_terminated(run, "FINISHED" if status == "success" else "FAILED")

    def _opened(self) -> tuple[Any, str]:
        """Return the client and the id of the run, which is made or found again."""
        if self._open is None:
            from mlflow.tracking import MlflowClient

            client = MlflowClient(self.uri)
            experiment = client.get_experiment_by_name(self.name)
            key = experiment.experiment_id if experiment else client.create_experiment(self.name)
            own = f"tags.`{_TAG}` = '{self.version}'"
            found = client.search_runs([key], own, max_results=1)
            tags = {_TAG: self.version, "mlflow.runName": self.version}
            run = found[0] if found else client.create_run(key, tags=tags)
            self._open = client, run.info.run_id
        return self._open


def make(path: Path, recipe: Recipe) -> list[Logger]:
    """Return the loggers that a recipe names.

    Args:
        path: the run's folder.
        recipe: of the run.

    Raises:
        MissingExtraError: a package is not installed.
    """
    return [table("logger").resolve(name)(path, recipe) for name in recipe.train.loggers]


@contextmanager
def logged(session: Session, fabric: Fabric, progress: Progress) -> Iterator[Session]:
    """Give a session whose lines go to the loggers of Fabric too, and close those at the end.

    Args:
        session: the run in the making.
        fabric: launched; of its processes only the first has loggers.
        progress: is told what fails.
    """
    if not fabric.loggers:
        yield session
        return
    logging = Logging(fabric.loggers, progress.message)
    logging.begin(session.recipe)
    status = "failed"
    try:
        yield replace(session, also=logging.line)
        status = "success"
    finally:
        logging.end(status)


class Logging:
    """Passes lines of ``metrics.jsonl`` on, and lets no logger stop a training.

    Args:
        loggers: of Fabric.
        say: takes a remark.
    """

    def __init__(self, loggers: Sequence[Logger], say: Callable[[str], None]) -> None:
        """Store the loggers."""
        self._loggers, self._say = list(loggers), say

    def begin(self, recipe: Recipe) -> None:
        """Log the recipe."""
        flat = dict(_flat(recipe.model_dump(mode="json", exclude_none=True)))
        self._each(lambda logger: logger.log_hyperparams(flat))

    def line(self, line: Mapping[str, Any]) -> None:
        """Log one epoch of one network."""
        found = numbers(line)
        self._each(lambda logger: logger.log_metrics(found, int(line["epoch"])))

    def end(self, status: str) -> None:
        """Close everything; ``success`` or ``failed``."""
        self._each(lambda logger: logger.finalize(status))

    def _each(self, what: Callable[[Logger], None]) -> None:
        for logger in [*self._loggers]:
            try:
                what(logger)
            except Exception as error:  # whatever a service or its client may raise
                self._loggers.remove(logger)
                name = type(logger).__name__
                self._say(f"{name} failed, nothing more goes there: {type(error).__name__}")


def numbers(line: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a line of ``metrics.jsonl``, by network, seed and name.

    >>> numbers({"phase": "student", "seed": 1, "epoch": 2, "loss": 3.0, "terms": {"kd": 2.5}})
    {'student-1/loss': 3.0, 'student-1/loss/kd': 2.5}
    """
    where = f"{line['phase']}-{line['seed']}"
    found = {
        f"{where}/{name}": float(value)
        for name, value in line.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and name not in ("seed", "epoch")
    }
    terms = line.get("terms") or {}
    return found | {f"{where}/loss/{name}": float(value) for name, value in terms.items()}


def _flat(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return the values of nested tables, by their paths."""
    if isinstance(value, Mapping):
        items = [(f"{path}.{key}" if path else str(key), inner) for key, inner in value.items()]
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        items = [(f"{path}.{number}", inner) for number, inner in enumerate(value)]
    else:
        return [(path, str(value))]
    return [pair for key, inner in items for pair in _flat(inner, key)]
