"""Distillation: one loop, its optimizers, schedules and augmentations; `edgekd.distill(...)`."""

from __future__ import annotations

from edgekd.registry import Row, Table
from edgekd.verbs import make_callable

OPTIMIZERS = Table(
    "optimizer",
    [
        Row("adamw", "edgekd.distill.optimizers:adamw", "AdamW", extra="train"),
        Row("sgd", "edgekd.distill.optimizers:sgd", "SGD with Nesterov momentum", extra="train"),
    ],
)

SCHEDULES = Table(
    "schedule",
    [
        Row("constant", "edgekd.distill.schedules:constant", "the peak all along"),
        Row("cosine", "edgekd.distill.schedules:cosine", "half a cosine from the peak to 0"),
        Row(
            "one-cycle", "edgekd.distill.schedules:one_cycle", "up for 30% of the steps, then to 0"
        ),
    ],
)

LOGGERS = Table(
    "logger",
    [
        Row(
            "mlflow",
            "edgekd.distill.loggers:mlflow",
            "MLflow: where `MLFLOW_TRACKING_URI` says, else `mlflow.sqlite` in the folder of runs",
            extra="mlflow",
        ),
        Row(
            "tensorboard",
            "edgekd.distill.loggers:tensorboard",
            "TensorBoard's event files, in the run's folder `tensorboard`",
            extra="tensorboard",
        ),
    ],
)

AUGMENTATIONS = Table(
    "augmentation",
    [
        Row(
            "affine",
            "edgekd.distill.augmentations:affine",
            "random rotation, shift, scale and shear",
            extra="train",
        ),
        Row(
            "colour-jitter",
            "edgekd.distill.augmentations:colour_jitter",
            "random brightness, contrast, saturation and hue",
            extra="train",
        ),
        Row(
            "crop",
            "edgekd.distill.augmentations:crop",
            "random crop of the padded image, back to its size",
            extra="train",
        ),
        Row(
            "erase",
            "edgekd.distill.augmentations:erase",
            "a random rectangle set to 0 (random erasing)",
            extra="train",
        ),
        Row(
            "filter",
            "edgekd.distill.augmentations_speech:random_filter",
            "a random frequency response: another room, microphone or voice",
            extra="train",
        ),
        Row(
            "flip",
            "edgekd.distill.augmentations:flip",
            "random horizontal flip",
            extra="train",
        ),
        Row(
            "frequency-mask",
            "edgekd.distill.augmentations_speech:frequency_mask",
            "silences random bands of frequencies (SpecAugment)",
            extra="train",
        ),
        Row(
            "gain",
            "edgekd.distill.augmentations_signal:gain",
            "louder or softer at random",
            extra="train",
        ),
        Row(
            "noise",
            "edgekd.distill.augmentations_signal:noise",
            "white noise at a random signal-to-noise ratio",
            extra="train",
        ),
        Row(
            "speed",
            "edgekd.distill.augmentations_speech:speed",
            "random speed, and pitch with it",
            extra="train",
        ),
        Row(
            "time-mask",
            "edgekd.distill.augmentations_speech:time_mask",
            "silences random spans of time (SpecAugment)",
            extra="train",
        ),
        Row(
            "time-shift",
            "edgekd.distill.augmentations_signal:time_shift",
            "random shift along the last axis, zeros moving in",
            extra="train",
        ),
        Row(
            "trivial-augment",
            "edgekd.distill.augmentations_policy:trivial_augment",
            "one random operation of fourteen an image (TrivialAugment)",
            extra="train",
        ),
    ],
)

make_callable(__name__, "edgekd.distill.stage:distill")
