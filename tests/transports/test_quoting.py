from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekd.errors import TransportError
from edgekd.transports.quoting import quote

WORDS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20))


@settings(max_examples=60, deadline=None)
@given(WORDS)
def test_a_shell_splits_it_into_the_same_words(words: list[str]) -> None:
    line = quote(["printf", "%s\\0", "begin", *words])
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert done.stdout.decode().split("\0") == ["begin", *words, ""]


def test_quoted_twice_is_split_twice() -> None:
    line = quote(["sh", "-c", quote(["printf", "<%s>", "it's", "$HOME", "new\nline"])])
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=True)
    assert done.stdout == b"<it's><$HOME><new\nline>"


def test_no_program_can_be_given_a_nul() -> None:
    with pytest.raises(TransportError, match="NUL"):
        quote(["echo", "a\0b"])
