"""The matrix of architectures: a slice of it always, the whole of it in ``make test-full``."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.export_matrix import page
from benchmarks.export_matrix.__main__ import run
from benchmarks.export_matrix.cases import CASES
from benchmarks.export_matrix.samples import Missing

BY_NAME = {case.name: case for case in CASES}

#: The targets and schemes that the slice tries of two networks: two inputs, two outputs.
QUICK = {"two inputs": {"tflite": ("int8",)}, "detector": {"onnx": ("none",)}}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("name", QUICK)
def test_a_slice_of_the_matrix(name: str) -> None:
    rows = run(replace(BY_NAME[name], schemes=QUICK[name], epochs=2))
    assert len(rows) == sum(len(schemes) for schemes in QUICK[name].values())
    for row in rows:
        assert row["passed"], row
        assert row["bytes"] > 5000
        if row["quantize"] == "none":
            assert row["max_rel_error"] <= 1e-4
        else:
            assert row["snr_db"] > 15
    if name == "detector":
        assert rows[0]["agreement"] is None  # no class scores (n, C)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BY_NAME)
def test_the_whole_matrix(name: str) -> None:
    try:
        rows = run(BY_NAME[name])
    except Missing as error:
        pytest.skip(str(error))
    failed = [row for row in rows if not row["passed"]]
    assert not failed


def test_the_stored_matrix_is_whole_and_green() -> None:
    rows = json.loads(page.RESULT.read_text("utf-8"))["rows"]
    stored = {(row["network"], row["target"], row["quantize"]) for row in rows}
    wanted = {
        (case.name, target, scheme)
        for case in CASES
        for target, schemes in case.schemes.items()
        for scheme in schemes
    }
    assert stored == wanted
    assert [row for row in rows if not row["passed"]] == []


def test_the_page_is_that_of_the_results() -> None:
    result = json.loads(page.RESULT.read_text("utf-8"))
    assert page.PAGE.read_text("utf-8") == page.render(result)
    assert str(Path.home()) not in page.RESULT.read_text("utf-8")
    assert os.fspath(Path.cwd()) not in page.PAGE.read_text("utf-8")
