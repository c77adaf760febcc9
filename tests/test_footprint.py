from __future__ import annotations

from pathlib import Path

import pytest

from edgekd.footprint import footprint
from edgekd.records import Energy, RunManifest
from tests.synthetic_runs import make_run

METHODS = {"cpu": "measured by RAPL", "ram": "estimated from its size"}


def used(phase: str, seed: int, kwh: float, students: int | None = None) -> Energy:
    return Energy(
        phase=phase,
        name="net",
        seed=seed,
        seconds=60.0,
        kwh=kwh,
        parts={"cpu": kwh},
        methods=METHODS,
        co2e_kg=kwh * 0.4,
        country="DEU",
        students=students,
    )


@pytest.fixture
def manifest(tmp_path: Path) -> RunManifest:
    return make_run(tmp_path / "run", artifacts=(), devices=()).manifest


def test_a_run_that_nobody_measured_says_nothing(manifest: RunManifest) -> None:
    assert footprint(manifest) == []


def test_a_teacher_is_shared_by_its_students(manifest: RunManifest) -> None:
    energy = (
        used("teacher", 0, 0.6, students=6),
        used("student", 0, 0.1),
        used("student", 1, 0.2),
        used("baseline", 0, 0.05),
    )
    found = dict(footprint(manifest.model_copy(update={"energy": energy})))
    assert found["Energy"] == (
        "teacher (net) 600 Wh, shared by 6 students so far: 100 Wh each; "
        "student 300 Wh (all 2 seeds); student without teacher 50.0 Wh"
    )
    # Two of the teacher's six students are this run's: (0.6 / 3 + 0.3 + 0.05) kWh at 0.4 kg.
    assert found["CO2e"] == (
        "220 g, this run's share of its teachers included, with electricity as that of DEU"
    )
    assert found["Energy, how"] == "CPU measured by RAPL; RAM estimated from its size"
    assert "Energy not known" not in found


def test_a_teacher_from_elsewhere_is_not_left_unsaid(manifest: RunManifest) -> None:
    energy = (used("student", 0, 0.1).model_copy(update={"country": None}),)
    found = dict(footprint(manifest.model_copy(update={"energy": energy})))
    assert found["Energy not known"] == "of 1 teacher trained unmeasured"
    assert found["CO2e"] == "40.0 g, with electricity as the world's average"
