"""How far a batch is from what a network's BatchNorm layers remember of its training data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgekd.errors import ModelError


class BatchNormDistance:
    r"""The distance of a batch from the statistics that BatchNorm layers keep.

    :math:`\sum_l \lVert \mu_l(x) - \hat\mu_l \rVert_2 + \lVert \sigma^2_l(x) - \hat\sigma^2_l
    \rVert_2`, DeepInversion, Yin et al. 2020, https://arxiv.org/abs/1912.08795, Eq. 4.

    Args:
        network: frozen, in eval mode.

    Raises:
        ModelError: it has no BatchNorm layer that keeps statistics.
    """

    def __init__(self, network: nn.Module) -> None:
        """Find the layers."""
        self.layers = [
            module
            for module in network.modules()
            if isinstance(module, _BatchNorm) and module.running_mean is not None
        ]
        if not self.layers:
            raise ModelError(
                "the teacher has no BatchNorm layer to remember its training data by",
                hint='Use synthesis.method = "generator" with batchnorm = 0.0.',
            )
        self._found: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[BatchNormDistance]:
        """Put hooks on, and take them off whatever happens."""
        handles = [layer.register_forward_pre_hook(self._look) for layer in self.layers]
        try:
            yield self
        finally:
            for handle in handles:
                handle.remove()
            self._found.clear()

    def _look(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen = inputs[0].transpose(0, 1).flatten(1)
        mean = seen.mean(dim=1) - layer.get_buffer("running_mean")
        variance = seen.var(dim=1, correction=0) - layer.get_buffer("running_var")
        self._found.append(mean.norm() + variance.norm())

    def take(self) -> Tensor:
        """Return the distance of the last forward pass, a scalar, and forget it."""
        total = torch.stack(self._found).sum()
        self._found.clear()
        return total
