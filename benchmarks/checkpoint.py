"""Rows of JSON, one a line, that outlive a kill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a file, none where it is missing; a line that was cut short is left out."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue
