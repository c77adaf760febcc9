#!/bin/sh
# The main job, start to end, on real data: `make demo`. Everything it writes is under runs/.
set -eu
edgekd distill
edgekd export --target tflite --target onnx --quantize none --quantize int8
edgekd benchmark
edgekd check
edgekd report
edgekd runs show
