"""One self-contained page with the numbers and the plots; `edgekd.report(...)`."""

from __future__ import annotations

from edgekd.verbs import make_callable

make_callable(__name__, "edgekd.report.stage:report")
