"""Each corruption against something that was worked out in another way."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import kornia
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from edgekd.errors import DataError, EdgekdError, UnknownNameError
from edgekd.evaluate.corruptions import CORRUPTIONS, KINDS
from edgekd.evaluate.corruptions.samples import Samples, choose, fitting, guess, takes
from edgekd.evaluate.corruptions.severity import Strength, check_severity

SEVERITIES = (1, 2, 3, 4, 5)


def about(kind: str, shape: tuple[int, ...], **changes: Any) -> Samples:
    zeros = np.zeros(shape, dtype=np.float32)
    known: dict[str, Any] = {"low": 0.0, "high": 1.0, "mean": zeros, "deviation": zeros + 1}
    return Samples(kind=kind, **{**known, **changes})


def corrupt(name: str, sample: np.ndarray, severity: int, seed: int = 0, **facts: Any) -> Any:
    kind = facts.pop("kind", takes(CORRUPTIONS.row(name))[0])
    random = np.random.default_rng(seed)
    known = about(kind, sample.shape, **facts)
    return CORRUPTIONS.resolve(name)(sample, severity, random, known)


def example(kind: str) -> np.ndarray:
    random = np.random.default_rng(1)
    if kind == "image":
        return random.random((3, 32, 40)).astype(np.float32)
    shape = {"waveform": (2, 4000), "spectrogram": (1, 40, 98), "vector": (13,)}[kind]
    return random.standard_normal(shape).astype(np.float32)


def tone(frequency: float, length: int = 16000) -> np.ndarray:
    """A tone of so many periods in the whole sample, that begins and ends softly."""
    t = np.arange(length) / length
    return (np.hanning(length) * np.sin(2 * np.pi * frequency * t))[None].astype(np.float32)


def periods(wave: np.ndarray) -> float:
    """The frequency of a tone in periods a sample: the centre of its power spectrum."""
    power = np.abs(np.fft.rfft(wave[0])) ** 2
    return float((power * np.arange(len(power))).sum() / power.sum())


PAIRS = [(row.name, kind) for row in CORRUPTIONS for kind in takes(row)]


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_contract_of_every_corruption(name: str, kind: str) -> None:
    """Same shape, finite float32, the argument untouched, repeatable, and it does something."""
    sample = example(kind)
    before = sample.copy()
    facts = {"kind": kind, "low": -4.0, "high": 4.0} if kind != "image" else {"kind": kind}
    for severity in SEVERITIES:
        first = corrupt(name, sample, severity, **facts)
        again = corrupt(name, sample, severity, **facts)
        assert first.shape == sample.shape
        assert np.asarray(first).dtype == np.float32
        assert np.isfinite(first).all()
        np.testing.assert_array_equal(first, again)
        np.testing.assert_array_equal(sample, before)
        assert np.abs(first - sample).max() > 1e-3


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_stronger_changes_more(name: str, kind: str) -> None:
    """The mean distance over many draws grows with severity."""
    sample = example(kind)
    if kind == "image":  # noise has no neighbourhood for a shift to leave
        smooth = ndimage.gaussian_filter(sample, (0, 1.5, 1.5))
        sample = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    if kind == "waveform":
        sample = ndimage.gaussian_filter(sample, (0, 100)) * 20
    facts = {"kind": kind, "low": -4.0, "high": 4.0} if kind != "image" else {"kind": kind}
    means = [
        np.mean([np.abs(corrupt(name, sample, s, k, **facts) - sample).mean() for k in range(12)])
        for s in (1, 3, 5)
    ]
    assert means[0] < means[-1]
    assert means[1] > 0.9 * means[0]


@pytest.mark.parametrize("row", list(CORRUPTIONS), ids=lambda row: row.name)
def test_rows_say_what_they_take(row: Any) -> None:
    assert row.takes
    assert set(row.takes) <= set(KINDS)
    assert row.summary.startswith(", ".join(f"{kind}s" for kind in row.takes) + ": ")


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 224, 224), (2, 9, 31)])
def test_images_of_every_size_stay_images(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    for name in fitting("image"):
        assert corrupt(name, image, 5).shape == shape


def test_gaussian_noise_has_the_published_deviation() -> None:
    for side, published in ((32, 0.10), (300, 0.38), (8, 0.10)):
        image = np.full((3, side, side), 0.5, dtype=np.float32)
        many = [corrupt("gaussian-noise", image, 5, seed) - image for seed in range(20)]
        assert np.std(many) == pytest.approx(published, rel=0.05)


def test_shot_noise_has_the_variance_of_photons() -> None:
    image = np.full((3, 224, 224), 0.4, dtype=np.float32)
    noisy = corrupt("shot-noise", image, 3)
    assert noisy.mean() == pytest.approx(0.4, abs=0.01)
    assert noisy.var() == pytest.approx(0.4 / 12, rel=0.03)


def test_impulse_noise_strikes_the_published_fraction() -> None:
    image = np.full((3, 224, 224), 0.5, dtype=np.float32)
    noisy = corrupt("impulse-noise", image, 5)
    assert (noisy != 0.5).mean() == pytest.approx(0.27, abs=0.01)
    assert (noisy == 1).mean() == pytest.approx(0.135, abs=0.01)
    assert set(np.unique(noisy)) == {0.0, 0.5, 1.0}


def test_gaussian_blur_is_kornias() -> None:
    image = example("image")
    blurred = corrupt("gaussian-blur", image, 5)
    expected = kornia.filters.gaussian_blur2d(
        torch.from_numpy(image)[None], 9, (1.0, 1.0), border_type="replicate"
    )
    np.testing.assert_allclose(blurred, expected[0].numpy(), atol=1e-3)


def test_motion_blur_spreads_a_point_along_one_line() -> None:
    """A uniform movement of length L has the variance L^2 / 12 along it, and none across."""
    image = np.zeros((1, 65, 65), dtype=np.float32)
    image[0, 32, 32] = 1
    for seed in range(5):
        blurred = corrupt("motion-blur", image, 5, seed)[0]
        length = 5.5 * (30 / 5.5) ** (math.log(65 / 32) / math.log(7))
        y, x = np.mgrid[:65, :65] - 32
        spread = [[(blurred * a * b).sum() for b in (x, y)] for a in (x, y)]
        across, along = np.linalg.eigvalsh(np.array(spread, dtype=np.float64))
        assert blurred.sum() == pytest.approx(1, abs=1e-3)
        assert along == pytest.approx(length**2 / 12, rel=0.15)
        assert across < 0.35  # what interpolation between pixels leaves


def test_brightness_is_that_of_hsv() -> None:
    image = example("image")
    image[:, 0, 0] = 0
    brighter = corrupt("brightness", image, 3)
    for row, column in ((0, 0), (3, 7), (31, 39), (16, 2)):
        hue, saturation, value = colorsys.rgb_to_hsv(*image[:, row, column].tolist())
        raised = min(value + 0.15, 1)  # of 32 pixels: as CIFAR-10-C
        expected = colorsys.hsv_to_rgb(hue, saturation, raised)
        np.testing.assert_allclose(brighter[:, row, column], expected, atol=1e-5)


def test_contrast_keeps_the_mean() -> None:
    image = example("image")
    paler = corrupt("contrast", image, 2)
    np.testing.assert_allclose(paler.mean(axis=(1, 2)), image.mean(axis=(1, 2)), atol=1e-5)
    np.testing.assert_allclose(paler.std(axis=(1, 2)), image.std(axis=(1, 2)) / 2, rtol=1e-3)


def test_jpeg_of_an_even_image_is_the_image() -> None:
    """What has no detail loses none; what is all detail loses much."""
    even = np.full((3, 40, 40), 128 / 255, dtype=np.float32)
    np.testing.assert_allclose(corrupt("jpeg", even, 5), even, atol=1.5 / 255)
    for channels in (1, 2, 3, 4):
        detail = np.random.default_rng(0).random((channels, 40, 40)).astype(np.float32)
        lost = [np.abs(corrupt("jpeg", detail, s) - detail).mean() for s in SEVERITIES]
        assert lost == sorted(lost)
        assert lost[0] > 0.01


def test_pixelate_averages_blocks() -> None:
    image = np.random.default_rng(0).random((3, 224, 224)).astype(np.float32)
    blocks = image.reshape(3, 56, 4, 56, 4).mean(axis=(2, 4))
    expected = np.kron(blocks, np.ones((4, 4)))
    np.testing.assert_allclose(corrupt("pixelate", image, 5), expected, atol=1e-5)


def blob(side: int = 101, at: tuple[float, float] = (50, 50)) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    return np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 18)[None].astype(np.float32)


def centre(image: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: image.shape[1], : image.shape[2]]
    return np.array([(image[0] * y).sum(), (image[0] * x).sum()]) / image[0].sum()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shift_moves_by_a_share_of_the_side(severity: int) -> None:
    moves = [centre(corrupt("shift", blob(), severity, seed)) - 50 for seed in range(8)]
    np.testing.assert_allclose(
        np.linalg.norm(moves, axis=1), (0.04, 0.08, 0.12, 0.16, 0.2)[severity - 1] * 101, atol=0.05
    )
    assert len({tuple(np.sign(move)) for move in moves}) > 2


def test_rotate_turns_as_pillow_does() -> None:
    image = blob(at=(50, 80))
    turned = corrupt("rotate", image, 3)
    options = [
        np.asarray(Image.fromarray(image[0]).rotate(angle, Image.Resampling.BILINEAR))
        for angle in (15, -15)
    ]
    distances = [np.abs(turned[0] - option).max() for option in options]
    assert min(distances) < 0.01
    signs = {bool(centre(corrupt("rotate", image, 3, seed))[0] > 50) for seed in range(8)}
    assert signs == {True, False}


@pytest.mark.parametrize("kind", ["waveform", "spectrogram"])
def test_white_noise_has_the_ratio_it_says(kind: str) -> None:
    sample = tone(100) if kind == "waveform" else example(kind) + 30
    for severity, decibels in zip(SEVERITIES, (20, 15, 10, 5, 0), strict=True):
        noise = corrupt("white-noise", sample, severity, kind=kind) - sample
        ratio = sample.var(dtype=np.float64) / noise.var(dtype=np.float64)
        assert 10 * np.log10(ratio) == pytest.approx(decibels, abs=0.4)


def test_silence_stays_silent() -> None:
    silence = np.zeros((1, 2000), dtype=np.float32)
    for name in fitting("waveform"):
        np.testing.assert_allclose(corrupt(name, silence, 5, low=-1.0), 0, atol=1e-6)


def test_time_shift_of_waveforms_ends_in_silence() -> None:
    sample = np.arange(1, 101, dtype=np.float32)[None]
    expected = {
        1: np.concatenate([np.zeros(10), np.arange(1, 91)]),
        -1: np.concatenate([np.arange(11, 101), np.zeros(10)]),
    }
    seen = set()
    for seed in range(8):
        moved = corrupt("time-shift", sample, 3, seed)[0]
        sign = 1 if moved[0] == 0 else -1
        seen.add(sign)
        np.testing.assert_array_equal(moved, expected[sign])
    assert seen == {1, -1}


def test_time_shift_of_spectrograms_repeats_the_border_on_either_axis() -> None:
    sample = example("spectrogram")
    moved = corrupt("time-shift", sample, 5, kind="spectrogram")
    assert (moved == np.roll(sample, 20, axis=-1)).all(axis=(0, 1)).sum() in (78, 0)
    flipped = np.swapaxes(sample, 1, 2).copy()
    other = corrupt("time-shift", flipped, 5, kind="spectrogram", time_axis=-2)
    np.testing.assert_array_equal(np.swapaxes(other, 1, 2), moved)


def test_gain_stops_at_the_range_of_the_data() -> None:
    sample = np.array([[-0.5, -0.1, 0.0, 0.1, 0.5]], dtype=np.float32)
    found = {
        tuple(round(value, 3) for value in corrupt("gain", sample, 5, seed, low=-1.0)[0].tolist())
        for seed in range(8)
    }
    assert found == {(-1.0, -1.0, 0.0, 1.0, 1.0), (-0.05, -0.01, 0.0, 0.01, 0.05)}


def test_clipping_cuts_the_fraction_it_says() -> None:
    sample = example("waveform")
    cut = corrupt("clipping", sample, 4)
    changed = cut != sample
    assert changed.mean() == pytest.approx(0.12, abs=0.001)
    assert np.unique(np.abs(cut[changed])).size == 1
    assert np.abs(cut[changed]).max() == pytest.approx(np.abs(cut).max())


@pytest.mark.parametrize(
    ("name", "ratios"),
    [("speed", (1.5, 1 / 1.5)), ("time-stretch", (1.0,)), ("pitch", (2 ** (1 / 3), 2 ** (-1 / 3)))],
)
def test_what_becomes_of_a_tone(name: str, ratios: tuple[float, ...]) -> None:
    """Speed changes the pitch, stretching does not, and pitch does by semitones."""
    sample = tone(400)
    found = [periods(corrupt(name, sample, 5, seed)) / 400 for seed in range(8)]
    for value in found:
        assert min(abs(value / ratio - 1) for ratio in ratios) < 0.01
    for ratio in ratios:
        assert min(abs(value / ratio - 1) for value in found) < 0.01


def test_speed_and_stretch_move_what_stands_beside_the_middle() -> None:
    """A click a quarter before the middle comes nearer to it, or goes away from it."""
    sample = np.zeros((1, 16000), dtype=np.float32)
    sample[0, 4000:4400] = np.random.default_rng(0).standard_normal(400)
    time = np.arange(16000)
    for name in ("speed", "time-stretch"):
        places = set()
        for seed in range(8):
            power = corrupt(name, sample, 3, seed)[0] ** 2
            places.add(round(float((power * time).sum() / power.sum()) / 400))
        expected = {8000 - 3800 / 1.2, 8000 - 3800 * 1.2}
        for place in places:
            assert min(abs(place * 400 - value) for value in expected) < 500
        assert len(places) >= 2


def test_short_and_flat_waveforms_can_be_stretched() -> None:
    for shape in ((64,), (3, 128), (1, 20)):
        sample = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        for name in ("speed", "time-stretch", "pitch"):
            assert corrupt(name, sample, 5).shape == shape


def test_masks_blank_one_stretch_of_one_axis() -> None:
    sample = example("spectrogram")
    for name, axis, width in (("time-mask", 2, 29), ("frequency-mask", 1, 12)):
        for time_axis in (-1, -2):
            given = sample if time_axis == -1 else np.swapaxes(sample, 1, 2).copy()
            masked = corrupt(name, given, 5, time_axis=time_axis)
            masked = masked if time_axis == -1 else np.swapaxes(masked, 1, 2)
            blank = (masked == sample.mean(dtype=np.float64).astype(np.float32)).all(
                axis=tuple({0, 1, 2} - {axis})
            )
            assert blank.sum() == width
            assert np.flatnonzero(np.diff(np.flatnonzero(blank)) != 1).size == 0
            kept = np.compress(~blank, masked, axis=axis)
            np.testing.assert_array_equal(kept, np.compress(~blank, sample, axis=axis))


def test_features_in_terms_of_the_training_data() -> None:
    sample = np.zeros(20_000, dtype=np.float32)
    mean, deviation = np.full(20_000, 7.0, np.float32), np.full(20_000, 3.0, np.float32)
    noisy = corrupt("feature-noise", sample, 4, mean=mean, deviation=deviation)
    assert noisy.std() == pytest.approx(0.7 * 3, rel=0.03)
    missing = corrupt("feature-missing", sample, 4, mean=mean, deviation=deviation)
    assert (missing == 7).mean() == pytest.approx(0.3, abs=0.02)
    assert set(np.unique(missing)) == {0.0, 7.0}
    milder = corrupt("feature-missing", sample, 2, mean=mean, deviation=deviation)
    assert not ((milder == 7) & (missing == 0)).any(), "what misses when mild misses when strong"


def test_strengths_lie_between_the_published_ones() -> None:
    strength = Strength((1, 1, 1, 1, 1), (4, 4, 4, 4, 4))
    values = [strength.at(3, side) for side in (1, 8, 32, 64, 85, 128, 224, 1000)]
    assert values[:3] == [1, 1, 1]
    assert values[-2:] == [4, 4]
    assert values == sorted(values)


@pytest.mark.parametrize("severity", [-1, 6, 2.5])
def test_there_is_no_such_severity(severity: Any) -> None:
    with pytest.raises(EdgekdError, match="no severity") as caught:
        check_severity(severity)
    assert caught.value.hint is not None and "1, mild, to 5, strong" in caught.value.hint


def test_what_does_not_fit_is_refused_with_what_does() -> None:
    with pytest.raises(DataError, match=r"'pitch' is for waveforms; .* are images") as caught:
        choose(["gaussian-noise", "pitch"], ["image"])
    assert caught.value.hint is not None
    assert all(name in caught.value.hint for name in fitting("image"))
    assert "--samples image|waveform|spectrogram|vector" in caught.value.hint
    with pytest.raises(DataError, match=r"for waveforms and spectrograms; .* are vectors"):
        choose(["white-noise"], ["vector"])
    with pytest.raises(DataError, match=r"for waveforms; .* are waveforms and spectrograms"):
        choose(["gain"], ["waveform", "spectrogram"])
    with pytest.raises(UnknownNameError, match="unknown corruption 'gausian-noise'") as unknown:
        choose(["gausian-noise"], ["image"])
    assert "gaussian-noise" in str(unknown.value.hint)
    with pytest.raises(DataError, match="no corruption is named"):
        choose([], ["image"])
    with pytest.raises(DataError, match="there is no corruption for images and vectors"):
        choose(None, ["image", "vector"])


def test_all_that_fit_by_default_and_none_twice() -> None:
    assert choose(None, ["vector"]) == ("feature-missing", "feature-noise")
    assert choose(["jpeg", "shift", "jpeg"], ["image"]) == ("jpeg", "shift")
    assert choose(["numpy:sin"], ["image"]) == ("numpy:sin",)
    assert {name for kind in KINDS for name in fitting(kind)} == set(CORRUPTIONS.names)


def test_guessing_from_a_shape() -> None:
    assert guess((784,)) == "vector"
    assert guess((3, 128)) == "waveform"
    with pytest.raises(DataError, match="no corruption takes"):
        guess((3, 8, 32, 32))
