"""ExecuTorch programs (.pte), read without ExecuTorch.

The numbers are those of ``schema/program.fbs`` in ExecuTorch 1.5; fields and kinds are only ever
added at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod

from edgekd.errors import ModelFileError
from edgekd.modelfile import xnnpack
from edgekd.modelfile.tables import Table
from edgekd.modelfile.tflite_bounded import DamageError
from edgekd.modelfile.xnnpack import Constant, Node

FORWARD = "forward"

#: ExecuTorch's numbers of element types.
DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
}

_BYTES = {
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
}

_TENSOR, _STRING = 5, 6
_KERNEL, _DELEGATE = 1, 2
_XNNPACK = "XnnpackBackend"
_SEGMENT = 1


@dataclass(frozen=True)
class Port:
    """An input or output: type, and the largest sizes that there is memory for."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Delegate:
    """A part of the program that a backend runs.

    Attributes:
        backend: its name.
        size: bytes of the delegate itself, without constants that are stored by name.
        nodes: its operators, where the backend is XNNPACK.
        constants: what is stored for it, likewise.
    """

    backend: str
    size: int
    nodes: tuple[Node, ...] = ()
    constants: tuple[Constant, ...] = ()


@dataclass(frozen=True)
class Program:
    """What a program holds.

    Attributes:
        version: of the schema.
        inputs: of the method ``forward``, in order.
        outputs: of the method ``forward``, in order.
        kernels: what ``forward`` calls outside of delegates, in order.
        delegates: of ``forward``, in the order in which they are called.
        texts: what methods give that give a constant text, by the name of the method.
        named: bytes of the data that are stored by name, by name.
        constants: what is stored for kernels.
    """

    version: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    kernels: tuple[Node, ...]
    delegates: tuple[Delegate, ...]
    texts: Mapping[str, str]
    named: Mapping[str, int]
    constants: tuple[Constant, ...]


def read(content: bytes, *, name: str = "the program") -> Program:
    """Return what an ExecuTorch program holds.

    Args:
        content: the file.
        name: what to call it in an error.

    Raises:
        ModelFileError: it is damaged.
    """
    try:
        return _program(content)
    except DamageError as damage:
        what = str(damage)
    except Exception as error:  # whatever reading random bytes raises
        what = f"{type(error).__name__}: {error}"
    raise ModelFileError(
        f"{name} is a damaged ExecuTorch program: {what}",
        hint="Was the download or the copy cut short?",
    )


def stored_constants(program: Program) -> Iterator[tuple[Constant, int]]:
    """Yield what a program computes with and its bytes; what delegates share comes once."""
    yield from ((constant, constant.size) for constant in program.constants)
    seen = set()
    for delegate in program.delegates:
        for constant in delegate.constants:
            if constant.key not in seen:
                yield constant, program.named.get(constant.key, constant.size)
            if constant.key:
                seen.add(constant.key)


def _program(content: bytes) -> Program:
    whole = memoryview(content)
    root = Table.root(whole)
    # The header behind the identifier ``eh00``: its length, the program's size, the base.
    base = int.from_bytes(content[24:32], "little") if content[8:12] == b"eh00" else 0
    places = [(base + one.number(0, "Q"), one.number(1, "Q")) for one in root.tables(4)]

    def segment(index: int) -> memoryview:
        start, size = places[index]
        if start + size > len(content):
            raise DamageError("a segment lies behind its end")
        return whole[start : start + size]

    plans = {plan.text(0): plan for plan in root.tables(1)}
    if FORWARD not in plans:
        raise DamageError(f"it has no method called {FORWARD!r}")
    forward = plans[FORWARD]
    return Program(
        version=root.number(0, "I"),
        inputs=tuple(_ports(forward, 3)),
        outputs=tuple(_ports(forward, 4)),
        kernels=tuple(_kernels(forward)),
        delegates=tuple(_delegates(forward, root, segment)),
        texts={name: text for name, plan in plans.items() if (text := _text(plan)) is not None},
        named={one.text(0): len(segment(one.number(1, "I"))) for one in root.tables(7)},
        constants=tuple(_constants(forward)),
    )


def _tensor(value: Table) -> Table | None:
    return value.table(1) if value.number(0, "B") == _TENSOR else None


def _dtype(tensor: Table) -> str:
    number = tensor.number(0, "b")
    return DTYPES.get(number, f"type {number}")


def _ports(plan: Table, field: int) -> Iterator[Port]:
    values = plan.tables(2)
    for index in plan.numbers(field, "i"):
        tensor = _tensor(values[index])
        yield Port(_dtype(tensor), tensor.numbers(2, "i")) if tensor else Port("", ())


def _calls(plan: Table, wanted: int) -> Iterator[Table]:
    """Yield the calls of a method: those of kernels, or those of delegates."""
    for chain in plan.tables(5):
        for instruction in chain.tables(2):
            called = instruction.table(1)
            if called is not None and instruction.number(0, "B") == wanted:
                yield called


def _kernels(plan: Table) -> Iterator[Node]:
    known, values = plan.tables(6), plan.tables(2)
    for call in _calls(plan, _KERNEL):
        # What a kernel writes to stands last among its arguments.
        given = (_tensor(values[index]) for index in reversed(call.numbers(1, "i")))
        written = next((tensor for tensor in given if tensor is not None), None)
        yield Node(known[call.number(0, "i")].text(0), _dtype(written) if written else "")


def _constants(plan: Table) -> Iterator[Constant]:
    seen = set()
    for value in plan.tables(2):
        tensor = _tensor(value)
        place = tensor.number(5, "I") if tensor is not None else 0
        if tensor is None or place == 0 or place in seen:
            continue
        seen.add(place)
        dtype, elements = _dtype(tensor), prod(tensor.numbers(2, "i"))
        yield Constant(dtype, elements, "", elements * _BYTES.get(dtype, 1))


def _delegates(
    plan: Table, root: Table, segment: Callable[[int], memoryview]
) -> Iterator[Delegate]:
    known, inline = plan.tables(7), root.tables(3)
    for call in _calls(plan, _DELEGATE):
        index = call.number(0, "i")
        backend, where = known[index].text(0), known[index].table(1)
        if where is None:
            raise DamageError("a delegate has no data")
        number = where.number(1, "I")
        outside = where.number(0, "b") == _SEGMENT
        blob = segment(number) if outside else inline[number].bytes(0)
        nodes, constants = xnnpack.read(blob) if backend == _XNNPACK else ((), ())
        yield Delegate(backend, len(blob), nodes, constants)


def _text(plan: Table) -> str | None:
    """Return the constant text that a method gives; None where it gives something else."""
    outputs, values = plan.numbers(4, "i"), plan.tables(2)
    if len(outputs) != 1:
        return None
    found = values[outputs[0]].table(1)
    if found is None or values[outputs[0]].number(0, "B") != _STRING:
        return None
    return found.text(0)
