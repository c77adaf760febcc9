"""Samples optimised from noise: DeepInversion."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.distill.synthesis.statistics import BatchNormDistance
from edgekd.recipe import SynthesisSpec


def invert(
    teacher: nn.Module, sample_shape: tuple[int, ...], classes: int, spec: SynthesisSpec, seed: int
) -> tuple[Tensor, Tensor]:
    r"""Return a batch of samples that the teacher takes for its training data.

    Minimises over the inputs :math:`x`, from noise, for classes :math:`y` in turn

    .. math:: \mathrm{CE}(T(x), y) + \alpha_f R_{BN}(x) + \alpha_{tv} R_{TV}(x)
        + \alpha_2 \lVert x \rVert_2^2 / n

    with Adam, each batch rolled by a few pixels a step where samples are images (Yin et al. 2020,
    https://arxiv.org/abs/1912.08795; without its adaptive competition).

    Args:
        teacher: frozen, in eval mode, gives logits.
        sample_shape: of its input.
        classes: number of logits.
        spec: weights, steps, batch size.
        seed: of the noise.

    Returns:
        inputs (N, *sample_shape), normalised as the teacher takes them, and the classes (N,) that
        they were made for.
    """
    device = next((p.device for p in teacher.parameters()), torch.device("cpu"))
    random = torch.Generator().manual_seed(seed)
    shape = (spec.batch_size, *sample_shape)
    inputs = torch.randn(shape, generator=random).to(device).requires_grad_(True)
    labels = torch.arange(spec.batch_size, device=device) % classes
    optimizer = torch.optim.Adam([inputs], lr=spec.learning_rate, betas=(0.5, 0.9))
    with BatchNormDistance(teacher).watching() as distance:
        for step in range(spec.steps):
            # A cosine, as the authors use it.
            for group in optimizer.param_groups:
                part = torch.tensor(torch.pi * step / spec.steps)
                group["lr"] = spec.learning_rate * 0.5 * (1.0 + float(torch.cos(part)))
            moved = jitter(inputs, random)
            loss = functional.cross_entropy(teacher(moved), labels)
            loss = loss + spec.batchnorm * distance.take()
            loss = loss + spec.variation * total_variation(inputs)
            loss = loss + spec.norm * inputs.square().mean()
            (inputs.grad,) = torch.autograd.grad(loss, [inputs])
            optimizer.step()
    return inputs.detach(), labels


def jitter(inputs: Tensor, random: torch.Generator) -> Tensor:
    """Roll images by up to an eighth of their sides; other samples stay."""
    if inputs.ndim != 4:
        return inputs
    most = [max(side // 8, 1) for side in inputs.shape[-2:]]
    shifts = [int(torch.randint(-m, m + 1, (1,), generator=random)) for m in most]
    return inputs.roll(shifts, dims=(-2, -1))


def total_variation(inputs: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbours along all axes but batch and channels."""
    differences = [inputs.diff(dim=axis).abs().mean() for axis in range(2, inputs.ndim)]
    return torch.stack(differences).sum() if differences else inputs.new_zeros(())
