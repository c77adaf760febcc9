"""The tiny run of the tests of the benchmark, for those that go through all of edgekd."""

from __future__ import annotations

from tests.bench.conftest import run, trained

__all__ = ["run", "trained"]
