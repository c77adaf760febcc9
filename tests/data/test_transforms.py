"""Transforms compute what others compute, and say what they cannot take."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import signal

from edgekd.data.load import load_dataset
from edgekd.data.seen import seen_by
from edgekd.data.transforms import TRANSFORMS
from edgekd.data.transforms.level import Level
from edgekd.data.transforms.place import CenterCrop, Pad
from edgekd.data.transforms.spectrum import LogMel, Spectrogram, mel_filters
from edgekd.errors import DataError
from edgekd.recipe import DataSpec, InputSpec

RATE = 8000


def chirp() -> np.ndarray:
    t = np.arange(2000) / RATE
    sweep = 0.5 * np.sin(2 * np.pi * (200 * t + 900 * t**2))
    return (sweep + 0.1 * np.cos(2 * np.pi * 3100 * t)).astype(np.float32)


def powers(x: np.ndarray, window: int, hop: int) -> np.ndarray:
    """By SciPy: its scaling divides by the sum of the window."""
    _, _, found = signal.stft(
        x, window="hann", nperseg=window, noverlap=window - hop, boundary=None, padded=False
    )
    hann = signal.get_window("hann", window)
    return np.abs(found * hann.sum()) ** 2


@pytest.mark.parametrize(("window", "hop"), [(256, 128), (200, 80)])
def test_spectrogram_is_that_of_scipy(window: int, hop: int) -> None:
    x = chirp()
    expected = powers(x, window, hop)
    found = Spectrogram((1, 2000), window=window, hop=hop, log=False)(torch.from_numpy(x)[None])
    assert found.shape == (1, 1, window // 2 + 1, 1 + (2000 - window) // hop)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=1e-3, atol=1e-4)
    log = Spectrogram((2000,), window=window, hop=hop, floor=1e-3)(torch.from_numpy(x)[None])
    np.testing.assert_allclose(log[0, 0].numpy(), np.log(expected + 1e-3), atol=1e-3)


def test_log_mel_is_that_of_librosa() -> None:
    """Figures of librosa 0.11: feature.melspectrogram(htk=True, norm=None, center=False)."""
    step = LogMel((1, 2000), rate=RATE, mels=20, window=256, hop=128, low=20.0)
    found = step(torch.from_numpy(chirp())[None, None])
    assert found.shape == (1, 1, 20, 14)
    expected = [
        [-1.0462, -9.7924, -10.9821],
        [4.1963, 4.6205, -6.8655],
        [-11.1711, -8.3094, 0.8363],
        [-13.7557, -13.6631, -13.4316],
        [-10.7132, -10.7274, -10.7199],
    ]
    chosen = found[0, 0][[0, 3, 7, 12, 19]][:, [0, 7, 13]]
    torch.testing.assert_close(chosen, torch.tensor(expected), atol=2e-3, rtol=0)


def test_filters_are_those_of_librosa() -> None:
    """Likewise: filters.mel(sr=16000, n_fft=512, n_mels=40, fmin=20, fmax=8000, htk=True)."""
    found = mel_filters(16000, 512, 40, 20.0, 8000.0)
    assert found.shape == (40, 257) and float(found.sum()) == pytest.approx(246.47588, abs=1e-3)
    assert found[5].nonzero().flatten().tolist() == [9, 10, 11, 12]
    expected = torch.tensor([0.09114, 0.60229, 0.89326, 0.41225])
    torch.testing.assert_close(found[5, 9:13], expected, atol=1e-5, rtol=0)


def test_level_is_the_same_however_loud() -> None:
    x = torch.from_numpy(chirp())[None, None].repeat(4, 1, 1)
    loud = torch.tensor([1.0, 0.1, 1e-3, 0.0])[:, None, None]
    found = Level((1, 2000), floor=1e-8)(x * loud)
    rms = np.sqrt((found[:, 0].numpy() ** 2).mean(axis=1))
    np.testing.assert_allclose(rms, [1.0, 1.0, 1.0, 0.0], rtol=1e-5)
    torch.testing.assert_close(found[0], found[2], rtol=1e-5, atol=1e-5)
    faint = Level((1, 2000), floor=1e-2)(1e-3 * x)  # below the floor: ten times as loud, no more
    torch.testing.assert_close(faint, 1e-2 * x)


def test_crop_and_pad_undo_each_other() -> None:
    images = torch.rand(3, 2, 5, 8)
    larger = Pad((2, 5, 8), size=(8, 11))(images)
    assert larger.shape == (3, 2, 8, 11)
    torch.testing.assert_close(larger.sum(), images.sum())
    assert torch.equal(CenterCrop((2, 8, 11), size=(5, 8))(larger), images)
    assert torch.equal(CenterCrop((2, 5, 8), size=(1, 2))(images), images[:, :, 2:3, 3:5])


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (lambda: Spectrogram((2, 2000)), r"samples of shape \(2, 2000\)"),
        (lambda: Spectrogram((1, 100)), "shorter than a window of 256"),
        (lambda: LogMel((1, 9000), rate=RATE, high=5000.0), "at 8000 values a second"),
        (lambda: LogMel((1, 9000), rate=RATE, mels=200), "filters hold no frequency"),
        (lambda: Level((1, 9000), floor=0.0), "has the floor 0"),
        (lambda: CenterCrop((1, 8, 8), size=(9, 8)), "'center-crop' cannot make"),
        (lambda: Pad((1, 8, 8), size=(7, 8)), "'pad' cannot make"),
        (lambda: Pad((64,), size=(8, 8)), r"samples of shape \(64,\)"),
    ],
)
def test_what_cannot_be(step: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        step()  # type: ignore[operator]
    assert caught.value.hint


def test_all_are_deterministic_and_work_sample_by_sample() -> None:
    shapes = {"grey": (3, 8, 8), "level": (1, 40), "log-mel": (1, 4000), "spectrogram": (1, 4000)}
    options = {"resize": {"size": (4, 4)}, "center-crop": {"size": (4, 4)}, "pad": {"size": (9, 9)}}
    for row in TRANSFORMS:
        shape = shapes.get(row.name, (1, 8, 8))
        step = row.load()(shape, **options.get(row.name, {}))
        batch = torch.rand(5, *shape)
        whole = step(batch)
        torch.testing.assert_close(whole, torch.cat([step(one[None]) for one in batch]))


def test_a_network_sees_it_normalised() -> None:
    data = load_dataset(DataSpec(source=f"{__name__}:tones"))
    transforms = [{"name": "log-mel", "rate": RATE, "mels": 16, "window": 256, "hop": 128}]
    seen = seen_by(data, InputSpec.model_validate({"transforms": transforms}), "teacher.input")
    assert seen.sample_shape == (1, 16, 14)
    values = seen.normalised("train")
    assert values.mean() == pytest.approx(0, abs=1e-3)
    assert values.std() == pytest.approx(1, abs=1e-3)


def tones() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.arange(400) % 2
    t = np.arange(2000) / RATE
    waves = np.sin(2 * np.pi * (400 + 600 * labels[:, None]) * t)
    waves += 0.1 * random.standard_normal(waves.shape)
    return {"x_train": waves[:, None], "y_train": labels}
