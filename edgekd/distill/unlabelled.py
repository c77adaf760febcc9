"""Training samples without a label: who learns from them, and what the teacher makes of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

from edgekd.data.split import Part
from edgekd.distill.job import Job
from edgekd.distill.recorded import Recorded
from edgekd.distill.tutor import Tutor
from edgekd.metrics.probabilities import log_probabilities
from edgekd.records_distill import Finding

#: So many samples with a label, and so many without, are shown to each teacher.
SHOWN = 512

#: A teacher whose largest probability is below this is unsure.
CONFIDENT = 0.5


def labelled_only(job: Job) -> Job:
    """Return the same job on the labelled samples alone, for a network that hears no teacher.

    It takes about as many steps as with all samples: fewer samples an epoch, more epochs.
    """
    dataset = job.dataset.with_labels()
    few, all_ = len(dataset.splits["train"]), len(job.dataset.splits["train"])
    if few == all_:
        return job
    size = job.train.batch_size
    longer = math.ceil(all_ / size) / math.ceil(few / size)
    train = job.train.model_copy(
        update={
            "epochs": round(job.train.epochs * longer),
            "patience": round(job.train.patience * longer),
        }
    )
    return replace(job, dataset=dataset, train=train)


def look_at_unlabelled(job: Job, fabric: Fabric) -> Iterator[Finding]:
    """Say how many samples have no label, and whether the teachers know what they show.

    A teacher is unsure of a sample where its largest probability is below `CONFIDENT`, or the
    entropy of its answer above half of what it is for a guess, log C / 2.
    """
    part = job.dataset.splits["train"]
    unlabelled = int((~part.labelled).sum())
    if not unlabelled:
        return
    message = f"{len(part) - unlabelled} training samples have a label, {unlabelled} have none"
    values = {"labelled": float(len(part) - unlabelled), "unlabelled": float(unlabelled)}
    unheard = all(term.loss.needs_labels or not term.loss.needs_teacher for term in job.terms)
    if unheard:
        message += "; no loss listens to a teacher alone, so these teach nothing"
    unsure = False
    for tutor in job.teachers:
        if not _can_be_asked(tutor, part):
            continue
        on_labelled, _ = _answers(tutor, np.flatnonzero(part.labelled), fabric)
        confidence, share = _answers(tutor, np.flatnonzero(~part.labelled), fabric)
        of = "the teacher's" if len(job.teachers) == 1 else f"{tutor.name}'s"
        message += (
            f"; {of} mean confidence is {on_labelled:.2f} on the former and {confidence:.2f} on "
            f"the latter, of which it is unsure of {share:.0%}"
        )
        values |= {f"confidence ({tutor.name})": confidence, f"unsure ({tutor.name})": share}
        unsure |= share > 0.5
    if unsure:
        message += ": do they show anything that it knows?"
    yield Finding(
        check="unlabelled samples",
        status="warn" if unsure or unheard else "ok",
        message=message,
        values=values,
    )


def _can_be_asked(tutor: Tutor, part: Part) -> bool:
    """Say whether a teacher has learned already, and sees the very samples of the training."""
    learns = tutor.average is not None or not tutor.trained
    return not learns and tutor.dataset.splits["train"].ids == part.ids


def _answers(tutor: Tutor, indices: npt.NDArray[np.int64], fabric: Fabric) -> tuple[float, float]:
    """Return a teacher's mean confidence on some of these samples, and how many it is unsure of."""
    if not len(indices):
        return math.nan, 0.0
    chosen = indices[np.linspace(0, len(indices) - 1, min(SHOWN, len(indices))).astype(np.int64)]
    if isinstance(tutor.model, Recorded):
        if not tutor.model.knows("train"):
            return math.nan, 0.0
        logits = tutor.model.logits("train")[chosen]
    else:
        inputs = torch.from_numpy(tutor.dataset.normalised("train", chosen)).to(fabric.device)
        with torch.no_grad():
            logits = tutor.model(inputs).float().cpu().numpy()
    logs = log_probabilities(logits)
    highest = np.exp(logs.max(axis=1))
    entropy = -(np.exp(logs) * logs).sum(axis=1)
    unsure = (highest < CONFIDENT) | (entropy > 0.5 * math.log(logits.shape[1]))
    return float(highest.mean()), float(unsure.mean())
