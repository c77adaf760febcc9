"""The doctor and setup against a Raspberry Pi in a box, over ssh."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest

from edgekd.bench import setup
from edgekd.bench.config import find_reach
from edgekd.bench.connect import connect
from edgekd.bench.devices import load_device
from edgekd.bench.doctor import doctor
from edgekd.bench.probe import ask
from edgekd.transports.reach import Reach

pytestmark = pytest.mark.device


def test_the_box_is_what_its_profile_says(pi_box: Reach) -> None:
    report = doctor("pi5-emulated")
    assert report.usable, report.findings
    assert (report.machine, report.emulated) == ("aarch64", True)
    assert [(group.name, len(group.cores)) for group in report.cores] == [("Cortex-A76", 4)]
    assert report.features == ("neon", "dotprod", "fp16")
    assert {state.name for state in report.runtimes if state.version} == {"litert", "onnxruntime"}


@pytest.mark.timeout(400)
def test_a_runtime_is_brought_there_and_taken_away(pi_box: Reach) -> None:
    device = load_device("pi5-emulated")
    # Without the wrapper that counts instructions, under which Python starts slowly.
    reach = dataclasses.replace(find_reach(device), python="/usr/bin/python3")
    with contextlib.closing(connect(device, reach)) as transport:
        plan = setup.plan(device, transport, ["tflite-runtime"])
        assert "manylinux_2_36_aarch64" in plan.download
        try:
            found = setup.install(plan, transport, say=print)
            assert (found["tflite-runtime"].version, found["tflite-runtime"].error) == (
                "2.14.0",
                None,
            )
            # It came with a NumPy of its own, which LiteRT there takes too.
            both = ask(transport, ["litert"])
            assert both.numpy.version is not None and both.numpy.version.startswith("1.")
            assert both.runtimes["litert"].error is None
        finally:
            assert setup.remove(transport) == plan.folder
        assert setup.remove(transport) is None
