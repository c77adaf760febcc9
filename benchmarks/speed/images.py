"""``python -m benchmarks.speed.images``: peak memory of training from an image folder on disk."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 4
#: The other splits have the same size however large the training split is.
OTHERS = {"calibration": 100, "validation": 200, "test": 200}


def write(folder: Path, images: int, side: int) -> int:
    """Write random images as PNG files; return the bytes that the training split has decoded."""
    random = np.random.default_rng(0)
    for split, count in {"train": images, **OTHERS}.items():
        for label in range(CLASSES):
            (folder / split / f"class-{label}").mkdir(parents=True)
        for number in range(count):
            pixels = random.integers(0, 256, size=(side, side, 3), dtype=np.uint8)
            path = folder / split / f"class-{number % CLASSES}" / f"{number:06d}.png"
            Image.fromarray(pixels).save(path, compress_level=0)
    return images * side * side * 3


def peak_rss_bytes() -> int:
    """Return the largest resident size of this process, by Linux.

    Not ``ru_maxrss``, which a child inherits from its parent.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this system does not tell a process's peak memory")


def train(folder: Path, runs: Path) -> None:
    """Distil for one epoch from the folder."""
    from edgekd.distill.stage import distill
    from edgekd.recipe import Recipe

    os.environ["EDGEKD_RUNS"] = str(runs)
    distill(
        Recipe.from_dict(
            {
                "name": "memory",
                "data": {
                    "source": "image-folder",
                    "root": str(folder),
                },
                "teacher": [{"model": "resnet8", "width": 0.25}],
                "student": {"model": "resnet8", "width": 0.25},
                "loss": [{"name": "cross-entropy"}, {"name": "kd"}],
                "train": {"epochs": 1, "augment": ["crop", "flip"], "threads": 1, "doctor": "off"},
            }
        )
    )


def main() -> None:
    """Train on the folder of the command line and print the peak in bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("runs", type=Path)
    given = parser.parse_args()
    train(given.folder, given.runs)
    print(peak_rss_bytes())


if __name__ == "__main__":
    main()
