"""Going through everything that a run will train, without training it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from lightning_fabric import Fabric

from edgekd.data.split import Dataset
from edgekd.distill import session as sessions
from edgekd.distill.assistants import assistants_at_hand
from edgekd.distill.chain import Chain
from edgekd.distill.findings import about
from edgekd.distill.generations import as_tutor, chain_of, phases_of, stages_of
from edgekd.distill.job import Job
from edgekd.distill.making import Accelerator, announce, make_fabric, make_job, torch_settings
from edgekd.distill.progress import Progress
from edgekd.distill.session import Session
from edgekd.distill.stages import check_learning, diagnose_stages, stage_job
from edgekd.distill.teacher import at_hand
from edgekd.distill.trainable import build_losses
from edgekd.recipe import Recipe
from edgekd.records_distill import Finding


def look(session: Session, accelerator: Accelerator | None, progress: Progress) -> list[Finding]:
    """Return what the doctor finds, without training anything."""
    fabric = make_fabric(session.recipe.train, accelerator)
    seed = session.recipe.seeds[0]
    with torch_settings(session.recipe.train.threads):
        announce(session, progress)
        chain = chain_of(session.recipe, at_hand(session, fabric, progress))
        found = []
        for name, job in rehearse(session, seed, chain, fabric, progress):
            stages = stages_of(session.recipe, job)
            found += about(name, diagnose_stages(job, stages, fabric, progress))
        return found


def rehearse(
    session: Session, seed: int, chain: Chain, fabric: Fabric, progress: Progress
) -> Iterator[tuple[str, Job]]:
    """Yield the jobs of a run in their order, with what each is about; nothing is trained.

    Args:
        session: of the run, which need not be written.
        seed: of the student.
        chain: the teachers.
        fabric: device and precision.
        progress: told what is at hand.
    """
    for name, job, tutor in assistants_at_hand(session, chain, fabric, progress):
        if job is not None:
            yield name, job
        chain = chain.followed_by(tutor)
    for phase in phases_of(session.recipe):
        job = make_job(session, seed, chain, phase, progress)
        yield "" if phase == "student" else phase, job
        chain = chain.followed_by(as_tutor(session, phase, job.student, trained=False))


def check_networks(recipe: Recipe, dataset: Dataset) -> None:
    """Build every network of a recipe with assistants, generations or stages, and every loss.

    Their trainings follow one another, so that a wrong name in the last would come up late.

    Args:
        recipe: the recipe.
        dataset: its data.

    Raises:
        RecipeError: a layer is not there, or shapes do not suit a loss; nothing was trained.
    """
    if not (recipe.assistant or recipe.stage or recipe.student.generations > 1):
        return
    fabric, progress = make_fabric(recipe.train, None), Progress()
    with (
        tempfile.TemporaryDirectory(prefix="edgekd-rehearsal-") as folder,
        torch_settings(recipe.train.threads),
    ):
        session = sessions.begin(Path(folder) / "run", recipe, lambda: dataset)
        chain = chain_of(recipe, at_hand(session, fabric, progress))
        for _, job in rehearse(session, recipe.seeds[0], chain, fabric, progress):
            stages = stages_of(recipe, job)
            parts = [stage_job(job, stages, number) for number in range(len(stages))]
            for number, part in enumerate(parts):
                build_losses(part)
                check_learning(part, number)
            if not parts:
                build_losses(job)
