"""What an Ethos-U can do with images: strides, windows, resizing; see ``npu``."""

from __future__ import annotations

from collections.abc import Iterator

from edgekd.modelfile.graph import Operator, Subgraph
from edgekd.modelfile.npu_operands import MOST, input_of, output_of, shape_of


def _strides(operator: Operator) -> tuple[int, int]:
    return int(operator.options.get("stride_h", 1)), int(operator.options.get("stride_w", 1))


def stride_up_to_3(_: Subgraph, operator: Operator) -> Iterator[str]:
    """Strides are 1, 2 or 3."""
    if max(_strides(operator)) > 3:
        yield f"its stride is {max(_strides(operator))}; 3 is the most"


def stride_with_padding(_: Subgraph, operator: Operator) -> Iterator[str]:
    """Strides above 3 need no dilation and no padding."""
    options = operator.options
    dilated = max(options.get("dilation_h_factor", 1), options.get("dilation_w_factor", 1)) > 1
    if max(_strides(operator)) > 3 and (dilated or options.get("padding") != "VALID"):
        yield f"its stride is {max(_strides(operator))}; with padding or dilation, 3 is the most"


def transposed_stride(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Strides are 1x1 or 2x2; 1x2 and 2x1 only where the other axis has size 1."""
    height, width = _strides(operator)
    data = shape_of(input_of(subgraph, operator, 2))
    kernel = shape_of(input_of(subgraph, operator, 1))
    flat = (width, height) == (2, 1) and data[1] == kernel[1] == 1
    thin = (width, height) == (1, 2) and data[2] == kernel[2] == 1
    if (height, width) not in ((1, 1), (2, 2)) and not flat and not thin:
        yield f"its stride is {height}x{width}; 1x1 and 2x2 are known"
    shape, given = shape_of(output_of(subgraph, operator)), []
    for axis, stride in ((1, height), (2, width)):
        grown = 0 if operator.options.get("padding") == "SAME" else max(kernel[axis] - stride, 0)
        given.append(data[axis] * stride + grown)
    if tuple(given) != shape[1:3]:
        wanted = f"{given[0]}x{given[1]}"
        yield f"it gives {shape[1]}x{shape[2]} where its stride and padding give {wanted}"


def average_pool(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Windows of at most 8x8 with padding, 256x256 without."""
    options = operator.options
    height, width = int(options.get("filter_height", 1)), int(options.get("filter_width", 1))
    if options.get("padding") == "VALID":
        yield from pool_size(subgraph, operator)
    elif max(height, width) > 8:
        yield f"its window is {height}x{width}; with padding, 8x8 is the most"
    yield from stride_with_padding(subgraph, operator)


def pool_size(_: Subgraph, operator: Operator) -> Iterator[str]:
    """Windows of at most 65,536 values, 256 high."""
    height = int(operator.options.get("filter_height", 1))
    width = int(operator.options.get("filter_width", 1))
    if height * width > MOST or height > 256:
        yield f"its window is {height}x{width}; 256x256 is the most"


def resize(subgraph: Subgraph, operator: Operator) -> Iterator[str]:
    """Images grow by 2, 4 or 8, as much in height as in width."""
    source, target = shape_of(input_of(subgraph, operator)), shape_of(output_of(subgraph, operator))
    if source == target or source[1:3] == (1, 1):
        return
    corners = 1 if operator.options.get("align_corners") else 0
    factors = [
        (target[axis] - corners) / (source[axis] - corners) if source[axis] > corners else 1.0
        for axis in (1, 2)
    ]
    flat = 1 in target[1:3] and 1.0 in factors
    if factors[0] != factors[1] and not flat:
        yield f"height grows {factors[0]:g}-fold and width {factors[1]:g}-fold"
        return
    half = operator.name == "RESIZE_BILINEAR" and operator.options.get("half_pixel_centers")
    known = (2.0,) if half else (2.0, 4.0, 8.0)
    if max(factors) not in known:
        allowed = " or ".join(f"{factor:g}" for factor in known)
        yield f"it grows {max(factors):g}-fold; {allowed} is known"
