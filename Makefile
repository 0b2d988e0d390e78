# Every target installs what it needs, once: a stamp file in .venv says what has been installed.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo install install-dev test test-fast test-all check lint docs bench format clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: $(VENV)/.installed  ## every stage on simulated images, ends with runs/demo/summary.html
	$(BIN)/pairaug demo

install: $(VENV)/.installed  ## the package and what it runs on
install-dev: $(VENV)/.installed-dev  ## everything that the targets below need

# A process for each of up to four cores, with one thread each; a file's tests stay together, since
# they share models. More processes would cost more memory than they save time.
PYTEST := $(BIN)/python -m pytest -q --numprocesses auto --maxprocesses 4 --dist loadfile

test: $(VENV)/.installed-dev  ## the default tests
	$(PYTEST)

test-fast: $(VENV)/.installed-dev  ## the default tests without the end-to-end run
	$(PYTEST) --ignore=tests/test_end_to_end.py

test-all: $(VENV)/.installed-dev  ## the default tests and the slow ones
	$(PYTEST) -m "not dataset"

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/codespell

check: lint test-fast  ## what gates every commit: style, types, imports, spelling, fast tests

docs: $(VENV)/.installed-dev  ## the documentation in site/; a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(VENV)/.installed-dev  ## speed of the parts that runs spend their time in
	$(BIN)/python -m pytest -q -o addopts=--import-mode=importlib benchmarks --benchmark-only

format: $(VENV)/.installed-dev  ## put the code in its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the targets above built, the environment and the runs excepted
	rm -rf build dist site .pytest_cache .ruff_cache .import_linter_cache .benchmarks

# The first interpreter that PairAug supports; PYTHON=... overrides the search.
$(BIN)/python:
	@for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; \
	  then echo "making $(VENV) with $$candidate" && exec "$$candidate" -m venv $(VENV); fi; \
	done; echo "PairAug needs Python 3.11, 3.12 or 3.13; pass PYTHON=/path/to/python" >&2; exit 1

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing pairaug into $(VENV); the first time takes minutes"
	$(PIP) --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing pairaug and its development tools into $(VENV); the first time takes minutes"
	$(PIP) --editable ".[dev]"
	@touch $(VENV)/.installed $@
