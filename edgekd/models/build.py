"""From a name and options to a network that was seen to work."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import EdgekdError, ModelError
from edgekd.models import MODELS
from edgekd.models.modes import evaluating
from edgekd.registry import options_of

_GIVEN = ("num_classes", "input_shape")


def build(
    name: str,
    options: Mapping[str, Any] | None = None,
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    where: str = "model",
) -> nn.Module:
    """Build a network and try it on two samples of zeros.

    Args:
        name: a row of the zoo, or ``package.module:factory``.
        options: what the recipe hands to the factory.
        num_classes: the length of the logits; given to the factory where its signature takes it.
        input_shape: the shape of one sample; likewise.
        where: the recipe's key path, e.g. ``student``, for messages.

    Returns:
        the network, in training mode, as the factory made it.

    Raises:
        UnknownNameError: there is no such model.
        MissingExtraError: a package that it needs is not installed.
        ModelError: it could not be built, or does not give logits (N, num_classes).
    """
    options = dict(options or {})
    factory = MODELS.resolve(name)
    given = {"num_classes": num_classes, "input_shape": tuple(input_shape)}
    arguments = _arguments(factory, name, options, given, where)
    try:
        model = factory(**arguments)
    except ModelError as error:
        raise ModelError(f"{where} {name!r}: {error.message}", hint=error.hint) from error
    except EdgekdError:
        raise
    except Exception as error:
        raise ModelError(
            f"{where} {name!r} could not be built: {type(error).__name__}: {error}",
            hint="Check its options; --debug shows where.",
        ) from error
    if not isinstance(model, nn.Module):
        raise ModelError(
            f"{where} {name!r} returned a {type(model).__name__}, not a torch.nn.Module",
            hint="The function must return the network.",
        )
    check_output(model, num_classes=num_classes, input_shape=input_shape, where=f"{where} {name!r}")
    return model


def check_output(
    model: nn.Module, *, num_classes: int, input_shape: tuple[int, ...], where: str
) -> None:
    """Run two samples of zeros in evaluation mode, and check the logits' shape.

    Raises:
        ModelError: the network fails, or gives anything but a tensor (2, num_classes).
    """
    with evaluating(model), torch.no_grad():
        try:
            found = model(torch.zeros(2, *input_shape))
        except Exception as error:
            raise ModelError(
                f"{where} fails on samples of shape {tuple(input_shape)}: "
                f"{type(error).__name__}: {error}",
                hint="Does the network fit the data? Compare data's shape with its first layer.",
            ) from error
    if not isinstance(found, Tensor):
        raise ModelError(
            f"{where} returns a {type(found).__name__}, not one tensor of logits",
            hint="Wrap it in a module that returns the logits alone.",
        )
    if tuple(found.shape) != (2, num_classes):
        raise ModelError(
            f"{where} gives {tuple(found.shape)} for 2 samples; "
            f"(2, {num_classes}) is needed for {num_classes} classes",
            hint="Teacher and student both need one logit a class of the data.",
        )


def _arguments(
    factory: Any, name: str, options: Mapping[str, Any], given: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """Join the recipe's options and what the data decides, as far as the signature takes it."""
    if not callable(factory) or isinstance(factory, nn.Module):
        raise ModelError(
            f"{where} {name!r} is a {type(factory).__name__}, not a factory",
            hint="Name a function or class that makes the network.",
        )
    try:
        parameters = signature(factory).parameters.values()
    except ValueError as error:
        raise ModelError(
            f"{where} {name!r} has no signature", hint="Wrap it in a function."
        ) from error
    known = options_of(factory)
    open_ended = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters)
    for key in options:
        if key in _GIVEN:
            raise ModelError(f"{where}.{key} is set by the data", hint="Leave it out.")
        if key not in known and not open_ended:
            names = [option for option in known if option not in _GIVEN]
            close = get_close_matches(key, names, n=1, cutoff=0.5)
            hint = (
                f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(names) or 'none'}."
            )
            raise ModelError(f"{where}.{key}: unknown option of {name!r}", hint=hint)
    return {**options, **{k: v for k, v in given.items() if open_ended or k in known}}
