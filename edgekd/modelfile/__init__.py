"""What a model file says, read without running it: operators, tensors, metadata, demands.

``read`` gives one neutral graph for TFLite and ONNX. Nothing here needs a runtime; the packages
that know the two formats are imported when a file of theirs is read.
"""

from __future__ import annotations

from edgekd.modelfile.graph import Graph, Operator, Quantization, Subgraph, Tensor
from edgekd.modelfile.reading import read

__all__ = ["Graph", "Operator", "Quantization", "Subgraph", "Tensor", "read"]
