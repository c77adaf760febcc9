"""Optimizers and what they move: the student with its losses, and their opponents."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from edgekd.distill.batches import Batch
from edgekd.distill.checkpoint import Checkpoint
from edgekd.distill.job import Answers
from edgekd.distill.optimizers import parameter_groups
from edgekd.distill.trainable import Trainable, detached
from edgekd.recipe import TrainSpec
from edgekd.registry import table


def make_average(student: nn.Module, train: TrainSpec) -> AveragedModel | None:
    """Return the exponential moving average of weights and BatchNorm statistics, if wanted."""
    if train.ema == 0.0:
        return None
    update = get_ema_multi_avg_fn(train.ema)  # type: ignore[no-untyped-call]
    return AveragedModel(student, multi_avg_fn=update, use_buffers=True)


class Players:
    """Student and losses with one optimizer, opponents with another, and the average.

    Args:
        trainable: student and losses.
        train: which optimizer.
        fabric: device and precision.
        state: a checkpoint to go on from; at epoch 0 there is nothing in it.
        average: the average of the student, if wanted.
        following: the averages of the student that teach it, by name.
    """

    def __init__(
        self,
        trainable: Trainable,
        train: TrainSpec,
        fabric: Fabric,
        state: Checkpoint,
        average: AveragedModel | None,
        following: Mapping[str, AveragedModel] = MappingProxyType({}),
    ) -> None:
        """Make the optimizers and take up where the checkpoint left off."""
        self.trainable = trainable
        self.train = train
        self.fabric = fabric
        self.average = None if average is None else average.to(fabric.device)
        self.following = following
        self.opponents = trainable.opponents()
        playing = [p for _, module, _ in self.opponents for p in module.parameters()]
        optimizers: list[torch.optim.Optimizer] = []
        if playing:
            # The beta that Radford et al. found stable, https://arxiv.org/abs/1511.06434
            optimizers.append(torch.optim.Adam(playing, lr=train.learning_rate, betas=(0.5, 0.999)))
        # Without gradients, opponents are in no group of the student's optimizer, and what the
        # student learns from them leaves no gradient behind in them.
        self._let_play(False)
        groups = parameter_groups(trainable, train.weight_decay)
        optimizers.insert(0, table("optimizer").resolve(train.optimizer)(groups, train))
        if state.epoch:
            trainable.load_state_dict(state.trainable)
        self.wrapped, *wrapped_optimizers = fabric.setup(trainable, *optimizers)
        self.optimizer, self.opponents_optimizer = (*wrapped_optimizers, None)[:2]
        if state.epoch:
            for optimizer, saved in zip(wrapped_optimizers, state.optimizers, strict=True):
                optimizer.load_state_dict(saved)
            if self.average is not None:
                self.average.load_state_dict(state.ema)
            for name, one in self.following.items():
                one.load_state_dict(state.following[name])

    @property
    def kept(self) -> nn.Module:
        """The network that is scored and saved: the average where there is one."""
        module: nn.Module = self.trainable.student if self.average is None else self.average.module
        return module

    def store(self, state: Checkpoint) -> None:
        """Put everything that a resume needs into a checkpoint."""
        state.trainable = self.trainable.state_dict()
        state.optimizers = [o.state_dict() for o in self.optimizers()]
        state.ema = {} if self.average is None else self.average.state_dict()
        state.following = {name: one.state_dict() for name, one in self.following.items()}

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the student's optimizer."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def forward(self, batch: Batch, answers: Answers) -> dict[str, Tensor]:
        """Return the weighted terms of the student's loss."""
        terms: dict[str, Tensor] = self.wrapped(batch, answers)
        return terms

    def backward(self, total: Tensor) -> None:
        """Add the gradient of ``total`` to what the next step moves against."""
        self.fabric.backward(total)

    def step(self) -> None:
        """Move the student and the losses' own parameters against the gradients so far."""
        if self.train.clip_norm:
            self.fabric.clip_gradients(self.wrapped, self.optimizer, max_norm=self.train.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        for average in (self.average, *self.following.values()):
            if average is not None:
                average.update_parameters(self.trainable.student)

    def play(self) -> None:
        """Let the opponents answer the student's outputs of this step.

        They see the whole batch in every process, so their gradients need no averaging.
        """
        said, heard = self.trainable.said, self.trainable.heard
        if not self.opponents or not said:
            return
        self._let_play(True)
        losses = [
            loss.opponent_loss(said[who], detached(heard[who][name]))
            for loss, _, (who, name) in self.opponents
        ]
        moving = [loss for loss in losses if loss is not None]
        if moving and self.opponents_optimizer is not None:
            self.fabric.backward(torch.stack(moving).sum())
            self.opponents_optimizer.step()
            self.opponents_optimizer.zero_grad()
        self._let_play(False)

    def _let_play(self, playing: bool) -> None:
        for _, module, _ in self.opponents:
            module.requires_grad_(playing)

    def optimizers(self) -> list[Any]:
        """Return the student's optimizer, and the opponents' where there are any."""
        return [o for o in (self.optimizer, self.opponents_optimizer) if o is not None]
