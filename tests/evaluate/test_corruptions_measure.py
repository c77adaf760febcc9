"""Corrupted data sets, and trained networks that are asked about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.data.load import load_dataset
from edgekd.data.split import Dataset, InputFacts, Part
from edgekd.errors import DataError, EdgekdError, UnknownNameError
from edgekd.evaluate.answers import NetworkAnswers
from edgekd.evaluate.corruptions.apply import corrupted
from edgekd.evaluate.corruptions.measure import measure
from edgekd.evaluate.corruptions.samples import Samples, choose, fitting, samples_of
from edgekd.models.build import build
from edgekd.recipe import DataSpec
from edgekd.records_robustness import SubjectRobustness


@pytest.fixture(scope="module")
def digits() -> Dataset:
    split = {"calibration": 64, "validation": 0.1, "test": 0.3}
    return load_dataset(DataSpec.model_validate({"source": "digits", "split": split}))


@pytest.fixture(scope="module")
def samples(digits: Dataset) -> dict[str, Samples]:
    return samples_of(digits)


def trained(digits: Dataset, epochs: int, **options: Any) -> NetworkAnswers:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = build("resnet8", options, num_classes=10, input_shape=digits.sample_shape)
    x = torch.from_numpy(digits.normalised("train"))
    y = torch.from_numpy(digits.splits["train"].targets)
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    model.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    return NetworkAnswers(model, lambda dataset: dataset)


@pytest.fixture(scope="module")
def found(digits: Dataset, samples: dict[str, Samples]) -> dict[str, SubjectRobustness]:
    """A student of 5,094 parameters and a teacher of 77,000, and every corruption of images."""
    answers = {"student": trained(digits, 6, width=0.25), "teacher": trained(digits, 6)}
    records = measure(
        answers,
        digits,
        "test",
        samples,
        corruptions=fitting("image"),
        severities=(1, 3, 5),
        teacher=answers["teacher"],
    )
    return {record.name: record for record in records}


def raw(dataset: Dataset, split: str = "test") -> np.ndarray:
    return dataset.splits[split].read(np.arange(len(dataset.splits[split])))


def test_samples_of_digits_are_images_of_17_shades(samples: dict[str, Samples]) -> None:
    (known,) = samples.values()
    assert (known.kind, known.low, known.high) == ("image", 0.0, 16.0)


@pytest.mark.parametrize("name", fitting("image"))
def test_corrupted_samples_are_samples(
    name: str, digits: Dataset, samples: dict[str, Samples]
) -> None:
    clean = raw(digits)
    made = corrupted(digits, "test", name, 3, samples)
    values = raw(made)
    assert values.dtype == np.uint8
    assert values.shape == clean.shape
    assert values.max() <= 16
    assert (values != clean).any()
    np.testing.assert_array_equal(raw(corrupted(digits, "test", name, 3, samples)), values)
    np.testing.assert_array_equal(raw(corrupted(digits, "test", name, 0, samples)), clean)
    assert made.splits["test"].ids == digits.splits["test"].ids
    np.testing.assert_array_equal(raw(made, "validation"), raw(digits, "validation"))


def test_a_sample_is_corrupted_alike_in_any_company(
    digits: Dataset, samples: dict[str, Samples]
) -> None:
    whole = raw(corrupted(digits, "test", "gaussian-noise", 5, samples))
    some = np.array([40, 3, 17])
    part = digits.splits["test"].subset(some)
    alone = corrupted(replace(digits, splits={"test": part}), "test", "gaussian-noise", 5, samples)
    np.testing.assert_array_equal(raw(alone), whole[some])


def test_samples_seeds_and_corruptions_draw_apart(
    digits: Dataset, samples: dict[str, Samples]
) -> None:
    def noise(name: str, seed: int) -> np.ndarray:
        made = corrupted(digits, "test", name, 5, samples, seed=seed)
        return raw(made).astype(int) - raw(digits)

    first = noise("gaussian-noise", 0)
    assert (first != noise("gaussian-noise", 1)).any()
    assert (first[0] != first[1]).any()


def test_float_images_keep_their_range() -> None:
    random = np.random.default_rng(0)
    values = random.uniform(-3, 5, (40, 1, 16, 16)).astype(np.float32)
    dataset = made_of(values)
    samples = samples_of(dataset)
    (known,) = samples.values()
    assert known.low == pytest.approx(-3, abs=0.1)
    assert known.high == pytest.approx(5, abs=0.1)
    made = raw(corrupted(dataset, "test", "brightness", 3, samples))
    # 0.15 of the range of 8, up to its end.
    np.testing.assert_allclose(made, np.minimum(values + 0.15 * 8, known.high), atol=0.01)


def made_of(values: np.ndarray) -> Dataset:
    part = Part(
        ids=tuple(f"s/{i}" for i in range(len(values))),
        targets=np.zeros(len(values), dtype=np.int64),
        reader=lambda indices: values[indices],
    )
    names = ("train", "calibration", "validation", "test")
    return Dataset(
        splits=dict.fromkeys(names, part),
        classes=("a", "b"),
        sample_shape=values.shape[1:],
        preprocess=load_dataset(DataSpec()).preprocess,
        sha256="0" * 64,
    )


@pytest.mark.parametrize(
    ("shape", "declared", "kind", "axis"),
    [
        ((1, 4000), None, "waveform", -1),
        ((4000,), "waveform", "waveform", -1),
        ((40, 98), None, "spectrogram", -1),
        ((1, 49, 10), "spectrogram-time-first", "spectrogram", -2),
        ((9,), None, "vector", -1),
    ],
)
def test_what_samples_are(shape: tuple[int, ...], declared: str, kind: str, axis: int) -> None:
    values = np.random.default_rng(0).standard_normal((6, *shape)).astype(np.float32)
    dataset = made_of(values)
    samples = samples_of(dataset, declared)
    (known,) = samples.values()
    assert (known.kind, known.time_axis) == (kind, axis)
    for name in fitting(kind):
        made = raw(corrupted(dataset, "test", name, 5, samples))
        assert made.dtype == np.float32
        assert made.shape == values.shape


def test_samples_that_cannot_be_what_is_said() -> None:
    dataset = made_of(np.zeros((4, 9), dtype=np.float32))
    with pytest.raises(DataError, match=r"samples of shape \(9,\) are no images"):
        samples_of(dataset, "image")
    with pytest.raises(UnknownNameError, match="unknown kind of sample 'photo'"):
        samples_of(dataset, "photo")


def test_every_input_of_the_data_is_corrupted() -> None:
    random = np.random.default_rng(0)
    first = random.standard_normal((6, 1, 400)).astype(np.float32)
    second = random.standard_normal((6, 40, 30)).astype(np.float32)
    dataset = made_of(first)
    part = replace(dataset.splits["test"], others={"mel": lambda indices: second[indices]})
    facts = {"wave": InputFacts((1, 400)), "mel": InputFacts((40, 30))}
    splits = dict.fromkeys(dataset.splits, part)
    dataset = replace(dataset, splits=splits, input="wave", inputs=facts)
    samples = samples_of(dataset)
    assert {name: each.kind for name, each in samples.items()} == {
        "wave": "waveform",
        "mel": "spectrogram",
    }
    names = choose(None, [each.kind for each in samples.values()])
    assert names == ("time-shift", "white-noise")
    made = corrupted(dataset, "test", "white-noise", 5, samples)
    whole = np.arange(6)
    for name, clean in (("wave", first), ("mel", second)):
        noise = made.raw("test", whole, name) - clean
        assert noise.std() == pytest.approx(clean.std(), rel=0.1)


def explodes(sample: np.ndarray, severity: int, random: Any, about: Samples) -> np.ndarray:
    raise ZeroDivisionError("oh")


def shrinks(sample: np.ndarray, severity: int, random: Any, about: Samples) -> np.ndarray:
    return sample[..., 1:]


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], str]:
    """Make a function reachable by import path."""
    import edgekd.evaluate.corruptions.noise as module

    def make(function: Any) -> str:
        monkeypatch.setattr(module, "ours", function, raising=False)
        return "edgekd.evaluate.corruptions.noise:ours"

    return make


def test_faults_are_named(digits: Dataset, samples: dict[str, Samples], plugin: Any) -> None:
    with pytest.raises(DataError, match=r"fails on a sample of shape .* ZeroDivisionError: oh"):
        corrupted(digits, "test", plugin(explodes), 1, samples)
    with pytest.raises(DataError, match=r"gives shape \(1, 8, 7\) of \(1, 8, 8\)"):
        corrupted(digits, "test", plugin(shrinks), 1, samples)
    with pytest.raises(EdgekdError, match="no severity 6"):
        corrupted(digits, "test", "shift", 6, samples)


def test_harm_grows_with_severity(found: dict[str, SubjectRobustness]) -> None:
    for record in found.values():
        assert record.clean_accuracy > 0.9
        by_severity = {
            s: np.mean([score.accuracy for score in record.scores if score.severity == s])
            for s in (1, 3, 5)
        }
        assert record.clean_accuracy > by_severity[1] > by_severity[3] > by_severity[5]
        for name in fitting("image"):
            mild, _, strong = (s.accuracy for s in record.scores if s.corruption == name)
            assert strong <= mild + 0.01, name
            assert mild <= record.clean_accuracy + 0.02, name
        strong = {s.corruption: s.accuracy for s in record.scores if s.severity == 5}
        assert min(strong.values()) < record.clean_accuracy - 0.2


def test_sums_are_right(found: dict[str, SubjectRobustness]) -> None:
    """Worked out from the scores with NumPy: corruption x severity."""
    errors = {
        name: 1 - np.array([score.accuracy for score in record.scores]).reshape(-1, 3)
        for name, record in found.items()
    }
    student, teacher = found["student"], found["teacher"]
    assert student.mean_corruption_error == pytest.approx(errors["student"].mean())
    assert student.relative_error == pytest.approx(
        errors["student"].mean() - (1 - student.clean_accuracy)
    )
    ratios = errors["student"].sum(axis=1) / errors["teacher"].sum(axis=1)
    assert student.error_over_teacher == pytest.approx(ratios.mean())
    assert teacher.error_over_teacher == pytest.approx(1.0)
    assert teacher.mean_agreement == 1.0
    assert all(score.agreement == 1.0 for score in teacher.scores)
    agrees = [score.agreement for score in student.scores]
    assert student.mean_agreement == pytest.approx(np.mean(agrees))
    assert 0.3 < np.mean(agrees) < 1.0


def test_scores_are_those_of_asking_by_hand(digits: Dataset, samples: dict[str, Samples]) -> None:
    answers = trained(digits, 2, width=0.25)
    record = measure(
        {"it": answers}, digits, "test", samples, corruptions=["rotate"], severities=[4], seed=3
    )[0]
    made = raw(corrupted(digits, "test", "rotate", 4, samples, seed=3)).astype(np.float32)
    inputs = (made / 16 - digits.preprocess.mean[0]) / digits.preprocess.std[0]
    with torch.no_grad():
        top = answers.model(torch.from_numpy(inputs.astype(np.float32))).argmax(1).numpy()
    assert record.scores[0].accuracy == pytest.approx((top == digits.splits["test"].targets).mean())
    assert record.scores[0].agreement is None
    assert record.mean_agreement is None
    assert record.error_over_teacher is None


def test_chunks_change_nothing(
    digits: Dataset, samples: dict[str, Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = trained(digits, 1, width=0.25)
    ask: Any = lambda: measure(  # noqa: E731
        {"a": answers, "b": answers},
        digits,
        "test",
        samples,
        corruptions=["impulse-noise"],
        severities=[2, 5],
        teacher=answers,
    )
    whole = ask()
    monkeypatch.setattr("edgekd.evaluate.corruptions.measure._SAMPLES", 100)
    assert ask() == whole
