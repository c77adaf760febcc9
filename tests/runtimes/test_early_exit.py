"""The runner of early exits: who leaves where, with whole files and with segments."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.datasets import load_digits

from edgekd.errors import EdgekdError, ModelFileError
from edgekd.rundir import Run
from edgekd.runtimes.early_exit import EarlyExit, confidence

WHOLE = ("onnx-fp32-exit-1", "onnx-fp32-exit-2", "onnx-fp32")
SEGMENTS = ("onnx-fp32-segment-1", "onnx-fp32-segment-2", "onnx-fp32-segment-3")


def files(run: Run, names: tuple[str, ...]) -> list[str]:
    return [str(run.artifacts_dir / name / "model.onnx") for name in names]


def samples() -> np.ndarray:
    digits = load_digits().images[:150, None]
    return ((digits - digits.mean()) / digits.std()).astype(np.float32)


def test_confidence_is_the_largest_probability() -> None:
    logits = np.random.default_rng(0).normal(scale=30, size=(20, 7))
    np.testing.assert_allclose(confidence(logits), softmax(logits, axis=1).max(axis=1))


@pytest.mark.parametrize("names", [WHOLE, SEGMENTS])
def test_a_sample_leaves_at_the_first_exit_that_is_sure(
    names: tuple[str, ...], run_of_exits: Run
) -> None:
    x, threshold = samples(), 0.5
    answers = EarlyExit(files(run_of_exits, names)).answers(x)
    found = EarlyExit(files(run_of_exits, names), threshold).run(x)
    assert set(found.exits) == {1, 2, 3}
    for row, exit in enumerate(found.exits):
        sure = [softmax(logits[row].astype(float)).max() >= threshold for logits in answers[:2]]
        assert exit == [*sure, True].index(True) + 1
        np.testing.assert_allclose(found.logits[row], answers[exit - 1][row], atol=1e-5)


@pytest.mark.parametrize(("threshold", "exit"), [(0.0, 1), (1.01, 3)])
def test_thresholds_at_the_ends(threshold: float, exit: int, run_of_exits: Run) -> None:
    found = EarlyExit(files(run_of_exits, SEGMENTS), threshold).run(samples())
    assert (found.exits == exit).all()


def test_whole_files_and_segments_agree(run_of_exits: Run) -> None:
    one = EarlyExit(files(run_of_exits, WHOLE)).answers(samples())
    other = EarlyExit(files(run_of_exits, SEGMENTS)).answers(samples())
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_says_what_it_needs(run_of_exits: Run) -> None:
    with pytest.raises(EdgekdError, match="at least one file"):
        EarlyExit([])
    with pytest.raises(EdgekdError, match="threshold"):
        EarlyExit(files(run_of_exits, WHOLE), -0.5)
    with pytest.raises(ModelFileError, match="no such file"):
        EarlyExit(["missing.onnx"])
