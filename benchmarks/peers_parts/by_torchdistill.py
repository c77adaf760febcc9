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
from benchmarks.speed.by_torchdistill import configured, import_torchvision
from benchmarks.speed.gate import Gate


def config(setting: Setting) -> dict[str, Any]:
    """Return torchdistill's configuration of the distillation."""
    return {
        **configured(
            setting,
            epochs=setting.epochs,
            batches=lambda data: Order(setting),
            weight_decay=0.0,
        ),
        "scheduler": {
            "key": "LambdaLR",
            "kwargs": {"lr_lambda": setting.rate},
            "scheduling_step": 1,
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
