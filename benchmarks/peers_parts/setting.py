"""What both sides have in common: data, order of samples, networks, weights, steps.

Only PyTorch, NumPy and Kornia are needed here, so that torchdistill's environment can use it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.seeds import derive_seed


@dataclass(frozen=True)
class Setting:
    """One distillation.

    Attributes:
        student: a network of the zoo in ``edgekd.models.resnet`` and its options.
        teacher: likewise.
        images: of the training split, used by both.
        epochs: of the student.
        teacher_epochs: of the teacher, which edgekd trains once for both.
        batch_size: images a step; the last batch of an epoch is shorter.
        temperature: of the distillation loss.
        label_weight: of the cross-entropy with the labels; the rest goes to the KL divergence
            from the teacher, times the temperature squared.
        learning_rate: the first; half a cosine to 0, by steps.
        augment: crop and flip.
        threads: of PyTorch.
        seed: of the student's weights and of the order.
        mean: of the pixels after scaling to 0..1.
        std: likewise.
    """

    student: Mapping[str, Any] = field(default_factory=lambda: {"model": "resnet8"})
    teacher: Mapping[str, Any] = field(default_factory=lambda: {"model": "resnet20"})
    images: int = 12_000
    epochs: int = 10
    teacher_epochs: int = 10
    batch_size: int = 128
    temperature: float = 4.0
    label_weight: float = 0.1
    learning_rate: float = 0.05
    augment: bool = True
    threads: int = 2
    seed: int = 0
    mean: float = 0.286
    std: float = 0.353

    def to_json(self) -> str:
        """Return all fields, for the command line of a worker."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setting:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    @property
    def steps_an_epoch(self) -> int:
        """Optimizer steps, the one on the shorter last batch among them."""
        return math.ceil(self.images / self.batch_size)

    def rate(self, step: int) -> float:
        """Return the factor on the learning rate at a step, counted from 0, as edgekd's cosine."""
        return 0.5 * (1.0 + math.cos(math.pi * (step + 0.5) / (self.epochs * self.steps_an_epoch)))


def data_file(folder: Path) -> Path:
    """Return where the arrays stand."""
    return folder / "data.npz"


def teacher_file(folder: Path) -> Path:
    """Return where the teacher's weights stand."""
    return folder / "teacher.pt"


def start_file(folder: Path, seed: int) -> Path:
    """Return where the weights stand that a student starts from."""
    return folder / f"start-{seed}.pt"


def network(spec: Mapping[str, Any], shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """Build a network of the zoo, seeded.

    Args:
        spec: ``model`` and its options.
        shape: of an image, (C, H, W).
        seed: of its weights.
    """
    from edgekd.models import resnet

    torch.manual_seed(seed)
    options = {name: value for name, value in spec.items() if name != "model"}
    built: nn.Module = getattr(resnet, spec["model"])(num_classes=10, input_shape=shape, **options)
    return built


class Order:
    """The batches of each epoch in turn, in the order in which edgekd shows them.

    Args:
        setting: number of images, batch size and seed.
    """

    def __init__(self, setting: Setting) -> None:
        """Begin with the first epoch."""
        self.setting = setting
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of batches an epoch."""
        return self.setting.steps_an_epoch

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the positions of the images of each batch of the next epoch."""
        seed, images = self.setting.seed, self.setting.images
        random = np.random.default_rng(derive_seed(seed, "order", self.epoch))
        self.epoch += 1
        order = random.permutation(images)
        for start in range(0, images, self.setting.batch_size):
            yield order[start : start + self.setting.batch_size].tolist()


class Images:
    """Cropped, flipped and normalised batches: what edgekd's recipe names, by the same calls.

    Args:
        setting: number of images and what is done to them.
        folder: with the arrays.
    """

    def __init__(self, setting: Setting, folder: Path) -> None:
        """Read the images and make Kornia's augmentations."""
        from kornia import augmentation

        with np.load(data_file(folder), allow_pickle=False) as arrays:
            self.pixels = torch.from_numpy(arrays["x_train"])
            self.labels = torch.from_numpy(arrays["y_train"])
        size = tuple(self.pixels.shape[2:])
        self.steps: list[nn.Module] = []
        if setting.augment:
            crop = augmentation.RandomCrop(size, padding=4, cropping_mode="slice")
            self.steps = [crop, augmentation.RandomHorizontalFlip(p=0.5)]
        self.setting = setting

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.pixels)

    def __getitem__(self, chosen: list[int]) -> tuple[Tensor, Tensor]:
        """Return a whole batch of these images, augmented, and their labels."""
        indices = torch.as_tensor(chosen)
        images = self.pixels[indices].float() / 255
        for step in self.steps:
            images = step(images)
        return (images - self.setting.mean) / self.setting.std, self.labels[indices]


def accuracy(model: nn.Module, setting: Setting, folder: Path) -> float:
    """Return the accuracy of a network on the test split; the same code for both sides."""
    with np.load(data_file(folder), allow_pickle=False) as arrays:
        pixels, labels = torch.from_numpy(arrays["x_test"]), torch.from_numpy(arrays["y_test"])
    right = 0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(labels), 512):
            images = (pixels[start : start + 512].float() / 255 - setting.mean) / setting.std
            right += int((model(images).argmax(1) == labels[start : start + 512]).sum())
    return right / len(labels)
