"""The recipes for spoken digits, end to end on a few recordings: this proves that they run."""

from __future__ import annotations

import pytest

import edgekd
from edgekd.data.load import load_for_student
from edgekd.distill.stage import distill
from edgekd.recipe import Recipe

#: Too few of everything to learn much: the doctor would say so of the teacher.
SHORT = (
    "data.seconds=0.5",
    "data.split.train=160",
    "data.split.calibration=40",
    "teacher.0.copies=2",
    "teacher.0.width=0.5",
    "teacher.0.train.epochs=2",
    "teacher.0.cache.views=1",
    "student.width=0.25",
    "train.epochs=2",
    "train.learning_rate=0.01",
    "train.doctor=off",
    "train.threads=1",
)


pytestmark = pytest.mark.usefixtures("real_data")


@pytest.mark.slow
def test_official_split_to_a_file_that_takes_waveforms() -> None:
    run = distill("fsdd", overrides=[*SHORT, "data.split.validation=100"])
    assert run.manifest.status == "complete" and run.verify() == []
    assert run.manifest.networks["student.safetensors"].sample_shape == (1, 32, 24)
    assert len(run.manifest.teacher_scores) == 2
    wanted = [spec for spec in run.recipe.export if spec.embed_preprocess]
    assert [(spec.target, spec.quantize) for spec in wanted] == [("tflite", "int8")]
    # Hardly trained, its scores lie close together: int8 may cost more than it does later.
    artifact = edgekd.export(
        run,
        target="tflite",
        quantize="int8",
        embed_preprocess=True,
        max_drop=10.0,
        held_out=60,
    )
    (given,), (taken,) = artifact.manifest.inputs, artifact.manifest.outputs
    assert (given.dtype, given.shape) == ("float32", (1, 1, 4000))
    assert (taken.dtype, taken.name) == ("int8", "probabilities")
    assert artifact.path.stat().st_size < 35_000


@pytest.mark.parametrize("speaker", ["george", "yweweler"])
def test_speakers_stand_apart(speaker: str) -> None:
    recipe = Recipe.load("fsdd-speakers", overrides=[*SHORT, f"data.speaker={speaker}"])
    data = load_for_student(recipe)
    heard = {
        name: {data.columns["speaker"][one] for one in part.ids}
        for name, part in data.splits.items()
    }
    assert heard["test"] == {speaker} and len(heard["validation"]) == 1
    assert len(data.splits["test"]) == len(data.splits["validation"]) == 500
    others = heard["test"] | heard["validation"]
    assert not others & (heard["train"] | heard["calibration"]) and len(others) == 2
