"""Intervals of shares."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from edgekd.statistics.proportion import wilson


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_agrees_with_statsmodels(n: int, share: float) -> None:
    right = round(share * n)
    assert wilson(right / n, n) == pytest.approx(
        proportion_confint(right, n, method="wilson"), abs=1e-9
    )
