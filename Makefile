# Two commands set everything up: `make demo` and `make test`. Both need Python 3.10 to 3.13 only.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := runs
WORKERS ?= 2

.PHONY: install demo test test-full lint docs clean

install: $(STAMP)

# The stamp is newer than what decides the environment, so an unchanged project installs nothing.
$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@# torch first and pinned: with it in place nothing asks for a CUDA build. --group needs pip 25.1.
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[all]" --group dev
	@touch $(STAMP)

demo: install
	@PATH="$(abspath $(BIN)):$$PATH" sh benchmarks/demo.sh

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint
	$(BIN)/pytest -n $(WORKERS) -m "not slow and not device"

test-full: lint
	$(BIN)/pytest -n $(WORKERS) -m "not device"

docs: install
	$(BIN)/python -m edgekd.cli.reference
	$(BIN)/python -m tests.losses.support

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
