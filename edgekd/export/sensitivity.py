"""What each layer costs when it is quantized, and which ones to keep in float.

Every layer is quantized alone, with all others in float: its cost is then its own. (Quantizing
all but one would measure what keeping it gains, and shows nothing where two layers are at fault
and either is enough to spoil the file.) The proposal takes layers in the order of their cost until
the file passes, gives back whatever it passes without, and is then exported and proved like any
other file.
"""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgekd import provenance
from edgekd.errors import EdgekdError, ExportError, ParityError
from edgekd.export import TARGETS
from edgekd.export.exporter import Exporter
from edgekd.export.finding import find
from edgekd.export.making import Task, ready
from edgekd.export.parity import BATCH, Comparison, HeldOut, Limits, judge
from edgekd.export.plan import Plan, make_plan
from edgekd.export.ports import INPUT, Port
from edgekd.export.prepare import Prepared, count
from edgekd.export.samples import Samples
from edgekd.export.source import Source, Wanted
from edgekd.export.stage import export
from edgekd.export.surface import Surface
from edgekd.export.trials import Trials, trials
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.recipe import Recipe
from edgekd.records import Parity
from edgekd.records_quantize import LayerCost, Sensitivity
from edgekd.rundir import Run, write_record
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode

#: What `edgekd.export.plan.make_plan` is told where the caller says nothing.
_DEFAULTS: dict[str, Any] = {
    "profile": "cpu",
    "io": None,
    "layout": None,
    "batch": None,
    "free_axis": None,
    "embed_preprocess": False,
}


def sensitivity(
    source: str | Path | Run | nn.Module | None = None,
    *,
    target: str,
    quantize: str = "int8",
    calibration: CalibrationPlan | None = None,
    tolerance: float = 1e-4,
    max_drop: float = 1.0,
    recipe: Recipe | None = None,
    input_shape: tuple[int, ...] | None = None,
    inputs: Sequence[Port] = (),
    samples: Mapping[str, NDArray[Any]] | str | Path | None = None,
    seed: int = 0,
    held_out: int = 256,
    out: Path | None = None,
    **options: Any,
) -> Sensitivity:
    """Measure what quantizing each layer costs, and propose which to keep in float.

    Args:
        source: see `edgekd.export.stage.export`, as are the other arguments.
        target: ``tflite`` or ``onnx``.
        quantize: the scheme.
        calibration: how the ranges of activations are set.
        tolerance: of float files.
        max_drop: the budget: the largest loss of accuracy, in percentage points.
        recipe: gives data, and the architecture of a checkpoint.
        input_shape: the shape of one sample, channels first, where no recipe gives it.
        inputs: likewise, of several inputs or of integers.
        samples: samples of the inputs, where no recipe gives data.
        seed: decides which samples are used.
        held_out: the most samples to measure on.
        out: where the record goes; by default ``NAME.sensitivity.json`` among the artifacts.
        options: ``profile``, ``io``, ``layout``, ``batch``, ``free_axis`` and
            ``embed_preprocess``, of the file that is proposed.

    Raises:
        ExportError: the scheme loses nothing, or the network cannot be converted.
        EdgekdError: the source cannot be found, built or trusted.
    """
    if options.pop("keep_float", ()):
        raise ExportError("--sensitivity proposes what --keep-float is to be: leave that out")
    ports = (Port(INPUT, input_shape),) if input_shape is not None else tuple(inputs)
    own = None if samples is None else Samples.of(samples)
    plan = make_plan(
        target,
        quantize=quantize,
        keep_float=(),
        calibration=calibration or CalibrationPlan(),
        **{**_DEFAULTS, **options},
    )
    if not plan.scheme.lossy:
        raise ExportError("--sensitivity measures what is quantized: give --quantize too")
    TARGETS.resolve(target)().require(plan)
    found = find(source, Wanted(recipe, ports, own, seed))
    result = _measured(found, plan, Limits(tolerance, max_drop), seed, held_out)
    if result.keep_float:
        verified = _verified(
            source,
            target=target,
            quantize=plan.scheme.name,
            calibration=calibration,
            keep_float=result.keep_float,
            tolerance=tolerance,
            max_drop=max_drop,
            recipe=recipe,
            input_shape=input_shape,
            inputs=inputs,
            samples=samples,
            seed=seed,
            held_out=held_out,
            **options,
        )
        where = str(source) if isinstance(source, str | Path) else None
        command = _command(where, plan, result.keep_float)
        result = result.model_copy(update={"verified": verified, "command": command})
    place = out or found.home / f"{plan.name}.sensitivity.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    write_record(place, result)
    return result


def _measured(source: Source, plan: Plan, limits: Limits, seed: int, held_out: int) -> Sensitivity:
    """Quantize and run, over and over."""
    exporter: Exporter = TARGETS.resolve(plan.target)()
    found = ready(Task(source, plan, exporter, plan.name, limits, held_out, seed))
    plan, shown = found.plan, found.surface
    with tempfile.TemporaryDirectory(prefix="edgekd-sensitivity-") as name:
        folder = Path(name)
        with trials(shown, plan, found.ranges, folder) as made:
            bench = _Bench(
                made, exporter.runtime, shown, found.prepared, found.held_out, plan, limits, folder
            )
            whole = bench.measure(())
            layers = _costs(bench)
            keep, proposal = _propose(bench, whole, [one.layer for one in layers])
    return Sensitivity(
        name=plan.name,
        target=plan.target,
        quantize=plan.scheme.name,
        max_drop=limits.max_drop,
        whole=whole,
        layers=layers,
        keep_float=keep,
        proposal=proposal,
        calibration=found.record,
        parents=source.parents,
        provenance=provenance.collect(seed=seed),
    )


@dataclass(frozen=True, eq=False)
class _Bench:
    """Makes and measures files that differ in what they keep in float."""

    trials: Trials
    runtime: str
    surface: Surface
    prepared: Prepared
    held_out: HeldOut
    plan: Plan
    limits: Limits
    folder: Path

    def measure(self, keep: Collection[str | None]) -> Parity:
        """Return how a file that keeps these layers in float compares with the network."""
        path = self.folder / f"trial.{self.plan.target}"
        self.trials.write(keep, path)
        session = RUNTIMES.resolve(self.runtime)(path)
        layouts = self.surface.layouts
        specs = [s.model_copy(update={"layout": layouts.get(s.name)}) for s in session.inputs]
        gives = [s.model_copy(update={"layout": layouts.get(s.name)}) for s in session.outputs]
        parts: list[dict[str, NDArray[np.float32]]] = []
        total, size = count(self.held_out.inputs), self.surface.batch or BATCH
        for start in range(0, total, size):
            kept = min(size, total - start)
            rows = start + np.arange(kept)
            rows = rows if self.surface.batch is None else np.resize(rows, size)
            raw = session.run([encode(self.held_out.inputs[s.name][rows], s) for s in specs])
            parts.append({s.name: decode(a, s)[:kept] for s, a in zip(gives, raw, strict=True)})
        outputs = [np.concatenate([one[name] for one in parts]) for name in self.prepared.outputs]
        return judge(
            [Comparison(self.prepared.predict(self.held_out.inputs), outputs, size)],
            self.held_out,
            names=self.prepared.outputs,
            scheme=self.plan.scheme,
            limits=self.limits,
            runtime=session.runtime,
        )


def _costs(bench: _Bench) -> tuple[LayerCost, ...]:
    """Quantize every layer alone; the dearest come first."""
    operators = bench.trials.operators
    found = []
    for layer, size in operators.items():
        one = bench.measure({None, *operators} - {layer})
        before, after = one.accuracy_model, one.accuracy_file
        drop = None if before is None or after is None else round(100 * (before - after), 6)
        found.append(
            LayerCost(layer=layer, operators=size, accuracy=after, drop=drop, snr_db=one.snr_db)
        )
    # Of two layers that lose as many samples, or none, the noisier one is the dearer.
    return tuple(
        sorted(found, key=lambda c: (-(c.drop or 0.0), np.inf if c.snr_db is None else c.snr_db))
    )


def _propose(
    bench: _Bench, whole: Parity, order: Sequence[str]
) -> tuple[tuple[str, ...] | None, Parity | None]:
    """Return the layers to keep in float, and how the file then does; None: no set passes."""
    if whole.passed:
        return (), whole
    kept: list[str] = []
    found: Parity | None = None
    for layer in order:
        kept.append(layer)
        found = bench.measure(kept)
        if found.passed:
            break
    else:
        return None, None
    for layer in list(kept[:-1]):
        rest = [one for one in kept if one != layer]
        without = bench.measure(rest)
        if without.passed:
            kept, found = rest, without
    return tuple(kept), found


def _verified(source: Any, **arguments: Any) -> Parity | None:
    """Export with the proposal, as a user would; None: the proof did not hold."""
    with tempfile.TemporaryDirectory(prefix="edgekd-sensitivity-") as folder:
        try:
            return export(source, out=Path(folder) / "verified", **arguments).manifest.parity
        except ParityError:
            return None
        except EdgekdError as error:
            raise ExportError(
                f"the proposal could not be exported: {error.message}", hint=error.hint
            ) from error


def _command(source: str | None, plan: Plan, keep: Sequence[str]) -> str:
    """Return the line to type."""
    words = ["edgekd", "export", *([source] if source else [])]
    words += ["--target", plan.target, "--quantize", plan.scheme.name]
    words += [] if plan.profile.name == "cpu" else ["--profile", plan.profile.name]
    words += ["--io", plan.io] if plan.io not in (None, plan.profile.io) else []
    words += ["--layout", plan.layout] if plan.layout else []
    words += ["--batch", str(plan.batch or "dynamic")] if plan.batch is not None else []
    words += ["--free-axis", str(plan.free_axis)] if plan.free_axis is not None else []
    words += ["--embed-preprocess"] if plan.embed_preprocess else []
    if not plan.calibration.is_default:
        words += ["--calibration", plan.calibration.method]
    if plan.calibration.method == "percentile":
        words += ["--percentile", f"{plan.calibration.percentile:g}"]
    words += [word for layer in keep for word in ("--keep-float", layer)]
    return shlex.join(str(word) for word in words)
