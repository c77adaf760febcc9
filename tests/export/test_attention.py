"""Masks that hide places from attention, in files that cannot hold huge numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgekd.export.attention import (
    SmallFills,
    mask_of_scores,
    settle,
    transformers_in,
    with_small_fills,
)
from edgekd.export.ports import Port, of_config
from edgekd.export.prepare import Prepared, prepare
from edgekd.quantize.schemes import INT8, INT8_DYNAMIC, NONE

LENGTH = 6


class ByHand(nn.Module):
    """Attention as people write it; ``lowest`` remembers the smallest score it made."""

    def __init__(self, fill: float, way: str) -> None:
        super().__init__()
        self.words = nn.Embedding(20, 8)
        self.fill, self.way, self.lowest = fill, way, 0.0
        causal = torch.zeros(LENGTH, LENGTH).masked_fill(
            torch.ones(LENGTH, LENGTH).triu(1).bool(), fill
        )
        self.register_buffer("causal", causal)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.words(ids)
        shown = mask[:, None, :] == 1
        if self.way == "sdpa":
            return F.scaled_dot_product_attention(x, x, x, attn_mask=shown).mean(1)
        scores = x @ x.transpose(1, 2) / math.sqrt(8)
        if self.way == "masked_fill":
            scores = scores.masked_fill(~shown, self.fill)
        elif self.way == "where":
            scores = torch.where(shown, scores, torch.tensor(self.fill))
        elif self.way == "product":
            scores = scores + (1.0 - shown.float()) * self.fill
        else:
            scores = scores + self.causal
        self.lowest = float(scores.min())
        return (scores.softmax(-1) @ x).mean(1)


def prepared(model: nn.Module) -> Prepared:
    generator = np.random.default_rng(0)
    ids = generator.integers(0, 20, (2, LENGTH))
    mask = (np.arange(LENGTH) < np.array([[3], [LENGTH]])).astype(np.int64)
    return prepare(model, {"ids": ids, "mask": mask})


@pytest.mark.parametrize(
    ("way", "fill"),
    [
        ("masked_fill", -1e9),
        ("masked_fill", float("-inf")),
        ("where", torch.finfo(torch.float32).min),
        ("product", -10000.0),
        ("buffer", float("-inf")),
    ],
)
def test_numbers_that_hide_become_small_in_int8_files(way: str, fill: float) -> None:
    torch.manual_seed(0)
    before = prepared(ByHand(fill, way))
    expected = before.model(*before.example.values())["logits"]
    after = with_small_fills(before, INT8)
    found = after.model(*after.example.values())["logits"]
    assert torch.allclose(found, expected, atol=1e-6)
    inner = next(one for one in after.model.modules() if isinstance(one, ByHand))
    assert -110 < inner.lowest < -90
    # What the file is held against computes as the user wrote it.
    before.model(*before.example.values())
    kept = next(one for one in before.model.modules() if isinstance(one, ByHand))
    assert kept.lowest < -9000


@pytest.mark.parametrize("scheme", [NONE, INT8_DYNAMIC])
def test_files_of_float_scores_keep_what_the_user_wrote(scheme: object) -> None:
    before = prepared(ByHand(-1e9, "masked_fill"))
    assert with_small_fills(before, scheme) is before  # type: ignore[arg-type]


def test_truths_for_scaled_dot_product_attention_become_scores() -> None:
    before = prepared(ByHand(0.0, "sdpa"))
    after = with_small_fills(before, INT8)
    assert isinstance(after.model, SmallFills)
    one, other = (p.model(*p.example.values())["logits"] for p in (before, after))
    assert torch.allclose(one, other, atol=1e-6)
    assert after.model.met == 1


class Scores(nn.Module):
    """Gives what it hides: another number there would be another answer."""

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return ids.float().masked_fill(mask == 0, -1e9)


def test_a_huge_number_that_counts_stays() -> None:
    before = prepared(Scores())
    assert with_small_fills(before, INT8) is before


def test_masks_of_scores_by_hand() -> None:
    ids = torch.zeros(1, 3, dtype=torch.long)
    shown = torch.tensor([[1, 1, 0]])
    both = mask_of_scores(ids, shown, fill=-100.0, causal=True)
    assert both.shape == (1, 1, 3, 3)
    assert both[0, 0].tolist() == [[0, -100, -100], [0, 0, -100], [0, 0, -100]]
    assert mask_of_scores(ids, shown, fill=-5.0, causal=False).flatten().tolist() == [0, 0, -5]
    assert not mask_of_scores(ids, None, fill=-5.0, causal=False).any()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bert", "distilbert", "gpt2", "llama"])
def test_networks_of_transformers_are_handed_scores(kind: str) -> None:
    networks = pytest.importorskip("benchmarks.export_matrix.networks")
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    model = getattr(networks, kind)(LENGTH).eval()
    ids = np.random.default_rng(0).integers(1, 100, (2, LENGTH))
    example = {"input_ids": ids}
    if "bert" in kind:
        example["attention_mask"] = (np.arange(LENGTH) < [[3], [LENGTH]]).astype(np.int64)
    before = prepare(model, example)
    assert before.outputs == ("logits",)  # no cache of keys and values
    assert getattr(model.config, "use_cache", True)  # the user's own network is as it was
    after = with_small_fills(before, NONE)
    one, other = (p.model(*p.example.values())["logits"] for p in (before, after))
    assert torch.allclose(one, other, atol=1e-5)
    assert ["forward" in one.__dict__ for one in transformers_in(after.model)] == [True]
    assert ["forward" in one.__dict__ for one in transformers_in(before.model)] == [False]


def test_settling_leaves_other_networks_alone() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    settle(model)
    assert not hasattr(model[0], "config")


def test_a_configuration_says_what_a_network_takes() -> None:
    class Config:
        vocab_size, max_position_embeddings = 50, 12
        image_size, num_channels = 24, 1

    class Encoder(nn.Module):
        config = Config()

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
            return input_ids * attention_mask

    class Sees(nn.Module):
        config = Config()

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            return pixel_values

    ids, mask = of_config(Encoder()) or ()
    assert ids == Port("input_ids", (12,), "int64", 0, 49)
    assert mask.is_mask and mask.name == "attention_mask"
    causal = Encoder()
    causal.is_causal = True
    assert of_config(causal) == (ids,)
    assert of_config(Sees()) == (Port("pixel_values", (1, 24, 24)),)
    assert of_config(nn.Linear(2, 2)) is None
