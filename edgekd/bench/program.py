"""A program of edgekd's own, run on a device with a request."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from edgekd.transports.base import Completed, Transport


def run_program(
    transport: Transport,
    program: ModuleType,
    request: Mapping[str, Any],
    *,
    timeout: float,
    name: str = "request.json",
) -> Completed:
    """Bring a program and its request to a device, and run it there.

    Args:
        transport: the way there.
        program: a module that is one file, such as `edgekd.bench.agent`.
        request: what it reads, as JSON.
        timeout: seconds after which it is killed.
        name: of the file that the request is written to.

    Raises:
        TransportError: the device could not be reached.
    """
    with tempfile.TemporaryDirectory(prefix="edgekd-") as folder:
        path = Path(folder) / name
        path.write_text(json.dumps(request))
        argv = [transport.python, transport.put(Path(str(program.__file__))), transport.put(path)]
        return transport.run(argv, timeout=timeout)
