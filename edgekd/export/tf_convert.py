"""TensorFlow's own converter, in a process of its own: ``python -m edgekd.export.tf_convert DIR``.

Its own, because Keras must compute with TensorFlow here, whatever it computes with in the program
that exports; because the converter may kill its process; and because tensors are then named the
same each time. TensorFlow is imported when it is needed, and PyTorch never.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

MODEL = "model.tflite"
_SIGNATURE = "serving_default"
#: Where the converter's words name the operators that it cannot translate.
_LACKING = (
    re.compile(r"(?:Select|Custom) ops: ([^\n]+)"),
    re.compile(r'error: loc\(\w*\(?fused\["(\w+):"'),
    re.compile(r"error: '([\w.]+)' op"),
)


@dataclass(frozen=True)
class Tensor:
    """An input or an output of the file.

    Attributes:
        name: in the file.
        source: in the signature of the SavedModel; unused for Keras.
        order: of the axes: from the file's input to the model's, from the model's output to the
            file's; None: the same.
        shape: of an input, None where a size is free.
        dtype: of an input in the file.
    """

    name: str
    source: str
    order: tuple[int, ...] | None = None
    shape: tuple[int | None, ...] = ()
    dtype: str = "float32"

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Tensor:
        """Return it from JSON, which knows no tuples."""
        order = stored["order"]
        tuples = {"shape": tuple(stored["shape"]), "order": None if order is None else tuple(order)}
        return cls(**{**stored, **tuples})


@dataclass(frozen=True)
class Job:
    """What to convert, and how.

    Attributes:
        kind: ``keras`` or ``saved-model``.
        path: the file or folder; empty for a model at hand.
        inputs: in the model's order.
        outputs: in the model's order.
        scheme: ``none``, ``fp16`` or ``int8``.
        io: the type of inputs and outputs of an int8 file.
        integers_only: refuse operators that cannot compute in integers.
        dense_per_tensor: one scale for the whole weight of a dense layer.
        scale: what the first input is multiplied with, to normalise it; None: nothing.
        offset: what is added then.
        softmax: end in probabilities.
    """

    kind: str
    path: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    scheme: str
    io: str
    integers_only: bool
    dense_per_tensor: bool
    scale: Any = None
    offset: Any = None
    softmax: bool = False

    def write(self, folder: Path) -> None:
        """Write the job into the folder that the process is started on."""
        (folder / "job.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Job:
        """Read what `write` wrote."""
        found = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        for key in ("inputs", "outputs"):
            found[key] = tuple(Tensor.of(one) for one in found[key])
        return cls(**found)


def convert(job: Job, folder: Path, model: Any = None) -> list[str]:
    """Write `MODEL` into the folder, which holds ``calibration-NUMBER.npy`` of every input.

    Args:
        job: what to do.
        folder: where to work.
        model: a Keras model at hand, computing with TensorFlow.

    Returns:
        What the user should know of the file.
    """
    import tensorflow as tf

    loaded, call, variables = _saved_model(job) if job.kind == "saved-model" else _keras(job, model)
    with _unrolled(loaded, job) as unrolled:
        module = tf.Module()
        module.tracked = (loaded if job.kind == "saved-model" else None, variables)
        module.function = _function(job, call)
        specs = {one.name: tf.TensorSpec(one.shape, one.dtype, name=one.name) for one in job.inputs}
        signature = module.function.get_concrete_function(**specs)
        tf.saved_model.save(module, str(folder / "graph"), signatures={_SIGNATURE: signature})
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(folder / "graph"), signature_keys=[_SIGNATURE]
    )
    _configure(converter, job, folder)
    (folder / MODEL).write_bytes(converter.convert())
    if not unrolled:
        return []
    return [f"recurrent layers are unrolled, since loops stay in float: {', '.join(unrolled)}"]


def _keras(job: Job, model: Any) -> tuple[Any, Callable[..., Any], list[Any]]:
    """Return a Keras model, how it is called, and its variables."""
    import keras

    from edgekd.runtimes.keras_tensors import packed

    if model is None:
        model = keras.models.load_model(job.path, compile=False, safe_mode=True)

    def call(values: list[Any]) -> list[Any]:
        return list(keras.tree.flatten(model(packed(model, values), training=False)))

    # Keras's own variables are no TensorFlow objects: what is not tracked stays without a value.
    return model, call, [getattr(one, "value", one) for one in model.variables]


def _saved_model(job: Job) -> tuple[Any, Callable[..., Any], list[Any]]:
    """Return a SavedModel and how its signature is called."""
    import tensorflow as tf

    loaded = tf.saved_model.load(job.path)
    signature = loaded.signatures[_SIGNATURE]

    def call(values: list[Any]) -> list[Any]:
        pairs = zip(job.inputs, values, strict=True)
        found = signature(**{one.source: value for one, value in pairs})
        return [found[one.source] for one in job.outputs]

    return loaded, call, []


def _function(job: Job, call: Callable[..., Any]) -> Any:
    """Return the function that becomes the file: by names, in the file's layout."""
    import tensorflow as tf

    @tf.function(autograph=False)  # type: ignore[untyped-decorator, unused-ignore]
    def function(**given: Any) -> dict[str, Any]:
        values = [given[one.name] for one in job.inputs]
        if job.scale is not None:
            scale, offset = (np.asarray(one, np.float32) for one in (job.scale, job.offset))
            values[0] = tf.cast(values[0], tf.float32) * scale + offset
        values = [_turned(value, one) for value, one in zip(values, job.inputs, strict=True)]
        found = [_turned(value, one) for value, one in zip(call(values), job.outputs, strict=True)]
        if job.softmax:
            found = [tf.nn.softmax(found[0], axis=-1)]
        # Identity: an output must be a tensor of its own even where it is another one, too.
        return {
            one.name: tf.identity(value, name=one.name)
            for one, value in zip(job.outputs, found, strict=True)
        }

    return function


def _turned(value: Any, tensor: Tensor) -> Any:
    import tensorflow as tf

    return value if tensor.order is None else tf.transpose(value, tensor.order)


@contextlib.contextmanager
def _unrolled(model: Any, job: Job) -> Iterator[list[str]]:
    """Unroll the loops of recurrent layers while an int8 graph is traced; yield their names.

    The converter leaves loops in float, and its calibrator crashes on them.
    """
    layers = model._flatten_layers() if job.scheme == "int8" and job.kind == "keras" else []
    changed = [layer for layer in layers if getattr(layer, "unroll", None) is False]
    for layer in changed:
        layer.unroll = True
    try:
        yield [str(layer.name) for layer in changed]
    finally:
        for layer in changed:
            layer.unroll = False


def _configure(converter: Any, job: Job, folder: Path) -> None:
    """Set what the scheme means to this converter."""
    import tensorflow as tf

    if job.scheme == "none":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if job.scheme == "fp16":
        converter.target_spec.supported_types = [tf.float16]
        return
    stored = [
        np.load(folder / f"calibration-{number}.npy", mmap_mode="r")
        for number in range(len(job.inputs))
    ]

    def feeds() -> Iterator[dict[str, Any]]:
        for index in range(len(stored[0])):
            pairs = zip(job.inputs, stored, strict=True)
            yield {one.name: np.ascontiguousarray(values[index]) for one, values in pairs}

    converter.representative_dataset = feeds
    operators = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.target_spec.supported_ops = (
        operators if job.integers_only else [*operators, tf.lite.OpsSet.TFLITE_BUILTINS]
    )
    converter.inference_input_type = converter.inference_output_type = tf.as_dtype(job.io)
    converter._experimental_disable_per_channel_quantization_for_dense_layers = job.dense_per_tensor


def described(error: BaseException) -> str:
    """Return what an exception of the converter says: the operators that it lacks, or a line."""
    text = str(error)
    for pattern in _LACKING:
        lacking = dict.fromkeys(pattern.findall(text))
        if lacking:
            return f"TFLite has no such operators: {', '.join(lacking)}"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def _main(folder: Path) -> None:
    """Do the job of a folder, and write down what came of it."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        reply: dict[str, Any] = {"notes": convert(Job.read(folder), folder)}
    except Exception as error:  # of TensorFlow, MLIR and Keras: anything may happen
        reply = {"error": described(error)}
        (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")
        raise
    (folder / "reply.json").write_text(json.dumps(reply), encoding="utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
