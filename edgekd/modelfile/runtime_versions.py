"""Which release of a runtime brought which version of an operator, opset or file format.

TensorFlow Lite: the list of first releases that its own converter stamps into files
(``runtime_version.cc`` of TensorFlow and LiteRT). It was held against tflite-runtime 2.14.0, which
has exactly the versions that the list dates up to 2.14. Newer versions than listed were looked for
in ai-edge-litert 1.0.1, 1.2.0, 1.4.0, 2.0.3, 2.1.0 and 2.3.0; the first of these that has one is
given. onnxruntime: up to 1.14 its page on versions; 1.15 to 1.31 were asked which opset and which
version of the file format they load.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekd.modelfile.tflite_releases import RELEASES

RUNTIMES = ("TensorFlow Lite", "LiteRT", "onnxruntime")

#: Domains of ONNX operators whose version decides; the others do not belong to the standard.
STANDARD, MACHINE_LEARNING = "", "ai.onnx.ml"


@dataclass(frozen=True, order=True)
class Release:
    """A release of a runtime. LiteRT goes on from TensorFlow Lite, so all of it is newer.

    Attributes:
        generation: its place in ``RUNTIMES``.
        numbers: major, minor and, where it matters, patch.
    """

    generation: int
    numbers: tuple[int, ...]

    @property
    def runtime(self) -> str:
        """``TensorFlow Lite``, ``LiteRT`` or ``onnxruntime``."""
        return RUNTIMES[self.generation]

    @property
    def version(self) -> str:
        """The number as people write it: ``2.14``."""
        return ".".join(str(number) for number in self.numbers)

    def __str__(self) -> str:
        """Return name and number."""
        return f"{self.runtime} {self.version}"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def release(text: str) -> Release:
    """Return the release that a text of the tables means: ``2.14``, or ``L1.4`` of LiteRT."""
    return Release(1 if text.startswith("L") else 0, _numbers(text.lstrip("L")))


#: The newest runtime for 32-bit Raspberry Pi systems: tflite-runtime 2.14.0.
LEGACY = release("2.14")


def first_release(operator: str, version: int) -> Release | None:
    """Return the first release that has this version of a TFLite operator; None: not known.

    Args:
        operator: e.g. ``CONV_2D``.
        version: from 1.
    """
    releases = _OPERATORS.get(operator, ())
    if not 1 <= version <= len(releases) or releases[version - 1] == "-":
        return None
    return release(releases[version - 1])


def first_onnxruntime(domain: str, version: int) -> Release | None:
    """Return the first onnxruntime for an opset; None: not known.

    Args:
        domain: "" for the standard operators, or ``ai.onnx.ml``.
        version: of the opset.
    """
    return _at_least(_OPSETS[domain], version)


def first_onnxruntime_of_format(version: int) -> Release | None:
    """Return the first onnxruntime that reads this version of ONNX's file format (IR)."""
    return _at_least(_FORMATS, version)


def _at_least(table: dict[int, str], version: int) -> Release | None:
    found = min((known for known in table if known >= version), default=None)
    if found is None:
        return None
    return Release(RUNTIMES.index("onnxruntime"), _numbers(table[found]))


_OPSETS: dict[str, dict[int, str]] = {
    STANDARD: {
        8: "0.1",
        9: "0.3",
        10: "0.4",
        11: "1.0",
        12: "1.3",
        13: "1.6",
        14: "1.8",
        15: "1.9",
        16: "1.11",
        17: "1.12",
        18: "1.14",
        19: "1.15",
        20: "1.17",
        21: "1.18",
        22: "1.21",
        23: "1.23",
        25: "1.24",
        26: "1.25",
    },
    MACHINE_LEARNING: {1: "0.1", 2: "1.0", 3: "1.11", 4: "1.17", 5: "1.18"},
}

_FORMATS = {
    3: "0.1",
    5: "0.4",
    6: "1.0",
    7: "1.3",
    8: "1.10",
    9: "1.15",
    10: "1.18",
    11: "1.23",
    13: "1.24",
}

_OPERATORS = {name: tuple(rest) for name, *rest in map(str.split, RELEASES.strip().splitlines())}
