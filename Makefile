# Two commands set everything up: `make demo` and `make test`. Both need Python 3.10 to 3.13 only.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs
WORKERS ?= 2
# tflite-runtime 2.14 has wheels for Python 3.9 to 3.11 only, and lives in an environment of its own.
OLD_PYTHON ?= python3.11
OLD_VENV := .venv-old

.PHONY: install demo test test-full test-devices old-runtime vela lint docs evidence tensorflow executorch clean

install: $(STAMP)

# The stamp is newer than what decides the environment, so an unchanged project installs nothing.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and pinned: with it in place nothing asks for a CUDA build. --group needs pip 25.1.
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	@touch $(STAMP)

# Without that Python its tests are skipped, which pytest -rs says.
old-runtime: $(OLD_VENV)/.installed

$(OLD_VENV)/.installed: tests/old-runtime.txt
	@if command -v $(OLD_PYTHON) >/dev/null; then \
	  { test -x $(OLD_VENV)/bin/python || $(OLD_PYTHON) -m venv $(OLD_VENV); } && \
	  $(OLD_VENV)/bin/python -m pip install --quiet --requirement $< && touch $@; \
	fi || true
	@test -e $@ || echo "no $(OLD_PYTHON) with tflite-runtime 2.14: what needs it is skipped"

demo: install
	@PATH="$(abspath $(BIN)):$$PATH" sh benchmarks/demo.sh

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint old-runtime
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not device"

test-full: lint old-runtime
	$(BIN)/pytest -n $(WORKERS) -m "not device"
	@# Times are measured alone.
	$(BIN)/pytest -m slow tests/bench/test_honesty.py

# Boards and phones in boxes: needs Debian or Ubuntu and root, and says so. Root file systems are
# kept in ~/.cache/edgekd-tests, or where EDGEKD_EMULATION says.
test-devices: install
	sh tests/device-packages.sh
	EDGEKD_REQUIRE_BOXES=1 $(BIN)/pytest -n $(WORKERS) --dist loadfile -m "device and not slow" tests

# Arm's compiler in an environment of its own: EDGEKD_VELA=/path/to/vela make vela
vela: install
	$(BIN)/pytest tests/export/test_vela.py tests/modelfile/test_hardware.py -k "vela or npu"

docs: install
	$(BIN)/python -m edgekd.cli.reference
	$(BIN)/python -m tests.losses.support

# Do the committed students still do what the committed figures say? Under 10 minutes; EDGEKD_DATA.
evidence: install
	$(BIN)/python -m benchmarks.evidence verify

# The targets keras and savedmodel, in an environment of their own: nothing else needs TensorFlow.
VENV_TF ?= .venv-tf
tensorflow:
	@test -x $(VENV_TF)/bin/python || $(PYTHON) -m venv $(VENV_TF)
	$(VENV_TF)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV_TF)/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(VENV_TF)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[tensorflow]" --group dev
	$(VENV_TF)/bin/python -m pytest tests/export/test_tensorflow.py tests/runtimes/test_keras.py

# The target executorch, in an environment of its own: its wheel brings much that nothing else needs.
VENV_ET ?= .venv-executorch
executorch:
	@test -x $(VENV_ET)/bin/python || $(PYTHON) -m venv $(VENV_ET)
	$(VENV_ET)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(VENV_ET)/bin/python -m pip install --quiet --constraint constraints.txt torch
	$(VENV_ET)/bin/python -m pip install --quiet --constraint constraints.txt --editable ".[tflite,onnx,executorch]" --group dev
	$(VENV_ET)/bin/python -m pytest tests/export/test_executorch.py tests/modelfile/test_executorch.py

clean:
	rm -rf $(VENV) $(OLD_VENV) $(VENV_TF) $(VENV_ET) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
