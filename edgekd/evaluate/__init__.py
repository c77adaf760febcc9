"""What networks and files do on a split, and how they compare; `edgekd.evaluate(...)`."""

from __future__ import annotations

from edgekd.verbs import make_callable

make_callable(__name__, "edgekd.evaluate.stage:evaluate")
