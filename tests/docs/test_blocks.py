"""Code and TOML in the docs work: files are imported, recipes are checked, names resolve."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import edgekd
from edgekd.bench.devices import Device, load_device
from edgekd.check.budgets import Budget
from edgekd.recipe import Recipe
from edgekd.registry import load_target
from edgekd.toml import read_toml
from tests.docs.markdown import DOCS, PAGES, Block, blocks
from tests.fixtures_tiny import TINY

PYTHON = blocks("python")
TOML = blocks("toml")

#: Where the verbs of the public API live.
VERBS = {
    "distill": "edgekd.distill.stage:distill",
    "export": "edgekd.export.stage:export",
    "benchmark": "edgekd.bench.stage:benchmark",
    "evaluate": "edgekd.evaluate.stage:evaluate",
    "evaluate_corruptions": "edgekd.evaluate.robustness:evaluate_corruptions",
    "inspect": "edgekd.inspect.stage:inspect",
    "check": "edgekd.check.stage:check",
    "report": "edgekd.report.stage:report",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder that modules can be imported from, and are forgotten after."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


def write_files(page: Path, folder: Path) -> None:
    """Write every block of a page that is a file."""
    for block in blocks("python", "toml", pages=[page]):
        if block.file:
            path = folder / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)


def module_of(block: Block) -> Any:
    name = (block.file or "").removesuffix(".py").replace("/", ".")
    return importlib.import_module(name)


@pytest.mark.parametrize("block", TOML, ids=str)
def test_toml_is_what_it_says(block: Block, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(block.page, folder)
    path = folder / "block.toml"
    path.write_text(block.text)
    raw = read_toml(path)
    if "student" in raw:
        Recipe.from_dict(raw)
    elif "devices" in raw:
        monkeypatch.setenv("EDGEKD_CONFIG", str(folder))
        path.rename(folder / "devices.toml")
        for name in raw["devices"]:
            assert load_device(name).name == name
    elif "transport" in raw:
        Device.model_validate({"name": "x", **raw})
    elif set(raw) <= {"data", "teacher", "ensemble", "loss", "train", "quantize", "export"}:
        Recipe.from_dict({**TINY, **raw})
    else:
        assert Budget.load(path).limits


@pytest.mark.parametrize("block", [b for b in PYTHON if b.file], ids=str)
def test_python_files_can_be_imported(block: Block, folder: Path) -> None:
    write_files(block.page, folder)
    module_of(block)


def calls(tree: ast.AST) -> set[str]:
    """Return what is called, as written: ``edgekd.distill``, ``Run.open``."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize("block", [b for b in PYTHON if not b.file], ids=str)
def test_python_snippets_run_or_resolve(block: Block, folder: Path) -> None:
    tree = ast.parse(block.text)
    if calls(tree) & {*(f"edgekd.{verb}" for verb in VERBS), "Run.open"}:
        resolve(tree)
    else:
        exec(compile(tree, str(block), "exec"), {})


def resolve(tree: ast.Module) -> None:
    """Check imports, attributes of what was imported, and arguments of verbs."""
    names: dict[str, Any] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            exec(compile(ast.Module([statement], []), "imports", "exec"), names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            owner = node.value.id
            if owner in names:
                assert hasattr(names[owner], node.attr), ast.unparse(node)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("edgekd."):
            verb = ast.unparse(node.func).removeprefix("edgekd.")
            function = load_target(VERBS[verb], what=verb)
            keywords = {keyword.arg or "": None for keyword in node.keywords}
            inspect.signature(function).bind(*node.args, **keywords)


def test_fields_of_records_in_the_docs_exist() -> None:
    """The page on the API reads these; attributes of local variables are not resolved above."""
    from edgekd.records import ArtifactManifest, Measurement, Parity, RunManifest

    assert {"student", "student_scores"} <= set(RunManifest.model_fields)
    assert {"name", "parity"} <= set(ArtifactManifest.model_fields)
    assert "max_abs_error" in Parity.model_fields
    assert {"artifact", "device", "accuracy"} <= set(Measurement.model_fields)


def test_signatures_in_the_docs_are_the_functions() -> None:
    """``edgekd.check(run, *, budget, baseline)`` in the table names parameters that exist."""
    text = (DOCS / "python-api.md").read_text()
    for verb, target in VERBS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `edgekd.{verb}("))
        inside = row.partition("(")[2].partition(")")[0]
        words = [word.strip(" *") for word in inside.split(",")]
        parameters = inspect.signature(load_target(target, what=verb)).parameters
        assert {word for word in words if word not in ("", "...")} <= set(parameters), row
    assert set(VERBS) <= set(edgekd.__all__)


def block_of(page: str, file: str) -> Block:
    return next(b for b in blocks("python", pages=[DOCS / page]) if b.file == file)


def test_the_loss_of_the_guide_keeps_the_contract(folder: Path) -> None:
    import torch

    from edgekd.losses.base import Outputs

    block = block_of("adding-a-loss.md", "my_losses.py")
    write_files(block.page, folder)
    loss = module_of(block).LogitMSE(scale=0.5)
    student = torch.tensor([[1.0, 3.0], [0.0, 0.0]], requires_grad=True)
    teacher = torch.tensor([[1.0, 1.0], [2.0, 0.0]], requires_grad=True)
    # 0.25 * mean([(0 + 4) / 2, (4 + 0) / 2])
    value = loss(Outputs(student), Outputs(teacher), torch.tensor([0, 1]))
    assert value.item() == pytest.approx(0.5)
    value.backward()
    assert teacher.grad is None and student.grad is not None


def test_the_runtime_of_the_guide_runs(folder: Path) -> None:
    import numpy as np

    from edgekd.errors import ModelFileError

    block = block_of("adding-a-runtime.md", "my_runtime.py")
    write_files(block.page, folder)
    np.save(folder / "table.npy", np.eye(3))
    session = module_of(block).load(folder / "table.npy")
    (given,) = session.run([np.array([[1.0, 2.0, 3.0]], dtype=np.float32)])
    assert given.tolist() == [[1.0, 2.0, 3.0]]
    (folder / "bad.npy").write_bytes(b"bad")
    with pytest.raises(ModelFileError, match="not a table"):
        module_of(block).load(folder / "bad.npy")


def test_the_target_of_the_guide_makes_a_file(folder: Path) -> None:
    import numpy as np
    import torch
    from torch import nn

    from edgekd.errors import ExportError
    from edgekd.export.plan import Plan
    from edgekd.export.ports import INPUT
    from edgekd.export.prepare import prepare
    from edgekd.export.surface import surface
    from edgekd.quantize.schemes import INT8, NONE

    block = block_of("adding-a-target.md", "my_target.py")
    write_files(block.page, folder)
    exporter = module_of(block).ProgramExporter()
    plan = Plan("program", NONE)
    exporter.require(plan)
    with pytest.raises(ExportError, match="program"):
        exporter.require(Plan("program", INT8))
    prepared = prepare(nn.Linear(4, 2), {INPUT: np.zeros((2, 4), np.float32)})
    shown = surface(prepared, layout=exporter.image_layout, batch=exporter.batch)
    made = exporter.export(shown, plan, calibration=None, directory=folder)
    program = torch.export.load(made.path).module()
    x = torch.ones(1, 4)
    (expected,) = prepared.model(x).values()
    (found,) = program(x).values()
    assert torch.allclose(found, expected)


def test_the_data_function_of_the_guide_trains(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(DOCS / "data.md", folder)
    monkeypatch.setenv("EDGEKD_RUNS", str(folder / "runs"))
    run = edgekd.distill("waves.toml", overrides=["train.epochs=2"])
    assert run.manifest.classes == ("one", "two")
    assert run.manifest.sample_shape == (64,)


def test_every_page_was_read() -> None:
    """The pattern for blocks misses none: fences open and close in turn."""
    for page in PAGES:
        fences = [line for line in page.read_text().splitlines() if line.startswith("```")]
        count = len(fences) // 2
        languages = {line.removeprefix("```") for line in fences[::2]}
        assert len(fences) % 2 == 0
        assert len(blocks(*languages, pages=[page])) == count
