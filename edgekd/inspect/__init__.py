"""What a model file is and what it asks of a device; `edgekd.inspect(...)`."""

from __future__ import annotations

from edgekd.verbs import make_callable

make_callable(__name__, "edgekd.inspect.stage:inspect")
