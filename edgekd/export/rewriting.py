"""The network as converters should see it: the same function, written as files hold it best.

The network that was given stays the reference that the file is held against, so that a rewriting
that changed anything would show in the proof.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from torch import nn

from edgekd.export.attention import with_small_fills
from edgekd.export.prepare import Prepared
from edgekd.export.spectra import with_plain_spectra
from edgekd.export.strides import with_short_strides
from edgekd.quantize.fake.fold import fold
from edgekd.quantize.schemes import Scheme


def written(prepared: Prepared, scheme: Scheme) -> Prepared:
    """Return the same network with masks, norms, strides and spectra that suit a file.

    Args:
        prepared: the network; it stays as it is.
        scheme: how the file is quantized.
    """
    plain = with_plain_spectra(with_small_fills(prepared, scheme))
    return with_short_strides(_with_folded_norms(plain))


def _with_folded_norms(prepared: Prepared) -> Prepared:
    """Fold BatchNorm into one-dimensional convolutions.

    litert-torch folds it into two-dimensional ones only (0.10): between others stay a product and
    a sum, which int8 rounds once more each (a network for waveforms gained 9 dB).
    """
    kinds = {type(module) for module in prepared.model.modules()}
    inputs = list(prepared.example.values())
    if not {nn.Conv1d, nn.BatchNorm1d} <= kinds or len(inputs) != 1:
        return prepared
    model = copy.deepcopy(prepared.model)
    return replace(prepared, model=model.eval()) if fold(model, inputs[0]) else prepared
