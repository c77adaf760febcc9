"""What is known of a network before it is trained."""

from __future__ import annotations

from torch import nn

from edgekd.models.count import macs, parameters
from edgekd.models.size import int8_tflite_bytes
from edgekd.records import ModelFacts


def expected(name: str, model: nn.Module, shape: tuple[int, ...]) -> ModelFacts:
    """Count a network, and estimate its int8 file.

    Args:
        name: of the network in the recipe.
        model: the network, trained or not.
        shape: the shape of one sample.

    Returns:
        its facts; ``size_bytes`` are those of its tensors, about what safetensors takes.
    """
    tensors = model.state_dict(keep_vars=True).values()
    return ModelFacts(
        name=name,
        parameters=parameters(model),
        macs=macs(model, shape),
        size_bytes=sum(tensor.nbytes for tensor in tensors if hasattr(tensor, "nbytes")),
        int8_bytes=int8_tflite_bytes(model, shape),
    )
