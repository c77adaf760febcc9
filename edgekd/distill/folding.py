"""Folding BatchNorm into the convolutions of a frozen network."""

from __future__ import annotations

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgekd.errors import ModelError

_PAIRS = (
    (nn.Conv1d, nn.BatchNorm1d),
    (nn.Conv2d, nn.BatchNorm2d),
    (nn.Conv3d, nn.BatchNorm3d),
)


def folded(teacher: nn.Module) -> nn.Module:
    """Return a copy of a network in eval mode with BatchNorm folded into convolutions.

    A BatchNorm is folded where it is all that follows a convolution. The copy computes the same
    function but for rounding; the network itself stays as it is.

    Raises:
        ModelError: the forward pass cannot be traced.
    """
    try:
        traced = fx.symbolic_trace(teacher)
    except Exception as error:  # tracing runs the user's code on stand-ins: anything may happen
        raise ModelError(
            f"the teacher cannot be folded: {type(error).__name__}: {error}",
            hint="Its forward pass cannot be traced by torch.fx: leave teacher.fold off.",
        ) from error
    modules = dict(traced.named_modules())
    for node in list(traced.graph.nodes):
        pair = _foldable(node, modules)
        if pair is None:
            continue
        convolution, norm = pair
        before = node.args[0]
        fused = fuse_conv_bn_eval(convolution, norm)
        parent, _, name = str(before.target).rpartition(".")
        setattr(traced.get_submodule(parent), name, fused)
        modules[str(before.target)] = fused
        node.replace_all_uses_with(before)
        traced.graph.erase_node(node)
    traced.recompile()
    return traced.eval()


def _foldable(
    node: fx.Node, modules: dict[str, nn.Module]
) -> tuple[nn.Conv2d, nn.BatchNorm2d] | None:
    """Return the convolution and the BatchNorm that follows it alone, if ``node`` is such a one."""
    before = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(before, fx.Node):
        return None
    if before.op != "call_module" or len(before.users) > 1:
        return None
    convolution, norm = modules.get(str(before.target)), modules.get(str(node.target))
    for kind, after in _PAIRS:
        if type(convolution) is kind and type(norm) is after and norm.track_running_stats:
            return convolution, norm  # type: ignore[return-value]
    return None
