"""Networks from a folder of `transformers`: config.json and weights, nothing downloaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from torch import Tensor, nn

from edgekd.errors import ModelError, ModelFileError
from edgekd.records import Preprocess

#: The end of an architecture's name -> the class that loads it.
_KINDS = {
    "ForImageClassification": "AutoModelForImageClassification",
    "ForAudioClassification": "AutoModelForAudioClassification",
    "ForSequenceClassification": "AutoModelForSequenceClassification",
}


@dataclass(frozen=True)
class Pretrained:
    """A network and what its folder says of it.

    Attributes:
        network: gives an object with ``logits``; in eval mode.
        outputs: the number of its classes.
        classes: their names, in its order; empty where the folder only numbers them.
        preprocess: how it wants its input, as far as the folder says so; None: it does not.
    """

    network: nn.Module
    outputs: int
    classes: tuple[str, ...]
    preprocess: Preprocess | None


def load_pretrained(path: Path) -> Pretrained:
    """Load a classifier of images, sounds or texts.

    Code that came with the folder is not run, and nothing is downloaded.

    Args:
        path: the folder.

    Raises:
        ModelFileError: it is no classifier, damaged, or without weights.
        ModelError: some of the network's weights are not in it, e.g. those of the last layer.
    """
    config = _json(path / "config.json")
    architectures = config.get("architectures") or []
    found = [kind for kind in _KINDS.items() if any(a.endswith(kind[0]) for a in architectures)]
    if not found:
        raise ModelFileError(
            f"{path} holds {' and '.join(architectures) or 'no architecture'}, not a classifier",
            hint=f"Teachers end in {', '.join(_KINDS)}: fine-tune it for the task first.",
        )
    ending, name = found[0]
    network = _load(path, name)
    network.register_forward_pre_hook(_prepare(ending))
    labels = network.config.id2label
    names = tuple(str(labels[number]) for number in range(len(labels)))
    numbered = names == tuple(f"LABEL_{number}" for number in range(len(names)))
    return Pretrained(
        network=network.eval(),
        outputs=len(names),
        classes=() if numbered else names,
        preprocess=_preprocess(path),
    )


def _load(path: Path, name: str) -> Any:
    logging: Any = transformers.logging
    shows, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        network, info = getattr(transformers, name).from_pretrained(
            path, local_files_only=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # it reads several formats and runs many architectures
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelFileError(
            f"transformers cannot load {path}: {first}",
            hint="Is the folder whole? save_pretrained(folder) writes all that it needs.",
        ) from error
    finally:
        logging.set_verbosity(verbosity)
        if shows:
            logging.enable_progress_bar()
    missing = sorted(info["missing_keys"])
    if missing:
        raise ModelError(
            f"{path} lacks {len(missing)} of the network's tensors: {', '.join(missing[:3])}",
            hint="They would be random. Fine-tune the network and save it whole.",
        )
    return network


def _prepare(ending: str) -> Any:
    """Return the hook that gives a network its input in the shape and type it is used to.

    Sounds have no channel axis there, and texts are whole numbers.
    """

    def prepare(_module: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        inputs = arguments[0]
        if ending != "ForImageClassification" and inputs.ndim > 2 and inputs.shape[1] == 1:
            inputs = inputs.squeeze(1)
        if ending == "ForSequenceClassification":
            inputs = inputs.round().long()
        return (inputs, *arguments[1:])

    return prepare


def _preprocess(path: Path) -> Preprocess | None:
    """Return what preprocessor_config.json says of the normalisation of images."""
    file = path / "preprocessor_config.json"
    if not file.is_file():
        return None
    said = _json(file)
    if "image_mean" not in said:
        return None
    scale = float(said.get("rescale_factor", 1 / 255))
    if not said.get("do_normalize", True):
        return Preprocess(scale=scale)
    return Preprocess(scale=scale, mean=tuple(said["image_mean"]), std=tuple(said["image_std"]))


def _json(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {path}: {error}") from error
    if not isinstance(found, dict):
        raise ModelFileError(f"{path} does not hold an object")
    return found
