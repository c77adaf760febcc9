"""Files that end at an early exit, and segments that go on from one another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import nn

from edgekd.cli.app import app
from edgekd.errors import ExportError
from edgekd.export.stage import export
from edgekd.rundir import Artifact, Run
from edgekd.runtimes.onnxruntime import load
from tests.fixtures_exits import EXITS

NAMES = [f"onnx-fp32{end}" for end in ("", "-exit-1", "-exit-2")]
SEGMENTS = [f"onnx-fp32-segment-{number}" for number in (1, 2, 3)]


def artifact(run: Run, name: str) -> Artifact:
    return Artifact.open(run.artifacts_dir / name)


def matrices(found: Artifact) -> list[tuple[int, ...]]:
    """Return the shapes of the matrices that a file holds, sorted."""
    graph = onnx.load(found.path).graph
    return sorted(tuple(t.dims) for t in graph.initializer if len(t.dims) == 2)


def test_the_artifacts_are_named_and_say_which_exit_they_are(run_of_exits: Run) -> None:
    found = {a.manifest.name: a.manifest for a in run_of_exits.artifacts()}
    assert sorted(found) == sorted([*NAMES, *SEGMENTS])
    assert all(manifest.parity.passed for manifest in found.values())
    assert [found[name].exit for name in NAMES] == [None, 1, 2]
    assert [(found[n].exit, found[n].segment) for n in SEGMENTS] == [
        (1, True),
        (2, True),
        (None, True),
    ]


def test_an_exit_holds_what_it_needs_and_nothing_else(run_of_exits: Run) -> None:
    # Layers 64x24, 24x16 and 16x10; the exits are 24x10 and 16x10.
    def shapes(*wanted: tuple[int, int]) -> list[tuple[int, ...]]:
        return sorted(wanted)

    def held(name: str) -> list[tuple[int, ...]]:
        return sorted(
            tuple(sorted(s, reverse=True)) for s in matrices(artifact(run_of_exits, name))
        )

    assert held("onnx-fp32") == shapes((64, 24), (24, 16), (16, 10))
    assert held("onnx-fp32-exit-1") == shapes((64, 24), (24, 10))
    assert held("onnx-fp32-exit-2") == shapes((64, 24), (24, 16), (16, 10))
    assert held("onnx-fp32-segment-1") == shapes((64, 24), (24, 10))
    assert held("onnx-fp32-segment-2") == shapes((24, 16), (16, 10))
    assert held("onnx-fp32-segment-3") == shapes((16, 10))
    one, whole = artifact(run_of_exits, "onnx-fp32-exit-1"), artifact(run_of_exits, "onnx-fp32")
    assert one.path.stat().st_size < whole.path.stat().st_size
    assert one.manifest.model.macs == 64 * 24 + 24 * 10
    assert one.manifest.model.parameters == 64 * 24 + 24 + 24 * 10 + 10
    assert artifact(run_of_exits, SEGMENTS[1]).manifest.model.macs == 24 * 16 + 16 * 10


def test_segments_say_what_the_whole_files_say(run_of_exits: Run) -> None:
    x = np.random.default_rng(0).standard_normal((5, 1, 8, 8), dtype=np.float32)
    sessions = [load(artifact(run_of_exits, name).path) for name in SEGMENTS]
    assert [spec.name for spec in sessions[0].outputs] == ["logits", "trunk"]
    first, trunk = sessions[0].run([x])
    second, trunk = sessions[1].run([trunk])
    (end,) = sessions[2].run([trunk])
    for found, name in zip((first, second, end), [*NAMES[1:], NAMES[0]], strict=True):
        (expected,) = load(artifact(run_of_exits, name).path).run([x])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_says_which_exits_there_are(run_of_exits: Run) -> None:
    with pytest.raises(ExportError, match=r"no exit 4: the network has 2, .* number 3"):
        export(run_of_exits, target="onnx", exit=4)
    with pytest.raises(ExportError, match="no early exits"):
        export(nn.Linear(4, 3), target="onnx", exit=1, input_shape=(4,))


def test_the_last_exit_is_the_network_itself(run_of_exits: Run, tmp_path: Path) -> None:
    found = export(run_of_exits, target="onnx", exit=3, out=tmp_path / "end")
    assert found.manifest.exit is None
    assert matrices(found) == matrices(artifact(run_of_exits, "onnx-fp32"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--exit", "first"], "no such exit"),
        (["--exit", "all", "--out", "x"], "3 files are to be made"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str],
    message: str,
    run_of_exits: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        app(["export", str(run_of_exits.path), "--target", "onnx", *arguments])
    assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["none", "int8"])
def test_tflite_maps_pass_from_segment_to_segment(quantize: str, tmp_path: Path) -> None:
    from edgekd.distill.stage import distill
    from edgekd.recipe import Recipe
    from edgekd.runtimes.early_exit import EarlyExit

    student = {"model": "resnet8", "width": 0.25, "exits": {"at": ["layer1"], "head": "conv"}}
    run = distill(Recipe.from_dict({**EXITS, "student": student}), out=tmp_path / "run")
    files = [
        export(run, target="tflite", quantize=quantize, exit=number, segment=True).path
        for number in (1, 2)
    ]
    whole = export(run, target="tflite", quantize=quantize).path
    x = np.random.default_rng(0).standard_normal((7, 1, 8, 8), dtype=np.float32)
    # In int8 the trunk is rounded where it passes from file to file.
    (expected,) = EarlyExit([whole]).answers(x)
    error = np.abs(EarlyExit(files).answers(x)[-1] - expected).max()
    assert error < (1e-4 if quantize == "none" else 0.1 * np.abs(expected).max())
