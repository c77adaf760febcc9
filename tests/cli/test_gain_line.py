from __future__ import annotations

from pathlib import Path

from edgekd.cli.render import gain_line
from tests.synthetic_runs import make_run


def test_the_gain_over_the_twin_comes_with_its_test(tmp_path: Path) -> None:
    """Differences 0.010, 0.008, 0.006: t = 4 sqrt(3), p = 1 - t / sqrt(t^2 + 2) for 2 degrees."""
    run = make_run(tmp_path / "run", artifacts=())
    assert gain_line(run) == (
        "distilled minus no teacher: +0.80 pp (paired over 3 seeds; "
        "95% interval +0.30 pp to +1.30 pp; t-test p = 0.020)"
    )


def test_one_seed_and_no_twin_have_no_test(tmp_path: Path) -> None:
    one = make_run(tmp_path / "one", artifacts=(), seeds=1)
    assert gain_line(one) == "distilled minus no teacher: +1.00 pp"
    assert gain_line(make_run(tmp_path / "none", artifacts=(), baseline=False)) is None
