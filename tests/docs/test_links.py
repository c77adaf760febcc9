"""Links in the docs lead somewhere, and commands in the docs exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from edgekd.cli.app import app
from edgekd.cli.reference import commands
from tests.docs.markdown import PAGES, README, REPOSITORY, anchors, blocks, inline_commands, links

COMMANDS = dict(commands(get_command(app)))
GIVEN = ("-h", "--help", "--version", "--install-completion", "--show-completion")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    for link in links(page):
        if re.match(r"https?://|mailto:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_reachable_from_the_readme() -> None:
    seen, waiting = set(), [README]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        names = [link.partition("#")[0] for link in links(page)]
        waiting += [(page.parent / name).resolve() for name in names if name and "://" not in name]
    assert set(PAGES) - seen == set()


def said(text: str) -> list[str]:
    """Return the words of a command line, without what a reader is meant to fill in."""
    return shlex.split(text.replace("|", " "), comments=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_and_options_exist(page: Path) -> None:
    lines = inline_commands(page)
    for block in blocks("sh", "console", pages=[page]):
        lines += block.commands
    for line in lines:
        words = said(line)
        options = [word.partition("=")[0] for word in words if word.startswith("-")]
        path = next((p for p in COMMANDS if words[: len(p.split())] == p.split()), None)
        if path is None:
            group = " ".join(words[:2])
            known = options and set(options) <= set(GIVEN)
            assert known or any(p.startswith(group + " ") for p in COMMANDS), line
            continue
        known_options = {o for p in COMMANDS[path].params for o in (*p.opts, *p.secondary_opts)}
        for option in options:
            assert option in known_options or option in GIVEN, f"{line}: no option {option}"


def test_the_docs_name_no_place_of_one_machine() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/(work|tmp|root|home)/", text), page.relative_to(REPOSITORY)
