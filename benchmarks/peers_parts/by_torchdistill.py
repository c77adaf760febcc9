"""A worker: the same distillation by torchdistill's box, in torchdistill's environment.

The mapping: its ``KDLoss`` weighs cross-entropy with ``alpha`` and the KL divergence with
``1 - alpha``, times the temperature squared, so ``alpha`` is edgekd's weight of cross-entropy;
``batchmean`` is the mean over samples. The scheduler steps after every optimizer step.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers_parts.setting import (
    Images,
    Order,
    Setting,
    accuracy,
    network,
    start_file,
    teacher_file,
)
from benchmarks.speed.by_torchdistill import import_torchvision
from benchmarks.speed.gate import Gate


def config(setting: Setting) -> dict[str, Any]:
    """Return torchdistill's configuration of the distillation."""
    return {
        "num_epochs": setting.epochs,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": lambda data: Order(setting)},
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
                "weight_decay": 0.0,
            },
        },
        "scheduler": {
            "key": "LambdaLR",
            "kwargs": {"lr_lambda": setting.rate},
            "scheduling_step": 1,
        },
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": _kd(setting), "weight": 1.0}}},
        },
    }


def _kd(setting: Setting) -> dict[str, Any]:
    return {
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
    }


def train(setting: Setting, folder: Path, gate: Gate) -> dict[str, Any]:
    """Train to the end; return test accuracy and the mean loss of each epoch."""
    import_torchvision()
    from torchdistill.core.distillation import get_distillation_box

    torch.set_num_threads(setting.threads)
    data = Images(setting, folder)
    shape = tuple(data.pixels.shape[1:])
    student, teacher = network(setting.student, shape), network(setting.teacher, shape)
    student.load_state_dict(torch.load(start_file(folder, setting.seed), weights_only=True))
    teacher.load_state_dict(torch.load(teacher_file(folder), weights_only=True))
    torch.manual_seed(setting.seed)
    box = get_distillation_box(
        teacher.eval(),
        student,
        {"train": data},
        config(setting),
        torch.device("cpu"),
        None,
        False,
        1,
    )
    losses = []
    for epoch in range(setting.epochs):
        box.pre_epoch_process(epoch=epoch)
        total = 0.0
        for inputs, labels, extra in box.train_data_loader:
            loss = box.forward_process(inputs, labels, extra)
            box.post_forward_process(loss=loss)
            total += loss.item() * len(labels)
            if not math.isfinite(total):
                raise ValueError("the loss is not finite")
            gate.step()
        box.post_epoch_process()
        losses.append(total / setting.images)
    return {"test_accuracy": accuracy(student, setting, folder), "losses": losses}
