"""Rules about the code itself: what is imported when, and how big things grow."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgekd

PACKAGE = Path(edgekd.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
HEAVY = ("torch", "jax", "tensorflow", "onnxruntime", "onnx", "litert_torch", "numpy", "sklearn")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )


@pytest.mark.parametrize("module", ["edgekd", "edgekd.cli", "edgekd.recipe", "edgekd.rundir"])
def test_imports_nothing_heavy(module: str) -> None:
    done = run(f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_the_stages_packages_import_nothing_heavy() -> None:
    names = [p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()]
    imports = "; ".join(f"import edgekd.{name}" for name in names)
    done = run(f"import sys; {imports}; print([m for m in {HEAVY} if m in sys.modules])")
    assert done.stdout.strip() == "[]"


def test_help_is_quick() -> None:
    """Under 0.3 s of CPU time; the best of ten, since others may use the same cores."""
    seconds: list[float] = []
    while len(seconds) < 10 and min(seconds, default=1.0) >= 0.3:
        before = os.times()
        subprocess.run(
            [sys.executable, "-m", "edgekd", "--help"], capture_output=True, check=True, timeout=60
        )
        after = os.times()
        seconds.append(
            after.children_user
            + after.children_system
            - before.children_user
            - before.children_system
        )
    assert min(seconds) < 0.3


@pytest.mark.parametrize("verb", ["distill", "evaluate", "export", "check", "report"])
def test_verbs_can_be_called_whatever_was_imported_first(verb: str) -> None:
    """The public function shares its name with a package; neither may hide the other."""
    first = f"import edgekd, edgekd.{verb}.stage; assert callable(edgekd.{verb})"
    second = (
        f"import edgekd; f = edgekd.{verb}; import edgekd.{verb}.stage as s; assert callable(f)"
    )
    run(first)
    run(second)


#: What is copied to devices, or started as a program of its own, is one file each.
ONE_FILE = {"agent.py": 750, "duel_agent.py": 420, "sensors.py": 420, "jail.py": 340}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    limit = ONE_FILE.get(path.name, 300)
    assert len(text.splitlines()) <= limit, "think again: is there a seam to cut at?"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = (node.end_lineno or 0) - node.lineno + 1
            doc = ast.get_docstring(node, clean=False) or ""
            signature = node.body[0].lineno - node.lineno
            own = body - len(doc.splitlines()) - signature
            assert own <= 50, f"{node.name} has {own} lines"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_assert_in_the_package(path: Path) -> None:
    asserts = [n.lineno for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Assert)]
    assert asserts == []


def test_no_module_is_called_utils() -> None:
    assert not [p for p in MODULES if p.stem in ("utils", "helpers", "common", "misc")]
