"""A model file as a network of PyTorch that cannot learn: it shows its outputs only."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.errors import ModelError
from edgekd.records import TensorSpec
from edgekd.runtimes import RUNTIMES
from edgekd.runtimes.codec import decode, encode
from edgekd.runtimes.kinds import model_sha256, runtime_of, shown_by
from edgekd.runtimes.session import Array, Session

#: What the axes of an image mostly are where its shape leaves it open.
_CHANNELS_LAST = ("litert", "keras", "saved-model")


class FileModule(nn.Module):
    """A session behind ``forward``: float32, channels first, in; float32 (N, outputs) out.

    It has no parameters and no layers. Its only buffer is the hash of the file, so that two files
    are never taken for one network.

    Attributes:
        what: the format in words, for messages.
        tolerance: by how much rounding may keep probabilities from summing to 1.
    """

    sha256: Tensor

    def __init__(
        self, session: Session, spec: TensorSpec, output: int, *, sha256: str, what: str
    ) -> None:
        """Store the session.

        Args:
            session: the loaded file, of one input.
            spec: that input, with its layout.
            output: which of the outputs is meant.
            sha256: the hash of the file.
            what: its format in words.
        """
        super().__init__()
        self.session = session
        self.spec = spec
        self.output = output
        self.what = what
        self.register_buffer("sha256", torch.tensor(list(bytes.fromhex(sha256)), dtype=torch.uint8))
        step = session.outputs[output].scale or 0.0
        outputs = session.outputs[output].shape[-1] or 0
        self.tolerance = min(0.01 + outputs * step / 2, 0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the file gives for a batch (N, *sample_shape)."""
        values = inputs.detach().float().cpu().numpy()
        if self.spec.scale is None and np.dtype(self.spec.dtype).kind in "iu":
            # Pixels as whole numbers: augmented ones fall between them.
            limits = np.iinfo(self.spec.dtype)
            values = np.rint(values).clip(limits.min, limits.max)
        found = self._run(encode(values, self.spec))
        answers = decode(found, self.session.outputs[self.output])
        return torch.from_numpy(answers).to(inputs.device)

    def _run(self, array: Array) -> Array:
        """Run a batch, in pieces where the file is fixed to a batch size."""
        size = self.spec.shape[0]
        if size is None or len(array) == size:
            return self.session.run([array])[self.output]
        pieces = []
        for start in range(0, len(array), size):
            wanted = np.minimum(np.arange(start, start + size), len(array) - 1)
            pieces.append(self.session.run([array[wanted]])[self.output])
        return np.concatenate(pieces)[: len(array)]


def load_module(
    path: Path, *, sample_shape: tuple[int, ...], outputs: int, where: str
) -> FileModule:
    """Load a model file as a network, and try it on two samples of zeros.

    Args:
        path: the file, or a SavedModel's folder.
        sample_shape: the shape of one sample, channels first.
        outputs: how many classes it tells apart.
        where: the recipe's key path, e.g. ``teacher[0]``, for messages.

    Raises:
        ModelFileError: the file is missing, damaged or unsupported.
        MissingExtraError: its runtime is not installed.
        ModelError: its inputs or outputs do not fit the data.
    """
    kind = runtime_of(path)
    session: Session = RUNTIMES.resolve(kind)(path, threads=torch.get_num_threads())
    here = f"{where}.file {str(path)!r}"
    if len(session.inputs) != 1:
        raise ModelError(
            f"{here} takes {len(session.inputs)} inputs, a sample of the data is one",
            hint="Export it with one input.",
        )
    spec = with_layout(session.inputs[0], sample_shape, kind in _CHANNELS_LAST)
    if spec is None:
        raise ModelError(
            f"{here} takes samples of shape {_shown(session.inputs[0].shape[1:])}, "
            f"the data's are {_shown(sample_shape)}, channels first",
            hint=f'Say how it sees them, e.g. {where}.input.transforms = ["grey"] or '
            '[{name = "resize", size = [32, 32]}].',
        )
    what, sha256 = shown_by(kind, path), model_sha256(path)
    tried = FileModule(session, spec, 0, sha256=sha256, what=what)
    zeros = encode(np.zeros((spec.shape[0] or 2, *sample_shape), np.float32), spec)
    shapes = [found.shape[1:] for found in tried.session.run([zeros])]
    return FileModule(session, spec, _only(shapes, outputs, here, where), sha256=sha256, what=what)


def with_layout(
    spec: TensorSpec, sample_shape: tuple[int, ...], channels_last: bool
) -> TensorSpec | None:
    """Return an input's spec with the layout that fits samples, or None where none does.

    >>> spec = TensorSpec(name="x", shape=(None, 32, 32, 3), dtype="float32")
    >>> with_layout(spec, (3, 32, 32), False).layout, with_layout(spec, (1, 32, 32), False)
    ('nhwc', None)

    Args:
        spec: the input; free sizes fit anything.
        sample_shape: of one sample, channels first.
        channels_last: which layout to take where both fit.
    """
    last = (*sample_shape[1:], *sample_shape[:1])
    wanted = spec.shape[1:]
    fits = {"nchw": _fits(wanted, sample_shape), "nhwc": _fits(wanted, last)}
    if spec.layout is not None:
        return spec if fits[spec.layout] else None
    if len(sample_shape) == 1:
        return spec if fits["nchw"] else None
    for layout in ("nhwc", "nchw") if channels_last else ("nchw", "nhwc"):
        if fits[layout]:
            return spec.model_copy(update={"layout": layout})
    return None


def _fits(wanted: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    pairs = zip(wanted, shape, strict=False)
    return len(wanted) == len(shape) and all(w in (None, s) for w, s in pairs)


def _only(shapes: list[tuple[int, ...]], outputs: int, here: str, where: str) -> int:
    """Return the number of the one output that has a value a class."""
    fitting = [number for number, shape in enumerate(shapes) if shape == (outputs,)]
    if len(fitting) == 1:
        return fitting[0]
    found = " and ".join(_shown(shape) for shape in shapes)
    if fitting:
        raise ModelError(
            f"{here} has {len(fitting)} outputs of {outputs} values; which one is meant?",
            hint="Export it with the logits as its only output.",
        )
    raise ModelError(
        f"{here} gives {found} a sample; ({outputs}) is needed for {outputs} classes",
        hint=f"Where its classes are others than the data's, name them all, in its own order: "
        f"{where}.classes = [...].",
    )


def _shown(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if size is None else str(size) for size in shape)})"
