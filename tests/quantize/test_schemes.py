"""The table of schemes."""

from __future__ import annotations

import pytest

from edgekd.errors import UnknownNameError
from edgekd.quantize import SCHEMES
from edgekd.quantize.schemes import Scheme


@pytest.mark.parametrize("name", SCHEMES.names)
def test_every_row_is_a_scheme_of_its_name(name: str) -> None:
    scheme = SCHEMES.resolve(name)
    assert isinstance(scheme, Scheme)
    assert scheme.name == name


def test_only_int8_is_calibrated_and_only_none_is_exact() -> None:
    schemes = [SCHEMES.resolve(name) for name in SCHEMES.names]
    assert {s.name for s in schemes if s.calibrated} == {"int8"}
    assert {s.name for s in schemes if not s.lossy} == {"none"}
    assert {s.suffix for s in schemes} == {
        "fp32",
        "fp16",
        "int8",
        "int8-dynamic",
        "int8-weight-only",
    }


def test_a_wrong_name_gets_the_closest() -> None:
    with pytest.raises(UnknownNameError, match="int8"):
        SCHEMES.resolve("int-8")
