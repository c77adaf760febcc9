"""The transformer and the recurrent network of the zoo: what they compute and show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekd.models.build import build
from edgekd.models.layers import capturable

IMAGE = (1, 8, 8)


def network(name: str, **options: Any) -> nn.Module:
    torch.manual_seed(0)
    shape = options.pop("shape", IMAGE)
    return build(name, options, num_classes=5, input_shape=shape).eval()


def test_attention_is_that_of_pytorch() -> None:
    block = network("vit", depth=1, dim=16, heads=4, patch=2).get_submodule("blocks.0.attention")
    x = torch.randn(2, 16, 16)
    q, k, v = (
        torch.unflatten(block.get_submodule(name)(x), -1, (4, 4)).transpose(1, 2)
        for name in ("query", "key", "value")
    )
    mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    torch.testing.assert_close(block(x), block.get_submodule("out")(mixed))


def test_a_token_is_a_patch_row_by_row() -> None:
    patches = network("vit", depth=1, dim=16, heads=1, patch=4).get_submodule("patches")
    x = torch.zeros(1, *IMAGE)
    before = patches(x)
    x[0, 0, 1, 6] = 1.0  # the upper right one of 2x2 patches
    assert (patches(x) - before).any(-1)[0].tolist() == [False, True, False, False]


@pytest.mark.parametrize(("patch", "tokens"), [(2, 16), (4, 4), (3, 9)])
def test_every_part_of_the_transformer_can_be_captured(patch: int, tokens: int) -> None:
    model = network("vit", depth=2, dim=16, heads=4, patch=patch)
    found = capturable(model, torch.zeros(2, *IMAGE))
    for number in range(2):
        for part in ("attention.query", "attention.key", "attention.value", "mlp"):
            assert found[f"blocks.{number}.{part}"] == (tokens, 16)
        assert found[f"blocks.{number}"] == (tokens, 16)
        assert found[f"blocks.{number}.attention.scores"] == (4, tokens, tokens)


def test_the_recurrent_network_reads_an_image_row_by_row() -> None:
    model = network("gru", hidden=16, layers=2, shape=(3, 8, 10))
    assert capturable(model, torch.zeros(2, 3, 8, 10))["layers.0"] == (8, 16)
    x = torch.randn(1, 3, 8, 10)
    changed = x.clone()
    changed[:, :, 5] += 1.0
    states = [model.get_submodule("layers.0")(i.transpose(1, 2).flatten(2)) for i in (x, changed)]
    assert (states[0] != states[1]).any(-1)[0].tolist() == [False] * 5 + [True] * 3
    # The same network on the rows themselves.
    torch.testing.assert_close(model(x), model(x.transpose(1, 2).flatten(2)))


def test_a_state_follows_the_equations_of_the_paper() -> None:
    gru = network("gru", hidden=4, layers=1, shape=(3, 2)).get_submodule("layers.0")
    w = {
        name: p.detach().numpy().astype(float)
        for name, p in gru.get_submodule("gru").named_parameters()
    }
    x = torch.randn(1, 3, 2)
    state = np.zeros(4)
    for moment in x[0].numpy().astype(float):
        a = w["weight_ih_l0"] @ moment + w["bias_ih_l0"]
        b = w["weight_hh_l0"] @ state + w["bias_hh_l0"]
        reset, update = (1 / (1 + np.exp(-(a[i : i + 4] + b[i : i + 4]))) for i in (0, 4))
        new = np.tanh(a[8:] + reset * b[8:])
        state = (1 - update) * new + update * state
    np.testing.assert_allclose(gru(x)[0, -1].detach().numpy(), state, atol=1e-6)


# nn.GRU: torch.export sees its list of weights assigned, and calls what it deprecates itself.
@pytest.mark.filterwarnings("ignore:_check_is_size will be removed:FutureWarning")
@pytest.mark.filterwarnings("ignore:The tensor attribute:UserWarning")
@pytest.mark.parametrize(("name", "options"), [("vit", {"depth": 1, "dim": 16}), ("gru", {})])
@pytest.mark.parametrize("target", ["onnx", "tflite"])
def test_files_for_the_device_agree(
    target: str, name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("litert_torch" if target == "tflite" else "onnxscript")
    from edgekd.export import TARGETS
    from edgekd.runtimes import RUNTIMES
    from tests.export.making import make, prepared_with

    x = np.random.default_rng(0).normal(size=(3, *IMAGE)).astype(np.float32)
    exporter = TARGETS.resolve(target)()
    prepared = prepared_with(network(name, **options), x)
    make(target, prepared, tmp_path)
    session = RUNTIMES.resolve(exporter.runtime)(tmp_path / f"model.{target}")
    given = x.transpose(0, 2, 3, 1) if target == "tflite" else x
    found = np.concatenate([session.run([sample[None]])[0] for sample in given])
    np.testing.assert_allclose(found, prepared.predict({"input": x})[0], atol=1e-5)


def test_waveforms_are_convolved_along_time() -> None:
    """Four blocks; a later start of the same sound gives the same answer but for the edges."""
    model = network("conv1d", shape=(1, 8000))
    shapes = capturable(model, torch.zeros(2, 1, 8000))
    assert [shapes[f"blocks.{number}"] for number in range(4)] == [
        (32, 500),
        (32, 125),
        (64, 31),
        (128, 31),
    ]
    sound = torch.zeros(1, 1, 8000)
    sound[..., 2000:3000] = torch.randn(1000)
    later = sound.roll(1024, dims=-1)  # 4 blocks of stride 4 see it at the same phase
    torch.testing.assert_close(model(sound), model(later), atol=1e-4, rtol=1e-3)
