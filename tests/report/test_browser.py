"""The page in a browser: every chart is drawn, nothing is complained of. Slow: starts Chromium."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edgekd.report.stage import report
from edgekd.rundir import write_record
from tests.report.records import evaluation, robustness
from tests.synthetic_runs import make_run

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

#: Nothing is sent, asked or kept.
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=15000", "--dump-dom",
)  # fmt: skip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
]


def opened(path: Path, width: int, profile: Path) -> tuple[str, list[str]]:
    """Return the document after its scripts ran, and what stands on the console."""
    done = subprocess.run(
        [
            str(BROWSER), *QUIET, f"--window-size={width},900", f"--user-data-dir={profile}",
            path.as_uri(),
        ],
        capture_output=True, text=True, timeout=240, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.parametrize("width", [1180, 390])
def test_every_chart_is_drawn_and_the_console_is_empty(tmp_path: Path, width: int) -> None:
    run = make_run(tmp_path / "run", devices=("cpu", "pi4"))
    write_record(run.evaluations_dir / "test.json", evaluation())
    write_record(run.robustness_dir / "test.json", robustness())
    document, console = opened(report(run), width, tmp_path / "profile")
    assert console == []
    places = re.findall(r'<div class="chart[^"]*" id="chart-(\d+)"', document)
    drawn = re.findall(r'id="chart-(\d+)"[^>]*>(?:<!---->)?<svg', document)
    assert len(places) > 10
    assert drawn == places
    assert (
        'aria-label="Vega visualization"' not in document
    )  # each is named for those who cannot see it
