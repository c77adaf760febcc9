"""What a file is to say of itself, put together before it is made.

Some formats are closed once they are written, so their exporters write it; others are marked
afterwards. Both know inputs and outputs of the file only when there is one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgekd.records import Preprocess, TensorSpec
from edgekd.records_modelfile import FileInput, FileMetadata


@dataclass(frozen=True)
class FileFacts:
    """What is known of a file before it is made.

    Attributes:
        metadata: all but inputs and outputs.
        preprocess: what turns raw samples into what the network takes.
        embedded: whether the file does that itself.
    """

    metadata: FileMetadata
    preprocess: Preprocess | None = None
    embedded: bool = False

    def of(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec]) -> FileMetadata:
        """Return what the file says, with what it takes and gives."""
        taken = [
            FileInput(**dict(spec), preprocess=self.preprocess, embedded=self.embedded)
            for spec in inputs
        ]
        return self.metadata.model_copy(update={"inputs": tuple(taken), "outputs": tuple(outputs)})
