"""Layers by name: what patterns mean."""

from __future__ import annotations

import numpy as np
import pytest
from torch import Tensor, nn

from edgekd.errors import ExportError
from edgekd.export.layers import Layers, vanished
from edgekd.export.prepare import prepare
from edgekd.export.surface import surface


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)) for _ in range(2)
        )
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x)
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module", params=["nchw", "nhwc"])
def layers(request: pytest.FixtureRequest) -> Layers:
    prepared = prepare(Net(), {"input": np.zeros((2, 1, 6, 6), np.float32)})
    return Layers(surface(prepared, layout=request.param, batch=1).model)


def test_names_are_the_author_s(layers: Layers) -> None:
    assert layers.names == (
        "forward",
        "stem",
        "blocks.0.forward",
        "blocks.0.0",
        "blocks.0.1",
        "blocks.1.forward",
        "blocks.1.0",
        "blocks.1.1",
        "head",
    )


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["stem"], {"stem"}),
        (["blocks.0"], {"blocks.0.forward", "blocks.0.0", "blocks.0.1"}),
        (["blocks.*.0", "head"], {"blocks.0.0", "blocks.1.0", "head"}),
        (["blocks"], {f"blocks.{i}.{rest}" for i in (0, 1) for rest in ("forward", "0", "1")}),
        (["forward"], {"forward"}),
    ],
)
def test_patterns(layers: Layers, patterns: list[str], names: set[str]) -> None:
    assert layers.choose(patterns).names == names


def test_a_pattern_that_fits_nothing_is_told_what_is_close(layers: Layers) -> None:
    with pytest.raises(ExportError, match="--keep-float stm: the network has no such layer") as one:
        layers.choose(["head", "stm"])
    assert one.value.hint is not None and "stem" in one.value.hint


def test_layers_that_vanished_are_named(layers: Layers) -> None:
    present = ["stem", "blocks.0.0", None]
    (note,) = vanished(layers.choose(["blocks.0.0", "blocks.0.1"]), present)
    assert "blocks.0.1" in note and "blocks.0.0" not in note
    assert vanished(layers.choose(["blocks.0"]), present) == ()
    with pytest.raises(ExportError, match="nothing of it is an operator") as one:
        vanished(layers.choose(["*.1"]), present)
    assert one.value.hint is not None and "stem" in one.value.hint
