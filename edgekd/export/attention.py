"""Attention masks that survive quantization, and transformers that give tensors only.

Attention hides places by adding a huge negative number to their scores: the smallest float, minus
infinity, -1e9. It makes no difference which, as ``exp`` of all of them is 0, until activations are
quantized: the range of the scores is then that number, and all real scores fall on one integer.
float16 makes minus infinity of it. Files of that kind get a smaller one that hides as well.

Networks of transformers also turn a mask (N, L) into one of scores by indexing, which becomes
GATHER_ND in TFLite, an operator that runtimes before 2.16 lack. They are handed the mask of
scores (N, 1, L, L) instead.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from edgekd.quantize.schemes import FP16, INT8, Scheme

if TYPE_CHECKING:
    from edgekd.export.prepare import Prepared

#: Below this a number is meant to hide, not to count.
HUGE = -9e3

#: What hides in an int8 file: exp(-100) is 4e-44, and a range of 100 leaves steps of 0.4.
INT8_FILL = -100.0

#: What hides elsewhere; float16 holds it.
FLOAT_FILL = -1e4

_MASK, _IDS = "attention_mask", "input_ids"
_FILLING: tuple[Any, ...] = (
    torch.full,
    torch.full_like,
    torch.masked_fill,
    torch.mul,
    torch.scalar_tensor,
    torch.tensor,
    torch.where,
    torch.Tensor.__mul__,
    torch.Tensor.__rmul__,
    torch.Tensor.fill_,
    torch.Tensor.masked_fill,
    torch.Tensor.masked_fill_,
    torch.Tensor.mul,
    torch.Tensor.new_full,
    torch.Tensor.where,
)


def fill_of(scheme: Scheme) -> float:
    """Return the number that hides places from attention in a file of this scheme."""
    return INT8_FILL if scheme == INT8 else FLOAT_FILL


def settle(model: nn.Module) -> None:
    """Let networks of transformers give named tensors and nothing else, in place.

    They keep a cache of keys and values for the next call otherwise, which no file can hold.
    """
    for module in transformers_in(model):
        config = module.config
        for name, value in (
            ("use_cache", False),
            ("return_dict", True),
            ("output_attentions", False),
            ("output_hidden_states", False),
        ):
            if hasattr(config, name):
                setattr(config, name, value)


def transformers_in(model: nn.Module) -> Iterator[Any]:
    """Yield the networks of transformers in a network, the outermost ones, itself included."""
    if any(kind.__module__.startswith("transformers.") for kind in type(model).__mro__):
        if hasattr(model, "config"):
            yield model
            return
    for child in model.children():
        yield from transformers_in(child)


def with_small_fills(prepared: Prepared, scheme: Scheme) -> Prepared:
    """Return the same network with masks that a file of this scheme can hold.

    Whatever would change the outputs of the example is left as it was, and so is what was given:
    it stays the reference that the file is held against.

    Args:
        prepared: the network.
        scheme: how the file is quantized.
    """
    model, example = prepared.model, tuple(prepared.example.values())
    named = any(True for _ in transformers_in(model))
    smaller = scheme in (INT8, FP16)
    if named or (smaller and any(True for _ in _huge_buffers(model))):
        model = copy.deepcopy(model)
    for module in transformers_in(model):
        _swap_forward(module, fill_of(scheme), model, example)
    if smaller:
        small = SmallFills(model, fill_of(scheme)).eval()
        model = small if small.applies(example) else model
    return prepared if model is prepared.model else replace(prepared, model=model)


def _huge_buffers(model: nn.Module) -> Iterator[torch.Tensor]:
    for buffer in model.buffers():
        if buffer.is_floating_point() and buffer.numel() and float(buffer.min()) < HUGE:
            yield buffer


class SmallFills(nn.Module):
    """A network in which every number that hides is ``fill``.

    Args:
        model: the network; its buffers are changed in place, and back again where that is wrong.
        fill: what hides instead.
    """

    def __init__(self, model: nn.Module, fill: float) -> None:
        """Keep the network."""
        super().__init__()
        self.model = model
        self.fill = fill
        self.met = 0

    def forward(self, *inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run it with its fills replaced."""
        mode = _Replacing(self.fill)
        with mode:
            outputs: dict[str, torch.Tensor] = self.model(*inputs)
        self.met = mode.met
        return outputs

    def applies(self, example: Sequence[torch.Tensor]) -> bool:
        """Say whether there is anything to replace, and the outputs stay what they were."""
        with torch.no_grad():
            before = self.model(*example)
            kept = self._replace_buffers()
            after = self(*example)
        found = bool(self.met or kept)
        if found and _alike(before, after):
            return True
        for buffer, values in kept:
            buffer.copy_(values)
        return False

    def _replace_buffers(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        kept = []
        for buffer in _huge_buffers(self.model):
            kept.append((buffer, buffer.clone()))
            buffer.clamp_(min=self.fill)
        return kept


class _Replacing(TorchFunctionMode):
    """Hands functions that fill a smaller number than the one they were given."""

    def __init__(self, fill: float) -> None:
        super().__init__()
        self.fill = fill
        self.met = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return func(*args, **self._scores(*args, **kwargs))
        if func in _FILLING:
            args = tuple(self._smaller(value) for value in args)
            kwargs = {name: self._smaller(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _smaller(self, value: Any) -> Any:
        if isinstance(value, float) and value < HUGE:
            self.met += 1
            return self.fill
        return value

    def _scores(self, query: torch.Tensor, key: torch.Tensor, value: Any, **given: Any) -> Any:
        """Return the keywords of attention, with a mask of scores for one of truths."""
        mask = given.get("attn_mask")
        if given.get("is_causal"):
            size = (query.shape[-2], key.shape[-2])
            mask = torch.ones(size, dtype=torch.bool, device=query.device).tril()
            given["is_causal"] = False
        if mask is not None and mask.dtype == torch.bool:
            self.met += 1
            given["attn_mask"] = (1.0 - mask.to(query.dtype)) * self.fill
        return given


def _swap_forward(
    module: Any, fill: float, model: nn.Module, example: Sequence[torch.Tensor]
) -> None:
    """Hand a network of transformers a mask of scores, if that changes nothing."""
    original = module.forward
    signature = inspect.signature(original)
    names = signature.parameters
    if _MASK not in names or _IDS not in names:
        return
    causal = any(getattr(one, "is_causal", False) for one in module.modules())

    def forward(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind_partial(*args, **kwargs).arguments
        given.update(given.pop("kwargs", {}))
        ids, mask = given.get(_IDS), given.get(_MASK)
        if ids is not None and (mask is None or mask.ndim == 2):
            given[_MASK] = mask_of_scores(ids, mask, fill=fill, causal=causal)
        return original(**given)

    with torch.no_grad():
        before = model(*example)
        module.forward = forward
        try:
            same = _alike(before, model(*example))
        except Exception:  # it takes no such mask
            same = False
    if not same:
        module.forward = original


def mask_of_scores(
    ids: torch.Tensor, mask: torch.Tensor | None, *, fill: float, causal: bool
) -> torch.Tensor:
    """Return what to add to the scores: 0, or ``fill`` where a place is hidden.

    Args:
        ids: (N, L).
        mask: (N, L), 1 where a place counts; None: all do.
        fill: what hides.
        causal: whether later places are hidden from earlier ones.

    Returns:
        (N or 1, 1, L or 1, L).
    """
    length = ids.shape[1]
    hidden = torch.zeros(1, 1, 1, length)
    if mask is not None:
        hidden = (1.0 - mask.to(torch.float32))[:, None, None, :]
    if causal:
        places = torch.arange(length)
        later = (places[None, :] > places[:, None]).to(torch.float32)[None, None]
        hidden = torch.maximum(hidden, later) if mask is not None else later
    return hidden * fill


def _alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(
        one[name].shape == other[name].shape
        and torch.allclose(one[name], other[name], rtol=1e-4, atol=1e-5)
        for name in one
    )
