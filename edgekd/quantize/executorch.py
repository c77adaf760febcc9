"""Networks quantized for ExecuTorch's XNNPACK kernels, in PyTorch, by torchao's PT2E.

Other formats are quantized as files. ExecuTorch's are quantized before they are one: observers are
put into the exported graph, samples run through it, and pairs of quantize and dequantize operators
take the observers' place. The delegate then turns ``dequantize, operator, quantize`` into one
kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from numpy.typing import NDArray
from torch import Tensor, fx
from torchao.quantization.pt2e.observer import UniformQuantizationObserverBase
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from edgekd.errors import ExportError
from edgekd.quantize.calibration import CalibrationPlan
from edgekd.quantize.ranges import Extent, chosen, extent_for

_QUANTIZE = torch.ops.quantized_decomposed.quantize_per_tensor.default
_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default

#: The smallest scale: XNNPACK's kernels multiply by ratios of scales, which must stay in range.
_SMALLEST_SCALE = 2**-12


class RangeObserver(UniformQuantizationObserverBase):  # type: ignore[misc]
    """Looks at an activation, and sets its range as all formats do; see `edgekd.quantize.ranges`.

    Args:
        plan: the method.
        options: of torchao's observers: type, smallest and largest integer, smallest scale.
    """

    def __init__(self, *, plan: CalibrationPlan, **options: Any) -> None:
        """Start without any value."""
        super().__init__(**options)
        self.plan = plan
        self.extent = extent_for(plan)

    def forward(self, values: Tensor) -> Tensor:
        """Look at values of any shape, and pass them on.

        Raises:
            FloatingPointError: one is NaN.
        """
        self.extent.add(values.detach().numpy())
        return values

    def keep_whole(self) -> None:
        """Take the smallest and largest value whatever the method; learned ranges still count."""
        self.extent = Extent()

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Return scale and zero point."""
        low, high = (torch.tensor(one) for one in chosen(self.extent, self.plan))
        found: tuple[Tensor, Tensor] = self._calculate_qparams(low, high)
        return found


def quantize(
    module: fx.GraphModule,
    feeds: Iterable[Mapping[str, NDArray[Any]]],
    *,
    method: CalibrationPlan,
    keep_float: Sequence[str] = (),
    prefix: str = "",
) -> fx.GraphModule:
    """Return a quantized copy of an exported graph: int8 weights, one scale a channel.

    Args:
        module: of ``torch.export.export(...).module()``.
        feeds: one batch each, by the names of the inputs, in their order.
        method: how the ranges of activations are set of them.
        keep_float: patterns of the layers that are not quantized, e.g. ``head.*``.
        prefix: what stands before the names of the network's own layers in the graph.

    Raises:
        ExportError: a pattern fits no layer, or an activation is not finite.
    """
    quantizer = XNNPACKQuantizer().set_global(_config(method))
    if keep_float:
        _check_patterns(module, keep_float, prefix)
        quantizer.set_filter_function(lambda node: not _fits(node, keep_float, prefix))
    observed = prepare_pt2e(module, quantizer)
    _keep_outputs_whole(observed)
    with torch.no_grad():
        for feed in feeds:
            _observe(observed, [torch.from_numpy(np.ascontiguousarray(a)) for a in feed.values()])
    converted: fx.GraphModule = convert_pt2e(observed)
    return converted


def _config(plan: CalibrationPlan) -> Any:
    """Return XNNPACK's configuration, its activations observed as the plan says."""
    config = get_symmetric_quantization_config(is_per_channel=True)
    observer = RangeObserver.with_args(plan=plan, eps=_SMALLEST_SCALE)
    spec = replace(config.input_activation, observer_or_fake_quant_ctr=observer)
    return replace(config, input_activation=spec, output_activation=spec)


def _keep_outputs_whole(observed: fx.GraphModule) -> None:
    """Let what the network gives keep its range: classes cut off at one value would be alike."""
    (output,) = (node for node in observed.graph.nodes if node.op == "output")
    for node in output.all_input_nodes:
        observer = observed.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(observer, RangeObserver):
            observer.keep_whole()


def _observe(observed: fx.GraphModule, inputs: Sequence[Tensor]) -> None:
    overflow = ExportError(
        "calibration: an activation becomes NaN or infinite",
        hint="The network overflows on the calibration samples; int8 cannot hold it.",
    )
    try:
        outputs = observed(*inputs)
    except FloatingPointError:
        raise overflow from None
    if not all(torch.isfinite(one).all() for one in outputs if one.is_floating_point()):
        raise overflow


def _layers(node: fx.Node, prefix: str) -> list[str]:
    """Return the names of the network's layers that a node stands in, from the outside in."""
    paths = [str(path) for path, _ in node.meta.get("nn_module_stack", {}).values()]
    return [path.removeprefix(prefix) for path in paths if path.startswith(prefix) and path]


def _fits(node: fx.Node, patterns: Sequence[str], prefix: str) -> bool:
    return any(fnmatchcase(name, one) for name in _layers(node, prefix) for one in patterns)


def _check_patterns(module: fx.GraphModule, patterns: Sequence[str], prefix: str) -> None:
    names = {name for node in module.graph.nodes for name in _layers(node, prefix)}
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ExportError(
                f"--keep-float {pattern}: the network has no such layer",
                hint=f"It has: {', '.join(sorted(names)[:20])}",
            )


def take_integers(module: fx.GraphModule, names: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Let a quantized graph take its float inputs as int8, in place.

    Args:
        module: of `quantize`.
        names: of the inputs, in their order.

    Returns:
        Scale and zero point of every input that was float.

    Raises:
        ExportError: the first operator of an input computes in float32.
    """
    found = {}
    inputs = [node for node in module.graph.nodes if node.op == "placeholder"]
    for name, node in zip(names, inputs, strict=True):
        if not node.meta["val"].dtype.is_floating_point:
            continue
        users = list(node.users)
        codings = {user.args[1:] for user in users}
        if len(codings) != 1 or any(user.target != _QUANTIZE for user in users):
            float_user = next((u for u in users if u.target != _QUANTIZE), users[0])
            raise ExportError(
                f"input {name!r} cannot be int8: {float_user.name} computes it in float32",
                hint="Leave out --io: the file then takes float32 and quantizes it itself.",
            )
        found[name] = _coding(users[0])
        for user in users:
            user.replace_all_uses_with(node)
            module.graph.erase_node(user)
        node.meta["val"] = node.meta["val"].to(torch.int8)
    module.recompile()
    return found


def give_integers(module: fx.GraphModule, names: Sequence[str]) -> dict[str, tuple[float, int]]:
    """Let a quantized graph give its float outputs as int8, in place.

    Args:
        module: of `quantize`; returns a tuple.
        names: of the outputs, in their order.

    Returns:
        Scale and zero point of every output that was float.

    Raises:
        ExportError: the last operator of an output computes in float32.
    """
    found = {}
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    given = list(output.args[0])
    for place, (name, node) in enumerate(zip(names, given, strict=True)):
        tensor = node.meta.get("val")  # the operators put in by PT2E have none
        if tensor is not None and not tensor.dtype.is_floating_point:
            continue
        if node.target != _DEQUANTIZE:
            raise ExportError(
                f"output {name!r} cannot be int8: {node.name} computes it in float32",
                hint="Leave out --io: the file then gives float32.",
            )
        found[name] = _coding(node)
        given[place] = node.args[0]
    output.args = (tuple(given),)
    module.graph.eliminate_dead_code()
    module.recompile()
    return found


def _coding(node: fx.Node) -> tuple[float, int]:
    """Return scale and zero point of a quantize or dequantize operator."""
    return float(node.args[1]), int(node.args[2])  # type: ignore[arg-type]
