"""Run the matrix and write ``benchmarks/results/export-matrix.json`` and the page of it.

``python -m benchmarks.export_matrix [--only BERT,ViT] [--out FILE] [--weights FOLDER]``; rows of
networks that are not named stay as they are in the file. Real data: EDGEKD_DATA.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import sys
import tempfile
import time
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

import edgekd
from benchmarks.export_matrix.cases import CASES, Case
from benchmarks.export_matrix.latency import RUNS, medians
from benchmarks.export_matrix.page import PAGE, RESULT, render
from benchmarks.export_matrix.samples import Arrays, Missing
from edgekd.errors import EdgekdError, ParityError
from edgekd.modelfile.oldest import oldest
from edgekd.records import ArtifactManifest

_PACKAGES = ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert", "onnx", "onnxruntime")
_DIGITS = 4


def main() -> int:
    """Run what was asked for; 1 where a file did not pass."""
    arguments = _arguments()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    wanted = arguments.only.split(",") if arguments.only else [case.name for case in CASES]
    passed = True
    for case in CASES:
        if case.name not in wanted:
            continue
        try:
            rows = run(case, arguments.weights)
        except Missing as error:
            print(f"{case.name}: skipped, {error}", flush=True)
            continue
        for row in rows:
            print(json.dumps(row), flush=True)
        passed = passed and all(row["passed"] for row in rows)
        _store(rows, arguments.out)
    if arguments.out == RESULT:
        PAGE.write_text(render(json.loads(RESULT.read_text("utf-8"))), encoding="utf-8")
    return 0 if passed else 1


def run(case: Case, weights: Path | None = None) -> list[dict[str, Any]]:
    """Return one row a file.

    Args:
        case: the network.
        weights: a folder that keeps trained networks from run to run.

    Raises:
        Missing: its data are not here.
    """
    network, judged = _network(case, weights)
    rows, files = [], {}
    with tempfile.TemporaryDirectory(prefix="edgekd-matrix-") as folder:
        for target, schemes in case.schemes.items():
            for scheme in schemes:
                place = Path(folder) / f"{target}-{scheme}"
                row = _exported(case, network, judged, target, scheme, place)
                rows.append(row)
                made = next((p for p in (place, place.with_name(f"{place.name}.failed"))
                             if p.is_dir()), None)  # fmt: skip
                if made is not None:
                    manifest = ArtifactManifest.model_validate_json(
                        (made / "manifest.json").read_text("utf-8")
                    )
                    layouts = {spec.name: spec.layout for spec in manifest.inputs}
                    files[f"{target}-{scheme}"] = (target, made / manifest.file, layouts)
        times = medians(files, {n: a for n, a in judged.items() if n != "targets"})
    for row in rows:
        scheme = row["quantize"]
        mine = times.get(f"{row['target']}-{scheme}")
        siblings = {
            "of_float": None if scheme == "none" else times.get(f"{row['target']}-none"),
            "of_onnx": None if row["target"] == "onnx" else times.get(f"onnx-{scheme}"),
        }
        for key, other in siblings.items():
            row[key] = _rounded(mine / other) if mine and other else None
    return rows


def _network(case: Case, weights: Path | None) -> tuple[nn.Module, Arrays]:
    kept = None if weights is None else weights / f"{case.name.replace(' ', '_')}.pt"
    if kept is not None and kept.is_file():
        network, (_, judged) = case.network(), case.data()
        network.load_state_dict(torch.load(kept, weights_only=True))
        return network.eval(), judged
    network, judged = case.trained()
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), kept)
    return network, judged


def _exported(
    case: Case, network: nn.Module, judged: Arrays, target: str, scheme: str, place: Path
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "network": case.name,
        "parameters": sum(one.numel() for one in network.parameters()),
        "target": target,
        "quantize": scheme,
    }
    free = {"free_axis": case.free_axis} if case.free_axis and target == "onnx" else {}
    if scheme == "int8":
        free = {}
    started = time.perf_counter()
    try:
        edgekd.export(network, target=target, quantize=scheme, samples=judged, out=place, **free)
    except ParityError:
        place = place.with_name(f"{place.name}.failed")
    except EdgekdError as error:
        return {**row, "passed": False, "message": error.message}
    row["seconds"] = _rounded(time.perf_counter() - started)
    manifest = ArtifactManifest.model_validate_json((place / "manifest.json").read_text("utf-8"))
    parity = manifest.parity
    row |= {
        "passed": parity.passed,
        "message": parity.message,
        "samples": parity.samples,
        "max_abs_error": _rounded(parity.max_abs_error),
        "max_rel_error": _rounded(parity.max_rel_error),
        "snr_db": _rounded(parity.snr_db),
        "agreement": _rounded(parity.agreement),
        "accuracy_model": _rounded(parity.accuracy_model),
        "accuracy_file": _rounded(parity.accuracy_file),
        "bytes": manifest.files[manifest.file].size_bytes,
        "runtime": parity.runtime,
        "oldest": _oldest(place / manifest.file),
    }
    return row


def _oldest(path: Path) -> str | None:
    """Return the oldest runtime that computes the file correctly, as far as is known."""
    found = oldest(path.read_bytes())
    return None if found.version is None else f"{found.runtime} {found.version}"


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")


def _store(rows: list[dict[str, Any]], out: Path) -> None:
    """Put rows into the file, in the matrix's order; those of other networks stay."""
    before = json.loads(out.read_text("utf-8"))["rows"] if out.is_file() else []
    mine = {row["network"] for row in rows}
    merged = [*(row for row in before if row["network"] not in mine), *rows]
    order = [case.name for case in CASES]
    merged.sort(key=lambda row: order.index(row["network"]))
    result = {
        "what": "python -m benchmarks.export_matrix",
        "machine": f"2 {platform.machine()} cores, one thread",
        "runs": RUNS,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "rows": merged,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="names, separated by commas")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--weights", type=Path, help="keeps trained networks from run to run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
