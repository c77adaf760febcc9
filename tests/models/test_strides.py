"""ResNet-8 with other strides: the same parameters on larger maps."""

from __future__ import annotations

import pytest
import torch

from edgekd.errors import ModelError
from edgekd.models.resnet import ResNet, resnet8


def maps(network: ResNet, side: int) -> list[int]:
    """Return the sides of the maps that the three stages give."""
    found = []
    for stage in (network.layer1, network.layer2, network.layer3):
        stage.register_forward_hook(lambda _m, _i, output: found.append(output.shape[-1]))
    network.eval()(torch.zeros(2, 1, side, side))
    return found


def test_strides_change_maps_and_nothing_else() -> None:
    plain = resnet8(num_classes=10, input_shape=(1, 28, 28))
    wide = resnet8(num_classes=10, input_shape=(1, 28, 28), strides=(1, 1, 2))
    assert maps(plain, 28) == [28, 14, 7]
    assert maps(wide, 28) == [28, 28, 14]
    ours, theirs = wide.state_dict(), plain.state_dict()
    assert {name: value.shape for name, value in ours.items()} == {
        name: value.shape for name, value in theirs.items()
    }


@pytest.mark.parametrize("strides", [(1, 2), (1, 2, 3), (0, 1, 2)])
def test_strides_that_cannot_be(strides: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="strides are"):
        resnet8(num_classes=10, input_shape=(1, 28, 28), strides=strides)  # type: ignore[arg-type]
