"""What ``--sensitivity`` prints."""

from __future__ import annotations

from edgekd.cli.render_sensitivity import sensitivity_lines, sensitivity_table
from edgekd.provenance import collect
from edgekd.records import Parity
from edgekd.records_quantize import LayerCost, Sensitivity


def parity(accuracy: float, *, passed: bool) -> Parity:
    return Parity(
        passed=passed,
        samples=100,
        sample_source="validation",
        max_abs_error=1.0,
        max_rel_error=1.0,
        snr_db=12.345,
        accuracy_model=0.95,
        accuracy_file=accuracy,
        worst_output="logits",
        worst_sample="a",
        runtime="litert 2.3.0",
    )


def found(**changes: object) -> Sensitivity:
    values: dict[str, object] = {
        "name": "tflite-int8",
        "target": "tflite",
        "quantize": "int8",
        "max_drop": 1.0,
        "whole": parity(0.5, passed=False),
        "layers": (
            LayerCost(layer="stem", operators=1, accuracy=0.5, drop=45.0, snr_db=3.0),
            LayerCost(layer="head", operators=2),
        ),
        "keep_float": ("stem",),
        "proposal": parity(0.94, passed=True),
        "verified": parity(0.94, passed=True),
        "command": "edgekd export --keep-float stem",
        "provenance": collect(),
    }
    return Sensitivity.model_validate({**values, **changes})


def test_the_proposal_and_the_line_to_type() -> None:
    whole, kept, command = sensitivity_lines(found())
    assert "50.00%" in whole and "12.3 dB" in whole
    assert kept.startswith("with stem in float: accuracy 94.00% (was 95.00%)")
    assert command == "edgekd export --keep-float stem"
    assert sensitivity_table(found()).row_count == 2


def test_nothing_to_keep_and_nothing_that_helps() -> None:
    assert "no layer has to stay" in sensitivity_lines(found(keep_float=()))[-1]
    assert "qat = true" in sensitivity_lines(found(keep_float=None, proposal=None))[-1]
    assert "one layer more" in sensitivity_lines(found(verified=None))[-2]
