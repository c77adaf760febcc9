"""Budgets proposed and rewritten: comments stay, and nothing is loosened without a reason."""

from __future__ import annotations

import re
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.check.budgets import DEFAULT_RELATIVE, Budget
from edgekd.check.propose import limit_for, proposal
from edgekd.check.quantities import BY_NAME, LATENCY_FLOOR_MS, QUANTITIES
from edgekd.check.stage import check
from edgekd.check.subject import Item, Subject, subject
from edgekd.check.update import changes, rewritten, update
from edgekd.errors import RunError
from edgekd.toml import dump_toml
from tests.check.chains import chain
from tests.synthetic_runs import ARTIFACTS, make_run

DAY = date(2025, 11, 20)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject(make_run(tmp_path_factory.mktemp("update") / "run"))


class TestProposal:
    def test_what_was_measured_keeps_it(self, found: Subject, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text(proposal(found))
        verdicts = check(found.run, budget=path)
        assert {v.status for v in verdicts} == {"pass"}
        # size; peak, anonymous, accuracy, agreement on cpu; and parity of the float files
        assert len(verdicts) == 5 * len(ARTIFACTS) + 2
        assert changes(Budget.load(path), found) == []

    def test_every_limit_says_what_was_measured(self, found: Subject) -> None:
        lines = proposal(found).splitlines()
        for before, line in pairwise(lines):
            if re.match(r"\w+ = ", line):
                assert before.startswith("# measured: "), line
        assert "size_bytes = 31_500" in lines[lines.index("# measured: 30,000 bytes") + 1]

    def test_milliseconds_of_one_machine_are_no_limit(self, found: Subject) -> None:
        assert all(limit.metric != "latency_ms_p50" for limit in limits(proposal(found)))

    def test_what_holds_against_a_baseline_is_the_default(self, found: Subject) -> None:
        lines = proposal(found).splitlines()
        start = lines.index("# [relative]")
        end = lines.index("", start)
        table = "\n".join(line.removeprefix("# ") for line in lines[start:end])
        written = {limit.metric: limit.value for limit in limits(table)}
        assert written.pop("latency_floor_ms") == LATENCY_FLOOR_MS
        assert written == {limit.metric: limit.value for limit in DEFAULT_RELATIVE}

    def test_a_bare_file_with_an_odd_name(self, tmp_path: Path) -> None:
        model = chain(tmp_path / 'a "b" \u00e9.onnx')
        path = tmp_path / "budget.toml"
        path.write_text(proposal(subject(model)))
        found = {v.metric: v.status for v in check(model, budget=path)}
        assert found == dict.fromkeys(
            ("size_bytes", "parameters", "macs", "operator_count", "oldest_runtime"), "pass"
        )

    @given(
        st.sampled_from([q for q in QUANTITIES if q.kind != "text"]),
        st.floats(0, 1e15, allow_subnormal=False),
    )
    def test_a_limit_is_round_and_leaves_room(self, quantity: Any, value: float) -> None:
        value = min(value, 1.0) if quantity.least else value
        limit = limit_for(quantity, value)
        if quantity.least:
            assert max(value - quantity.headroom - 0.0011, 0) <= limit <= value
        else:
            assert value <= limit <= max(value * quantity.headroom, value + quantity.room) * 1.0101
        if quantity.headroom != 1.0:
            assert float(f"{limit:.3g}") == limit


def limits(text: str) -> tuple[Any, ...]:
    from edgekd.toml import tomllib

    return Budget.from_dict(tomllib.loads(text)).limits


BUDGET = """\
# The limits of our product.
size_bytes = 500_000  # the partition

[artifact."tflite-int8"]  # what we ship
# measured: 19,000 bytes
size_bytes = 20_000 # agreed with the board team

[artifact."tflite-int8".device.cpu]
accuracy = 0.9   # keep

[relative]
size_bytes = 1.02
"""


class TestUpdate:
    def test_nothing_is_loosened_silently(self, found: Subject, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text(BUDGET)
        for reason in (None, "", "  \n"):
            with pytest.raises(RunError, match="1 limit would be loosened") as caught:
                update(path, found, reason=reason)
        assert "artifact.tflite-int8.size_bytes: 20_000 -> 31_500 (loosened" in str(caught.value)
        assert path.read_text() == BUDGET

    def test_comments_stay_and_the_reason_is_kept(self, found: Subject, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text(BUDGET)
        done = update(path, found, reason="new\nstem", today=DAY)
        assert [change.looser for change in done] == [False, True, False]
        expected = (
            BUDGET.replace("500_000", "94_500")  # the largest of the others is 90 KB
            .replace("20_000", "31_500")
            .replace("0.9 ", "0.963 ")
            .replace("# measured: 19,000", "# measured: 30,000")
        )
        note = "# 2025-11-20: new stem (artifact.tflite-int8.size_bytes 20_000 -> 31_500)\n"
        assert path.read_text() == expected + note
        assert update(path, found) == []

    def test_tightening_needs_no_reason(self, found: Subject, tmp_path: Path) -> None:
        path = tmp_path / "budget.toml"
        path.write_text("size_bytes = 1_000_000 # why\n")
        (change,) = update(path, found)
        assert not change.looser
        assert path.read_text() == "size_bytes = 94_500 # why\n"

    def test_what_was_not_measured_stays(self, tmp_path: Path) -> None:
        bare = make_run(tmp_path / "run", devices=(), artifacts=("tflite-int8",))
        path = tmp_path / "budget.toml"
        path.write_text("accuracy = 0.1\nmacs = 3\n")
        assert update(path, subject(bare)) == []

    def test_a_recipe(self, found: Subject, tmp_path: Path) -> None:
        path = tmp_path / "recipe.toml"
        head = '[student] # s\nmodel = "resnet8"\n\n'
        path.write_text(head + "[budget]\nsize_bytes = 1 # b\n")
        update(path, found, reason="first", today=DAY)
        assert path.read_text().startswith(head + "[budget]\nsize_bytes = 94_500 # b\n")

    def test_operators_and_runtimes(self, tmp_path: Path) -> None:
        model = chain(tmp_path / "m.onnx", last="Softmax")
        path = tmp_path / "budget.toml"
        path.write_text(
            'operators = ["MatMul"] # o\noldest_runtime = "onnxruntime 1.9" # r\n'
            '[artifact.other]\noperators = ["X"]\n'
        )
        update(path, subject(model), reason="softmax", today=DAY)
        lines = path.read_text().splitlines()
        assert lines[0] == 'operators = ["MatMul", "Softmax"] # o'
        assert lines[1] == 'oldest_runtime = "onnxruntime 1.10" # r'
        assert lines[3] == 'operators = ["X"]'

    @pytest.mark.parametrize(
        "text",
        [
            'artifact."tflite-int8".size_bytes = 1 # c\n',
            'artifact = {"tflite-int8" = {size_bytes = 1}} # c\n',
            '[artifact]\n"tflite-int8" = {size_bytes = 1} # c\n',
            '[artifact."tflite-int8"]\nsize_bytes = 1 # c\n[relative]\n[artifact.x]\n',
            "[artifact.'tflite-int8']\r\nsize_bytes = 1 # c\r\n",
        ],
    )
    def test_however_it_is_written(self, found: Subject, text: str) -> None:
        path_limits = limits(text)
        after = rewritten(text, changes(Budget(path_limits), found))
        assert after == text.replace("= 1", "= 31_500")


NUMBERS = {q.name: q for q in QUANTITIES if q.kind != "text"}
OF_FILE = [name for name, q in NUMBERS.items() if not q.on_device and name != "fp32_parity"]


@st.composite
def budgets(draw: st.DrawFn) -> dict[str, Any]:
    def table() -> dict[str, Any]:
        keys = draw(st.lists(st.sampled_from(OF_FILE), unique=True, max_size=3))
        return {key: draw(st.integers(0, 10**6)) for key in keys}

    names = draw(st.lists(st.sampled_from(["a", "b.c", 'd "e"', "\u00e9"]), unique=True))
    return {**table(), "artifact": {name: table() for name in names}}


def items() -> Subject:
    known = {"size_bytes": 50_000.0, "parameters": 12_345.0, "macs": 99_999.0, "operator_count": 7}
    named = {name: Item(name, known=known) for name in ("a", "b.c", 'd "e"', "\u00e9", "z")}
    return Subject("five files", named)


@given(budgets(), st.data())
@settings(max_examples=80, deadline=None)
def test_any_budget_keeps_its_comments(raw: dict[str, Any], data: st.DataObject) -> None:
    """Every line but those of rewritten limits is as before, and what it says holds."""
    plain = dump_toml(raw)
    lines = []
    for number, line in enumerate(plain.splitlines()):
        if data.draw(st.booleans()):
            lines.append(f"# above {number}")
        lines.append(f"{line}  # beside {number}" if line.strip() else line)
    text = "\n".join(lines) + "\n"
    budget = Budget.from_dict(raw)
    planned = changes(budget, items())
    after = rewritten(text, planned)
    assert re.findall("#.*", after) == re.findall("#.*", text)
    different = [
        (old, new)
        for old, new in zip(text.splitlines(), after.splitlines(), strict=True)
        if old != new
    ]
    assert len(different) == len(planned)
    for old, new in different:
        assert old.partition(" = ")[0] == new.partition(" = ")[0]
    replaced = {change.before: change.after for change in planned}
    assert limits(after) == tuple(replaced.get(limit, limit) for limit in budget.limits)
    assert changes(Budget(limits(after)), items()) == []
    for limit in limits(after):
        value = items().items["z"].value(limit.metric, None)
        assert value is not None and (limit.artifact is None or value <= limit.value)
    assert set(BY_NAME) >= {limit.metric for limit in budget.limits}
