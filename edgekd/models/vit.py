"""A small vision transformer whose parts can be captured one by one.

A. Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021,
https://arxiv.org/abs/2010.11929: non-overlapping patches, learned positions, pre-norm blocks.
There is no class token: the classifier sees the mean of the tokens, so that every token stands
for a place of the image. Queries, keys, values and scores come from modules of their own.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.models.shapes import image_shape, positive


class Scores(nn.Module):
    """Attention scores before the softmax."""

    def __init__(self, heads: int) -> None:
        """Store the number of heads."""
        super().__init__()
        self.heads = heads

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Return (N, heads, L, L) of queries and keys (N, L, D)."""
        q = torch.unflatten(queries, -1, (self.heads, -1)).transpose(1, 2)
        k = torch.unflatten(keys, -1, (self.heads, -1)).permute(0, 2, 3, 1)
        return q @ k / math.sqrt(q.shape[-1])


class Attention(nn.Module):
    """Multi-head self-attention with separate projections."""

    def __init__(self, dim: int, heads: int) -> None:
        """Make the projections."""
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.scores = Scores(heads)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, L, D) of tokens (N, L, D)."""
        weights = self.scores(self.query(x), self.key(x)).softmax(dim=-1)
        values = torch.unflatten(self.value(x), -1, (self.heads, -1)).transpose(1, 2)
        mixed: Tensor = self.out((weights @ values).transpose(1, 2).flatten(2))
        return mixed


class Block(nn.Module):
    """Attention and two linear layers, each behind a LayerNorm and beside a shortcut."""

    def __init__(self, dim: int, heads: int, hidden: int, dropout: float) -> None:
        """Make the layers."""
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, L, D) of tokens (N, L, D)."""
        x = x + self.dropout(self.attention(self.norm1(x)))
        total: Tensor = x + self.dropout(self.mlp(self.norm2(x)))
        return total


class Patches(nn.Module):
    """Patches to tokens, with learned positions.

    Args:
        input_shape: (C, H, W); sides that are no multiple of the patch are padded with zeros.
        dim: features of a token.
        patch: side of a patch.
    """

    def __init__(self, input_shape: tuple[int, int, int], dim: int, patch: int) -> None:
        """Make the projection and the positions."""
        super().__init__()
        channels, height, width = input_shape
        self.pad = nn.ZeroPad2d((0, -width % patch, 0, -height % patch))
        self.projection = nn.Conv2d(channels, dim, patch, patch)
        tokens = math.ceil(height / patch) * math.ceil(width / patch)
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(tokens, dim), std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        """Return tokens (N, L, D) of images (N, C, H, W), row by row."""
        tokens: Tensor = self.projection(self.pad(x)).flatten(2).transpose(1, 2)
        return tokens + self.positions


class ViT(nn.Module):
    """Patches, blocks, a last LayerNorm, the mean over tokens, a linear classifier.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W).
        depth: blocks.
        dim: features of a token.
        heads: of every block.
        patch: side of a patch.
        hidden: features between the two linear layers of a block.
        dropout: on what a block adds to its tokens.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        input_shape: tuple[int, int, int],
        depth: int,
        dim: int,
        heads: int,
        patch: int,
        hidden: int,
        dropout: float,
    ) -> None:
        """Make the layers."""
        super().__init__()
        self.patches = Patches(input_shape, dim, patch)
        self.blocks = nn.Sequential(*(Block(dim, heads, hidden, dropout) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, num_classes) of images (N, C, H, W)."""
        tokens = self.norm(self.blocks(self.patches(x)))
        logits: Tensor = self.linear(tokens.mean(1))
        return logits


def vit(
    *,
    num_classes: int,
    input_shape: tuple[int, ...],
    depth: int = 4,
    dim: int = 64,
    heads: int = 4,
    patch: int = 4,
    expansion: int = 2,
    dropout: float = 0.0,
) -> ViT:
    """Small vision transformer: 141,898 parameters for 3x32x32 and 10 classes.

    Args:
        num_classes: length of the logits.
        input_shape: (C, H, W), H and W at least 8.
        depth: blocks.
        dim: features of a token, a multiple of ``heads``.
        heads: attention heads.
        patch: side of a patch; sides that it does not divide are padded with zeros.
        expansion: factor on ``dim`` inside a block; 4 in the paper.
        dropout: on what a block adds to its tokens.

    Raises:
        ModelError: the input is no image, or an option cannot be.
    """
    channels, height, width = image_shape(input_shape, "vit")
    options = {"depth": depth, "dim": dim, "heads": heads, "patch": patch, "expansion": expansion}
    for option, value in options.items():
        positive(value, option)
    if dim % heads:
        raise ModelError(f"dim is {dim}, heads is {heads}", hint="heads must divide dim.")
    return ViT(
        num_classes=num_classes,
        input_shape=(channels, height, width),
        depth=depth,
        dim=dim,
        heads=heads,
        patch=patch,
        hidden=dim * expansion,
        dropout=dropout,
    )
