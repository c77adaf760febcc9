"""The digits that ship with scikit-learn: real data, without a download.

1,797 handwritten digits, 1x8x8, whole values 0 to 16, 10 classes. Alpaydin and Kaynak, "Optical
Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998 (its test part).
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from edgekd.data.split import Part, RawData


def digits() -> RawData:
    """Return all digits as one part; ids are ``digits/0000`` to ``digits/1796``."""
    bunch = load_digits()
    images = bunch.images.astype(np.uint8)[:, None]
    part = Part(
        ids=tuple(f"digits/{i:04d}" for i in range(len(images))),
        targets=bunch.target.astype(np.int64),
        reader=lambda indices: images[indices],
    )
    return RawData(
        parts={"train": part},
        classes=tuple(str(name) for name in bunch.target_names),
        sample_shape=(1, 8, 8),
        scale=1 / 16,
    )
