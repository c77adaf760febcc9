"""From a job to its batches and to the voice of its teacher, live or cached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning_fabric import Fabric

from edgekd.distill.batches import TrainingBatches
from edgekd.distill.cache import TeacherCache, cache_folder
from edgekd.distill.progress import Progress
from edgekd.distill.ranks import Ranks
from edgekd.distill.trainable import Job
from edgekd.distill.voice import Voice, live
from edgekd.models.weights import state_sha256
from edgekd.provenance import version


def make_batches(job: Job, fabric: Fabric) -> TrainingBatches:
    """Return the training batches of a job; with a cache, its views repeat."""
    return TrainingBatches(
        job.dataset,
        job.train,
        job.seed,
        views=0 if job.cache is None else job.cache.views,
        views_seed=None if job.cache is None else job.views_seed,
        ranks=Ranks.of(fabric),
    )


@contextmanager
def teacher_voice(
    job: Job, layers: list[str], batches: TrainingBatches, fabric: Fabric, progress: Progress
) -> Iterator[Voice | None]:
    """Give the voice of the job's teacher; None where it has none.

    Args:
        job: what is being trained.
        layers: the teacher's layers that the losses ask for.
        batches: the training batches.
        fabric: device and precision.
        progress: told what is cached.
    """
    if job.teacher is None:
        yield None
        return
    with live(job.teacher, layers, fabric, job.example(), fold=job.fold) as voice:
        if job.cache is None:
            yield voice
        else:
            folder = cache_folder(_decides(job, layers))
            yield TeacherCache(folder, job.cache, batches, voice, progress)


def _decides(job: Job, layers: list[str]) -> dict[str, Any]:
    """Return all that decides a teacher's answers."""
    if job.teacher is None or job.cache is None:
        return {}
    train = job.train.model_dump(mode="json")
    return {
        "format": 1,
        "teacher": state_sha256(job.teacher),
        "network": repr(job.teacher),
        "data": job.dataset.sha256,
        "preprocess": job.dataset.preprocess.model_dump(mode="json"),
        "augment": train["augment"],
        "mix": train["mix"],
        "kornia": version("kornia"),
        "views_seed": job.views_seed,
        "cache": job.cache.model_dump(mode="json"),
        "precision": job.train.precision,
        "layers": sorted(set(layers)),
    }
