"""The files of the proof: at least four, TFLite and ONNX, float and int8."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gate_proof.slower import slow_down
from edgekd.bench.devices import load_device
from edgekd.bench.duel import DuelSettings, duel
from edgekd.transports.reach import Reach

#: name -> path below the folder of third-party data.
FILES = {
    "resnet8-int8.tflite": "mlperf_tiny/ic_pretrainedResnet_int8.tflite",
    "resnet8-fp32.tflite": "mlperf_tiny/ic_pretrainedResnet_fp32.tflite",
    "mobilenet-v1-uint8.tflite": "coral/mobilenet_v1_0.25_128_quant.tflite",
    "ultraface.onnx": "ultraface/version-RFB-320.onnx",
}
#: Students of edgekd's, exported by the proof itself: name -> network.
STUDENTS = {"resnet20-student.onnx": "resnet20", "mobilenetv2-student.onnx": "mobilenetv2"}
NAMES = (*FILES, *STUDENTS)
#: Those that are tried unless some are named: with the other one, duels end at their time limit.
USUAL = tuple(name for name in NAMES if name != "ultraface.onnx")
SLOWER = (0.05, 0.10)

#: A slower file is kept when it is so near to what was wanted, as a fraction of the original.
NEAR = 0.003
_TRIES = 6
_FIRST_UNITS = 16

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Entrant:
    """A file and its slower versions.

    Attributes:
        name: in the results.
        base: the file.
        slower: wanted slowdown, e.g. 0.05 -> the file.
        true: wanted slowdown -> what was measured of it, as a ratio.
    """

    name: str
    base: Path
    slower: dict[float, Path]
    true: dict[float, float]


def prepare(name: str, data: Path, work: Path, processes: int, tell: Tell) -> Entrant:
    """Make a file and its slower versions, or take those that an earlier call made.

    Args:
        name: of `NAMES`.
        data: the folder of third-party data.
        work: where the files go.
        processes: duels of a measurement of how much slower a version is.
        tell: takes a line of progress.
    """
    folder = work / "models" / name.replace(".", "-")
    folder.mkdir(parents=True, exist_ok=True)
    suffix = Path(name).suffix
    base = folder / f"base{suffix}"
    if not base.exists():
        source = data / FILES[name] if name in FILES else _export(STUDENTS[name], folder)
        slow_down(source, base, 0)
    kept = folder / "calibrated.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    slower, true, units = {}, {}, _FIRST_UNITS
    for wanted in SLOWER:
        path = folder / f"slower-{wanted:.2f}{suffix}"
        if str(wanted) not in known:
            slowed = Slowed(base, path, processes, lambda t: tell(f"{name}: {t}"))
            known[str(wanted)] = slowed.calibrate(wanted, units)
            kept.write_text(json.dumps(known))
        units = 2 * int(known[str(wanted)]["units"])
        slower[wanted], true[wanted] = path, known[str(wanted)]["ratio"]
    return Entrant(name, base, slower, true)


@dataclass(frozen=True)
class Slowed:
    """A version of a file that becomes slower by so many units.

    Attributes:
        base: the file.
        path: where the slower one goes.
        processes: duels of a measurement, each in fresh processes.
        tell: takes a line of progress.
    """

    base: Path
    path: Path
    processes: int
    tell: Tell

    def calibrate(self, wanted: float, units: int) -> dict[str, float]:
        """Write the version that is slower by a fraction; return what it truly is.

        The measurements that led to it were chosen among, so that they flatter it: what it is said
        to be is measured anew.

        Args:
            wanted: 0.05 is 5%.
            units: to begin with.
        """
        best = (float("inf"), units)
        for _ in range(_TRIES):
            ratio = self._ratio(units)
            best = min(best, (abs(ratio - 1 - wanted), units))
            self.tell(f"{units} units: {ratio:.4f}, wanted {1 + wanted:.2f}")
            if best[0] <= NEAR:
                break
            gained = max(ratio - 1, 0.002)
            units = max(1, round(units * min(max(wanted / gained, 0.1), 20.0)))
        ratio = self._ratio(best[1])
        self.tell(f"{best[1]} units it is; measured anew: {ratio:.4f}")
        return {"units": best[1], "ratio": ratio}

    def _ratio(self, units: int) -> float:
        """Write it; return how much slower it is, by the median of duels of 400 pairs."""
        slow_down(self.base, self.path, units)
        long = DuelSettings(pairs=400, max_pairs=400, min_pairs=100, tolerance=1e-6, max_seconds=6)
        device = load_device("cpu")
        found = [
            duel(self.path, self.base, device=device, reach=Reach(), settings=long)
            for _ in range(self.processes)
        ]
        return statistics.median(one.interval.median for one in found)


def _export(network_name: str, folder: Path) -> Path:
    import torch

    from edgekd.models.build import build

    torch.manual_seed(0)
    network = build(network_name, num_classes=10, input_shape=(3, 32, 32)).eval()
    path = folder / "student.onnx"
    torch.onnx.export(
        network,
        (torch.zeros(1, 3, 32, 32),),
        str(path),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    return path
