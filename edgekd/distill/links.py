"""What a run says of the networks between its teachers and its student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekd.distill.chain import generation_name
from edgekd.distill.teacher import Teacher
from edgekd.records import Link, ModelFacts, Score


@dataclass(frozen=True)
class Links:
    """Assistants, and the generations of every student.

    Attributes:
        assistants: in the order of the chain.
        scores: of each student, those of its generations; the last is its own.
    """

    assistants: Sequence[Teacher] = ()
    scores: Sequence[Sequence[Score]] = ()

    def records(self, assistants: Sequence[ModelFacts], student: ModelFacts) -> tuple[Link, ...]:
        """Return the records of all links, in the order of the chain.

        Args:
            assistants: their facts.
            student: its facts, which hold for every generation but for the weights.
        """
        found = [
            Link(
                name=assistant.named.name,
                role="assistant",
                facts=facts,
                hears=assistant.hears,
                scores=() if assistant.score is None else (assistant.score,),
            )
            for assistant, facts in zip(self.assistants, assistants, strict=True)
        ]
        facts = student.model_copy(update={"sha256": None})
        for number, scores in enumerate(list(zip(*self.scores, strict=True))[:-1]):
            found.append(
                Link(
                    name=generation_name(number + 1), role="generation", facts=facts, scores=scores
                )
            )
        return tuple(found)
