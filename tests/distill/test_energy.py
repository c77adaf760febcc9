"""Energy: where it is written, that it adds up, and that nothing leaves the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekd.distill.energy import Meter, require
from edgekd.distill.progress import Progress
from edgekd.distill.stage import distill
from edgekd.errors import MissingExtraError, RecipeError
from edgekd.recipe import EnergySpec, Recipe
from edgekd.recordfile import read_record
from edgekd.records import Energy
from edgekd.rundir import Run, runs_root

pytest.importorskip("codecarbon", reason="the extra energy is not installed")


@pytest.fixture
def measured(tiny: dict[str, Any]) -> dict[str, Any]:
    tiny["train"] |= {"energy": {"country": "DEU", "cpu_watts": 100.0}, "baseline": True}
    return tiny


class Stop(Progress):
    """Ctrl-C in the student's second epoch."""

    def epoch(self, line: dict[str, Any]) -> None:
        if (line["phase"], line["epoch"]) == ("student", 2):
            raise KeyboardInterrupt


def test_every_training_is_in_the_manifest(measured: dict[str, Any]) -> None:
    measured["train"]["seeds"] = [0, 1]
    run = Run.open(distill(Recipe.from_dict(measured)).path)
    found = run.manifest.energy
    assert [(e.phase, e.seed) for e in found] == [
        ("teacher", 0),
        ("student", 0),
        ("student", 1),
        ("baseline", 0),
        ("baseline", 1),
    ]
    for energy in found:
        assert energy.country == "DEU"
        assert set(energy.parts) == set(energy.methods) >= {"cpu", "ram"}
        assert energy.kwh == pytest.approx(sum(energy.parts.values()), rel=1e-6)
        # Germany's mean intensity is well below the world's and above that of hydropower alone.
        assert 0.1 < energy.co2e_kg / energy.kwh < 0.6
    assert found[0].students == 2
    assert not (run.path / "checkpoints").exists()


def test_a_kept_teacher_brings_its_energy_and_counts_its_students(measured: dict[str, Any]) -> None:
    measured["train"] |= {"epochs": 1, "baseline": False}
    first = distill(Recipe.from_dict(measured)).manifest.energy
    measured["loss"][1]["temperature"] = 2.0
    measured["train"]["seeds"] = [3, 4]
    second = distill(Recipe.from_dict(measured)).manifest.energy
    assert first[0].kwh == second[0].kwh > 0
    assert (first[0].students, second[0].students) == (1, 3)
    # Students count, measured or not; and measuring makes no other teacher.
    measured["train"]["energy"] = False
    assert distill(Recipe.from_dict(measured)).manifest.energy[0].students == 5
    (known,) = runs_root().glob("teachers/*/students.json")
    assert sorted(json.loads(known.read_text()).values()) == [1, 2, 2]


def test_a_resumed_training_goes_on_counting(measured: dict[str, Any]) -> None:
    out = runs_root() / "stopped"
    with pytest.raises(KeyboardInterrupt):
        distill(Recipe.from_dict(measured), out=out, progress=Stop())
    before = read_record(out / "checkpoints" / "student-mlp-0.energy.json", Energy)
    energy = distill(resume=out).manifest.energy
    student = next(e for e in energy if e.phase == "student")
    assert student.kwh > before.kwh > 0
    assert student.seconds > before.seconds


def test_processor_time_is_what_is_counted(tmp_path: Path) -> None:
    """A second of one core at 100 W a processor is 100 W s / cores, where nothing measures it."""
    path = tmp_path / "checkpoints" / "x.json"
    with Meter(EnergySpec(cpu_watts=100.0), path, phase="student", name="x", seed=0) as meter:
        began = os.times()
        while (now := os.times()).user + now.system - began.user - began.system < 1.5:
            pass
    energy = meter.energy
    assert energy is not None
    assert energy == read_record(path, Energy)
    if "estimated" not in energy.methods["cpu"]:
        pytest.skip("this machine measures its processor")
    joules = energy.parts["cpu"] * 3.6e6
    assert joules == pytest.approx(1.5 * 100.0 / (os.cpu_count() or 1), rel=0.35)


def test_nothing_is_measured_unasked(tmp_path: Path) -> None:
    with Meter(None, tmp_path / "x.json", phase="student", name="x", seed=0) as meter:
        meter.after(lambda line: None)({})
    assert meter.energy is None
    assert list(tmp_path.iterdir()) == []


def test_without_codecarbon(measured: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "codecarbon", None)
    with pytest.raises(MissingExtraError, match=r"train\.energy needs") as caught:
        distill(Recipe.from_dict(measured))
    assert 'edgekd[energy]"' in (caught.value.hint or "")
    assert not runs_root().exists()


def test_an_unknown_country() -> None:
    require(EnergySpec(country="NOR"))
    with pytest.raises(RecipeError, match=r"country.*\n.*'XYZ'"):
        require(EnergySpec(country="XYZ"))


WATCHED = """
import os, sys
from pathlib import Path
root = os.path.realpath(sys.argv[1])

def watch(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        print("NETWORK", event, args, flush=True)
    if event == "open" and isinstance(args[0], str) and isinstance(args[2], int):
        writes = args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        path = os.path.realpath(args[0])
        if writes and not path.startswith((root, "/dev/", "/proc/")):
            print("WRITE", path, flush=True)

from edgekd.recipe import EnergySpec
from edgekd.distill.energy import Meter, require
sys.addaudithook(watch)
require(EnergySpec(country="DEU"))
path = Path(root) / "run" / "checkpoints" / "x.json"
path.parent.mkdir(parents=True)
with Meter(EnergySpec(country="DEU"), path, phase="student", name="x", seed=0) as meter:
    sum(range(10**6))
    meter.after(lambda line: None)({})
print("WROTE", sorted(str(p.relative_to(root)) for p in Path(root).rglob("*") if p.is_file()))
"""


def test_nothing_is_sent_and_nothing_written_elsewhere(tmp_path: Path) -> None:
    """Whatever codecarbon's own configuration says."""
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nsave_to_api = True\nsave_to_file = True\napi_key = x\n"
        "emissions_endpoint = http://localhost:9\nelectricitymaps_api_token = x\n"
        "co2_signal_api_token = x\noutput_methods = csv,api,prometheus\n"
        "allow_multiple_runs = False\nlog_level = debug\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", WATCHED, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        # Python tries a folder for temporary files out before it uses it.
        env={
            **os.environ,
            "HOME": str(tmp_path),
            "TMPDIR": str(tmp_path),
            "CODECARBON_OUTPUT_DIR": "/nowhere",
        },
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines() == [
        "WROTE ['.codecarbon.config', 'run/checkpoints/x.json']",
    ]
    assert done.stderr == ""
