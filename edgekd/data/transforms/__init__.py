"""Fixed steps from the data's samples to a network's input.

A transform is a function ``f(sample_shape, **options)`` that returns a module: samples
(N, *sample_shape) float32, scaled but not normalised, in; (N, ...) out. It draws nothing at random.
"""

from __future__ import annotations

from edgekd.registry import Row, Table

TRANSFORMS = Table(
    "transform",
    [
        Row(
            "center-crop",
            "edgekd.data.transforms.place:CenterCrop",
            "the centre of images",
            extra="train",
        ),
        Row(
            "grey",
            "edgekd.data.transforms.colour:Grey",
            "one channel of three: the luma of ITU-R BT.601",
            extra="train",
        ),
        Row(
            "level",
            "edgekd.data.transforms.level:Level",
            "waveforms of one loudness: a root mean square of 1",
            extra="train",
        ),
        Row(
            "log-mel",
            "edgekd.data.transforms.spectrum:LogMel",
            "log-mel energies of waveforms",
            extra="train",
        ),
        Row(
            "pad",
            "edgekd.data.transforms.place:Pad",
            "zeros around images",
            extra="train",
        ),
        Row(
            "resize",
            "edgekd.data.transforms.resize:Resize",
            "images at another height and width",
            extra="train",
        ),
        Row(
            "rgb",
            "edgekd.data.transforms.colour:RGB",
            "three equal channels of one",
            extra="train",
        ),
        Row(
            "spectrogram",
            "edgekd.data.transforms.spectrum:Spectrogram",
            "spectrogram of waveforms, logarithmic or not",
            extra="train",
        ),
    ],
)
