"""What others' CI takes from this repository: the GitHub action, the hook of pre-commit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from edgekd.cli.app import app
from edgekd.cli.reference import commands as commands_of
from tests.docs.markdown import DOCS, README, blocks
from tests.synthetic_runs import model_bytes

REPOSITORY = README.parent
ACTION = yaml.safe_load((REPOSITORY / "action.yml").read_text())
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
HOOKS = yaml.safe_load((REPOSITORY / ".pre-commit-hooks.yaml").read_text())
SCRIPTS = [step for step in STEPS if "run" in step]
BASH = shutil.which("bash")


def expressions(text: str) -> list[str]:
    return re.findall(r"\$\{\{\s*(.+?)\s*\}\}", text)


class TestAction:
    def test_it_is_a_composite_action(self) -> None:
        assert ACTION["runs"]["using"] == "composite"
        assert set(ACTION) == {
            *("name", "description", "author", "branding", "inputs", "outputs", "runs")
        }
        for step in STEPS:
            assert set(step) <= {
                *("name", "id", "if", "uses", "with", "shell", "env", "run", "working-directory")
            }
            assert ("run" in step) == ("shell" in step) != ("uses" in step)

    def test_every_input_is_declared_and_used(self) -> None:
        used = set(re.findall(r"inputs\.([\w-]+)", (REPOSITORY / "action.yml").read_text()))
        assert used == set(ACTION["inputs"])
        for declared in ACTION["inputs"].values():
            assert isinstance(declared["default"], str)
            assert declared["description"].endswith(".")

    def test_every_output_comes_from_a_step(self) -> None:
        names = {step["id"] for step in STEPS if "id" in step}
        for output in ACTION["outputs"].values():
            (found,) = expressions(output["value"])
            step, name = re.fullmatch(r"steps\.(\w+)\.outputs\.(\w+)", found).groups()  # type: ignore[union-attr]
            assert step in names
            assert f"{name}=" in next(s["run"] for s in STEPS if s.get("id") == step)

    def test_nothing_is_pasted_into_a_script(self) -> None:
        for step in SCRIPTS:
            assert expressions(step["run"]) == []
            asked = set(re.findall(r"\bEDGEKD_INPUT_\w+", step["run"]))
            assert asked == set(step["env"])

    @pytest.mark.skipif(BASH is None, reason="the action needs bash")
    @pytest.mark.parametrize("step", SCRIPTS, ids=lambda step: step["name"])
    def test_the_scripts_are_bash(self, step: dict[str, Any]) -> None:
        assert BASH is not None
        subprocess.run([BASH, "-n", "-c", step["run"]], check=True)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "work space"
    folder.mkdir()
    for name, size in (("old one.onnx", 1000), ("new.onnx", 1200), ("same.onnx", 1010)):
        (folder / name).write_bytes(model_bytes(".onnx", size))
    (folder / "budget.toml").write_text("size_bytes = 5000\n")
    return folder


def act(folder: Path, python: Path | None = None, **inputs: str) -> tuple[int, dict[str, str], str]:
    """Run the action's last step as a runner does; return its code, outputs and summary."""
    (step,) = (s for s in STEPS if s.get("id") == "check")
    files = {"GITHUB_OUTPUT": folder / "output", "GITHUB_STEP_SUMMARY": folder / "summary"}
    given = {name: declared["default"] for name, declared in ACTION["inputs"].items()}
    given |= {name.replace("_", "-"): value for name, value in inputs.items()}
    environment = {
        **os.environ,
        **{name: str(path) for name, path in files.items()},
        **{k: given[expressions(v)[0].removeprefix("inputs.")] for k, v in step["env"].items()},
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
    }
    for path in files.values():
        path.write_text("")
    assert BASH is not None
    done = subprocess.run(
        [BASH, "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    lines = files["GITHUB_OUTPUT"].read_text().splitlines()
    outputs = dict(line.split("=", 1) for line in lines)
    return done.returncode, outputs, files["GITHUB_STEP_SUMMARY"].read_text() + done.stderr


@pytest.mark.skipif(BASH is None, reason="the action needs bash")
class TestActionRuns:
    def test_red_and_green(self, workspace: Path) -> None:
        code, outputs, said = act(
            workspace, model="new.onnx", baseline="old one.onnx", latency="false", junit="j.xml"
        )
        assert (code, outputs["passed"]) == (1, "false")
        assert "+20.0%" in said
        assert "::error " in said
        assert (workspace / outputs["markdown"]).is_file()
        assert (workspace / "j.xml").is_file()
        code, outputs, said = act(
            workspace, model="same.onnx", baseline="old one.onnx", latency="false"
        )
        assert (code, outputs["passed"]) == (0, "true")

    def test_several_files_and_what_is_wrong(self, workspace: Path) -> None:
        code, outputs, said = act(workspace, model="new.onnx\nold one.onnx\n", latency="false")
        assert (code, outputs["passed"]) == (0, "true")
        assert "2 files" in said
        code, outputs, said = act(workspace, model="nowhere.onnx")
        assert (code, outputs) == (2, {})
        assert "no such file" in said

    def test_inputs_are_never_run(self, workspace: Path) -> None:
        evil = "$(touch owned)`touch owned`; touch owned; '\" && touch owned"
        names = ("baseline", "budget", "devices", "history", "junit", "latency", "strict")
        code, outputs, said = act(
            workspace, model=f"new.onnx\n{evil}", **dict.fromkeys(names, evil)
        )
        assert (code, outputs) == (2, {})
        assert f"cannot read it: [Errno 2] No such file or directory: {evil!r}"[:40] in said
        assert not (workspace / "owned").exists()
        code, _, said = act(workspace, model="--help")
        assert code == 2
        assert "Usage" not in said


class TestHook:
    def test_the_files_it_is_for(self) -> None:
        (hook,) = HOOKS
        for name, wanted in (("a/b.tflite", 1), ("m.onnx", 1), ("m.pte", 1), ("m.onnx.txt", 0)):
            assert bool(re.search(hook["files"], name)) == bool(wanted)
        assert hook["entry"].split()[0] == "edgekd"

    @pytest.mark.slow
    def test_it_stops_a_commit(self, workspace: Path) -> None:
        """pre-commit itself runs the hook in a repository of its own; nothing is fetched."""
        folder = workspace / "repository"
        folder.mkdir()
        (hook,) = HOOKS
        entry = hook["entry"].replace("edgekd", f"{sys.executable} -m edgekd", 1)
        local = {**hook, "language": "system", "entry": entry}
        config = {"repos": [{"repo": "local", "hooks": [local]}]}
        (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
        (folder / "budget.toml").write_text("size_bytes = 1000\n")
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("GIT_", "PRE_COMMIT"))},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "PRE_COMMIT_HOME": str(workspace / "cache"),
            "PYTHONPATH": str(REPOSITORY),
        }

        def call(*words: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                words, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
            )

        identity = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        assert call("git", "init", "--quiet").returncode == 0
        assert call(sys.executable, "-m", "pre_commit", "install").returncode == 0
        for size, code in ((900, 0), (1100, 1)):
            (folder / "my model.onnx").write_bytes(model_bytes(".onnx", size))
            call("git", "add", "--all")
            done = call("git", *identity, "commit", "--message", str(size))
            assert done.returncode == code, done.stdout + done.stderr
        assert "1.10 KB is more than 1.00 KB" in done.stdout + done.stderr
        assert sorted(p.name for p in folder.iterdir() if not p.name.startswith(".")) == [
            "budget.toml",
            "my model.onnx",
        ]


CHECK = dict(commands_of(get_command(app)))["edgekd check"]


def strings(node: Any) -> list[str]:
    """Return every string of a document."""
    if isinstance(node, dict):
        return [text for value in node.values() for text in strings(value)]
    if isinstance(node, list):
        return [text for value in node for text in strings(value)]
    return [node] if isinstance(node, str) else []


def workflows() -> list[tuple[str, dict[str, Any]]]:
    pages = [README, DOCS / "ci.md"]
    found = [(str(b), yaml.safe_load(b.text)) for b in blocks("yaml", pages=pages)]
    assert len(found) >= 4
    return found


@pytest.mark.parametrize(("place", "workflow"), workflows())
def test_workflows_in_the_docs_name_inputs_that_exist(place: str, workflow: Any) -> None:
    steps = [
        step
        for job in workflow.get("jobs", {}).values()
        for step in job.get("steps", [])
        if "edgekd" in str(step.get("uses", ""))
    ]
    commands = re.findall(r"^edgekd .+", "\n".join(strings(workflow)), re.MULTILINE)
    for command in commands:
        words = shlex.split(command)
        options = {option for parameter in CHECK.params for option in parameter.opts}
        assert words[1] == "check", place
        assert {word for word in words if word.startswith("--")} <= options, place
    hooks = "repos" in workflow
    assert steps or commands or hooks, place
    for step in steps:
        assert set(step.get("with", {})) <= set(ACTION["inputs"])


def test_every_input_is_documented() -> None:
    text = (DOCS / "ci.md").read_text()
    documented = set(re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE))
    assert documented >= {*ACTION["inputs"], *ACTION["outputs"]}
