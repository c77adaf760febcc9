"""What in the user's network a converter failed on: the operator, and the line it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

#: The operator in vendors' messages about what they lack.
_OPERATORS = (
    re.compile(r"No ONNX function found for <OpOverload\(op='(?P<name>[\w.:]+)'"),
    re.compile(r"Lowering not found: (?P<name>[\w.:]+)"),
    re.compile(r"failed to legalize operation '(?P<name>[\w.:]+)'"),
)
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in \S+\n\s*(?P<code>\S[^\n]*)')

#: Folders of code that runs the user's, but is not the user's.
_MACHINERY = ("/torch/", "/litert_torch/", "/onnxscript/", "/torchao/")
_OWN = str(Path(__file__).resolve().parent.parent)
_LONGEST = 120


def chain_of(error: BaseException) -> list[BaseException]:
    """Return an error and what it came from, the innermost last."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in chain:
        chain.append(current)
        current = current.__cause__
    return chain


def operator_of(error: BaseException) -> str | None:
    """Return the operator that a converter says it lacks, e.g. ``aten.linalg_eig``."""
    for link in chain_of(error):
        for pattern in _OPERATORS:
            found = pattern.search(str(link))
            if found:
                return found["name"].removesuffix(".default")
    return None


def place_of(error: BaseException) -> str | None:
    """Return the line that a converter failed on, ``net.py:13: return torch.linalg.eig(x)``.

    It stands in the message, or on the node of the graph that was being converted.
    """
    for link in reversed(chain_of(error)):
        for text in (str(link), *_traces(link)):
            found = [one for one in _FRAME.finditer(text) if _is_users(one["file"])]
            if found:
                last = found[-1]
                file = Path(last["file"])
                shown = file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file
                return f"{shown}:{last['line']}: {last['code'].strip()[:_LONGEST]}"
    return None


def _traces(error: BaseException) -> Iterator[str]:
    """Yield where the nodes come from that were being converted, the innermost first."""
    nodes: list[Any] = []
    traceback = error.__traceback__
    while traceback is not None:
        nodes.append(traceback.tb_frame.f_locals.get("node"))
        traceback = traceback.tb_next
    for node in reversed(nodes):
        meta = getattr(node, "meta", None)
        if isinstance(meta, dict) and isinstance(meta.get("stack_trace"), str):
            yield meta["stack_trace"]


def _is_users(file: str) -> bool:
    normal = file.replace("\\", "/")
    return not normal.startswith(_OWN) and not any(part in normal for part in _MACHINERY)
