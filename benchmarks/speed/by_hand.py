"""A worker: the distillation step as one writes it by hand in PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from benchmarks.speed.gate import Gate
from benchmarks.speed.setting import Batches, Setting, network, teacher_file


def train(setting: Setting, folder: Path, gate: Gate, variant: Mapping[str, Any]) -> None:
    """Train until the gate ends the process; with ``memory_kept``, under edgekd's allocator."""
    from edgekd.distill.memory import freed_memory_kept

    with freed_memory_kept() if variant.get("memory_kept") else nullcontext():
        _train(setting, folder, gate)


def _train(setting: Setting, folder: Path, gate: Gate) -> None:
    torch.set_num_threads(setting.threads)
    student, teacher = network(setting.student, setting), network(setting.teacher, setting)
    teacher.load_state_dict(torch.load(teacher_file(setting.teacher, folder), weights_only=True))
    teacher.eval().requires_grad_(False)
    optimizer = torch.optim.SGD(
        student.parameters(),
        lr=setting.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
    )
    batches = Batches(setting)
    temperature = setting.temperature
    while True:
        student.train()
        total = 0.0
        for inputs, labels in batches.epoch():
            with torch.no_grad():
                theirs = teacher(inputs)
            ours = student(inputs)
            soft = functional.kl_div(
                functional.log_softmax(ours / temperature, dim=1),
                functional.log_softmax(theirs / temperature, dim=1),
                log_target=True,
                reduction="batchmean",
            )
            loss = (
                setting.label_weight * functional.cross_entropy(ours, labels)
                + (1.0 - setting.label_weight) * temperature**2 * soft
            )
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            total += loss.item()
            gate.step()
