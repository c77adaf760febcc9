from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from edgekd.errors import EdgekdError, ModelError, ModelFileError
from edgekd.models.build import build
from edgekd.models.weights import load_weights, save_weights


def network(seed: int = 0, hidden: int = 5) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, hidden), nn.BatchNorm1d(hidden), nn.Linear(hidden, 3))


def same(a: nn.Module, b: nn.Module) -> bool:
    other = b.state_dict()
    return all(torch.equal(value, other[key]) for key, value in a.state_dict().items())


def test_saved_and_loaded(tmp_path: Path) -> None:
    one, two = network(0), network(1)
    save_weights(one, tmp_path / "w.safetensors")
    load_weights(two, tmp_path / "w.safetensors")
    assert same(one, two)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_tied_and_transposed_tensors_are_saved_whole(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    state = {**model.state_dict(), "turned": torch.arange(6.0).reshape(2, 3).T}
    save_weights(state, tmp_path / "w.safetensors")
    found = load_file(tmp_path / "w.safetensors")
    assert torch.equal(found["0.weight"], found["1.weight"])
    assert torch.equal(found["turned"], state["turned"])


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "best_prec1": 91.7},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"module.{key}": v for key, v in state.items()}},
        # From before PyTorch 0.4.1: without the counters of BatchNorm.
        lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    ],
)
def test_state_dicts_as_they_are_met(tmp_path: Path, wrap: Any, legacy: bool) -> None:
    one, two = network(0), network(1)
    torch.save(
        wrap(dict(one.state_dict())),
        tmp_path / "w.pth",
        _use_new_zipfile_serialization=not legacy,
    )
    load_weights(two, tmp_path / "w.pth")
    assert same(one, two)


class Evil:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("touched"),))


def cut_short(path: Path, kind: str, share: float) -> None:
    if kind == "safetensors":
        save_weights(network(), path)
    else:
        torch.save(network().state_dict(), path, _use_new_zipfile_serialization=kind == "pth")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])


@pytest.mark.parametrize("kind", ["safetensors", "pth", "legacy"])
def test_a_truncated_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "w"
    cut_short(path, kind, 0.5)
    model = network(1)
    with pytest.raises(ModelFileError, match=str(path)) as caught:
        load_weights(model, path)
    assert caught.value.hint
    assert same(model, network(1))


@pytest.mark.parametrize("kind", ["safetensors", "pth", "legacy"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_file_cut_anywhere_gives_one_of_our_errors(
    tmp_path: Path, kind: str, share: float
) -> None:
    path = tmp_path / "w"
    cut_short(path, kind, share)
    with pytest.raises(ModelFileError):
        load_weights(network(), path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "are empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (b"hello, this is no model", "neither safetensors nor"),
        (pickle.dumps(Evil()), "cannot be read as weights alone"),
        (pickle.dumps([1, 2]), "holds a list, not a state dict|weights alone|damaged"),
    ],
)
def test_files_that_are_no_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as caught:
        load_weights(network(), path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    assert not (tmp_path / "touched").exists()


def test_what_torch_saves_besides_state_dicts(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    for given, message in (
        (network(), "weights alone"),
        ([torch.zeros(1)], "holds a list"),
        ({}, "holds a dict"),
        ({"weight": torch.zeros(1), "epoch": 3}, "more than tensors: epoch"),
    ):
        torch.save(given, path)
        with pytest.raises(ModelFileError, match=message):
            load_weights(network(), path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot read the weights .*nowhere"):
        load_weights(network(), tmp_path / "nowhere.safetensors")
    with pytest.raises(ModelFileError, match="cannot read the weights"):
        load_weights(network(), tmp_path)


def test_weights_of_another_architecture_name_the_first_differences(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state = dict(network(hidden=6).state_dict())
    state["extra.weight"] = torch.zeros(2)
    del state["2.bias"]
    save_file(state, path)
    model = network()
    with pytest.raises(ModelError) as caught:
        load_weights(model, path)
    assert "1 missing (2.bias)" in caught.value.message
    assert "1 unexpected (extra.weight)" in caught.value.message
    assert "0.weight: (6, 4) instead of (5, 4)" in caught.value.message
    assert not isinstance(caught.value, ModelFileError)
    assert same(model, network())


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(EdgekdError, match="cannot write"):
        save_weights(network(), tmp_path / "file" / "w.safetensors")


@pytest.mark.parametrize(
    ("name", "file"),
    [("resnet20", "resnet20-12fca82f.th"), ("resnet56", "resnet56-4bfd9763.th")],
)
def test_the_published_cifar_checkpoints_load(data_root: Path, name: str, file: str) -> None:
    path = data_root / "resnet_cifar10_pt" / file
    model = build(name, {"shortcut": "A"}, num_classes=10, input_shape=(3, 32, 32))
    load_weights(model, path)
    stored = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    assert torch.equal(model.get_parameter("linear.bias"), stored["module.linear.bias"])
    with pytest.raises(ModelError, match="missing"):
        load_weights(build(name, {"shortcut": "B"}, num_classes=10, input_shape=(3, 32, 32)), path)
