"""From a job to its batches and to the voices of its teachers, live or cached."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from lightning_fabric import Fabric

from edgekd.distill.batches import Batch, TrainingBatches
from edgekd.distill.cache import TeacherCache, cache_folder
from edgekd.distill.job import Answers, Job, example_of
from edgekd.distill.progress import Progress
from edgekd.distill.ranks import Ranks
from edgekd.distill.recorded import Recorded, RecordedVoice
from edgekd.distill.tutor import Tutor
from edgekd.distill.voice import Voice, live
from edgekd.models.weights import state_sha256
from edgekd.provenance import version


def make_batches(job: Job, fabric: Fabric) -> TrainingBatches:
    """Return the training batches of a job; with a cache, its views repeat."""
    return TrainingBatches(
        job.dataset,
        job.train,
        job.seed,
        views=job.views,
        views_seed=job.views_seed if job.views else None,
        ranks=Ranks.of(fabric),
        others=[tutor.dataset.input for tutor in job.tutors],
    )


class Voices:
    """Everybody that the student listens to.

    Args:
        voices: by teacher.
    """

    def __init__(self, voices: Mapping[str, Voice]) -> None:
        """Store the voices."""
        self.voices = voices

    def answer(self, batch: Batch) -> Answers:
        """Return what each teacher says of a batch."""
        return {name: voice.answer(batch) for name, voice in self.voices.items()}


@contextmanager
def teacher_voices(
    job: Job, batches: TrainingBatches, fabric: Fabric, progress: Progress
) -> Iterator[Voices]:
    """Give the voices of the job's teachers.

    Args:
        job: what is being trained.
        batches: the training batches.
        fabric: device and precision.
        progress: told what is cached.
    """
    with ExitStack() as stack:
        voices: dict[str, Voice] = {}
        for tutor in job.teachers:
            if isinstance(tutor.model, Recorded):
                voices[tutor.name] = RecordedVoice(tutor.model)
                continue
            layers = job.captured_of(tutor.name)
            example = example_of(tutor.dataset)
            voice: Voice = stack.enter_context(live(tutor, layers, batches, fabric, example))
            if tutor.cache is not None:
                folder = cache_folder(_decides(job, tutor, layers))
                # Every cache holds as many views as the student sees.
                spec = tutor.cache.model_copy(update={"views": job.views})
                voice = TeacherCache(folder, spec, batches, voice, progress)
            voices[tutor.name] = voice
        yield Voices(voices)


def _decides(job: Job, tutor: Tutor, layers: list[str]) -> dict[str, Any]:
    """Return all that decides a teacher's answers."""
    train = job.train.model_dump(mode="json")
    cache = {} if tutor.cache is None else tutor.cache.model_dump(mode="json")
    return {
        "format": 2,
        "teacher": state_sha256(tutor.model),
        "network": repr(tutor.model),
        "data": job.dataset.sha256,
        "input": [job.dataset.input, tutor.dataset.input],
        "preprocess": [
            seen.preprocess.model_dump(mode="json") for seen in (job.dataset, tutor.dataset)
        ],
        "view": tutor.view,
        "augment": train["augment"],
        "mix": train["mix"],
        "kornia": version("kornia"),
        "views_seed": job.views_seed,
        "cache": {**cache, "views": job.views},
        "precision": job.train.precision,
        "layers": sorted(set(layers)),
    }
