"""Checkpoints: all that the loop needs to go on after its last whole epoch."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from edgekd.errors import RunError
from edgekd.storage import atomic_file


@dataclass
class Checkpoint:
    """The state of one training at the end of an epoch.

    The learning rate, the order of samples, their views and dropout follow from seed, epoch and
    step, so no generator state is kept.

    Attributes:
        epoch: epochs done.
        seconds: training time so far, over all processes.
        stale: epochs since the best validation accuracy.
        best_accuracy: on validation; -1 before the first epoch.
        best_epoch: when it was reached, counted from 1.
        finished: no further epoch will follow.
        trainable: state of the student and of the losses.
        optimizers: state of the student's optimizer, then of the opponents', if any.
        ema: state of the average, where there is one.
        following: state of each teacher that follows the student, by name.
        best: state of the network to keep.
    """

    epoch: int = 0
    seconds: float = 0.0
    stale: int = 0
    best_accuracy: float = -1.0
    best_epoch: int = 0
    finished: bool = False
    trainable: dict[str, Any] = field(default_factory=dict)
    optimizers: list[dict[str, Any]] = field(default_factory=list)
    ema: dict[str, Any] = field(default_factory=dict)
    following: dict[str, Any] = field(default_factory=dict)
    best: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all; the one before it stays beside it.

        Raises:
            StorageError: the disk is full or read-only; the checkpoint before it stays.
        """
        # Through memory: on a full disk torch.save fails with an error of its own zip writer.
        buffer = io.BytesIO()
        torch.save(asdict(self), buffer)
        with atomic_file(path) as temporary:
            temporary.write_bytes(buffer.getvalue())
            if path.exists():
                path.replace(previous(path))

    @classmethod
    def load(cls, path: Path, say: Callable[[str], None] = lambda _: None) -> Checkpoint | None:
        """Read the newest checkpoint that is whole; None where there is none yet.

        Args:
            path: where the newest stands.
            say: is told when the newest is damaged and the one before it is used.

        Raises:
            RunError: what there is is damaged.
        """
        candidates = [found for found in (path, previous(path)) if found.exists()]
        for candidate in candidates:
            try:
                loaded = torch.load(candidate, map_location="cpu", weights_only=True)
                found = cls(**loaded)
            except Exception as error:  # torch raises many kinds for a damaged file
                say(f"the checkpoint {candidate} is damaged ({type(error).__name__})")
                continue
            if candidate != path:
                say(f"going on from the one before it, after epoch {found.epoch}")
            return found
        if not candidates:
            return None
        raise RunError(
            f"the checkpoint {path} is damaged, and so is the one before it",
            hint="Remove both to train this network again from its start.",
        )


def previous(path: Path) -> Path:
    """Return where the checkpoint before the newest stands."""
    return path.with_suffix(".previous.pt")
