"""Does the processor compute in bfloat16, or does it only pretend to?"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from edgekd.records_distill import Finding

#: What `torch.cpu.get_capabilities` calls instructions for it: x86-64, and Arm.
_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16")


def look_at_precision(precision: str, device: torch.device) -> Iterator[Finding]:
    """Warn of bfloat16 on a CPU that has no instructions for it.

    It works there, several times slower than float32: on a processor with AVX2 only a step of
    ResNet-8 took 7 to 9 times as long (torch 2.13.0).

    Args:
        precision: Lightning Fabric's name.
        device: where the student learns.
    """
    if device.type != "cpu" or not precision.startswith("bf16"):
        return
    ask = getattr(torch.cpu, "get_capabilities", None)
    known = {} if ask is None else ask()
    if not any(name in known for name in _INSTRUCTIONS):
        return  # nobody knows
    has = any(known.get(name) for name in _INSTRUCTIONS)
    message = (
        f"{precision}; the processor has {'instructions' if has else 'no instructions'} for it"
    )
    if not has:
        message += ', so that "32-true" is several times faster'
    yield Finding(check="precision", status="ok" if has else "warn", message=message)
