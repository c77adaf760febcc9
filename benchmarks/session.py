"""The README's sessions, run as written: ``python benchmarks/session.py``.

Writes what they printed to ``benchmarks/results/session.json``, and from that, and from
``few-samples.json``, the figures of the README. Two or three minutes on two quiet cores.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from dataclasses import asdict
from itertools import takewhile
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from edgekd.format import p_value
from edgekd.storage import atomic_write
from tests.docs.markdown import README, REPOSITORY, blocks

RESULTS = REPOSITORY / "benchmarks" / "results"
RESULT = RESULTS / "session.json"
FEW = RESULTS / "few-samples.json"


def main(arguments: list[str] | None = None) -> None:
    """Run both sessions, write the JSON and the README."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="where the JSON goes; the README is left alone")
    given = parser.parse_args(arguments)
    result = measure()
    atomic_write(given.out or RESULT, json.dumps(result, indent=1) + "\n")
    if given.out is None:
        text = README.read_text(encoding="utf-8")
        atomic_write(README, filled(text, result, json.loads(FEW.read_text(encoding="utf-8"))))


def measure() -> dict[str, Any]:
    """Return what the two sessions printed and reached."""
    from edgekd.provenance import collect

    sessions = [block for block in blocks("sh", "console", pages=[README]) if block.commands]
    facts = collect(packages=("torch", "ai-edge-litert", "onnxruntime"))
    return {
        "kind": "session",
        "version": 1,
        "first": _play(sessions[0].commands, "edgekd benchmark", " model "),
        "own": _play(sessions[1].commands, "edgekd distill", " network "),
        "provenance": facts.model_dump(mode="json", exclude={"command", "seed"}),
    }


def _play(commands: list[str], shown: str, head: str) -> dict[str, Any]:
    """Run a session in an empty folder.

    Args:
        commands: one after the other.
        shown: whose output the README shows.
        head: how the table in it begins.
    """
    from edgekd.rundir import Run
    from edgekd.summary import headline

    printed: list[str] = []
    with tempfile.TemporaryDirectory(prefix="edgekd-session-") as folder:
        for block in blocks("python", "toml", pages=[README]):
            if block.file:
                path = Path(folder) / block.file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
        for line in commands:
            said = _run(line, Path(folder))
            if line.startswith(shown):
                printed = said
        found = headline(Run.open(Path(folder) / "runs" / "latest"))
    start = next(number for number, line in enumerate(printed) if line.startswith(head))
    return {"printed": _shown(printed[start:]), **asdict(found)}


def _run(line: str, folder: Path) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "EDGEKD_RUNS"}
    environment |= {"COLUMNS": "110", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{line}: {done.stderr}")
    return done.stdout.splitlines()


def _shown(lines: list[str]) -> list[str]:
    """Return a table, and the line that says what the teacher gave; no paths, no remarks."""
    table = [line.rstrip() for line in takewhile(lambda line: line.startswith(" "), lines)]
    gain = [line.rstrip() for line in lines if line.startswith("distilled minus")]
    return [*table, *(["", *gain] if gain else [])]


def filled(text: str, result: dict[str, Any], few: dict[str, Any]) -> str:
    """Return the README with the figures of the results between its markers."""
    for name, body in (("first", first(result, few)), ("own", own(result))):
        mark = f"benchmarks/session.py {name} -->\n"
        begin, end = f"<!-- begin: {mark}", f"<!-- end: {mark}"
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        count = len(pattern.findall(text))
        text = pattern.sub((begin + body + end).replace("\\", r"\\"), text)
        if count != 1:
            raise SystemExit(f"the README has {count} sections of {mark.strip()}")
    return text


def first(result: dict[str, Any], few: dict[str, Any]) -> str:
    """Return the table of the first session, and whether the teacher helped."""
    session, facts = result["first"], result["provenance"]
    student, alone, gain = (session[name] for name in ("student", "baseline", "gain"))
    sure = gain["low"] > 0 or gain["high"] < 0
    tests = few["tests"]
    return (
        _block(session["printed"])
        + f"\nMeasured on {facts['cores']} cores ({facts['cpu']}). On so small a network int8 is "
        "smaller and not always faster; that\nis what measuring is for. The same student without "
        f"its teacher, over {alone['n']} seeds, reached\n{_spread(alone)} where the distilled one "
        f"reached {_spread(student)}: {100 * gain['mean']:+.2f} percentage points,\nwith a 95% "
        f"interval from {100 * gain['low']:+.2f} to {100 * gain['high']:+.2f}"
        + ("" if sure else f", so that {gain['n']} seeds show no certain difference")
        + f". Where data is scarce the teacher\nshows: with {few['splits']['train']} digits and "
        f"{tests['n']} seeds {100 * tests['difference']:+.2f} points, p = "
        f"{p_value(tests['t_p'])} ([docs](docs/schemes/unlabelled.md#few-samples)).\n"
    )


def own(result: dict[str, Any]) -> str:
    """Return what the session with one's own model and data printed."""
    return _block(result["own"]["printed"])


def _block(lines: list[str]) -> str:
    return "```text\n" + "\n".join(lines).rstrip() + "\n```\n"


def _spread(found: dict[str, Any]) -> str:
    return f"{found['mean']:.2%} ± {100 * found['sd']:.2f}"


if __name__ == "__main__":
    main()
