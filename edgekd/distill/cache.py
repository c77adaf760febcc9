"""The teacher's answers, computed once and read back: right under augmentation.

An answer belongs to one view of one sample. The key of a cache is the hash of all that decides
it: the teacher's weights, the data, the transforms and their seed, the mixing, the number of
views, the layers, the precision. A shard holds one view of all training samples, one file an
output, memory-mapped. Beside it stands a record with the hashes of its files, written last: a
shard without its record, or with other hashes, is computed again, never used.

With ``top_k``, only the largest probabilities are kept and the missing mass is spread uniformly
over the other classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgekd.distill.batches import Batch, TrainingBatches
from edgekd.distill.packing import Packed, pack, unpack
from edgekd.distill.progress import Progress
from edgekd.distill.voice import Voice
from edgekd.errors import RunError
from edgekd.losses.base import Outputs
from edgekd.recipe import CacheSpec
from edgekd.recordfile import file_record, read_record, write_record
from edgekd.records_distill import ShardManifest
from edgekd.rundir import runs_root
from edgekd.storage import atomic_file, process_lock, sha256_bytes

CHUNK = 256


class TeacherCache:
    """Answers of a teacher for ``views`` views of every training sample.

    Args:
        folder: where shards stand.
        spec: precision, number of views, ``top_k``.
        batches: draws the views; must show those that the student will see.
        voice: the live teacher.
        progress: told what is built and what had to be built again.
    """

    def __init__(
        self,
        folder: Path,
        spec: CacheSpec,
        batches: TrainingBatches,
        voice: Voice,
        progress: Progress,
    ) -> None:
        """Build what is missing, then verify a random 1% against the live teacher."""
        self.folder = folder
        self.spec = spec
        self.batches = batches
        self.voice = voice
        self.progress = progress
        self.shards: dict[int, Packed] = {}
        self._build()
        self._verify()

    def answer(self, batch: Batch) -> Outputs:
        """Return the stored answers of a batch, as float32 on the batch's device."""
        rows = batch.indices.cpu().numpy()
        found = unpack(self._shard(batch.view), rows, self.spec)
        tensors = {name: torch.from_numpy(v).to(batch.inputs.device) for name, v in found.items()}
        return Outputs(tensors.pop("logits"), tensors, batch.mask, batch.indices)

    def _build(self) -> None:
        """Compute the views that are missing; other processes may build others meanwhile."""
        missing = [view for view in range(self.spec.views) if not self._whole(view)]
        if missing:
            self.progress.message(
                f"caching the teacher: {len(missing)} of {self.spec.views} views ({self.folder})"
            )
        busy = []
        for view in missing:
            with process_lock(self._lock(view), wait=False) as ours:
                if not ours:
                    busy.append(view)
                elif not self._whole(view):
                    self._compute(view)
        for view in busy:  # somebody else's: wait, and do it ourselves if they died
            with process_lock(self._lock(view), wait=True):
                if not self._whole(view):
                    self._compute(view)

    def _lock(self, view: int) -> Path:
        return self.folder / f"{_name(view)}.lock"

    def _whole(self, view: int) -> bool:
        """Say whether a shard is there with the hashes that its record names."""
        record = self.folder / f"{_name(view)}.json"
        if not record.exists():
            return False
        try:
            manifest = read_record(record, ShardManifest)
        except RunError:
            return False
        return all(
            (self.folder / name).is_file() and file_record(self.folder / name) == known
            for name, known in manifest.files.items()
        )

    def _compute(self, view: int) -> None:
        """Ask the live teacher for a whole view, in the split's order, and store the answers."""
        chunks: list[Packed] = []
        for indices in _chunks(len(self.batches.part)):
            batch = self.batches.batch(indices, view, _device(self.voice))
            chunks.append(pack(self.voice.answer(batch), self.spec))
        files = {}
        for name in chunks[0]:
            path = self.folder / f"{_name(view)}.{_file_name(name)}.npy"
            with atomic_file(path) as temporary, temporary.open("wb") as file:
                np.save(file, np.concatenate([chunk[name] for chunk in chunks]))
            files[path.name] = file_record(path)
        names = {name: _file_name(name) for name in chunks[0]}
        write_record(
            self.folder / f"{_name(view)}.json",
            ShardManifest(view=view, outputs=names, files=files),
        )
        self.shards.pop(view, None)

    def _shard(self, view: int) -> Packed:
        if view not in self.shards:
            manifest = read_record(self.folder / f"{_name(view)}.json", ShardManifest)
            self.shards[view] = {
                name: np.load(self.folder / f"{_name(view)}.{file}.npy", mmap_mode="r")
                for name, file in manifest.outputs.items()
            }
        return self.shards[view]

    def _verify(self) -> None:
        """Hold a random 1% of every view against the live teacher; compute again what differs."""
        random = np.random.default_rng()
        samples = len(self.batches.part)
        count = min(samples, max(4, samples // 100))
        for view in range(self.spec.views):
            chosen = np.sort(random.choice(samples, size=count, replace=False))
            batch = self.batches.batch(chosen, view, _device(self.voice))
            fresh = unpack(pack(self.voice.answer(batch), self.spec), np.arange(count), self.spec)
            stored = unpack(self._shard(view), chosen, self.spec)
            if not all(_close(stored[name], fresh[name], self.spec) for name in fresh):
                self.progress.message(
                    f"view {view} of the teacher cache is not what the teacher says: computed again"
                )
                self._compute(view)


def _chunks(samples: int) -> Iterator[np.ndarray]:
    for start in range(0, samples, CHUNK):
        yield np.arange(start, min(start + CHUNK, samples))


def _close(stored: np.ndarray, fresh: np.ndarray, spec: CacheSpec) -> bool:
    """Compare within two units of the stored precision, relative to the largest value.

    Batches of another size round differently in the last bits of float32, which may move a value
    to the neighbouring float16.
    """
    tolerance = 2e-3 if spec.precision == "fp16" else 1e-4
    scale = float(np.abs(fresh).max()) + 1e-6
    return bool(np.abs(stored - fresh).max() <= tolerance * scale)


def _device(voice: Voice) -> torch.device:
    teacher = getattr(voice, "teacher", None)
    parameters = teacher.parameters() if isinstance(teacher, nn.Module) else iter(())
    first: Tensor | None = next(parameters, None)
    return torch.device("cpu") if first is None else first.device


def _name(view: int) -> str:
    return f"view-{view:05d}"


def _file_name(output: str) -> str:
    """Return a file name for an output: names of layers may hold anything."""
    return output if output.isidentifier() else sha256_bytes(output.encode())[:12]


def cache_folder(decides: dict[str, Any]) -> Path:
    """Return the folder of the cache that these facts decide."""
    key = sha256_bytes(json.dumps(decides, sort_keys=True, default=str).encode())[:16]
    return runs_root() / "cache" / key
