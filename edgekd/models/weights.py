"""Weights from and to files, without ever running code from them."""

from __future__ import annotations

import pickle
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import Tensor, nn

from edgekd.errors import ModelError, ModelFileError
from edgekd.storage import atomic_write, sha256_bytes

_LFS = b"version https://git-lfs.github.com/spec/"
_PICKLE = (b"PK\x03\x04", b"\x80")
_DAMAGE = (
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    AttributeError,
    TypeError,
    OSError,
    UnicodeDecodeError,
    struct.error,
    zipfile.BadZipFile,
)
_SHOWN = 3

State = Mapping[str, Tensor]


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Load a file of weights into a network; all of them, or nothing.

    Args:
        model: the network.
        path: safetensors, or a state dict saved by ``torch.save``, plain or under the key
            ``state_dict``. A prefix ``module.`` on every name (DataParallel) is taken off.

    Raises:
        ModelFileError: the file is missing, empty, damaged, a Git LFS pointer or not weights.
        ModelError: the weights are another network's; the first differences are named.
    """
    path = Path(path).expanduser()
    state = read_state(path)
    differences = _differences(model.state_dict(), state)
    if differences:
        raise ModelError(
            f"{path} does not fit {type(model).__name__}: {'; '.join(differences)}",
            hint="Were they trained with the same model, options and number of classes?",
        )
    model.load_state_dict(state)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file of weights, on the CPU.

    Raises:
        ModelFileError: see `load_weights`.
    """
    start = _start(path)
    state = _read_pickle(path) if start.startswith(_PICKLE) else _read_safetensors(path)
    if all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    return state


def save_weights(model_or_state: nn.Module | State, path: str | Path) -> None:
    """Write weights as safetensors, whole or not at all.

    Tensors that share memory are written once each, so that the file stands on its own.

    Raises:
        StorageError: the disk is full or cannot be written to.
    """
    atomic_write(Path(path), _serialised(model_or_state))


def state_sha256(model: nn.Module) -> str:
    """Return the hash of a network's weights and buffers, as `save_weights` would write them."""
    return sha256_bytes(_serialised(model))


def _serialised(model_or_state: nn.Module | State) -> bytes:
    state: State = (
        model_or_state.state_dict() if isinstance(model_or_state, nn.Module) else model_or_state
    )
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
    return save_safetensors(tensors)


def _start(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except OSError as error:
        raise ModelFileError(
            f"cannot read the weights {path}: {error.strerror or error}",
            hint="Check the path; a relative one starts at the current folder.",
        ) from error
    if not start:
        raise ModelFileError(f"the weights {path} are empty", hint="Fetch or save them again.")
    if start.startswith(_LFS):
        raise ModelFileError(
            f"{path} is a Git LFS pointer, not the weights themselves",
            hint="Fetch them: git lfs pull",
        )
    return start


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_safetensors(path.read_bytes())
    except (SafetensorError, *_DAMAGE) as error:
        raise ModelFileError(
            f"{path} is damaged, or neither safetensors nor a PyTorch state dict: {error}",
            hint="Fetch or save it again.",
        ) from error


def _read_pickle(path: Path) -> dict[str, Tensor]:
    try:
        # As an open file: given a path, torch would go by its suffix, not by what it holds.
        with path.open("rb") as file, warnings.catch_warnings():
            # Of a pickle protocol besides 2; what it cannot read, it refuses anyway.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            found = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        # Both a damaged pickle and one that holds more than tensors end here.
        reason = str(error).partition("\n")[0].partition(". This file")[0]
        raise ModelFileError(
            f"{path} cannot be read as weights alone: {reason[:200]}",
            hint="It is damaged, or holds Python objects: save model.state_dict() by itself.",
        ) from error
    except _DAMAGE as error:
        first = str(error).partition("\n")[0]
        raise ModelFileError(
            f"{path} is damaged: {first[:200]}", hint="Fetch or save it again."
        ) from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not found:
        raise ModelFileError(
            f"{path} holds a {type(found).__name__}, not a state dict",
            hint="Save model.state_dict() with torch.save or as safetensors.",
        )
    other = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if other:
        raise ModelFileError(
            f"{path} holds more than tensors: {', '.join(other[:_SHOWN])}",
            hint="Save model.state_dict() by itself, or under the key 'state_dict'.",
        )
    return dict(found)


def _differences(own: State, given: State) -> list[str]:
    """Say in a few words what keeps given weights from fitting; nothing if they do."""
    # Files from before PyTorch 0.4.1 lack these counters; load_state_dict fills them in.
    optional = {name for name in own if name.endswith("num_batches_tracked")}
    found = []
    for what, names in (
        ("missing", [name for name in own if name not in given and name not in optional]),
        ("unexpected", [name for name in given if name not in own]),
    ):
        if names:
            found.append(f"{len(names)} {what} ({_few(names)})")
    shapes = [
        f"{name}: {tuple(given[name].shape)} instead of {tuple(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    if shapes:
        found.append(f"{len(shapes)} of another shape ({_few(shapes)})")
    return found


def _few(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
