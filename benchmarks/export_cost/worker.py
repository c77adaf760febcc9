"""One export in a process of its own: ``python -m benchmarks.export_cost.worker WHO NETWORK ...``.

Prints one line of JSON: seconds with and without imports, peak memory (VmHWM, not ``ru_maxrss``,
which a child inherits from its parent), and the size of the file.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()


def edgekd(network: Any, samples: Any, target: str, scheme: str, folder: Path) -> Path:
    """Export as a user would: half of the samples calibrate, the others prove."""
    import edgekd

    artifact = edgekd.export(
        network,
        target=target,
        quantize=scheme,
        samples={"input": samples},
        out=folder / "artifact",
        held_out=len(samples) // 2,
    )
    return artifact.path


def bare(network: Any, samples: Any, target: str, scheme: str, folder: Path) -> Path:
    """Call the vendors' own tools, the quantizer on as many samples; nothing is proved."""
    half = samples[: len(samples) // 2]
    return (_onnx if target == "onnx" else _tflite)(network, half, scheme, folder)


def _onnx(network: Any, samples: Any, scheme: str, folder: Path) -> Path:
    import torch

    path = folder / "model.onnx"
    torch.onnx.export(
        network,
        (torch.from_numpy(samples[:2]),),
        path,
        dynamo=True,
        input_names=["input"],
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        external_data=False,
        verbose=False,
    )
    if scheme == "none":
        return path
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter([samples[i : i + 32] for i in range(0, len(samples), 32)])

        def get_next(self) -> Any:
            batch = next(self.batches, None)
            return None if batch is None else {"input": batch}

    ready, small = folder / "ready.onnx", folder / "int8.onnx"
    quant_pre_process(path, ready, skip_symbolic_shape=True)
    quantize_static(
        ready,
        small,
        Reader(),
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    return small


def _tflite(network: Any, samples: Any, scheme: str, folder: Path) -> Path:
    import litert_torch
    import torch

    path = folder / "model.tflite"
    model = litert_torch.convert(network, (torch.from_numpy(samples[:1]),))
    model.export(str(path))
    if scheme == "none":
        return path
    from ai_edge_quantizer import quantizer, recipe

    small = folder / "int8.tflite"
    tool = quantizer.Quantizer(str(path), recipe.static_wi8_ai8())
    feeds = [{"args_0": sample[None]} for sample in samples]
    ranges = tool.calibrate({"serving_default": feeds})
    small.write_bytes(bytes(tool.quantize(ranges).quantized_model))
    return small


_IMPORTS = {
    "onnx": ("onnx", "onnxscript", "torch.onnx"),
    "tflite": ("litert_torch",),
}


def main() -> None:
    """Run one, quietly, and report."""
    who, name, target, scheme = sys.argv[1:]
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    run: Callable[..., Path] = {"edgekd": edgekd, "bare": bare}[who]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        import importlib

        import torch

        from benchmarks.export_cost.networks import make

        torch.set_num_threads(1)
        network, samples = make(name)
        for module in _IMPORTS[target]:
            importlib.import_module(module)
        imported = time.perf_counter()
        path = run(network, samples, target, scheme, Path(folder))
        done = time.perf_counter()
        size = path.stat().st_size
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    print(json.dumps({
        "with_imports": done - STARTED,
        "without_imports": done - imported,
        "peak_kb": int(peak[1]) if peak else None,
        "bytes": size,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
