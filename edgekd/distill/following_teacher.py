r"""A teacher that keeps learning: the moving average of its own student.

"Mean teachers are better role models", Tarvainen and Valpola 2017,
https://arxiv.org/abs/1703.01780. After every step :math:`t` the teacher becomes
:math:`a_t \theta'_{t-1} + (1 - a_t) \theta_t`, with :math:`a_t = \min(a, 1 - 1/t)`: the plain mean
of what the student has been, until that is as slow as :math:`a`, as in the authors' code. Running
statistics of BatchNorm are averaged alike, since the teacher answers in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekd.data.split import Dataset
from edgekd.distill.job import Job
from edgekd.distill.named import Named
from edgekd.distill.tutor import Tutor


def average_of(student: nn.Module, decay: float) -> AveragedModel:
    """Return the average of a student's weights and running statistics, as it is now.

    Args:
        student: no hooks may be on it.
        decay: :math:`a`, below 1.
    """
    return AveragedModel(student, multi_avg_fn=_ramped(decay), use_buffers=True)


Tensors = tuple[Tensor, ...] | list[Tensor]


def _ramped(decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    def update(averages: Tensors, current: Tensors, done: Tensor | int) -> None:
        # So many steps are in the average already; the first one was copied.
        slow = min(decay, 1.0 - 1.0 / (int(done) + 1))
        step: Any = get_ema_multi_avg_fn(slow)  # type: ignore[no-untyped-call]
        step(averages, current, done)

    return update


def follower(named: Named, student: nn.Module, dataset: Dataset) -> Tutor:
    """Return the teacher that follows a student.

    Args:
        named: the teacher's table.
        student: at its start; no hooks may be on it.
        dataset: as the student sees it, which is how the teacher sees it.
    """
    with torch.random.fork_rng():
        average = average_of(student, named.spec.decay)
    return Tutor(
        name=named.name,
        model=average.module,
        dataset=dataset,
        weight=named.spec.weight,
        view=named.spec.view,
        average=average,
    )


def with_followers(job: Job, named: Sequence[Named]) -> tuple[Tutor, ...]:
    """Return all teachers of a job: those that it has, and those that follow its student.

    Those that the recipe names stand in its order, others after them.

    Args:
        job: with the teachers that follow nobody.
        named: the recipe's teachers.
    """
    known = {tutor.name: tutor for tutor in job.teachers}
    for one in named:
        if one.spec.follows:
            known[one.name] = follower(one, job.student, job.dataset)
    ordered = [one.name for one in named if one.name in known]
    return tuple(known[name] for name in (*ordered, *(n for n in known if n not in ordered)))
