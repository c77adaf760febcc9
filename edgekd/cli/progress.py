"""Progress of a training: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekd.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from edgekd.distill.progress import Progress
    from edgekd.records import ModelFacts


@contextmanager
def make_progress(output: Output) -> Iterator[Progress]:
    """Give a `Progress` that suits the terminal."""
    console = output.console(stderr=True)
    if output.quiet or not console.is_terminal:
        yield _lines(output)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bars:
        yield _bars(output, bars)


def say_network(output: Output, role: str, facts: ModelFacts) -> None:
    """Say how large a network is, before it is trained."""
    from edgekd.cli.render_sizes import network_line

    output.say(network_line(role, facts))


def _title(phase: str, seed: int) -> str:
    return f"{phase} (seed {seed})"


def _note(line: dict[str, Any], epochs: int) -> str:
    return (
        f"epoch {line['epoch']}/{epochs}  loss {line['loss']:.4f}  validation {_validation(line)}"
    )


def _validation(line: dict[str, Any]) -> str:
    """Return what an epoch reached; by nearest neighbours where no label was learned from."""
    neighbours = line.get("validation_knn_accuracy")
    if neighbours is not None:
        return f"{neighbours:.2%} by neighbours"
    return f"{line['validation_accuracy']:.2%}"


def _lines(output: Output) -> Progress:
    # edgekd.distill.progress is light, but its package stays unimported until a command runs.
    from edgekd.distill.progress import Progress as Base

    class Lines(Base):
        """Plain lines: about ten a network."""

        title = ""
        epochs = 0

        def run(self, path: Path) -> None:
            output.resume_hint = f"Go on with: edgekd distill --resume {path}"

        def message(self, text: str) -> None:
            output.say(text)

        def network(self, role: str, facts: ModelFacts) -> None:
            say_network(output, role, facts)

        def started(self, phase: str, seed: int, steps: int, done: int, epochs: int) -> None:
            self.title, self.epochs = _title(phase, seed), epochs

        def epoch(self, line: dict[str, Any]) -> None:
            every = max(1, self.epochs // 10)
            if line["epoch"] % every == 0 or line["epoch"] == self.epochs:
                output.say(f"{self.title}: {_note(line, self.epochs)}")

    return Lines()


def _bars(output: Output, bars: Bars) -> Progress:
    from edgekd.distill.progress import Progress as Base

    class Live(Base):
        """One bar a network, with the time left."""

        task: Any = None
        epochs = 0

        def run(self, path: Path) -> None:
            output.resume_hint = f"Go on with: edgekd distill --resume {path}"

        def message(self, text: str) -> None:
            output.say(text)

        def network(self, role: str, facts: ModelFacts) -> None:
            say_network(output, role, facts)

        def started(self, phase: str, seed: int, steps: int, done: int, epochs: int) -> None:
            self.epochs = epochs
            self.task = bars.add_task(_title(phase, seed), total=steps, completed=done, note="")

        def step(self) -> None:
            bars.advance(self.task)

        def epoch(self, line: dict[str, Any]) -> None:
            bars.update(self.task, note=_note(line, self.epochs))

        def finished(self) -> None:
            task = bars.tasks[bars.task_ids.index(self.task)]
            bars.update(self.task, total=task.completed)

    return Live()


def looking(output: Output, networks: dict[str, ModelFacts]) -> Progress:
    """Give a `Progress` for a dry run, which also collects the sizes of networks by role."""
    from edgekd.distill.progress import Progress as Base

    class Looking(Base):
        """Nothing trains, so there are only things to say."""

        def message(self, text: str) -> None:
            output.say(text)

        def network(self, role: str, facts: ModelFacts) -> None:
            networks[role] = facts
            say_network(output, role, facts)

    return Looking()
