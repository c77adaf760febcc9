"""Holding what was measured against a budget or a baseline; `edgekd.check(...)`.

Works with the base install: it reads records and weighs files, and runs no model.
"""

from __future__ import annotations

from edgekd.verbs import make_callable

make_callable(__name__, "edgekd.check.stage:check")
