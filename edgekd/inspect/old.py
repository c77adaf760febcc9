"""The oldest runtime that runs a file, as a record."""

from __future__ import annotations

from collections import Counter

from edgekd.modelfile.graph import Graph
from edgekd.modelfile.oldest import Finding, oldest
from edgekd.records_modelfile import OldestRuntime


def oldest_runtime(graph: Graph) -> OldestRuntime:
    """Return the oldest runtime that runs a file right, and what older ones would do with it."""
    found = oldest(graph)
    return OldestRuntime(
        runtime=found.runtime,
        version=found.version,
        loads=found.loads,
        findings=_sentences(found.findings),
    )


def _sentences(findings: tuple[Finding, ...]) -> tuple[str, ...]:
    """Say each fault once, with how many operators have it."""
    alike = Counter((one.kind, one.name, one.what, one.advice) for one in findings)
    return tuple(
        f"{count} {name}: {what}; tflite-runtime 2.14 "
        f"{'computes garbage' if kind == 'garbage' else 'refuses it'}: {advice}"
        for (kind, name, what, advice), count in alike.most_common()
    )
