"""Whether what a runtime computed is right, and whether the guard knew."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.modelfile.oldest import guard, oldest

#: How far a runtime came with a file, by kernels: {"default": {"state": ..., "error": ...}, ...}.
Answer = dict[str, dict[str, str]]

#: An output is wrong when it is so much worse, in dB, than the best that any runtime computes; no
#: runtime is that much better by rounding alone. Above ENOUGH nothing is wrong. Below LEAST, where
#: quantization to 4 bits gives 10 and more, nothing is right.
WORSE, ENOUGH, LEAST = 6.0, 60.0, 6.0
#: What stands for an exact answer, and for one that is not finite or of another size.
EXACT, BROKEN = 200.0, -200.0


def decibels(expected: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    """Return the signal-to-noise ratio in dB, between ``BROKEN`` and ``EXACT``."""
    if expected.shape != found.shape or not np.isfinite(found).all():
        return BROKEN
    with np.errstate(over="ignore"):
        noise, signal = float(((found - expected) ** 2).sum()), float((expected**2).sum())
    if noise == 0:
        return EXACT
    if not np.isfinite(noise) or signal == 0:
        return BROKEN
    return float(np.clip(10 * np.log10(signal / noise), BROKEN, EXACT))


def judged(path: Path, answers: dict[str, dict[Path, Answer]]) -> dict[str, Any]:
    """Return one row of the table.

    Args:
        path: the file; outputs of runtimes lie beside it.
        answers: by runtime and file.
    """
    expected = np.load(path.parent / "torch.npy")
    ratios: dict[str, dict[str, float | None]] = {}
    for name, known in answers.items():
        ratios[name] = {}
        for kernels, answer in known[path].items():
            output = Path(f"{path}.{name}.{kernels}.npy")
            ran = answer["state"] == "right"
            ratios[name][kernels] = decibels(expected, np.load(output)) if ran else None
    best = max((r for by in ratios.values() for r in by.values() if r is not None), default=BROKEN)
    content = path.read_bytes()
    findings, found = guard(content), oldest(content)
    verdicts = {
        name: _worst([_verdict(answers[name][path][k], by[k], best) for k in by])
        for name, by in ratios.items()
    }
    return {
        "operator": path.parent.name,
        "scheme": path.stem.replace("_", " "),
        "verdicts": verdicts,
        "snr_db": {name: _lowest(by) for name, by in ratios.items()},
        "error": next((a["error"][:120] for a in answers["old"][path].values() if a["error"]), ""),
        "guard": sorted({finding.kind for finding in findings}),
        "oldest": f"{found.runtime} {found.version}" if found.version else None,
        "loads": found.loads,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return counts of verdicts by runtime, and where the guard was wrong."""
    names = rows[0]["verdicts"] if rows else ()
    wrong = [
        f"{row['operator']}, {row['scheme']}"
        for row in rows
        if (row["verdicts"]["old"] == "right") != (not row["guard"])
    ]
    return {
        "verdicts": {n: dict(Counter(row["verdicts"][n] for row in rows)) for n in names},
        "guard": {"files": len(rows), "wrong": wrong},
    }


def _verdict(answer: dict[str, str], ratio: float | None, best: float) -> str:
    if ratio is None:
        return {"load": "does not load", "invoke": "does not run", "killed": "dies"}[
            answer["state"]
        ]
    wrong = ratio < LEAST or (ratio < ENOUGH and ratio < best - WORSE)
    return "garbage" if wrong else "right"


def _worst(verdicts: list[str]) -> str:
    order = ("garbage", "dies", "does not run", "does not load", "right")
    return min(verdicts, key=order.index)


def _lowest(ratios: dict[str, float | None]) -> float | None:
    """Return the lower ratio of both kinds of kernels; None where one of them did not run."""
    known = [ratio for ratio in ratios.values() if ratio is not None]
    return round(min(known), 1) if len(known) == len(ratios) else None
