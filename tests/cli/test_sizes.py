from __future__ import annotations

from edgekd.cli.render_sizes import network_line
from edgekd.records import ModelFacts


def test_a_network_before_it_is_trained() -> None:
    facts = ModelFacts(
        name="resnet8", parameters=78_042, macs=12_500_000, size_bytes=314_976, int8_bytes=86_111
    )
    assert network_line("student", facts) == (
        "student (resnet8): 78.0k parameters, 12.5M MACs, 315 KB in float32, "
        "about 86.1 KB as int8 TFLite"
    )
    # A teacher that is called as its model is not named twice.
    assert network_line("teacher resnet8", facts).startswith("teacher resnet8: 78.0k")
    unknown = facts.model_copy(update={"macs": None, "int8_bytes": None})
    assert network_line("student", unknown).endswith("- MACs, 315 KB in float32")
