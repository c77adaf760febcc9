"""Pictures of samples: those of the data, small, and never a reason to fail."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from edgekd.data.arrays import array_part
from edgekd.data.split import RawData
from edgekd.recipe import DataSpec
from edgekd.report import markdown
from edgekd.report.blocks import Section, Table
from edgekd.report.contents import Contents
from edgekd.report.page import lay_out
from edgekd.report.pictures import LARGEST, LONGEST, pictures_and_texts
from edgekd.report.stage import report
from edgekd.report.waveform import COLUMNS, HEIGHT, address
from edgekd.rundir import write_record
from tests.report.records import case, evaluation, subject
from tests.report.test_stage import Page
from tests.synthetic_runs import make_run


def opened(address: str) -> Image.Image:
    head, _, data = address.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def npz(path: Path, samples: np.ndarray) -> DataSpec:
    targets = np.arange(len(samples)) % 2
    np.savez(path, x_train=samples, y_train=targets)
    return DataSpec.model_validate({"source": "npz", "path": str(path)})


def pictures(spec: DataSpec, wanted: dict[str, int]) -> dict[str, str]:
    return pictures_and_texts(spec, wanted)[0]


def first_id(spec: DataSpec) -> str:
    from edgekd.data.source import call_source

    return call_source(spec.source, spec.options).parts["train"].ids[0]


def test_a_digit_looks_as_it_is() -> None:
    known = load_digits()
    label = int(known.target[563])
    found = pictures(DataSpec(source="digits"), {"digits/0563": label, "digits/9999": 1})
    assert [*found] == ["digits/0563"]
    image = opened(found["digits/0563"])
    assert image.size == (8, 8)
    seen = np.asarray(image, dtype=float)
    expected = known.images[563]
    assert np.corrcoef(seen.ravel(), expected.ravel())[0, 1] > 0.999


def test_a_sample_with_another_label_is_another_sample() -> None:
    label = int(load_digits().target[563])
    assert pictures(DataSpec(source="digits"), {"digits/0563": (label + 1) % 10}) == {}


def test_large_ones_are_made_small(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    spec = npz(tmp_path / "a.npz", random.integers(0, 256, (4, 3, 90, 180)).astype(np.uint8))
    (address,) = pictures(spec, {first_id(spec): 0}).values()
    image = opened(address)
    assert image.size == (LARGEST, LARGEST // 2)
    assert image.mode == "RGB"
    assert len(address) < 8000


@pytest.mark.parametrize("shape", [(4, 20), (4, 1, 12), (4, 5, 8, 8)])
def test_what_is_no_image_has_none(tmp_path: Path, shape: tuple[int, ...]) -> None:
    spec = npz(tmp_path / "a.npz", np.random.default_rng(0).random(shape).astype(np.float32))
    assert pictures(spec, {first_id(spec): 0}) == {}


def test_constant_samples(tmp_path: Path) -> None:
    spec = npz(tmp_path / "a.npz", np.full((4, 1, 8, 8), 3.0, np.float32))
    (address,) = pictures(spec, {first_id(spec): 0}).values()
    assert opened(address).size == (8, 8)


@pytest.mark.parametrize(
    "data",
    [
        {"source": "npz", "path": "/nowhere/at/all.npz"},
        {"source": "no_such_module:source"},
        {"source": "json:loads"},
    ],
)
def test_data_that_is_gone(data: dict[str, Any]) -> None:
    assert pictures(DataSpec.model_validate(data), {"a": 0}) == {}


def test_they_stand_on_the_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", artifacts=())
    label = int(load_digits().target[563])
    found = (
        evaluation()
        .disagreements[0]
        .model_copy(
            update={"only_a_right": (case("digits/0563", label, 0, label),), "only_b_right": ()}
        )
    )
    shares = (0.5,) * 10
    record = evaluation(
        classes=tuple("0123456789"),
        class_samples=(3,) * 10,
        disagreements=(found,),
        subjects=tuple(subject(name, classes=shares) for name in ("teacher", "student")),
        slices=(),
        paired=(),
    )
    write_record(run.evaluations_dir / "test.json", record)
    page = Page(report(run).read_text(encoding="utf-8"))
    (source,) = page.attributes("src")
    assert source.startswith("data:image/png;base64,")


SAYINGS = ("the film is\n  a triumph <i>of</i> sorts", "word " * 200)


def sentences(root: str) -> RawData:
    """A source of token ids, which says what they mean."""
    tokens = np.arange(24, dtype=np.float32).reshape(2, 12)
    part = array_part(tokens, np.array([0, 1]), prefix="train")
    said = dict(zip(part.ids, SAYINGS, strict=True))
    return RawData({"train": part}, ("bad", "good"), (12,), columns={"text": said})


class TestTexts:
    def test_a_source_says_what_its_samples_say(self) -> None:
        spec = DataSpec.model_validate({"source": f"{__name__}:sentences", "root": ""})
        first, second = sentences("").parts["train"].ids
        drawn, texts = pictures_and_texts(spec, {first: 0, second: 1})
        assert drawn == {}
        assert texts[first] == "the film is a triumph <i>of</i> sorts"
        assert texts[second].endswith("word ...")
        assert len(texts[second]) <= LONGEST + 4
        assert pictures_and_texts(spec, {first: 1}) == ({}, {})  # another label: another sample

    def test_they_stand_in_page_and_markdown(self) -> None:
        table = Table("Cases", ("sample", "label"), [("a", "good")], texts=("so <b>good</b>",))
        contents = Contents("t", "", "", [], [], [], [Section("Hard cases", [table])], [])
        assert '<span class="written">so &lt;b&gt;good&lt;/b&gt;</span>' in lay_out(contents)
        assert "a: so \\<b\\>good\\</b\\>" in markdown.render(contents)


class TestWaveforms:
    def test_a_signal_is_drawn_column_by_column(self) -> None:
        signal = np.zeros((1, 240), "float32")
        signal[0, 120:] = np.resize([1.0, -1.0], 120)
        head, _, data = address(signal).partition(",")
        assert head == "data:image/svg+xml;base64"
        strokes = re.findall(r"M([\d.]+) ([\d.]+)V([\d.]+)", base64.b64decode(data).decode())
        assert len(strokes) == COLUMNS
        heights = [float(bottom) - float(top) for _, top, bottom in strokes]
        # Silence, then from -1 to 1 over all but a pixel at either edge.
        assert heights[:60] == pytest.approx([0.6] * 60)
        assert heights[60:] == pytest.approx([HEIGHT - 2 + 0.6] * 60)

    def test_silence_and_short_signals(self) -> None:
        for shape in ((1, 16), (3, 500)):
            assert address(np.zeros(shape, "float32")).startswith("data:image/svg")

    def test_of_data(self, tmp_path: Path) -> None:
        spec = npz(
            tmp_path / "signals.npz",
            np.random.default_rng(0).normal(size=(4, 1, 64)).astype("float32"),
        )
        found = pictures(spec, {first_id(spec): 0})
        assert [value[:18] for value in found.values()] == ["data:image/svg+xml"]
