"""Markdown, JSON, several runs, and what a history adds: from the same contents as the page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgekd.cli.app import app
from edgekd.errors import OutputExistsError, RunError
from edgekd.records_history import Change, Point, Trend
from edgekd.report import past
from edgekd.report.blocks import Small, Table
from edgekd.report.markdown import escaped
from edgekd.report.side import names
from edgekd.report.stage import report, text
from edgekd.rundir import Run
from tests.report.test_stage import HOSTILE, Page
from tests.synthetic_runs import make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("formats")
    scale = {"size_bytes": 0.5}
    return (
        make_run(folder / "one", name="digits"),
        make_run(folder / "two", name="smaller", scale=scale, seeds=1, baseline=False),
    )


class TestMarkdown:
    def test_a_cell_cannot_leave_its_cell(self) -> None:
        assert escaped("a|b\n<b>`x`") == r"a\|b \<b\>\`x\`"

    def test_it_has_the_table_and_the_words(self, runs: tuple[Run, Run]) -> None:
        lines = text(runs[0], "md").splitlines()
        assert lines[0] == "<!-- edgekd report -->"
        assert "# digits" in lines
        row = next(line for line in lines if line.startswith("| tflite-int8 | 30.0 KB"))
        assert row.count("|") == next(x for x in lines if x.startswith("| name | size")).count("|")
        assert any(line.startswith("- **Commit**: 0123456789abcdef") for line in lines)
        assert "95% interval +0.30 to +1.30 pp" in "\n".join(lines)

    def test_every_row_has_as_many_cells_as_its_head(self, runs: tuple[Run, Run]) -> None:
        cells = 0
        for line in text(runs[0], "md").replace(r"\|", "").splitlines():
            if not line.startswith("|"):
                cells = 0
                continue
            cells = cells or line.count("|")
            assert line.count("|") == cells, line

    def test_any_name_is_only_text(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", name=HOSTILE, artifacts=())
        assert "<script>" not in text(run, "md")


class TestJson:
    def test_the_numbers(self, runs: tuple[Run, Run]) -> None:
        found = json.loads(text(runs, "json"))
        assert (found["kind"], found["schema"]) == ("report", 1)
        first, second = found["runs"]
        rows = {row["name"]: row for row in first["rows"]}
        assert rows["tflite-int8"]["size_bytes"] == 30_000
        assert rows["tflite-int8"]["latency_p50_ms"] == 0.032
        assert first["headline"]["gain"]["mean"] == pytest.approx(0.008)
        assert second["headline"]["gain"] is None

    def test_it_needs_no_extra(
        self, runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("edgekd.report.stage.require_extra", lambda: pytest.fail("asked for"))
        assert json.loads(text(runs[0], "json"))["kind"] == "report"


class TestFiles:
    @pytest.mark.parametrize("form", ["html", "md", "json"])
    def test_only_a_report_is_replaced(
        self, runs: tuple[Run, Run], tmp_path: Path, form: str
    ) -> None:
        path = report(runs[0], out=tmp_path, format=form)  # type: ignore[arg-type]
        assert path == tmp_path / f"report.{form}"
        assert report(runs[0], out=path, format=form) == path  # type: ignore[arg-type]
        path.write_text("mine")
        with pytest.raises(OutputExistsError, match="nothing was overwritten"):
            report(runs[0], out=path, format=form)  # type: ignore[arg-type]
        assert path.read_text() == "mine"


class TestSeveral:
    def test_they_stand_side_by_side(
        self, runs: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path))
        path = report(runs)
        assert path == tmp_path / "report.html"
        page = Page(path.read_text(encoding="utf-8"))
        assert "2 runs side by side" in page.words
        assert "Every file of digits" in page.words
        assert "Every file of smaller" in page.words
        assert "All were scored on the same samples." in page.words
        names_drawn = json.dumps(page.specs[0])
        assert '"digits: tflite-int8"' in names_drawn
        assert '"smaller: tflite-int8"' in names_drawn

    def test_only_what_differs_is_listed(self, tmp_path: Path) -> None:
        one = make_run(tmp_path / "a", name="a", artifacts=())
        two = make_run(tmp_path / "b", name="b", artifacts=(), budget={"size_bytes": 1000})
        found = text([one, two], "md").split("What sets the recipes apart")[1].split("##")[0]
        assert r"| budget.size\_bytes | - | 1000 |" in found
        assert "train.epochs" not in found

    def test_names_that_are_the_same_give_way_to_ids(self, tmp_path: Path) -> None:
        one = make_run(tmp_path / "x", artifacts=(), devices=())
        two = make_run(tmp_path / "y", artifacts=(), devices=())
        assert names([one, two]) == ["x", "y"]

    def test_a_run_beside_itself(self, runs: tuple[Run, Run]) -> None:
        with pytest.raises(RunError, match="twice"):
            text([runs[0], runs[0]])


def trend(*points: tuple[float, str | None], **changes: object) -> Trend:
    return Trend(
        artifact="tflite-int8",
        device="cpu",
        metric="latency_ms_p50",
        points=tuple(
            Point(time=f"2026-01-0{i + 1}T00:00:00+00:00", value=value, run="now", status=status)
            for i, (value, status) in enumerate(points)
        ),
        **changes,  # type: ignore[arg-type]
    )


class TestHistory:
    def test_the_newest_check_is_the_verdict(self) -> None:
        good, bad = trend((1.0, "fail"), (1.0, "pass")), trend((1.0, "pass"), (2.0, "fail"))
        assert past.verdict([good], "now") == "Last check: 1 number kept their limits."
        assert past.verdict([bad], "now").endswith("median latency of tflite-int8 on cpu: fail.")
        assert past.verdict([trend((1.0, None))], "now") == ""

    def test_a_change_is_drawn_and_listed(self) -> None:
        change = Change(
            kind="step", index=3, time="2026-01-04T00:00:00+00:00", commit="c" * 40,
            before=1.0, after=2.0, p=0.01, worse=True,
        )  # fmt: skip
        section = past.section(
            [trend(*[(v, None) for v in (1.0, 1.0, 1.0, 2.0)], changes=(change,))]
        )
        assert section is not None
        small, table = section.blocks
        assert isinstance(small, Small)
        assert isinstance(table, Table)
        assert len(small.figures) == 1
        assert table.rows == [
            (
                "median latency of tflite-int8 on cpu",
                *("step", "1.00 ms", "2.00 ms", "2026-01-04", "c" * 12),
            )
        ]

    def test_what_never_moved_is_not_drawn(self) -> None:
        assert past.section([trend(*[(1.0, None)] * 5)]) is None
        assert past.section([trend((1.0, None), (2.0, None))]) is None

    def test_without_a_history_there_is_none(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EDGEKD_RUNS", str(tmp_path))
        assert past.of_run("now") == []
        assert not [*tmp_path.iterdir()]


class TestCommand:
    def test_markdown_to_stdout(self, runs: tuple[Run, Run]) -> None:
        done = CliRunner().invoke(
            app, ["report", str(runs[0].path), "--format", "md", "--out", "-"]
        )
        assert done.exit_code == 0
        assert done.stdout.startswith("<!-- edgekd report -->")

    @pytest.mark.parametrize("more", [["--out", "x.html"], ["another"]])
    def test_serving_is_of_one_run_and_writes_nothing(
        self, runs: tuple[Run, Run], more: list[str]
    ) -> None:
        done = CliRunner().invoke(app, ["report", "--serve", str(runs[0].path), *more])
        assert done.exit_code == 2
        assert "one run" in done.output
