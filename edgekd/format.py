"""Numbers for people: sizes, counts, milliseconds, percentages. Pure functions.

Three significant digits are enough to compare with and few enough to read. Every function takes
None, a number that could not be had, and returns `MISSING` for it.
"""

from __future__ import annotations

import math

#: What stands where a number could not be had.
MISSING = "-"

_SIZES = ("B", "KB", "MB", "GB", "TB", "PB", "EB")
_COUNTS = ("", "k", "M", "G", "T", "P", "E")


def size(value: float | None) -> str:
    """Return bytes in decimal units: 1 KB is 1,000 bytes, as budgets and shops count.

    >>> size(512), size(92_160), size(999_999), size(None)
    ('512 B', '92.2 KB', '1.00 MB', '-')
    """
    if value is None:
        return MISSING
    number, unit = _scaled(value, _SIZES)
    return f"{number} {unit}"


def count(value: float | None) -> str:
    """Return a number of parameters or operations.

    >>> count(640), count(78_042), count(1_230_000), count(None)
    ('640', '78.0k', '1.23M', '-')
    """
    if value is None:
        return MISSING
    number, unit = _scaled(value, _COUNTS)
    return f"{number}{unit}"


def milliseconds(value: float | None, *, unit: bool = True) -> str:
    """Return a duration in milliseconds: always the same unit, so that a column compares.

    >>> milliseconds(0.01234), milliseconds(1.5), milliseconds(1234.5, unit=False)
    ('0.0123 ms', '1.50 ms', '1,234')
    """
    if value is None:
        return MISSING
    return f"{significant(value)} ms" if unit else significant(value)


def energy(kwh: float | None) -> str:
    """Return an amount of energy, in watt-hours below a kilowatt-hour.

    >>> energy(0.0000171), energy(0.25), energy(12.5)
    ('0.0171 Wh', '250 Wh', '12.5 kWh')
    """
    if kwh is None:
        return MISSING
    return f"{significant(kwh)} kWh" if kwh >= 1 else f"{significant(kwh * 1000)} Wh"


def mass(kg: float | None) -> str:
    """Return a mass, in grams below a kilogram.

    >>> mass(0.0000065), mass(0.25), mass(12.5)
    ('0.00650 g', '250 g', '12.5 kg')
    """
    if kg is None:
        return MISSING
    return f"{significant(kg)} kg" if kg >= 1 else f"{significant(kg * 1000)} g"


def joules(value: float | None, *, estimated: bool = False) -> str:
    """Return the energy of one inference; one that was not measured gets a tilde.

    >>> joules(0.00123), joules(1.5), joules(0.25, estimated=True), joules(0.0000042)
    ('1.23 mJ', '1.50 J', '~250 mJ', '4.20 uJ')
    """
    if value is None:
        return MISSING
    sign = "~" if estimated else ""
    for factor_of, unit in ((1.0, "J"), (1e-3, "mJ")):
        if value >= factor_of:
            return f"{sign}{significant(value / factor_of)} {unit}"
    return f"{sign}{significant(value * 1e6)} uJ"


def percent(fraction: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage. 100% and 0% are said only of exactly 1 and 0.

    >>> percent(0.97407), percent(1.0), percent(0.99999), percent(0.00001)
    ('97.41%', '100.00%', '99.99%', '0.01%')
    """
    if fraction is None:
        return MISSING
    step = 10.0**-digits
    shown = round(fraction * 100, digits)
    if 0 < fraction < 1:
        shown = min(max(shown, step), 100 - step)
    return f"{shown:.{digits}f}%"


def points(difference: float | None, digits: int = 2) -> str:
    """Return a difference of two fractions in percentage points, with its sign.

    >>> points(0.0056), points(-0.012), points(0.0)
    ('+0.56 pp', '-1.20 pp', '0.00 pp')
    """
    if difference is None:
        return MISSING
    shown = round(difference * 100, digits)
    return f"{shown:+.{digits}f} pp" if shown else f"{0:.{digits}f} pp"


def factor(value: float | None) -> str:
    """Return a ratio.

    >>> factor(13.41), factor(0.5)
    ('13.4x', '0.500x')
    """
    return MISSING if value is None else f"{significant(value)}x"


def p_value(p: float) -> str:
    """Return a probability of chance; tiny ones as a bound.

    >>> p_value(0.03912), p_value(0.00001), p_value(1.0)
    ('0.039', '<0.001', '1.000')
    """
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def significant(value: float) -> str:
    """Return a number with three significant digits, and no exponent unless it is tiny.

    >>> significant(0.012345), significant(99.96), significant(12_345.6), significant(0)
    ('0.0123', '100', '12,346', '0')
    """
    if value == 0:
        return "0"
    magnitude = _magnitude(value)
    if magnitude < -6:
        return f"{value:.2e}"
    return f"{value:,.{max(0, 2 - magnitude)}f}"


def _magnitude(value: float) -> int:
    """Return the power of ten of the first digit, after rounding to three digits."""
    return math.floor(math.log10(abs(float(f"{value:.2e}"))))


def _scaled(value: float, units: tuple[str, ...]) -> tuple[str, str]:
    """Return a number below 1,000, as text, and its unit. Whole numbers below 1,000 stay whole."""
    if abs(value) < 1000 and float(value).is_integer():
        return str(int(value)), units[0]
    power = max(0, min(_magnitude(value) // 3, len(units) - 1)) if value else 0
    return significant(value / 1000**power), units[power]
