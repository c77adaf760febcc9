"""Runs TFLite files, each in a process of its own: ``python forked.py JOBS.json``.

A script by itself, for it also runs under the old runtime's Python: it needs NumPy and one of
ai-edge-litert and tflite-runtime. JOBS.json is a list of ``{"model", "inputs", "outputs"}``:
a TFLite file, an ``.npz`` of float or integer arrays (n, ...) by the names of its inputs, and where
to write what comes out. A child is forked for each file, since some files kill the process. The
answer on standard output is one JSON list of ``{"state": "right|load|invoke|killed", "error"}``,
where ``right`` only says that it ran.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np

try:
    from ai_edge_litert import interpreter as runtime
except ImportError:
    from tflite_runtime import interpreter as runtime

SECONDS = 60
KERNELS = ("default", "builtin")


def open_file(path, kernels):
    """Return an interpreter, its tensors allocated: with XNNPACK as by default, or without."""
    resolver = runtime.OpResolverType
    kind = resolver.AUTO if kernels == "default" else resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    made = runtime.Interpreter(path, num_threads=1, experimental_op_resolver_type=kind)
    made.allocate_tensors()
    return made


def coded(values, tensor):
    """Return float values as the integers that an input takes."""
    scale, zero = tensor["quantization"]
    if tensor["dtype"] == np.float32 or not scale or values.dtype != np.float32:
        return values.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale) + zero, limits.min, limits.max).astype(tensor["dtype"])


def decoded(values, tensor):
    """Return an output as float."""
    scale, zero = tensor["quantization"]
    if values.dtype.kind == "f" or not scale:
        return values.astype(np.float64)
    return (values.astype(np.float64) - zero) * scale


def name_of(tensor):
    """Return ``x`` of ``serving_default_x:0``, as converters write it."""
    return tensor["name"].split(":")[0].rpartition("serving_default_")[2]


def run(interpreter, arrays):
    """Return the first output of every sample (n, ...)."""
    outputs = []
    for index in range(len(next(iter(arrays.values())))):
        for tensor in interpreter.get_input_details():
            value = arrays[name_of(tensor)][index].reshape(tensor["shape"])
            interpreter.set_tensor(tensor["index"], coded(value, tensor))
        interpreter.invoke()
        tensor = interpreter.get_output_details()[0]
        outputs.append(decoded(interpreter.get_tensor(tensor["index"]), tensor))
    return np.concatenate([np.reshape(output, (1, -1)) for output in outputs])


def child(job, kernels, pipe):
    """Run one file and write to the pipe how far it came."""
    state, error = "load", ""
    try:
        interpreter = open_file(job["model"], kernels)
        state = "invoke"
        with np.load(job["inputs"]) as file:
            arrays = {name: file[name] for name in file.files}
        np.save(job["outputs"] + "." + kernels + ".npy", run(interpreter, arrays))
        state = "right"
    except BaseException as caught:
        lines = [line.strip() for line in str(caught).splitlines() if line.strip()]
        error = " / ".join(lines)[:300]
    os.write(pipe, json.dumps({"state": state, "error": error}).encode())


def forked(job, kernels):
    """Run one file in a child; return how far it came."""
    reading, writing = os.pipe()
    number = os.fork()
    if number == 0:
        os.close(reading)
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        signal.alarm(SECONDS)
        child(job, kernels, writing)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    status = os.waitpid(number, 0)[1]
    if text:
        return json.loads(text)
    return {"state": "killed", "error": f"signal {status & 127}"}


def main():
    """Run all jobs, with the default kernels and with the built-in ones alone."""
    jobs = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps([{kernels: forked(job, kernels) for kernels in KERNELS} for job in jobs]))


if __name__ == "__main__":
    main()
