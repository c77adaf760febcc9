"""How much energy a training takes: codecarbon, offline.

Its online half stays unused: the tracker is the offline one, no output of it is on, and tokens and
endpoints that a configuration of codecarbon may hold are overruled. What it gives goes to a file
of the run, after every epoch, so that a resumed training goes on from what was used before.

V. Schmidt et al., "CodeCarbon", https://mlco2.github.io/codecarbon/.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from edgekd.errors import RecipeError
from edgekd.recipe import EnergySpec
from edgekd.recordfile import read_record, write_record
from edgekd.records import Energy
from edgekd.registry import load_target

#: Seconds between readings; energy counters overflow slowly, loads are averaged in between.
_INTERVAL = 10.0

_CPU_MODES = {
    "intel_rapl": "measured by RAPL, the whole machine's",
    "windows_emi": "measured by the Energy Meter Interface, the whole machine's",
    "intel_power_gadget": "measured by Power Gadget, the whole machine's",
    "cpu_load": "estimated, the load of this process times {tdp:g} W",
    "constant": "estimated, half of {tdp:g} W",
}
_PARTS = {
    "GPU": ("gpu", "measured by its driver"),
    "RAM": ("ram", "estimated from its size, the whole machine's"),
}


def require(spec: EnergySpec) -> None:
    """Say before training what keeps its energy from being measured.

    Raises:
        MissingExtraError: codecarbon is not installed.
        RecipeError: it knows no such country.
    """
    _codecarbon("codecarbon:OfflineEmissionsTracker")
    if spec.country is None:
        return
    known = _codecarbon("codecarbon.input:DataSource")().get_global_energy_mix_data()
    if spec.country not in known:
        raise RecipeError(
            "train.energy.country",
            [f"nothing is known of the electricity of {spec.country!r}"],
            hint='Give the three letters of ISO 3166-1, e.g. "DEU"; without it the world\'s '
            "average counts.",
        )


def _codecarbon(target: str) -> Any:
    return load_target(target, what="train.energy", extra="energy")


class Meter:
    """Measures one training, while it is entered.

    Args:
        spec: what the recipe says; None: nothing is measured.
        path: the file that keeps what was used, from before and from now.
        phase: ``teacher``, ``student`` or ``baseline``.
        name: of the network in the recipe.
        seed: of the network.
    """

    def __init__(
        self, spec: EnergySpec | None, path: Path, *, phase: str, name: str, seed: int
    ) -> None:
        """Read what was used before, if the training was interrupted."""
        self.spec = spec
        self.path = path
        self.phase = phase
        self.name = name
        self.seed = seed
        self.tracker: Any = None
        self.total: Any = None
        self.before = read_record(path, Energy) if spec and path.is_file() else None

    def __enter__(self) -> Meter:
        """Begin to measure."""
        if self.spec is not None:
            # Before the tracker sets its own level, it speaks.
            logging.getLogger("codecarbon").setLevel(logging.CRITICAL)
            self.tracker = _codecarbon("codecarbon:OfflineEmissionsTracker")(
                country_iso_code=self.spec.country,
                force_cpu_power=self.spec.cpu_watts,
                tracking_mode="process",
                measure_power_secs=_INTERVAL,
                output_methods=[],
                output_handlers=[self],
                output_dir=str(self.path.parents[1]),
                emissions_endpoint=None,
                electricitymaps_api_token="",
                force_carbon_intensity_g_co2e_kwh=None,
                api_call_interval=-1,
                allow_multiple_runs=True,
                log_level="critical",
            )
            self.tracker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and write down what was used, also by a training that failed."""
        if self.tracker is not None:
            self.tracker.stop()
            self._save()

    def after(self, log: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Return a log of epochs that writes down what was used, too."""

        def both(line: dict[str, Any]) -> None:
            log(line)
            if self.tracker is not None:
                self.tracker.flush()
                self._save()

        return both

    @property
    def energy(self) -> Energy | None:
        """What was used so far; None where nothing is measured, or it could not be."""
        if self.total is None:
            return self.before
        total, before = self.total, self.before
        parts = {
            "cpu": total.cpu_energy,
            "gpu": total.gpu_energy,
            "ram": total.ram_energy,
        }
        methods = dict(map(_method, getattr(self.tracker, "_hardware", [])))
        return Energy(
            phase=self.phase,
            name=self.name,
            seed=self.seed,
            seconds=round(total.duration + (before.seconds if before else 0.0), 3),
            kwh=total.energy_consumed + (before.kwh if before else 0.0),
            parts={
                part: kwh + (before.parts.get(part, 0.0) if before else 0.0)
                for part, kwh in parts.items()
                if part in methods
            },
            methods=methods,
            co2e_kg=total.emissions + (before.co2e_kg if before else 0.0),
            country=self.spec.country if self.spec else None,
        )

    def _save(self) -> None:
        energy = self.energy
        if energy is not None:
            write_record(self.path, energy)

    def out(self, total: Any, delta: Any) -> None:
        """Take a reading from the tracker; this and what follows make up its output handler."""
        self.total = total

    def live_out(self, total: Any, delta: Any) -> None:
        """Take a reading that the tracker made by itself."""
        self.total = total

    def task_out(self, data: Any, experiment_name: str) -> None:
        """Take nothing of tasks: there are none."""

    def exit(self) -> None:
        """Close nothing."""


def _method(hardware: Any) -> tuple[str, str]:
    """Return a part of the machine, and how its energy is known."""
    kind = type(hardware).__name__
    if kind == "CPU":
        mode = getattr(hardware, "_mode", "")
        text = _CPU_MODES.get(mode, f"by {mode or 'codecarbon'}")
        return "cpu", text.format(tdp=getattr(hardware, "_tdp", None) or 0.0)
    if kind in _PARTS:
        return _PARTS[kind]
    return str(getattr(hardware, "chip_part", kind)).lower(), f"measured, {kind}"
