"""Data: sources, splits that never overlap, and the statistics that belong to them.

A source is a function ``f(**options) -> RawData``: a row of this table, or the user's own
``package.module:function``. `edgekd.data.load.load_dataset` turns it into a `Dataset`.
"""

from __future__ import annotations

from edgekd.registry import Row, Table

SOURCES = Table(
    "source",
    [
        Row(
            "audio-folder",
            "edgekd.data.audio_folder:audio_folder",
            "a folder of recordings: train/CLASS/*.wav",
            extra="bench",
        ),
        Row(
            "digits",
            "edgekd.data.digits:digits",
            "1,797 handwritten digits of 8x8 pixels that ship with scikit-learn",
            extra="bench",
        ),
        Row(
            "fsdd",
            "edgekd.data.fsdd:fsdd",
            "3,000 spoken digits of six speakers, the Free Spoken Digit Dataset",
            extra="bench",
        ),
        Row(
            "idx",
            "edgekd.data.idx:idx",
            "IDX files, as of the MNIST family, gzipped or not",
            extra="bench",
        ),
        Row(
            "image-folder",
            "edgekd.data.image_folder:image_folder",
            "a folder of images: train/CLASS/*.jpg|png",
            extra="bench",
        ),
        Row(
            "npz",
            "edgekd.data.npz:npz",
            "NumPy arrays x_train, y_train, ... in one .npz file",
            extra="bench",
        ),
    ],
)
