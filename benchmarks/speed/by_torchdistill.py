"""A worker: the same step by torchdistill's distillation box, in torchdistill's environment.

The loop around the box is what its image classification example does, without printing. Batches
come through its own data loader, but whole and augmented at once by Kornia, as edgekd makes them:
its usual loader augments image by image and would be slower.
"""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.utils.data import BatchSampler, RandomSampler

from benchmarks.speed.gate import Gate
from benchmarks.speed.setting import Batches, Setting, network, teacher_file

_libraries: list[torch.library.Library] = []


def import_torchvision() -> None:
    """Import torchvision, also where its compiled part does not fit PyTorch's build.

    torchdistill imports it for its model zoo. A CUDA build of it beside a CPU build of PyTorch
    stumbles over two detection operators that nobody registered; they are declared here, and
    never called.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float threshold) -> Tensor")
        _libraries.append(library)  # an operator lives as long as its library
        importlib.import_module("torchvision")


class Distillation(Protocol):
    """What a configuration takes from a setting."""

    @property
    def learning_rate(self) -> float:
        """Of SGD."""

    @property
    def temperature(self) -> float:
        """Of the KL divergence."""

    @property
    def label_weight(self) -> float:
        """Of the cross-entropy, torchdistill's ``alpha``."""


def config(setting: Setting) -> dict[str, Any]:
    """Return torchdistill's configuration of the step."""

    def batches(data: Any) -> BatchSampler:
        return BatchSampler(RandomSampler(data), setting.batch_size, drop_last=False)

    return configured(setting, epochs=1, batches=batches, weight_decay=1e-4)


def configured(
    setting: Distillation, *, epochs: int, batches: Callable[[Any], Any], weight_decay: float
) -> dict[str, Any]:
    """Return torchdistill's configuration of a distillation by labels and logits.

    Args:
        setting: of the loss and the optimizer.
        epochs: how many.
        batches: the data -> its sampler of whole batches.
        weight_decay: of SGD, on everything that learns.
    """
    return {
        "num_epochs": epochs,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": batches},
            "kwargs": {"batch_size": None, "num_workers": 0},
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only"},
        "optimizer": {
            "key": "SGD",
            "kwargs": {
                "lr": setting.learning_rate,
                "momentum": 0.9,
                "nesterov": True,
                "weight_decay": weight_decay,
            },
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {
                "sub_terms": {
                    "kd": {
                        "criterion": {
                            "key": "KDLoss",
                            "kwargs": {
                                "student_module_path": ".",
                                "student_module_io": "output",
                                "teacher_module_path": ".",
                                "teacher_module_io": "output",
                                "temperature": setting.temperature,
                                "alpha": setting.label_weight,
                                "reduction": "batchmean",
                            },
                        },
                        "weight": 1.0,
                    }
                }
            },
        },
    }


def train(setting: Setting, folder: Path, gate: Gate) -> None:
    """Train until the gate ends the process."""
    import_torchvision()
    from torchdistill.core.distillation import get_distillation_box

    torch.set_num_threads(setting.threads)
    student, teacher = network(setting.student, setting), network(setting.teacher, setting)
    teacher.load_state_dict(torch.load(teacher_file(setting.teacher, folder), weights_only=True))
    device = torch.device("cpu")
    data = {"train": Batches(setting)}
    box = get_distillation_box(
        teacher.eval(), student, data, config(setting), device, None, False, 1
    )
    total = 0.0
    for epoch in range(100_000):  # the gate ends it
        box.pre_epoch_process(epoch=epoch)
        for inputs, labels, extra in box.train_data_loader:
            inputs, labels = inputs.to(device), labels.to(device)
            loss = box.forward_process(inputs, labels, extra)
            box.post_forward_process(loss=loss)
            total += loss.item()
            if not math.isfinite(total):
                raise ValueError("the loss is not finite")
            gate.step()
        box.post_epoch_process()
