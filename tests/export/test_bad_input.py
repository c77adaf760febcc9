"""What cannot be exported, and how it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import edgekd
from edgekd.errors import DataError, ExportError, StorageError
from edgekd.export.blame import operator_of, place_of
from edgekd.export.seam import converting


class Branching(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.sum() > 0:  # the line that is named
            return x * 2
        return x * 3


class Unsupported(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        square = x.reshape(-1, 2, 2)
        return torch.linalg.eigvals(square).real  # the line that is named


@pytest.mark.parametrize("target", ["onnx", pytest.param("tflite", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("model", "message", "hint"),
    [
        (Branching(), "if x.sum() > 0:  # the line that is named", "torch.where"),
        (
            Unsupported(),
            "no operator for aten.linalg_eig (at tests/export/test_bad_input.py:",
            "other target",
        ),
    ],
)
def test_the_users_own_line_is_named(
    target: str, model: nn.Module, message: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(ExportError) as caught:
        edgekd.export(model, target=target, input_shape=(4,), out=tmp_path / "a")
    assert message in caught.value.message
    assert "the line that is named" in caught.value.message
    assert caught.value.hint is not None and hint in caught.value.hint
    assert not list(tmp_path.iterdir())


def test_blame_in_what_vendors_write() -> None:
    error = RuntimeError(
        "Lowering not found: aten.special_i0e.default\n\nOriginal traceback:\n"
        '  File "/x/site-packages/torch/nn/modules/linear.py", line 3, in forward\n    a = b\n'
        '  File "/home/me/net.py", line 21, in forward\n    return torch.special.i0e(x)\n'
        '  File "/x/site-packages/litert_torch/odml.py", line 9, in call\n    raise\n'
    )
    assert operator_of(error) == "aten.special_i0e"
    assert place_of(error) == "/home/me/net.py:21: return torch.special.i0e(x)"
    with pytest.raises(ExportError) as caught, converting("conversion to TFLite"):
        raise ValueError("outside") from error
    assert caught.value.message == (
        "conversion to TFLite failed: it has no operator for aten.special_i0e "
        "(at /home/me/net.py:21: return torch.special.i0e(x))"
    )


def test_blame_where_the_message_says_nothing() -> None:
    def translate(node: object) -> None:
        raise RuntimeError("no")

    class Node:
        meta = {"stack_trace": 'File "/home/me/net.py", line 5, in forward\n    y = x.foo()'}

    with pytest.raises(RuntimeError) as caught:
        translate(Node())
    assert operator_of(caught.value) is None
    assert place_of(caught.value) == "/home/me/net.py:5: y = x.foo()"
    assert place_of(ValueError("nothing")) is None


class Casting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.half())


def test_networks_that_cast_to_other_floats(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the same dtype") as caught:
        edgekd.export(Casting().half(), target="onnx", input_shape=(4,), out=tmp_path / "a")
    assert caught.value.hint is not None and "go by x.dtype" in caught.value.hint


def test_weights_of_other_floats_are_converted(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)).double()
    artifact = edgekd.export(model, target="onnx", input_shape=(4,), out=tmp_path / "a")
    assert artifact.manifest.inputs[0].dtype == "float32"
    assert next(model.parameters()).dtype == torch.float64


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (np.full((8, 4), np.nan), DataError, "holds NaN or infinity"),
        (np.ones((8, 5)), ExportError, "fails on an input of shape"),
        (np.full((8, 4), "a"), DataError, "not numbers"),
    ],
)
def test_samples_of_no_use(
    values: np.ndarray, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        edgekd.export(
            nn.Linear(4, 2), target="onnx", quantize="int8", samples={"input": values},
            out=tmp_path / "a",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_full_disk_is_named_and_nothing_stays(small_disk: Path) -> None:
    model = nn.Linear(512, 1024)  # 2 MiB of weights on a disk of 1 MiB
    with pytest.raises(StorageError, match="full"):
        edgekd.export(model, target="onnx", input_shape=(512,), out=small_disk / "a")
    assert not list(small_disk.iterdir())


def test_a_full_temporary_folder_is_named(
    small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    with pytest.raises(StorageError, match="full"):
        edgekd.export(nn.Linear(512, 1024), target="onnx", input_shape=(512,), out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
