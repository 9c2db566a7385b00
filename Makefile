# Two commands do all the set-up: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# llama.cpp's code for AMX, compiled by GCC 12 with optimisation, ends the process with an illegal instruction on processors
# that have it (https://github.com/ggml-org/llama.cpp/pull/26954), so it is left out; AVX-512 stays.
# docs/usage.md (Xeons with AMX) has the flags with which it works.
export CMAKE_ARGS ?= -DCMAKE_CXX_FLAGS=-U__AMX_INT8__

.PHONY: run test lint check bench clean

run: $(VENV)/run.stamp
	@$(BIN)/startrek-guard serve --upstream embedded $(ARGS)

test: $(VENV)/test.stamp
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest --cov --cov-report=term $(ARGS)

lint: $(VENV)/test.stamp
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/startrek-guard export modelfile --check
	$(BIN)/startrek-guard train card --check

bench: $(VENV)/bench.stamp
	$(BIN)/python -m benchmarks $(ARGS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "startrek-guard needs Python 3.11 or newer; name one with make PYTHON=python3.12"; exit 1; }
	@command -v c++ >/dev/null || { echo "startrek-guard compiles llama.cpp and needs a C++ compiler: apt-get install build-essential"; exit 1; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment can be made: apt-get install python3-venv"; exit 1; }

# The stamp is written last, so an interrupted install is begun again.
$(VENV)/run.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing. llama.cpp is compiled from source the first time: 4 to 5 minutes on 2 cores."
	@scripts/with-heartbeat $(PIP) install --quiet --constraint constraints.txt --editable '.[embedded]'
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing. llama.cpp is compiled from source the first time: 4 to 5 minutes on 2 cores."
	@scripts/with-heartbeat $(PIP) install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@ $(VENV)/run.stamp

$(VENV)/bench.stamp: $(VENV)/test.stamp
	$(PIP) install --quiet --constraint constraints.txt --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .coverage
