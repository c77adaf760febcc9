"""Who listens to whom on the way from teachers to student: assistants, then generations.

A chain changes nothing about how a network is trained. Each of its networks is a job of the one
loop, whose teachers are the networks before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edgekd.distill.job import Term
from edgekd.distill.named import Named, effective_train, named_teachers
from edgekd.distill.terms import student_terms
from edgekd.distill.tutor import Tutor
from edgekd.errors import RecipeError
from edgekd.recipe import Recipe, TeacherSpec


@dataclass(frozen=True)
class Chain:
    """Everybody that a network may listen to.

    Attributes:
        teachers: of the recipe.
        links: networks between the teachers and the one that learns, the nearest last.
        densely: it listens to all of them, not to the nearest alone.
        names: of all links of the recipe, those among them that come later.
    """

    teachers: tuple[Tutor, ...] = ()
    links: tuple[Tutor, ...] = ()
    densely: bool = False
    names: tuple[str, ...] = ()

    @property
    def everybody(self) -> tuple[Tutor, ...]:
        """Teachers, then links."""
        return (*self.teachers, *self.links)

    def followed_by(self, link: Tutor) -> Chain:
        """Return the chain of the next network."""
        return replace(self, links=(*self.links, link))

    def direct(self) -> Chain:
        """Return the chain without its links."""
        return replace(self, links=())

    def lesson(self, terms: Sequence[Term]) -> Lesson:
        """Say for every term to whom it listens.

        Behind a link, a term that names nobody listens to the nearest link; densely, to all
        together, but for a term that captures layers, which hears one network only. A term that
        names a link which is not before this network is not its own.

        Args:
            terms: of the network's loss.
        """
        before = {tutor.name for tutor in self.everybody}
        own = [t for t in terms if t.teacher not in self.names or t.teacher in before]
        if not self.links:
            return Lesson(tuple(own), self.teachers)
        near = self.links[-1].name
        heard = [
            replace(term, teacher=near)
            if term.teacher is None and (not self.densely or term.loss.layers()[1])
            else term
            for term in own
        ]
        names = {term.teacher for term in heard}
        tutors = [tutor for tutor in self.everybody if None in names or tutor.name in names]
        return Lesson(tuple(heard), tuple(tutors))


@dataclass(frozen=True)
class Lesson:
    """What a network learns by, and from whom.

    Attributes:
        terms: of its loss, each with whom it listens to.
        tutors: whom they listen to.
    """

    terms: tuple[Term, ...]
    tutors: tuple[Tutor, ...]


def named_assistants(recipe: Recipe) -> list[Named]:
    """Return a recipe's assistants, in the order of the chain, each with a name of its own.

    Raises:
        RecipeError: a name is taken, or an override of ``[train]`` is none.
    """
    found: list[Named] = []
    taken = [named.name for named in named_teachers(recipe)]
    for number, assistant in enumerate(recipe.assistant):
        where = f"assistant[{number}]"
        name = assistant.name or f"assistant-{number + 1}"
        if name in taken:
            raise RecipeError(
                f"{where}.name",
                [f"there is another network called {name!r}"],
                hint="Give each teacher and assistant a name of its own.",
            )
        taken.append(name)
        spec = TeacherSpec(**assistant.model_dump(exclude={"losses", "name"}), name=name)
        found.append(Named(name, spec, where, recipe.seed, effective_train(recipe, spec, where)))
    return found


def assistant_terms(recipe: Recipe, number: int) -> list[Term]:
    """Return the terms of an assistant: those that it names, or those that capture no layers.

    Args:
        recipe: the recipe.
        number: of the assistant, from 0.
    """
    spec = recipe.assistant[number]
    train = named_assistants(recipe)[number].train
    terms = student_terms(recipe.loss, train)
    if spec.losses:
        return [term for term in terms if term.name in spec.losses]
    return [term for term in terms if not any(term.loss.layers())]


def generation_name(number: int) -> str:
    """Return what losses call a generation, from 1."""
    return f"generation-{number}"


def links_of(recipe: Recipe) -> list[str]:
    """Return the names of all that stand between the teachers and the student."""
    generations = range(1, recipe.student.generations)
    return [named.name for named in named_assistants(recipe)] + list(
        map(generation_name, generations)
    )
