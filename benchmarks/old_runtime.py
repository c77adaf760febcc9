"""What an old TFLite runtime makes of every operator and scheme: ``benchmarks/old_runtime.py``.

Small files, one an operator (``benchmarks/oldruntime/networks.py``) and scheme (``schemes.py``),
are made with litert-torch and ai-edge-quantizer and run in tflite-runtime 2.14.0, which
`make old-runtime` installs, and in newer runtimes: each file in a process of its own, with the
runtime's default kernels and without XNNPACK. Outputs are held against the float network in
PyTorch. Writes ``benchmarks/results/old-runtime.json``, with what the guard says of each file
(`edgekd.modelfile.oldest`).

``--python NAME=PATH`` adds a runtime: the Python of an environment that holds one. ``--work`` keeps
files and answers, so that a second run makes and runs only what is missing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # run as a file, Python sees this folder only
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.oldruntime.judge import Answer, judged, summary

REPOSITORY = Path(__file__).resolve().parents[1]
RESULT = REPOSITORY / "benchmarks" / "results" / "old-runtime.json"
RUNNER = REPOSITORY / "benchmarks" / "oldruntime" / "forked.py"
OLD, NEW = "old", "new"
FLOAT = "none"


def main(arguments: list[str] | None = None) -> int:
    """Make the files, run them everywhere, write the table. Returns 1 where the guard is wrong."""
    options = _options(arguments)
    pythons = {
        OLD: old_python(),
        NEW: sys.executable,
        **dict(p.split("=", 1) for p in options.python),
    }
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(options.work or temporary)
        work.mkdir(parents=True, exist_ok=True)
        make(work, only=options.case)
        answers = {name: run(work, name, python) for name, python in pythons.items()}
        rows = [judged(path, answers) for path in files(work)]
    table = {
        "machine": f"{os.cpu_count()} {platform.machine()} cores",
        "versions": {name: version(python) for name, python in pythons.items()},
        **summary(rows),
        "files": rows,
    }
    if options.out:
        Path(options.out).write_text(_text(table))
    print(json.dumps({key: table[key] for key in table if key != "files"}, indent=1))
    return 1 if table["guard"]["wrong"] else 0


def _text(table: dict[str, Any]) -> str:
    """Return the table as JSON, one line a file."""
    head = json.dumps({**table, "files": []}, indent=1)
    rows = ",\n  ".join(json.dumps(row) for row in table["files"])
    return head.replace('"files": []', f'"files": [\n  {rows}\n ]') + "\n"


def old_python() -> str:
    """Return the Python that has tflite-runtime 2.14: $EDGEKD_OLD_PYTHON, or that of .venv-old."""
    given = os.environ.get("EDGEKD_OLD_PYTHON")
    return given or str(REPOSITORY / ".venv-old" / "bin" / "python")


def files(work: Path) -> list[Path]:
    """Return all files that were made, in a fixed order."""
    return sorted(work.glob("*/*.tflite"))


def make(work: Path, *, only: list[str] | None = None) -> None:
    """Make the files of all cases and schemes that the folder lacks.

    Args:
        work: the folder; each case gets one in it.
        only: names of cases; None: all.
    """
    from benchmarks.oldruntime.networks import CASES

    for case in CASES:
        folder = work / case.name
        if (only and case.name not in only) or (folder / "done").exists():
            continue
        folder.mkdir(exist_ok=True)
        faults = _make_case(case, folder)
        (folder / "done").write_text(json.dumps(faults))


def _make_case(case: Any, folder: Path) -> dict[str, str]:
    """Make the files of one case; return what could not be made, and why."""
    import litert_torch
    import torch

    from benchmarks.oldruntime.networks import Named
    from benchmarks.oldruntime.schemes import SCHEMES, quantized
    from edgekd.export.seam import held_back

    network, samples = case.network(), case.samples(1)
    with torch.no_grad():
        expected = network(*map(torch.from_numpy, samples.values()))
    np.savez(folder / "in.npz", **{name: _narrow(value) for name, value in samples.items()})
    np.save(folder / "torch.npy", expected.reshape(len(expected), -1).double().numpy())
    example = {name: torch.from_numpy(value[:1]) for name, value in samples.items()}
    with held_back(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = litert_torch.convert(Named(network).eval(), sample_kwargs=example)
    content = bytes(model.model_content())
    (folder / f"{FLOAT}.tflite").write_bytes(content)
    calibration = {name: _narrow(value) for name, value in case.samples(0).items()}
    count = len(next(iter(calibration.values())))
    feeds = [{name: v[i : i + 1] for name, v in calibration.items()} for i in range(count)]
    made, faults = {content}, {}
    for scheme in SCHEMES:
        try:
            with held_back():
                result = quantized(content, scheme, feeds, "serving_default")
        except Exception as error:  # the quantizer's own refusals, of many classes
            faults[scheme] = (str(error).splitlines() or [type(error).__name__])[0][:150]
            continue
        if result not in made:  # schemes that change nothing here, or the same
            made.add(result)
            (folder / f"{scheme.replace(' ', '_')}.tflite").write_bytes(result)
    return faults


def _narrow(values: Any) -> Any:
    return values.astype(np.int32) if values.dtype.kind == "i" else values


def run(work: Path, name: str, python: str) -> dict[Path, Answer]:
    """Run all files that this runtime has not run yet; return how far each came.

    Args:
        work: the folder of the files.
        name: of the runtime.
        python: the Python of its environment.
    """
    store = work / f"{name}.json"
    known = json.loads(store.read_text()) if store.exists() else {}
    missing = [path for path in files(work) if str(path.relative_to(work)) not in known]
    jobs = [
        {"model": str(p), "inputs": str(p.parent / "in.npz"), "outputs": f"{p}.{name}"}
        for p in missing
    ]
    if jobs:
        listing = work / f"{name}.jobs"
        listing.write_text(json.dumps(jobs))
        done = subprocess.run([python, RUNNER, listing], capture_output=True, text=True, check=True)
        states = json.loads(done.stdout.strip().splitlines()[-1])
        known |= {str(p.relative_to(work)): s for p, s in zip(missing, states, strict=True)}
        store.write_text(json.dumps(known))
    return {path: known[str(path.relative_to(work))] for path in files(work)}


def version(python: str) -> str:
    """Return the package and version of the runtime in an environment."""
    code = (
        "from importlib.metadata import version, PackageNotFoundError as E\n"
        "for name in ('ai-edge-litert', 'tflite-runtime'):\n"
        "    try: print(name, version(name)); break\n"
        "    except E: pass"
    )
    return subprocess.run(
        [python, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--case", action="append", metavar="NAME", help="only this case")
    parser.add_argument("--work", help="folder that keeps files and answers")
    parser.add_argument("--out", default=str(RESULT), help='where to write; "" writes nothing')
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
