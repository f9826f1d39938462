# Two commands set everything up on a fresh machine with Python 3.11:
#   make quickstart   environment, then the main job on embedded data
#   make test         environment, then every check and test
# and, while one works, make quick: lint, types, units and contracts in under two minutes.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/pip install -q --no-compile -c constraints.txt
# On all cores, which pip does not. It fails at files of packages that are not Python 3.11, such as templates;
# that is no matter, as is any other failure of it: Python compiles what it imports and finds not compiled.
COMPILE := $(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true

.PHONY: quickstart test quick check lint clean

quickstart: $(VENV)/.base
	$(BIN)/polymodal quickstart --out quickstart --overwrite

test: lint
	# One thread a process: more of them spinning for the same cores makes tests many times slower.
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

quick: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not whole and not slow"

check: lint
	$(BIN)/mypy

# Types are checked among the tests too (tests/test_types.py), where the other core has work meanwhile.
lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) build quickstart runs .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.base: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e .
	$(COMPILE)
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(INSTALL) -e '.[dev]'
	$(COMPILE)
	touch $@ $(VENV)/.base
