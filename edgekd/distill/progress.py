"""How the loop tells whoever watches what it is doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekd.records import ModelFacts


class Progress:
    """Receives the loop's news; this base ignores them all.

    The command line draws them, a test may record them.
    """

    def run(self, path: Path) -> None:
        """The folder of the run is known; an interrupted run can be resumed from there."""

    def message(self, text: str) -> None:
        """Say something worth a line."""

    def network(self, role: str, facts: ModelFacts) -> None:
        """A network is known before it is trained.

        Args:
            role: ``student``, or ``teacher`` with its name.
            facts: its size; ``size_bytes`` are those of its weights in memory.
        """

    def started(self, phase: str, seed: int, steps: int, done: int, epochs: int) -> None:
        """A network begins to train.

        Args:
            phase: ``teacher``, ``student`` or ``baseline``.
            seed: its seed.
            steps: optimizer steps in all.
            done: steps that an earlier process has done.
            epochs: epochs in all.
        """

    def step(self) -> None:
        """One optimizer step is done."""

    def epoch(self, line: dict[str, Any]) -> None:
        """One epoch is done; ``line`` goes to ``metrics.jsonl``."""

    def finished(self) -> None:
        """The network is trained."""
