"""The copy that a converter gets, and the original that it must not touch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.errors import ExportError
from edgekd.export.prepare import prepare

X = np.ones((2, 4), np.float32)
EXAMPLE = {"input": X}


def test_the_original_keeps_mode_hooks_gradients_and_statistics() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    calls: list[str] = []
    model[0].register_forward_hook(lambda *_: calls.append("hook"))
    model(torch.randn(8, 4)).sum().backward()
    calls.clear()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    prepared = prepare(model, EXAMPLE)
    assert model.training and model[1].training
    assert calls == []
    assert len(model[0]._forward_hooks) == 1
    assert all(p.requires_grad for p in model.parameters())
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    now = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(torch.equal(a, b) for a, b in zip(gradients, now, strict=True))
    assert not prepared.model.training
    assert not any(p.requires_grad for p in prepared.model.parameters())


def test_predictions_are_those_of_eval_mode() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.9))
    x = np.random.default_rng(0).standard_normal((70, 4), dtype=np.float32)
    weight, bias = (p.detach().numpy() for p in model[0].parameters())
    (y,) = prepare(model, EXAMPLE).predict({"input": x})
    assert np.allclose(y, x @ weight.T + bias, atol=1e-6)


def test_weights_computed_in_hooks_of_torch_itself_stay() -> None:
    model = nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))
    with torch.no_grad():
        expected = model(torch.from_numpy(X)).numpy()
    assert np.allclose(prepare(model, EXAMPLE).predict(EXAMPLE)[0], expected, atol=1e-6)


def test_outputs_are_named() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"boxes": x * 2, "a_score": x.sum(1, keepdim=True)}

    assert prepare(nn.Identity(), EXAMPLE).outputs == ("logits",)
    assert prepare(Two(), EXAMPLE).outputs == ("a_score", "boxes")


class _Fixed(nn.Module):
    def __init__(self, value: torch.Tensor) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.value


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(5, 3), "fails on an input of shape"),
        (_Fixed(torch.ones(3, 2)), "for 2 samples"),
        (_Fixed(torch.tensor(1.0)), "for 2 samples"),
        (_Fixed(torch.full((2, 3), torch.nan)), "NaN or infinite"),
    ],
)
def test_networks_that_cannot_be_exported_are_named(model: nn.Module, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        prepare(model, EXAMPLE)


class _Reshaped(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, 4)


class _Mixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.sum()


def test_a_network_that_does_not_keep_samples_apart() -> None:
    with pytest.raises(ExportError, match=r"fails on an input of shape \(1, 4\)"):
        prepare(_Reshaped(), EXAMPLE)
    with pytest.raises(ExportError, match="in a batch of 1 than in a batch of 2"):
        prepare(_Mixed(), EXAMPLE)


def test_a_network_that_gives_no_tensor() -> None:
    class Text(nn.Module):
        def forward(self, x: torch.Tensor) -> str:
            return "no"

    with pytest.raises(ExportError, match="gives str, not tensors"):
        prepare(Text(), EXAMPLE)


def test_a_network_that_cannot_be_copied() -> None:
    model = nn.Linear(4, 3)
    model.cached = model.weight * 2  # type: ignore[assignment]
    with pytest.raises(ExportError, match="cannot be copied"):
        prepare(model, EXAMPLE)
