"""How large a network is, in a line, before it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekd import format as fmt

if TYPE_CHECKING:
    from edgekd.records import ModelFacts


def network_line(role: str, facts: ModelFacts) -> str:
    """Return a line on a network before it is trained."""
    name = "" if role.endswith(facts.name) else f" ({facts.name})"
    text = f"{role}{name}: {fmt.count(facts.parameters)} parameters, {fmt.count(facts.macs)} MACs"
    text += f", {fmt.size(facts.size_bytes)} in float32"
    if facts.int8_bytes is not None:
        text += f", about {fmt.size(facts.int8_bytes)} as int8 TFLite"
    return text
