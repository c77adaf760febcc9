"""What a runtime takes for any model at all, measured with one that does nothing.

The first model that a process loads and runs also pays for the runtime's own tables, threads and
pages of code: 3 MB with LiteRT and 10 MB with onnxruntime on x86-64, which is more than many a
model for small devices. Taken off, what is left is the model's own.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekd.bench import agent
from edgekd.bench.null_model import null_model
from edgekd.bench.program import run_program
from edgekd.bench.protocol import build_request, parse_reply
from edgekd.bench.reply import MemoryStages, Reply
from edgekd.errors import DeviceGoneError, EdgekdError

if TYPE_CHECKING:
    from edgekd.bench.result import Bench

#: Kind of file and number of threads -> the stages, or None where they could not be had.
Nulls = dict[tuple[str, int], MemoryStages | None]


def null_memory(bench: Bench, kind: str | None, threads: int) -> MemoryStages | None:
    """Measure the memory of a model that does nothing, once a device, kind and threads.

    Args:
        bench: where; it keeps what was found.
        kind: the kind of the file at hand.
        threads: threads of the runtime.

    Returns:
        its memory by stages; None where there is no such model for the kind, or it failed.

    Raises:
        DeviceGoneError: the device vanished.
    """
    content = null_model(str(kind))
    if content is None:
        return None
    key = (str(kind), threads)
    if key not in bench.nulls:
        try:
            bench.nulls[key] = _measure(bench, str(kind), threads, content)
        except DeviceGoneError:
            raise
        except EdgekdError:
            bench.nulls[key] = None
    return bench.nulls[key]


def _measure(bench: Bench, kind: str, threads: int, content: bytes) -> MemoryStages:
    transport = bench.transport
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        model = Path(folder) / f"null.{kind}"
        model.write_bytes(content)
        asked = build_request(
            replace(bench.settings, warmup_runs=10, warmup_seconds=0.05, energy=False),
            model=transport.put(model),
            kind=kind,
            threads=threads,
            runtimes=bench.device.runtimes,
            cores=bench.device.affinity,
            mode="memory",
        )
        timeout = bench.settings.timeout
        completed = run_program(transport, agent, asked, timeout=timeout, name="null.json")
    found = parse_reply(completed, what="the null model")
    return Reply.model_validate(found).memory
