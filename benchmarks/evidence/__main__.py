"""The evidence: ``python -m benchmarks.evidence COMMAND``; see `benchmarks.evidence`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from benchmarks.evidence.children import Stop, stoppable
from benchmarks.evidence.places import Places
from benchmarks.evidence.plan import load_plan
from edgekd.errors import EdgekdError


def main(arguments: Sequence[str] | None = None, places: Places | None = None) -> int:
    """Do as told on the command line; return the exit code."""
    given = _parser().parse_args(arguments)
    places = places or Places.of()
    if given.plans is not None:
        places = replace(places, plans=given.plans)
    command: Callable[[argparse.Namespace, Places], int] = given.command
    try:
        with stoppable():
            return command(given, places)
    except Stop as stop:
        _tell(f"{stop}: stopped; the same command goes on")
        return 130
    except BrokenPipeError:  # whoever read this has seen enough
        sys.stdout = None  # type: ignore[assignment]
        return 0
    except EdgekdError as error:
        _tell("\n".join(text for text in (f"error: {error.message}", error.hint) if text))
        return error.exit_code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--plans", type=Path, help="the folder of plans")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[..., int], text: str, plan: str = ""
    ) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=text, description=text)
        found.set_defaults(command=command)
        if plan:
            found.add_argument("plan", metavar="NAME", nargs=plan if plan == "*" else None)
        return found

    add("check", _check, "check plans and the recipes of their arms", "*")
    add("status", _status, "say how far the runs of plans are", "*")
    train = add("train", _train, "train and score what a plan lacks", "1")
    train.add_argument("--arm", help="this one only")
    train.add_argument("--seed", type=int, help="this one only")
    train.add_argument("--minutes", type=float, help="stop after so many; the next call goes on")
    train.add_argument(
        "--again", action="store_true", help="put aside runs of another recipe, train them anew"
    )
    add("collect", _collect, "write the results' JSON", "*")
    add("page", _page, "write the tables of the docs")
    students = add("students", _students, "keep and measure the best arm's first seed", "1")
    students.add_argument("--measure-only", action="store_true", help="measure what is kept")
    students.add_argument("--no-instructions", action="store_true", help="do not count them")
    verify = add("verify", _verify, "measure the committed students again and compare", "*")
    verify.add_argument("--no-instructions", action="store_true", help="do not count them")
    return parser


def _names(given: argparse.Namespace, places: Places) -> list[str]:
    return given.plan or places.plan_names()


def _check(given: argparse.Namespace, places: Places) -> int:
    from benchmarks.evidence.recipes import faults_of

    bad = 0
    for name in _names(given, places):
        plan = load_plan(name, places)
        faults = faults_of(plan, places, options=True)
        bad += len(faults)
        print(f"{name}: {len(plan.arm)} arms, {len(plan.jobs())} runs, {len(faults)} faults")
        print("".join(f"  {fault}\n" for fault in faults), end="")
    return 1 if bad else 0


def _status(given: argparse.Namespace, places: Places) -> int:
    from benchmarks.evidence.train import state_of

    for name in _names(given, places):
        plan = load_plan(name, places)
        for job in plan.jobs():
            print(f"{name:28} {job.key:28} {state_of(plan, job, places)}")
    return 0


def _train(given: argparse.Namespace, places: Places) -> int:
    from benchmarks.evidence.recipes import faults_of
    from benchmarks.evidence.train import train

    plan = load_plan(given.plan, places)
    if faults := faults_of(plan, places):
        _tell("\n".join(faults))
        return 2
    if given.arm is not None:
        plan.arm_of(given.arm)
    jobs = plan.jobs(arm=given.arm, seed=given.seed)
    outcome = train(plan, jobs, places, minutes=given.minutes, again=given.again, say=_tell)
    _tell(f"{len(outcome.done)} done, {len(outcome.failed)} failed, {len(outcome.left)} left")
    return 1 if outcome.failed else 0


def _collect(given: argparse.Namespace, places: Places) -> int:
    from benchmarks.evidence.collect import collect
    from benchmarks.evidence.page import render

    for name in _names(given, places):
        plan = load_plan(name, places)
        if given.plan or places.rows(name).is_file():
            print(f"## {plan.title}\n\n{render(collect(plan, places))}")
    return 0


def _page(given: argparse.Namespace, places: Places) -> int:
    from benchmarks.evidence.page import write_pages

    for path in write_pages(places):
        print(path)
    return 0


def _students(given: argparse.Namespace, places: Places) -> int:
    from benchmarks.evidence.measure import measure
    from benchmarks.evidence.students import keep, write_measured

    plan = load_plan(given.plan, places)
    folder = places.students / plan.name if given.measure_only else keep(plan, places)
    wanted = not given.no_instructions
    found = measure(folder, plan.reference, instructions=wanted, say=_tell)
    print(write_measured(plan, found, places))
    return 0


def _verify(given: argparse.Namespace, places: Places) -> int:
    from benchmarks.evidence.measure import board_kept_up
    from benchmarks.evidence.verify import verify

    began = time.monotonic()
    kept = sorted(path.parent.name for path in places.students.glob("*/manifest.json"))
    if not kept:
        print("no student is committed yet")
    differ = 0
    wanted = not given.no_instructions
    with board_kept_up(_tell) if wanted and kept else nullcontext():
        for name in given.plan or kept:
            print(f"{name}:")
            checks = verify(name, places, instructions=wanted, say=_tell)
            print("".join(f"  {check}\n" for check in checks), end="")
            differ += sum(check.status == "differs" for check in checks)
    print(f"{differ} figures differ, {time.monotonic() - began:.0f} s")
    return 1 if differ else 0


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
