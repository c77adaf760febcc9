"""The page: whole, self-contained, safe with any name, and with the right numbers in it."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgekd.errors import MissingExtraError, OutputExistsError, StorageError, TamperedError
from edgekd.report.stage import report
from edgekd.rundir import Run, write_record
from tests.synthetic_runs import make_run, measurement, model_bytes

VOID = {"meta", "br", "img", "link", "input", "hr"}
HOSTILE = "<script>alert(1)</script> & \"quotes\" 'single' \u2028 </style> {{ 7*7 }} <!--"


class Page(HTMLParser):
    """What a browser would see: elements, texts, and everything that loads something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.styles = ""
        self.feed(text)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] == ["script"]:
            self.scripts.append((self.elements[-1][1], data))
        elif self.open[-1:] == ["style"]:
            self.styles += data
        elif data.strip():
            self.words.append(data.strip())

    def attributes(self, name: str) -> list[str]:
        return [
            value or "" for _, attrs in self.elements for key, value in attrs.items() if key == name
        ]

    @property
    def text(self) -> str:
        return "\n".join(self.words)

    @property
    def specs(self) -> list[dict[str, Any]]:
        found = [text for attrs, text in self.scripts if attrs.get("type") == "application/json"]
        specs: list[dict[str, Any]] = json.loads(found[0])["specs"] if found else []
        return specs

    @property
    def choices(self) -> list[dict[str, Any]]:
        """What can be chosen in the first chart that has choices."""
        (found,) = [text for attrs, text in self.scripts if attrs.get("id") == "specs"]
        return next(iter(json.loads(found)["choices"].values()))


def page_of(run: Run, tmp_path: Path) -> Page:
    return Page(report(run, out=tmp_path / "page.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("report") / "20251120-digits")


@pytest.fixture(scope="module")
def page(run: Run) -> Page:
    return Page(report(run).read_text(encoding="utf-8"))


def test_it_lies_in_the_run_and_is_small(run: Run) -> None:
    path = report(run)
    assert path == run.path / "report.html"
    assert path.stat().st_size < 2_000_000
    assert Run.open(run.path).verify() == []


def test_it_loads_nothing(page: Page) -> None:
    assert [tag for tag, _ in page.elements if tag in ("link", "img", "iframe", "base")] == []
    for name in ("src", "href", "srcset", "action", "data", "poster"):
        # Links lead to places of the page itself.
        assert [value for value in page.attributes(name) if not value.startswith("#")] == []
    assert "@import" not in page.styles
    assert "url(" not in page.styles
    policy = next(a["content"] for t, a in page.elements if "http-equiv" in a)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "http" not in policy
    for spec in page.specs:
        assert '"url"' not in json.dumps(spec)


@pytest.mark.parametrize(
    "number",
    [
        "97.20%",  # mean of 0.970, 0.972, 0.974
        "± 0.20",  # their standard deviation
        "teacher 98.30%; without a teacher 96.40 ± 0.40%; mean and deviation of 3 seeds",
        "+0.80 pp",  # (0.010 + 0.008 + 0.006) / 3
        # 0.008 ± 4.303 * 0.002 / sqrt(3)
        "of accuracy; 95% interval +0.30 to +1.30 pp over 3 seeds.",
        # 1,200,000 / 30,000 and 82,000 / 30,000
        "the teacher's weights take 40.0 times as much; the float student's 2.73 times",
        "the teacher in torch 2.13.0 takes 59.4 times as long",  # 1.9 / 0.032
        "the teacher in torch 2.13.0 takes 10.0 times as much",  # 9,000,000 / 900,000
        "0.0320 ms",
        "9.00M",
        "3.10 MB",
        "2.40e-06",
        "539",
    ],
)
def test_the_numbers(page: Page, number: str) -> None:
    assert number in page.text


def test_the_table_has_every_row(page: Page) -> None:
    rows = page.text.split("agreement\n", 1)[1].split("Measured on cpu")[0].split("\n")
    at = rows.index("tflite-int8")
    assert rows[at : at + 9] == [
        "tflite-int8",
        "30.0 KB",
        "20.0k",
        "650k",
        "0.0320",
        "0.0358",
        "900 KB",
        "96.80%",
        "97.20%",
    ]
    assert {"teacher", "student", "student, no teacher", "onnx-fp32", "onnx-int8"} <= set(rows)


def test_provenance(page: Page) -> None:
    for text in (
        "0123456789abcdef",
        "uncommitted changes",
        "Example CPU",
        "torch 2.13.0",
        "0, 1, 2",
    ):
        assert text in page.text


def test_there_is_a_chart_for_each_specification(page: Page) -> None:
    assert page.attributes("id").count("specs") == 1
    places = [i for i in page.attributes("id") if i.startswith("chart-")]
    # The choices, sizes, latencies, and three of training.
    assert len(places) == len(page.specs) == 6


def test_axes_and_device_can_be_chosen(page: Page) -> None:
    labels = [attrs["data-label"] for tag, attrs in page.elements if tag == "select"]
    assert labels == ["device", "across", "up"]
    chosen = [choice["key"] for choice in page.choices]
    assert ["cpu", "latency", "accuracy"] in chosen
    assert ["cpu", "size", "agreement"] in chosen
    options = {attrs["value"] for tag, attrs in page.elements if tag == "option"}
    assert {part for key in chosen for part in key} == options


def test_any_name_is_only_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", name=HOSTILE)
    path = report(run)
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert HOSTILE in page.words
    assert "alert(1)" not in "".join(code for _, code in page.scripts)
    assert "<script>alert" not in text
    assert "49" not in page.words[2]


def test_hostile_words_in_the_charts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", artifacts=())
    lines = (run.path / "metrics.jsonl").read_text().replace('"kd"', '"</script><b>"')
    (run.path / "metrics.jsonl").write_text(lines)
    page = page_of(run, tmp_path)
    assert "</script><b>" in json.dumps(page.specs)


def test_a_bare_run_says_what_is_missing(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run", artifacts=(), devices=(), seeds=1, baseline=False, metrics=False
    )
    page = page_of(run, tmp_path)
    for text in ("train.baseline = true", "edgekd export", "edgekd benchmark", "one seed"):
        assert text in page.text
    assert len(page.specs) == 2  # teacher and student: accuracy against size, and the sizes


def test_what_failed_and_what_is_not_known(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", artifacts=("tflite-int8", "onnx-fp32", "tflite-fp32"))
    broken = measurement(
        "onnx-fp32", "cpu", 1, 1.0, 1, None, None, status="failed", error="killed by SIGSEGV"
    )
    blind = measurement(
        "tflite-int8", "pi4", 1, 1.0, 1, None, None,
        unknown={"accuracy": "no labels"}, warnings=("the CPU was throttled",), emulated=True,
    )  # fmt: skip
    stale = measurement("tflite-fp32", "cpu", 1, 1.0, 1, 0.9, 0.9, sha256="0" * 64)
    for record in (broken, blind, stale):
        write_record(run.measurements_dir / f"{record.device}--{record.artifact}.json", record)
    text = page_of(run, tmp_path).text
    for expected in (
        "could not be measured: killed by SIGSEGV",
        "accuracy: no labels",
        "the CPU was throttled",
        "its latency says nothing",
        "has changed since it was measured",
    ):
        assert expected in text


class TestFaults:
    def test_a_file_that_is_no_report_is_kept(self, run: Run, tmp_path: Path) -> None:
        mine = tmp_path / "thesis.html"
        mine.write_text("<html>precious</html>")
        with pytest.raises(OutputExistsError, match="nothing was overwritten"):
            report(run, out=mine)
        assert mine.read_text() == "<html>precious</html>"

    def test_an_earlier_report_is_replaced(self, run: Run, tmp_path: Path) -> None:
        first = report(run, out=tmp_path)
        assert first == tmp_path / "report.html"
        assert report(run, out=first) == first

    def test_read_only(self, run: Run, read_only_disk: Path) -> None:
        with pytest.raises(StorageError, match="read-only"):
            report(run, out=read_only_disk / "page.html")

    def test_a_changed_artifact(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=("tflite-int8",))
        model = run.artifacts_dir / "tflite-int8" / "model.tflite"
        model.write_bytes(model_bytes(".tflite", 10))
        with pytest.raises(TamperedError):
            report(run)
        assert not (run.path / "report.html").exists()

    def test_without_the_extra(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "vl_convert", None)
        with pytest.raises(MissingExtraError, match="vl_convert") as caught:
            report(run)
        assert 'pip install "edgekd[report]"' in str(caught.value.hint)


def test_every_colour_follows_the_style_sheet(page: Page) -> None:
    """Fixed colours would be wrong in the dark or on paper."""
    assert re.findall(r'"#[0-9a-f]{3,8}"', json.dumps(page.specs)) == []
    used = set(re.findall(r"var\((--\w+)\)", json.dumps(page.specs)))
    assert used <= set(re.findall(r"(--[\w-]+):", page.styles))
