"""Convolutions of long strides, rewritten: the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.export.prepare import prepare
from edgekd.export.strides import FoldedConv1d, with_short_strides


@pytest.mark.parametrize("kernel", [1, 4, 7, 80])
@pytest.mark.parametrize(("padding", "length"), [(0, 100), (3, 101), (40, 103)])
@pytest.mark.parametrize("stride", [4, 5])
def test_the_numbers_are_the_same(kernel: int, padding: int, length: int, stride: int) -> None:
    torch.manual_seed(0)
    before = nn.Conv1d(3, 6, kernel, stride, padding, bias=kernel != 7)
    x = torch.randn(2, 3, length)
    expected, found = before(x), FoldedConv1d(before)(x)
    assert found.shape == expected.shape
    assert torch.allclose(found, expected, atol=1e-5)


def test_only_what_npus_refuse_is_rewritten() -> None:
    model = nn.Sequential(
        nn.Conv1d(1, 4, 9, 4), nn.Conv1d(4, 4, 3, 3), nn.Conv1d(4, 4, 3, 4, groups=4)
    )
    before = prepare(model, {"input": np.ones((2, 1, 200), np.float32)})
    after = with_short_strides(before)
    kinds = [type(m).__name__ for m in after.model.modules() if hasattr(m, "stride")]
    assert kinds == ["FoldedConv1d", "Conv1d", "Conv1d", "Conv1d"]
    assert type(model[0]) is nn.Conv1d
    one, other = (p.model(*p.example.values())["logits"] for p in (before, after))
    assert torch.allclose(one, other, atol=1e-6)
    plain = prepare(nn.Sequential(nn.Conv1d(1, 4, 3)), {"input": np.ones((2, 1, 9), np.float32)})
    assert with_short_strides(plain) is plain
