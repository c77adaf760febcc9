"""Decoupled knowledge distillation: the target class and the others, weighted apart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from edgekd.errors import EdgekdError
from edgekd.losses.base import Facts, Loss, Outputs, valid
from edgekd.losses.binary_kd import bernoulli_divergence
from edgekd.losses.kd import check_temperature
from edgekd.losses.logit_rows import check_logits, label_rows, pair, token_mask
from edgekd.schedule import Schedule


def dkd_loss(
    student: Tensor,
    teacher: Tensor,
    target: Tensor,
    *,
    alpha: float,
    beta: float,
    temperature: float,
    mask: Tensor | None = None,
) -> Tensor:
    r"""Return the decoupled distillation loss of Zhao et al.

    .. math:: T^2 \frac{1}{N} \sum_n (\alpha \, \mathrm{KL}(b^t_n \| b^s_n)
        + \beta \, \mathrm{KL}(\hat p^t_n \| \hat p^s_n))

    with :math:`b = (p_y, 1 - p_y)` the probabilities of the target class and of all others
    together (TCKD), and :math:`\hat p_c = p_c / (1 - p_y)` those of the others among themselves
    (NCKD), :math:`p = \mathrm{softmax}(z / T)`.

    "Decoupled Knowledge Distillation", CVPR 2022, https://arxiv.org/abs/2203.08679. With
    :math:`\alpha = 1` and :math:`\beta = 1 - p^t_y` of each sample it is `kd_loss`: there, a
    confident teacher silences what it knows of the other classes.

    Args:
        student: (N, C) or (N, L, C) logits, with gradients; C at least 2.
        teacher: logits of the same shape; no gradient flows into them.
        target: (N,) or (N, L) class indices; or, where samples are mixed, probabilities of the
            logits' shape: each of the two likeliest classes is then the target in its turn, and
            counts with its share.
        alpha: weight of TCKD.
        beta: weight of NCKD.
        temperature: :math:`T > 0`.
        mask: (N, L), False at padding; the mean is then over the tokens that count.

    Returns:
        A scalar, computed in float32 at least.

    Example (teacher (0.5, 0.25, 0.25), student (0.25, 0.5, 0.25) and target 0: TCKD is the KL
    from (1/2, 1/2) to (1/4, 3/4), 0.143841; NCKD that from (1/2, 1/2) to (2/3, 1/3), 0.058892):
        >>> ours = torch.tensor([[0.25, 0.5, 0.25]]).log()
        >>> theirs = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> value = dkd_loss(ours, theirs, torch.tensor([0]), alpha=1, beta=8, temperature=1.0)
        >>> round(value.item(), 4)  # 0.143841 + 8 * 0.058892
        0.615
    """
    labels, shares = _labels(label_rows(target, student, mask, "dkd"))
    ours = valid(student, mask) / temperature
    theirs = valid(teacher.detach(), mask) / temperature
    rows = torch.zeros_like(ours[:, 0])
    for label, share in zip(labels.unbind(-1), shares.unbind(-1), strict=True):
        our_odds, our_others = _split(ours, label)
        their_odds, their_others = _split(theirs, label)
        of_target = bernoulli_divergence(our_odds, their_odds)
        of_others = functional.kl_div(our_others, their_others, log_target=True, reduction="none")
        rows = rows + share * (alpha * of_target + beta * of_others.sum(-1))
    return rows.mean() * temperature**2


def _labels(target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the classes (M, K) that are targets, and their shares (M, K), which sum to 1."""
    if target.dim() == 2:
        shares, labels = target.topk(2, dim=-1)
        return labels, shares / shares.sum(-1, keepdim=True)
    return target.unsqueeze(-1), torch.ones_like(target, dtype=torch.float32).unsqueeze(-1)


def _split(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log odds (M,) of the target class, and log probabilities of the others.

    The others are cut out, (M, C - 1), where the usual large negative fill would round.
    """
    chosen = functional.one_hot(labels, logits.shape[-1]).bool()
    others = logits[~chosen].reshape(len(logits), logits.shape[-1] - 1)
    odds = logits[chosen] - torch.logsumexp(others, dim=-1)
    return odds, functional.log_softmax(others, dim=-1)


class DKD(Loss):
    """Decoupled distillation at a temperature; see `dkd_loss`.

    Args:
        alpha: weight of the target class against the others, at least 0.
        beta: weight of the other classes among themselves, at least 0. The authors' 8 is for
            CIFAR-100; they take 0.5 on ImageNet. The surer the teacher, the larger.
        temperature: above 0, or a schedule.
        standardise: standardise the logits of each sample first; see `standardised`.

    Shapes: logits (N, C) or (N, L, C) of both; target (N,) or (N, L), or probabilities of the
    logits' shape; gives a scalar.
    """

    needs_labels = True

    def __init__(
        self,
        *,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float | Schedule = 4.0,
        standardise: bool = False,
    ) -> None:
        """Check and store the options."""
        super().__init__()
        if not (alpha >= 0.0 and beta >= 0.0 and alpha + beta > 0.0):
            raise EdgekdError(
                f"dkd: alpha and beta must be at least 0 and not both 0, not {alpha} and {beta}"
            )
        self.alpha = alpha
        self.beta = beta
        self.temperature = check_temperature(temperature)
        self.standardise = standardise

    def build(self, facts: Facts) -> None:
        """Check that the logits can be compared; see `Loss.build`."""
        check_logits(facts, "dkd", classes=2)

    def forward(self, student: Outputs, teacher: Outputs | None, target: Tensor) -> Tensor:
        """Return the loss; see `Loss.forward`."""
        rows = pair(student, teacher, "dkd", standardise=self.standardise)
        return dkd_loss(
            *rows,
            label_rows(target, student.logits, token_mask(student), "dkd"),
            alpha=self.alpha,
            beta=self.beta,
            temperature=self.now(self.temperature),
        )
