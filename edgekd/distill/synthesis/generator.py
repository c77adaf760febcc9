"""Samples of a generator that was trained against the teacher: DAFL."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekd.distill.synthesis.statistics import BatchNormDistance
from edgekd.recipe import SynthesisSpec

#: Length of the noise that a sample is made of.
NOISE = 64


class Generator(nn.Module):
    """From noise (N, NOISE) to samples (N, *sample_shape) of mean 0 and deviation 1.

    Images grow from a quarter of their size by convolutions; other samples come out of two
    layers.

    Args:
        sample_shape: of what it makes.
        width: channels inside.
    """

    def __init__(self, sample_shape: tuple[int, ...], width: int = 64) -> None:
        """Build the layers."""
        super().__init__()
        self.sample_shape = sample_shape
        self.images = len(sample_shape) == 3
        last: nn.Module
        if self.images:
            self.small = tuple(math.ceil(side / 4) for side in sample_shape[1:])
            self.first = nn.Linear(NOISE, width * math.prod(self.small))
            blocks = [self._block(width, width), self._block(width, width // 2)]
            self.body = nn.Sequential(nn.BatchNorm2d(width), *blocks)
            last = nn.Conv2d(width // 2, sample_shape[0], 3, padding=1)
            self.last = nn.Sequential(last, nn.BatchNorm2d(sample_shape[0], affine=False))
        else:
            size = math.prod(sample_shape)
            self.first = nn.Linear(NOISE, 4 * width)
            self.body = nn.Sequential(nn.BatchNorm1d(4 * width), nn.LeakyReLU(0.2))
            self.last = nn.Sequential(
                nn.Linear(4 * width, size), nn.BatchNorm1d(size, affine=False)
            )

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Upsample(scale_factor=2),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(0.2),
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Return samples."""
        grown = self.first(noise)
        if self.images:
            grown = self.body(grown.unflatten(1, (-1, *self.small)))
            height, width = self.sample_shape[1:]
            return self.last(grown[..., :height, :width])  # type: ignore[no-any-return]
        return self.last(self.body(grown)).unflatten(1, self.sample_shape)  # type: ignore[no-any-return]


def generate(
    teacher: nn.Module, sample_shape: tuple[int, ...], classes: int, spec: SynthesisSpec, seed: int
) -> tuple[Tensor, Tensor]:
    r"""Train a generator against the teacher; return a batch of its samples.

    The generator minimises DAFL's losses (Chen et al. 2019, https://arxiv.org/abs/1904.01186):
    one-hot, :math:`\mathrm{CE}(T(x), \arg\max T(x))`, and information entropy,
    :math:`-H(\mathbb{E}[\sigma(T(x))])`, so that it is sure of every sample and
    of all classes alike; in place of the activation loss the distance from BatchNorm statistics,
    where ``spec.batchnorm`` is above 0. A generator is trained for every batch:
    different ones do not all fall for the same samples.

    Args:
        teacher: frozen, in eval mode, gives logits.
        sample_shape: of its input.
        classes: number of logits.
        spec: weights, steps, batch size.
        seed: of the generator and its noise.

    Returns:
        inputs (N, *sample_shape), normalised as the teacher takes them, and the classes (N,) that
        the teacher takes them for.
    """
    device = next((p.device for p in teacher.parameters()), torch.device("cpu"))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        generator = Generator(sample_shape).to(device)
        optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
        distance = BatchNormDistance(teacher) if spec.batchnorm else None
        for _ in range(spec.steps):
            noise = torch.randn(spec.batch_size, NOISE, device=device)
            loss = _loss(teacher, generator(noise), classes, distance, spec)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        with torch.no_grad():
            inputs = generator(torch.randn(spec.batch_size, NOISE, device=device))
            labels = teacher(inputs).argmax(dim=-1)
    return inputs, labels


def _loss(
    teacher: nn.Module,
    inputs: Tensor,
    classes: int,
    distance: BatchNormDistance | None,
    spec: SynthesisSpec,
) -> Tensor:
    if distance is None:
        logits, apart = teacher(inputs), inputs.new_zeros(())
    else:
        with distance.watching():
            logits = teacher(inputs)
            apart = distance.take()
    one_hot = functional.cross_entropy(logits, logits.argmax(dim=-1))
    mean = logits.softmax(dim=-1).mean(dim=0)
    entropy = -(mean * (mean + 1e-12).log()).sum() / math.log(classes)
    total: Tensor = one_hot - 5.0 * entropy + spec.batchnorm * apart
    return total
