"""The doctor: looks at a distillation before its first epoch and says what is wrong with it.

Two dry batches run through teacher, student and losses; nothing of it is left behind. Each check
is one of the faults that shipped in well-known projects: a teacher that drifts, an adapter that no
optimizer moves, a label order that differs, a term that drowns another.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from edgekd.distill.asking import Voices
from edgekd.distill.batches import Batch, TrainingBatches
from edgekd.distill.evaluate import answers_of
from edgekd.distill.halves import look_at_precision
from edgekd.distill.job import Answers, Job
from edgekd.distill.players import Players
from edgekd.distill.recorded import Recorded
from edgekd.distill.tutor import Reads, Tutor
from edgekd.distill.unlabelled import look_at_unlabelled
from edgekd.metrics.classification import accuracy
from edgekd.records_distill import Finding
from edgekd.schedule import value_at

#: A term whose gradient is this many times smaller than the largest does next to nothing.
FAINT = 1e-3


def examine(
    job: Job, players: Players, voices: Voices, batches: TrainingBatches, fabric: Fabric
) -> list[Finding]:
    """Return what was found.

    Everything that the dry batches move is put back: weights, running statistics, memories.

    Args:
        job: what is about to be trained; its hooks are on.
        players: the optimizers.
        voices: of the teachers, live or cached.
        batches: the training batches.
        fabric: device and precision.
    """
    dry = list(islice(batches.epoch(0, fabric.device), 2))
    before = copy.deepcopy(players.trainable.state_dict())
    try:
        findings = [*_optimizers(players)]
        answers = [voices.answer(batch) for batch in dry]
        for tutor in job.teachers:
            who = "" if _alone(job) else f" ({tutor.name})"
            if isinstance(tutor.model, Recorded):
                findings.append(_alignment(tutor, who, fabric))
            else:
                findings += _teacher(tutor, Reads(tutor, batches), dry, fabric, who)
        findings += _terms(players, dry, answers, fabric)
        findings += look_at_unlabelled(job, fabric)
        findings += look_at_precision(job.train.precision, fabric.device)
    finally:
        players.trainable.load_state_dict(before)
        players.optimizer.zero_grad()
    return findings


def _alone(job: Job) -> bool:
    """Say whether there is one teacher only, which then needs no name in what is found."""
    return len(job.teachers) == 1


def _teacher(
    tutor: Tutor, reads: Reads, dry: list[Batch], fabric: Fabric, who: str
) -> Iterator[Finding]:
    teacher = tutor.model
    before = copy.deepcopy(teacher.state_dict())
    with torch.no_grad():
        for batch in dry:
            teacher(reads(batch))
    after = teacher.state_dict()
    moved = [name for name, value in before.items() if not torch.equal(value, after[name])]
    awake = [name for name, module in teacher.named_modules() if module.training]
    learning = [name for name, p in teacher.named_parameters() if p.requires_grad]
    if moved or awake or learning:
        what = "; ".join(
            f"{text}: {', '.join(names[:3])}"
            for text, names in (
                ("moved in two dry batches", moved),
                ("in train mode", awake),
                ("with gradients", learning),
            )
            if names
        )
        yield Finding(check=f"teacher at rest{who}", status="fail", message=what)
    else:
        yield Finding(
            check=f"teacher at rest{who}",
            status="ok",
            message="frozen, in eval mode; no parameter or buffer moved in two dry batches",
        )
    if tutor.average is not None:  # it knows what the student knows: nothing yet
        return
    if tutor.trained:
        yield _alignment(tutor, who, fabric)
    else:
        yield Finding(
            check=f"labels aligned{who}",
            status="warn",
            message="not looked at: the teacher is not trained yet",
        )


def _alignment(tutor: Tutor, who: str, fabric: Fabric) -> Finding:
    """Compare the teacher's accuracy with chance: another label order shows as chance."""
    # Of a recorded teacher, answers to the training samples may be all that there is.
    split = "validation"
    logits = answers_of(tutor, split, device=fabric.device)
    if logits is None:
        split = "train"
        logits = answers_of(tutor, split, device=fabric.device)
    part = tutor.dataset.splits[split]
    if logits is None or not part.labelled.any():
        return Finding(
            check=f"labels aligned{who}",
            status="warn",
            message="not looked at: there are no labels to hold the answers against",
        )
    logits, targets = logits[part.labelled], part.targets[part.labelled]
    reached = accuracy(logits, targets)
    chance = float(np.bincount(targets).max() / len(targets))
    # Three standard errors of a guesser's accuracy on as many samples.
    limit = chance + 3.0 * math.sqrt(chance * (1.0 - chance) / len(targets))
    good = reached > limit
    message = f"the teacher reaches {reached:.2%} on {split}; chance is {chance:.2%}"
    if not good:
        message += ": are its labels in another order, or its inputs normalised otherwise?"
    return Finding(
        check=f"labels aligned{who}",
        status="ok" if good else "fail",
        message=message,
        values={"teacher_accuracy": reached, "chance": chance},
    )


def _optimizers(players: Players) -> Iterator[Finding]:
    """Check that whatever can learn is moved by exactly one optimizer."""
    names = {id(p): name for name, p in players.trainable.named_parameters()}
    playing = {id(p) for _, module, _ in players.opponents for p in module.parameters()}
    seen: Counter[int] = Counter()
    for optimizer in players.optimizers():
        seen.update(id(p) for group in optimizer.param_groups for p in group["params"])
    learns = {id(p) for p in players.trainable.parameters() if p.requires_grad} | playing
    wrong = [names.get(key, "?") for key in learns | set(seen) if seen[key] != (key in learns)]
    yield Finding(
        check="optimizers",
        status="fail" if wrong else "ok",
        message=(
            f"not in exactly one optimizer: {', '.join(sorted(wrong)[:5])}"
            if wrong
            else f"each of {len(learns)} trainable tensors is in exactly one optimizer"
        ),
        values={"trainable": float(len(learns))},
    )


def _terms(
    players: Players, dry: list[Batch], answers: list[Answers], fabric: Fabric
) -> Iterator[Finding]:
    """Compare the terms' gradients on the networks they teach; look for NaN and constants."""
    players.trainable.train()
    learn = players.trainable.learns
    values: dict[str, list[float]] = {}
    norms: dict[str, float] = {}
    for batch, answer in zip(dry, answers, strict=True):
        torch.manual_seed(0)
        with fabric.autocast():  # not through Fabric's wrapper: it lets nobody else differentiate
            terms = players.trainable(batch, answer)
        for name, term in terms.items():
            values.setdefault(name, []).append(term.item())
            norms[name] = norms.get(name, 0.0) + _norm(term, learn(name)) / len(dry)
    broken = [name for name, seen in values.items() if not np.isfinite([*seen, norms[name]]).all()]
    yield Finding(
        check="finite",
        status="fail" if broken else "ok",
        message=(
            f"NaN or Inf in {', '.join(broken)}" if broken else "no NaN, no Inf in two dry batches"
        ),
    )
    later = [
        term.name
        for term in players.trainable.terms
        if value_at(term.weight, 0.0) == 0.0 != value_at(term.weight, 1.0)
    ]
    yield _balance({name: norms[name] for name in norms if name not in later}, broken, later)


def _norm(term: Tensor, network: nn.Module) -> float:
    if not term.requires_grad:
        return 0.0
    learning = [p for p in network.parameters() if p.requires_grad]
    found = torch.autograd.grad(term, learning, retain_graph=True, allow_unused=True)
    squares = [g.float().square().sum() for g in found if g is not None]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def _balance(norms: dict[str, float], broken: list[str], later: list[str]) -> Finding:
    known = {name: norm for name, norm in norms.items() if name not in broken}
    largest = max(known.values(), default=0.0)
    constant = [name for name, norm in known.items() if norm == 0.0]
    faint = [name for name, norm in known.items() if 0.0 < norm < FAINT * largest]
    parts = [f"{name} {norm / largest:.3g}" for name, norm in known.items() if largest]
    message = "gradient norms on the student, relative to the largest: " + ", ".join(parts)
    if later:
        message += f"; with a weight of 0 at first: {', '.join(later)}"
    if constant:
        message += f"; constant, so it teaches nothing: {', '.join(constant)}"
    if faint:
        message += f"; drowned by the others: {', '.join(faint)}"
    return Finding(
        check="balance of terms",
        status="warn" if constant or faint else "ok",
        message=message,
        values=known,
    )
