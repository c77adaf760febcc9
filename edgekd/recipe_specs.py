"""The tables of a recipe, each a frozen model: what every key means and which values it takes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]
Size = Annotated[float | int, Field(ge=0)]


class Table(BaseModel):
    """A closed table: unknown keys are faults."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class OpenTable(BaseModel):
    """A table that hands its other keys, the options, to what it names."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False, strict=True)

    @property
    def options(self) -> dict[str, Any]:
        """The keys that are not fields of the table."""
        return dict(self.model_extra or {})


def as_tuple(value: Any) -> Any:
    """TOML has arrays only; strict tuples take no lists."""
    return tuple(value) if isinstance(value, list) else value


class SplitSpec(Table):
    """``[data.split]``: sizes of what is cut out of the training part.

    An integer is a number of samples, a fraction is a fraction of the training part. Parts that
    the source brings itself are not cut. ``train`` keeps only so many of what is left to train
    with, for quick tries and for studies of little data; the rest goes unused. ``labelled`` keeps
    only so many labels in what is left; the others of its samples stay, without theirs.
    """

    train: Size | None = None
    labelled: Size | None = None
    calibration: Size = 128
    validation: Size = 0.1
    test: Size = 0.2
    seed: int = 0


class UnlabelledSpec(OpenTable):
    """``[data.unlabelled]``: more samples to train with, without labels. Options go to the source.

    Attributes:
        source: whose training samples they are; of the same shape as those of the data.
        samples: how many of them at most, drawn by the split's seed; default: all.
    """

    source: str
    samples: Positive | None = None


class DataSpec(OpenTable):
    """``[data]``: where samples come from. Options go to the source."""

    source: str = "digits"
    split: SplitSpec = SplitSpec()
    unlabelled: UnlabelledSpec | None = None


def named(value: Any) -> Any:
    """Let ``augment = ["flip"]`` stand for ``[[train.augment]] name = "flip"``."""
    if isinstance(value, list):
        return tuple({"name": item} if isinstance(item, str) else item for item in value)
    return value


class AugmentSpec(OpenTable):
    """``[[train.augment]]``: one random augmentation of training batches.

    Attributes:
        name: a row of the table of augmentations, or an import path.
        input: which of the data's inputs is augmented; default: the one that the student takes.
    """

    name: str
    input: str | None = None


def _switch(value: Any) -> Any:
    """Let ``energy = true`` stand for an empty ``[train.energy]``, and ``false`` for none."""
    return {True: {}, False: None}[value] if isinstance(value, bool) else value


class MixSpec(Table):
    """``[train.mix]``, or ``mix = true``: two samples mixed into one; ``mix = false``: none are.

    Attributes:
        kind: ``mixup`` (a weighted sum) or ``cutmix`` (a rectangle of the one in the other).
        alpha: of the Beta(alpha, alpha) distribution of the shares.
    """

    kind: Literal["mixup", "cutmix"] = "mixup"
    alpha: Annotated[float, Field(gt=0)] = 0.2


class EnergySpec(Table):
    """``[train.energy]``, or ``energy = true``: how much energy each training takes.

    Attributes:
        country: three letters of ISO 3166-1, whose electricity decides the CO2e; default: the
            world's average.
        cpu_watts: the processor's thermal design power, for an estimate; default: codecarbon's
            table.
    """

    country: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    cpu_watts: Annotated[float, Field(gt=0)] | None = None


class TrainSpec(Table):
    """``[train]``: how networks are trained.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples a step.
        optimizer: ``adamw`` or ``sgd``.
        learning_rate: the peak of the schedule.
        weight_decay: decoupled for AdamW, L2 for SGD; not on biases and normalisation.
        momentum: SGD's momentum (Nesterov); AdamW ignores it.
        schedule: ``cosine``, ``one-cycle`` or ``constant``, a step at a time.
        warmup: fraction of all steps that the learning rate climbs from 0 to its peak.
        label_smoothing: for cross-entropy terms that do not set their own.
        ema: decay of the exponential moving average of the weights; 0 switches it off.
        clip_norm: largest gradient norm over everything trainable; 0 switches it off.
        patience: epochs without a better validation accuracy before stopping; 0: never stop.
        select: keep the weights of the ``best`` epoch on validation, or of the ``last``.
        augment: random augmentations of training batches, in order.
        mix: mixup or CutMix, after the augmentations.
        precision: Lightning Fabric's name, e.g. ``32-true`` or ``bf16-mixed``.
        accumulate: batches whose gradients make one step; the step sees their weighted mean.
        channels_last: keep images and convolutions channels last in memory: often faster.
        compile: compile the student's forward pass with ``torch.compile``.
        accelerator: ``auto``, ``cpu`` or ``cuda``.
        num_devices: processes that train together; each takes ``batch_size`` samples a step.
        strategy: how they do it, by Lightning Fabric: ``auto``, ``ddp`` or ``fsdp`` (CUDA only).
        threads: CPU threads of PyTorch; 0 leaves PyTorch's own choice.
        seeds: one student for each; empty: the recipe's ``seed`` alone.
        baseline: also train each student without its teacher, same seed and same budget.
        doctor: ``strict`` stops before the first epoch where the doctor finds a fault, ``warn``
            only says it, ``off`` does not look.
        energy: measure or estimate what each training takes, by codecarbon, offline.
        loggers: where each epoch is logged beside ``metrics.jsonl``: ``tensorboard``, ``mlflow``.
    """

    epochs: Positive = 30
    batch_size: Positive = 128
    optimizer: str = "adamw"
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    schedule: str = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    clip_norm: Annotated[float, Field(ge=0)] = 0.0
    patience: Annotated[int, Field(ge=0)] = 0
    select: Literal["best", "last"] = "best"
    augment: Annotated[tuple[AugmentSpec, ...], BeforeValidator(named)] = ()
    mix: Annotated[MixSpec | None, BeforeValidator(_switch)] = None
    precision: str = "32-true"
    accumulate: Positive = 1
    channels_last: bool = False
    compile: bool = False
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    num_devices: Positive = 1
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    threads: Annotated[int, Field(ge=0)] = 0
    seeds: Annotated[tuple[int, ...], BeforeValidator(as_tuple)] = ()
    baseline: bool = False
    doctor: Literal["strict", "warn", "off"] = "strict"
    energy: Annotated[EnergySpec | None, BeforeValidator(_switch)] = None
    loggers: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()


class SynthesisSpec(Table):
    """``[synthesis]``: train the student without data, on samples made from the teacher alone.

    Experimental. Validation and test stay real, and choose nothing.

    Attributes:
        method: ``inversion`` or ``generator``.
        samples: of the training split that is made.
        batch_size: samples made together.
        steps: of the optimization, for each batch.
        learning_rate: of ``inversion``.
        batchnorm: weight of the distance from the teacher's BatchNorm statistics.
        variation: weight of total variation, for ``inversion``.
        norm: weight of the mean square, for ``inversion``.
        compare: also train each student on the real data, with the same teacher and budget.
    """

    method: str = "inversion"
    samples: Positive = 1000
    batch_size: Positive = 200
    steps: Positive = 300
    learning_rate: Annotated[float, Field(gt=0)] = 0.05
    batchnorm: Annotated[float, Field(ge=0)] = 1.0
    variation: Annotated[float, Field(ge=0)] = 0.0
    norm: Annotated[float, Field(ge=0)] = 0.0
    compare: bool = True


class QuantizeSpec(Table):
    """``[quantize]``: training the student for int8 once it is trained in float.

    Attributes:
        qat: fine-tune it with fake quantization, by the same losses and teachers.
        epochs: passes over the training split.
        learning_rate: the peak of the schedule.
        equalize: first make channels between layers alike in size, for the same function.
        per_channel: convolutions have a scale for each output channel, not one for all.
        freeze: fraction of the training, at its end, in which ranges of activations stand still.
        train: overrides of other keys of ``[train]``.
    """

    qat: bool = False
    epochs: Positive = 10
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    equalize: bool = True
    per_channel: bool = True
    freeze: Annotated[float, Field(ge=0, le=1)] = 0.3
    train: dict[str, Any] = {}


class ExportSpec(Table):
    """``[[export]]``: one file to make.

    Attributes:
        target: a row of the table of targets.
        quantize: a row of the table of schemes; None: what suits the profile.
        profile: the kind of device that the file is for.
        io: the type of inputs and outputs; None: the scheme's own.
        layout: of images in the file; None: the target's own.
        batch: samples a call, or ``dynamic``; None: the target's own.
        free_axis: an axis of the inputs, counted from the batch, whose size stays free.
        embed_preprocess: make normalisation and softmax parts of the file.
        keep_float: patterns of layers that are not quantized.
        calibration: how the ranges of activations are set.
        calibration_samples: of how many samples at most.
        percentile: the share of values inside the range, in percent, for that method.
    """

    target: str
    quantize: str | None = None
    profile: str = "cpu"
    io: Literal["float32", "int8", "uint8"] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    batch: Positive | Literal["dynamic"] | None = None
    free_axis: Positive | None = None
    embed_preprocess: bool = False
    keep_float: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ()
    calibration: Literal["min-max", "percentile", "mse"] = "min-max"
    calibration_samples: Positive = 512
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99


class BenchmarkSpec(Table):
    """``[benchmark]``: where and how files are measured."""

    devices: Annotated[tuple[str, ...], BeforeValidator(as_tuple)] = ("cpu",)
    threads: Positive = 1
