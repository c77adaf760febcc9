"""Model files of others: their layout, their outputs, and files that kill their process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekd.errors import ModelFileError
from edgekd.evaluate.answers import FileAnswers
from edgekd.evaluate.files import feed, load_file, run_alone
from edgekd.evaluate.session import Asked
from edgekd.records import TensorSpec
from edgekd.runtimes.session import Array
from tests.bench.files import mlp_onnx


class Sums:
    """A session that gives the sum of each channel of an image."""

    runtime = "by hand"

    def __init__(self, shape: tuple[int | None, ...], outputs: tuple[int | None, ...]) -> None:
        self.inputs = (TensorSpec(name="x", shape=shape, dtype="float32"),)
        self.outputs = (TensorSpec(name="y", shape=outputs, dtype="float32"),)
        self.batches: list[int] = []

    def run(self, arrays: list[Array]) -> list[Array]:
        x = arrays[0]
        self.batches.append(len(x))
        return [x.sum(axis=(1, 2)) if x.shape[-1] == 3 else x.sum(axis=(2, 3))]


IMAGES = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32)


@pytest.mark.parametrize("shape", [(None, 3, 4, 4), (None, 4, 4, 3), (2, 4, 4, 3)])
def test_images_are_laid_out_as_the_file_wants(shape: tuple[int | None, ...]) -> None:
    session = Sums(shape, (shape[0], 3))
    found = feed(session, Path("x"), IMAGES, 3)
    assert found == pytest.approx(IMAGES.sum(axis=(2, 3)), abs=1e-5)
    if shape[0]:
        assert session.batches == [2, 2, 2], "a fixed batch is filled up"


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelFileError, match="samples of shape"):
        feed(Sums((None, 3, 5, 5), (None, 3)), Path("x"), IMAGES, 3)
    with pytest.raises(ModelFileError, match=r"no output of shape \(N, 4\)"):
        feed(Sums((None, 3, 4, 4), (None, 3)), Path("x"), IMAGES, 4)
    two = Sums((None, 3, 4, 4), (None, 3))
    two.inputs *= 2
    with pytest.raises(ModelFileError, match="takes 2 inputs"):
        feed(two, Path("x"), IMAGES, 3)


def layers() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [(rng.normal(size=(3, 48)).astype(np.float32), np.zeros(3, np.float32))]


def test_a_process_of_its_own_gives_the_same(tmp_path: Path) -> None:
    path = mlp_onnx(tmp_path / "m.onnx", layers(), (3, 4, 4))
    here = feed(load_file(path, "onnx"), path, IMAGES, 3)
    there, runtime = run_alone(path, "onnx", IMAGES, 3)
    assert np.array_equal(here, there)
    assert runtime.startswith("onnxruntime")
    with pytest.raises(ModelFileError, match="no output"):
        run_alone(path, "onnx", IMAGES, 7)


def test_a_killed_process_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mlp_onnx(tmp_path / "m.onnx", layers(), (3, 4, 4))
    killer = tmp_path / "killer"
    killer.write_text("#!/bin/sh\nkill -SEGV $$\n")
    killer.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(killer))
    with pytest.raises(ModelFileError, match=r"killed the process that ran it \(SIGSEGV\)"):
        run_alone(path, "onnx", IMAGES, 3)


def test_temperatures_are_never_fitted_where_they_are_judged() -> None:
    for split in ("test", "validation"):
        asked = Asked(split, (), cka=False, explicit=False)
        assert asked.fitted_on != split


def test_probabilities_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgekd.data.load import load_dataset
    from edgekd.recipe import DataSpec

    dataset = load_dataset(DataSpec())
    logits = np.random.default_rng(0).normal(size=(len(dataset.splits["test"]), 10))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    answers = FileAnswers(tmp_path / "m.onnx", "onnx", lambda data: data)
    rows = iter(p)
    monkeypatch.setattr(answers, "_run", lambda x, classes: np.stack([next(rows) for _ in x]))
    found = answers.logits(dataset, "test")
    assert np.exp(found) == pytest.approx(p, abs=1e-4)
    assert "probabilities" in answers.notes[0]
