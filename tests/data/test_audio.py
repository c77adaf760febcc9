"""Recordings: WAV files, folders of them, and the spoken digits."""

from __future__ import annotations

import io
import tarfile
import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.data.fsdd import fsdd
from edgekd.data.load import load_dataset
from edgekd.data.wav import parse
from edgekd.errors import DataError, UnknownNameError
from edgekd.recipe import DataSpec


def wav(values: np.ndarray, *, rate: int = 8000, width: int = 2) -> bytes:
    """Write (frames, channels) whole numbers of so many bytes, without edgekd."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(values.shape[1])
        file.setsampwidth(width)
        file.setframerate(rate)
        frames = b"".join(
            int(v).to_bytes(width, "little", signed=width > 1) for v in values.reshape(-1)
        )
        file.writeframes(frames)
    return buffer.getvalue()


@given(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=50), st.integers(2, 4))
@settings(max_examples=30)
def test_the_highest_16_bits_are_kept(values: list[int], width: int) -> None:
    shifted = np.array(values, dtype=np.int64)[:, None] << (8 * (width - 2))
    found = parse(wav(shifted, width=width), "x.wav")
    assert found.values.tolist() == values and found.rate == 8000


def test_eight_bits_and_two_channels() -> None:
    found = parse(wav(np.array([[0], [128], [255]]), width=1), "x.wav")
    assert found.values.tolist() == [-32768, 0, 32512]
    assert parse(wav(np.array([[100, 200], [-3, -5]])), "x.wav").values.tolist() == [150, -4]


@given(st.binary(max_size=60), st.integers(0, 60))
def test_damage_is_an_error_of_the_data(junk: bytes, keep: int) -> None:
    whole = wav(np.arange(20)[:, None])
    for data in (junk, whole[:keep], whole[:-3]):
        with pytest.raises(DataError, match=r"x\.wav"):
            parse(data, "x.wav")


def recordings(root: Path, *, rate: int = 4000) -> None:
    random = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 2)):
        for name in ("no", "yes"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                values = random.integers(-9000, 9000, (1000 + 100 * number, 1))
                (folder / f"{number}.wav").write_bytes(wav(values, rate=rate))


class TestFolder:
    spec = {"split": {"calibration": 2, "validation": 4}}

    def test_samples(self, tmp_path: Path) -> None:
        recordings(tmp_path)
        given = {"source": "audio-folder", "root": str(tmp_path), "seconds": 0.3, **self.spec}
        found = load_dataset(DataSpec.model_validate(given))
        assert found.sample_shape == (1, 1200) and list(found.inputs) == ["waveform"]
        assert found.classes == ("no", "yes")
        ids = found.splits["test"].ids
        assert ids == ("test/no/0.wav", "test/no/1.wav", "test/yes/0.wav", "test/yes/1.wav")
        assert found.columns["seconds"]["test/no/1.wav"] == "0.275"
        raw = found.raw("test", [1])
        with wave.open(str(tmp_path / "test/no/1.wav")) as file:
            values = np.frombuffer(file.readframes(2000), "<i2") / 32768
        np.testing.assert_array_equal(raw[0, 0, :1100], values.astype(np.float32))
        assert not raw[0, 0, 1100:].any()

    def test_long_ones_are_cut(self, tmp_path: Path) -> None:
        recordings(tmp_path)
        given = {"source": "audio-folder", "root": str(tmp_path), "seconds": 0.01, **self.spec}
        assert load_dataset(DataSpec.model_validate(given)).sample_shape == (1, 40)

    def test_faults(self, tmp_path: Path) -> None:
        recordings(tmp_path)
        spec = DataSpec.model_validate({"source": "audio-folder", "root": str(tmp_path)})
        other = tmp_path / "train" / "no" / "x.wav"
        other.write_bytes(wav(np.ones((9, 1)), rate=8000))
        with pytest.raises(DataError, match=r"x\.wav has 8000 values a second, .*0\.wav 4000"):
            load_dataset(spec)
        other.unlink()
        with pytest.raises(DataError, match=r"data\.seconds is 0"):
            load_dataset(spec.model_copy(update={"seconds": 0.0}))
        (tmp_path / "test" / "maybe").mkdir()
        with pytest.raises(DataError, match="maybe holds no recordings"):
            load_dataset(spec)


def digits(numbers: range, speakers: tuple[str, ...] = ("ann", "bob_b")) -> dict[str, bytes]:
    return {
        f"{digit}_{speaker}_{number}.wav": wav(
            np.full((50 + number, 1), 100 * digit + 10 * number + len(speaker))
        )
        for digit in range(10)
        for speaker in speakers
        for number in numbers
    }


class TestSpokenDigits:
    def test_folder_and_archive_are_the_same(self, tmp_path: Path) -> None:
        files = digits(range(7))
        (tmp_path / "a" / "recordings").mkdir(parents=True)
        for name, data in files.items():
            (tmp_path / "a" / "recordings" / name).write_bytes(data)
        (tmp_path / "b").mkdir()
        with tarfile.open(tmp_path / "b" / "fsdd_recordings.tar.xz", "w:xz") as archive:
            archive.add(tmp_path / "a" / "recordings", "recordings")
        one, two = (fsdd(str(tmp_path / name), seconds=0.01) for name in "ab")
        for split, size in (("train", 40), ("test", 100)):
            assert one.parts[split].ids == two.parts[split].ids and len(one.parts[split]) == size
            everything = np.arange(size)
            np.testing.assert_array_equal(
                one.parts[split].read(everything), two.parts[split].read(everything)
            )
        assert one.columns == two.columns
        assert one.columns["speaker"]["3_bob_b_6"] == "bob_b"

    def test_a_speaker_held_out(self, tmp_path: Path) -> None:
        for name, data in digits(range(3)).items():
            (tmp_path / name).write_bytes(data)
        found = fsdd(str(tmp_path), speaker="ann")
        assert {name.split("_")[1] for name in found.parts["test"].ids} == {"ann"}
        assert not any("_ann_" in name for name in found.parts["train"].ids)
        with pytest.raises(UnknownNameError, match="'anne'"):
            fsdd(str(tmp_path), speaker="anne")

    def test_another_speaker_for_validation(self, tmp_path: Path) -> None:
        for name, data in digits(range(7), ("ann", "bob", "cy")).items():
            (tmp_path / name).write_bytes(data)

        def heard(**options: str) -> dict[str, set[str]]:
            parts = fsdd(str(tmp_path), **options).parts  # type: ignore[arg-type]
            return {
                split: {name.split("_")[1] for name in part.ids} for split, part in parts.items()
            }

        apart = {"train": {"bob"}, "test": {"cy"}, "validation": {"ann"}}
        assert heard(speaker="cy", validation_speaker="ann") == apart
        assert heard(speaker="cy", validation_speaker="next") == apart
        official = fsdd(str(tmp_path), validation_speaker="ann").parts
        assert {name: len(part) for name, part in official.items()} == {
            "train": 40,
            "test": 150,
            "validation": 20,
        }
        for options in (
            {"speaker": "ann", "validation_speaker": "ann"},
            {"validation_speaker": "next"},
        ):
            with pytest.raises(DataError, match=r"data\.validation_speaker is"):
                heard(**options)
        with pytest.raises(UnknownNameError, match="'dee'"):
            heard(validation_speaker="dee")

    def test_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no data folder at"):
            fsdd(str(tmp_path / "none"))
        (tmp_path / "notes.txt").write_text("x")
        with pytest.raises(DataError, match=r"looked for \*\.tar\.xz.*recordings/DIGIT"):
            fsdd(str(tmp_path))
        (tmp_path / "x.tar.xz").write_bytes(b"\xfd7zXZ\x00 and then nothing")
        with pytest.raises(DataError, match=r"cannot read .*x\.tar\.xz"):
            fsdd(str(tmp_path))

    def test_the_real_ones(self, data_root: Path) -> None:
        found = fsdd(str(data_root / "fsdd"), seconds=0.5)
        assert {name: len(part) for name, part in found.parts.items()} == {
            "train": 2700,
            "test": 300,
        }
        assert len(set(found.columns["speaker"].values())) == 6
        sample = found.parts["test"].read([0, 299])
        assert sample.shape == (2, 1, 4000) and 0.05 < np.abs(sample).max() <= 1.0
