"""JUnit, Markdown and annotations: right for their readers, whatever stands in a name."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekd.check.annotations import annotated
from edgekd.check.junit import junit
from edgekd.check.markdown import MARK, markdown
from edgekd.records import Verdict

SLOWER = Verdict(
    artifact="tflite-int8",
    device="pi4",
    metric="latency_ms_p50",
    status="fail",
    value=1.062,
    limit=1.03,
    baseline=1.0,
    ratio=1.062,
    low=1.051,
    high=1.073,
    message="1.06 ms against 1.00 ms",
)
VERDICTS = (
    Verdict(
        artifact="tflite-int8",
        metric="size_bytes",
        status="pass",
        value=1,
        limit=2,
        message="1 B, at most 2 B",
    ),
    SLOWER,
    SLOWER.model_copy(update={"device": "cpu", "status": "inconclusive", "message": "too noisy"}),
    Verdict(artifact="*", metric="baseline", status="warn", message="give a baseline"),
)
NASTY = "a|b`c`<img src=x>]]>&\"'\x00\x0b\ud800\n## h1 @everyone [x](http://y) ::error::%0A,:\u202e"


def nasty(text: str) -> Verdict:
    return Verdict.model_construct(
        artifact=text,
        device=text,
        metric="size_bytes",
        status="fail",
        value=2.0,
        limit=1.0,
        baseline=1.0,
        ratio=None,
        low=None,
        high=None,
        message=text,
    )


class TestJUnit:
    @pytest.mark.parametrize(("strict", "failures", "skipped"), [(False, 1, 1), (True, 2, 0)])
    def test_a_case_a_verdict(self, strict: bool, failures: int, skipped: int) -> None:
        text = junit(VERDICTS, strict=strict, created="2025-11-20T10:00:00")
        suites = ET.fromstring(text)
        (suite,) = suites
        assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
        assert (suite.get("tests"), suite.get("failures")) == ("4", str(failures))
        assert (suite.get("errors"), suite.get("skipped")) == ("0", str(skipped))
        assert suite.get("timestamp") == "2025-11-20T10:00:00"
        assert len(suite.findall("testcase/failure")) == failures
        assert len(suite.findall("testcase/skipped")) == skipped
        slower = suite.findall("testcase")[1]
        assert slower.get("classname") == "edgekd.pi4"
        assert slower.get("name") == "tflite-int8: latency_ms_p50"
        failure = slower.find("failure")
        assert failure is not None and failure.text == SLOWER.message
        assert (failure.get("message"), failure.get("type")) == (SLOWER.message, "fail")

    def test_the_schema_of_ci_servers(self) -> None:
        """Elements and attributes are those of Jenkins' schema of JUnit, the strictest in use."""
        counts = {"name", "time", "tests", "failures", "errors"}
        known = {
            "testsuites": counts,
            "testsuite": counts | {"skipped", "timestamp", "hostname", "id", "package"},
            "testcase": {"name", "time", "classname", "group"},
            "failure": {"type", "message"},
            "skipped": {"type", "message"},
            "system-out": set(),
        }
        inside = {
            "testsuites": {"testsuite"},
            "testsuite": {"testcase", "properties", "system-out", "system-err"},
            "testcase": {"skipped", "error", "failure", "system-out", "system-err"},
        }
        for strict in (False, True):
            for element in ET.fromstring(junit(VERDICTS, strict=strict)).iter():
                assert set(element.keys()) <= known[element.tag]
                assert {child.tag for child in element} <= inside.get(element.tag, set())

    @given(st.text(st.characters(exclude_categories=())))
    def test_any_text_is_xml(self, text: str) -> None:
        written = junit([nasty(text)])
        found = ET.fromstring(written.encode("utf-8"))
        failure = found.find("testsuite/testcase/failure")
        assert failure is not None
        expected = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
        assert failure.get("message") == expected

    def test_nasty_names(self) -> None:
        found = ET.fromstring(junit([nasty(NASTY)]).encode("utf-8"))
        assert "<img src=x>]]>" in str(found.findtext("testsuite/testcase/failure"))


def rows(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("| ")]


class TestMarkdown:
    def test_what_got_worse_comes_first(self) -> None:
        text = markdown(VERDICTS, passed=False, subject="the run x", baseline="git:main")
        assert text.startswith(
            f"{MARK}\n\n### edgekd check: failed\n\n1 failed, 1 inconclusive, 1 w"
        )
        body = rows(text)
        assert body[2].startswith("| **failed** | tflite-int8 | pi4 | latency&#95;ms&#95;p50 |")
        assert "| 1.06 ms | 1.03 ms | 1.00 ms | +6.2% (+5.1% to +7.3%) |" in body[2]
        assert body[3].startswith("| inconclusive |")
        assert body[4].startswith("| warning | all |")
        assert text.index("<details>") < text.index("| passed |") < text.index("</details>")

    def test_a_drop_is_told_in_points(self) -> None:
        lost = Verdict(
            artifact="a",
            metric="accuracy",
            status="fail",
            value=0.95,
            limit=0.965,
            baseline=0.97,
            message="",
        )
        assert "| 95.00% | 96.50% | 97.00% | -2.00 pp |" in markdown([lost], passed=False)

    def test_nothing_is_markup(self) -> None:
        text = markdown([nasty(NASTY)], passed=False, subject=NASTY, budget=NASTY, baseline=NASTY)
        row = rows(text)[2]
        assert row.count("|") == 10  # nine cells
        rest = text.replace(MARK, "")
        for bad in ("<img", "@everyone", "`", "](", "://", "\x00", "\u202e"):
            assert bad not in rest
        assert sum(line.startswith("#") for line in text.splitlines()) == 1

    def test_a_comment_has_an_end(self) -> None:
        text = markdown([SLOWER] * 500, passed=False)
        assert len(text) < 65_536
        assert "400 more" in text


def lines(verdicts: Sequence[Verdict], *, strict: bool = False) -> list[str]:
    return list(annotated(verdicts, strict=strict))


class TestAnnotations:
    def test_a_line_for_what_did_not_pass(self) -> None:
        assert [line.split(" ")[0] for line in lines(VERDICTS)] == [
            "::error",
            "::warning",
            "::warning",
        ]
        assert lines(VERDICTS)[0] == (
            "::error title=edgekd check%3A tflite-int8 on pi4%3A latency_ms_p50"
            "::1.06 ms against 1.00 ms"
        )
        assert [line.split(" ")[0] for line in lines(VERDICTS, strict=True)].count("::error") == 2

    def test_no_text_begins_a_command_of_its_own(self) -> None:
        (line,) = lines([nasty("x\n::set-output name=a::b\r,:%")])
        assert line.splitlines() == [line]
        assert line.endswith("::x%0A::set-output name=a::b%0D,:%25")
        title = line.removeprefix("::error title=").partition("::")[0]
        assert ":" not in title and "," not in title
