"""What a run trained with fake quantization, taken for its int8 files."""

from __future__ import annotations

from dataclasses import replace

import torch

from edgekd.export.plan import Plan
from edgekd.export.ports import INPUT
from edgekd.export.source import Source
from edgekd.quantize.fake.learned import learned_ranges
from edgekd.quantize.fake.restore import load_quantized
from edgekd.quantize.schemes import INT8
from edgekd.rundir import file_record

_BATCH = 64


def trained_for_int8(source: Source, plan: Plan, seed: int) -> tuple[Source, Plan]:
    """Return a student as it learned on with fake quantization, and its ranges in the plan.

    Whatever else is asked for (another scheme, an exit, a network that nobody trained so) comes
    back as it is.

    Args:
        source: what is to be exported.
        plan: how.
        seed: decides which calibration samples are used.

    Raises:
        ModelError, ModelFileError: the weights are damaged or another network's.
        DataError: the calibration split is empty.
    """
    run = source.run
    if run is None or plan.scheme != INT8 or source.exit is not None or source.segment:
        return source, plan
    spec = run.recipe.quantize
    if spec is None or not spec.qat or not run.qat_path.is_file():
        return source, plan
    network = load_quantized(source.model, run.qat_path, spec, source.input_shape)
    samples, _ = source.calibration(plan.calibration, seed)
    inputs = torch.from_numpy(samples[INPUT])
    batches = (inputs[start : start + _BATCH] for start in range(0, len(inputs), _BATCH))
    calibration = replace(plan.calibration, learned=learned_ranges(network, batches))
    record = file_record(run.qat_path)
    found = replace(
        source,
        model=network.network,
        # What was given up for 8 bits shows against the student that gave up nothing.
        reference=source.model,
        weights=record,
        parents={**source.parents, "student-qat": record.sha256},
    )
    return found, replace(plan, calibration=calibration)
