"""Whether this process follows another one; known from the environment alone."""

from __future__ import annotations

import os


def follows() -> bool:
    """Say whether this process was started to follow another, before Fabric knows its rank.

    Lightning Fabric and torchrun both number the processes in the environment.
    """
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"
    return int(rank) > 0
