# Two commands on a fresh machine with Python >= 3.11 (and its venv module), make and git:
#   make run     an environment, the demo data, the explorer in the browser
#   make test    all that CI runs, with what it needs
# Variables: PYTHON, VENV, PORT, OPEN=0 (print the address only), PYTEST, MUTANTS, ROWS, XDIST.

PYTHON ?= python3
VENV ?= .venv
PORT ?=
OPEN ?= 1
ROWS ?= 1000000
# Two workers: what the machines that run this have.
XDIST ?= 2
# Each takes half of the tests in a row, so that folders share what they set up, then takes over.
WORKERS := -n $(XDIST) --dist worksteal
# More arguments for pytest, as in: make unit PYTEST="-k REC_2"
PYTEST ?=
# Arguments of scripts/mutate.py, as in: make mutants MUTANTS="--only merge-rowwise"
MUTANTS ?= --jobs 2
# The same inside `make test`: all seeded mistakes, as long as they fit into the budget (seconds).
TEST_MUTANTS ?= --jobs 2 --budget 240

BIN := $(VENV)/bin
PY := $(BIN)/python
STEP := sh scripts/step.sh
PIP_INSTALL := $(PY) -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt
# A name of its own for make inside a recipe, so that `make -n test` stays harmless.
SUB := $(MAKE) --no-print-directory

# Node trusts what the system trusts, as pip and apt do.
WITH_NODE := NODE_USE_SYSTEM_CA=1 PATH="$(abspath $(BIN)):$$PATH"

export OPEN

.PHONY: help run demo env env-test env-node test lint unit browser widgets package mutants docs nightly bench pins clean distclean
.DEFAULT_GOAL := help

help:
	@sed -n '1,5p' Makefile
	@echo "# Also: lint unit browser widgets package mutants docs nightly bench pins clean distclean"

# ---------------------------------------------------------------- environments
# The stamps lie in the environment, so that they vanish with it.
$(PY):
	@sh scripts/check_python.sh "$(PYTHON)"
	@echo "make: creating $(VENV)"
	@"$(PYTHON)" -m venv "$(VENV)"

$(VENV)/.stamp-run: pyproject.toml constraints.txt | $(PY)
	@echo "make: installing usr_nb and its pinned dependencies into $(VENV)"
	@$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.stamp-test: pyproject.toml constraints.txt | $(PY)
	@echo "make: installing usr_nb with its test tools into $(VENV)"
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $(VENV)/.stamp-run $@

env: $(VENV)/.stamp-run
env-test: $(VENV)/.stamp-test

# Node comes as a wheel with the test tools; what checks and bundles the panels' front ends comes
# from package-lock.json. Users of usr_nb need neither.
node_modules/.stamp: package.json package-lock.json .npmrc | $(VENV)/.stamp-test
	@echo "make: installing the front end's build tools into node_modules"
	@$(WITH_NODE) npm ci --loglevel=error
	@touch $@

env-node: node_modules/.stamp

# ---------------------------------------------------------------- use
run: env
	@exec $(BIN)/usr demo demo $(if $(PORT),--port $(PORT))

# Builds the demo root without serving it.
demo: env
	@$(BIN)/usr demo demo --no-serve

# ---------------------------------------------------------------- tests
test:
	@$(STEP) "environment" $(SUB) env-test env-node
	@$(STEP) "system tools" sh scripts/system_tools.sh
	@$(STEP) "lint" $(SUB) lint
	@$(STEP) "unit" $(SUB) unit
	@$(STEP) "mutants" $(SUB) mutants MUTANTS="$(TEST_MUTANTS)"
	@$(STEP) "browser" $(SUB) browser
	@$(STEP) "package" $(SUB) package
	@echo
	@echo "make test: every step passed"

lint: env-test env-node
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PY) -m pytest -q tests/architecture
	$(BIN)/marimo check --strict notebooks/*.py
	$(PY) scripts/docs.py --check
	$(PY) scripts/rules.py --check
	$(WITH_NODE) npm run --silent check

# The architecture tests ran under lint; the browser has a step of its own.
unit: env-test env-node
	$(PY) -m pytest -q $(WORKERS) tests --ignore=tests/browser --ignore=tests/architecture $(PYTEST)
	$(PY) -m pytest -q -p tests.conftest --doctest-modules usr_nb $(PYTEST)
	$(WITH_NODE) npm test --silent

browser: env-test
	$(PY) -m pytest -q tests/browser $(PYTEST)

# Writes usr_nb/widgets/static from usr_nb/widgets/js; lint compares the two.
widgets: env-node
	$(WITH_NODE) npm run --silent build

package: env-test
	$(PY) scripts/check_package.py

mutants: env-test
	$(PY) scripts/mutate.py $(MUTANTS)

nightly: env-test
	$(STEP) "all tests, the long ones too" env HYPOTHESIS_PROFILE=nightly $(PY) -m pytest -q $(WORKERS) -m "" tests --ignore=tests/browser $(PYTEST)
	$(STEP) "browser" $(SUB) browser
	$(STEP) "mutants, all" $(SUB) mutants MUTANTS="--jobs 2"

bench: env-test
	$(PY) -m tests.benchmarks --rows $(ROWS)

docs: env-test
	$(PY) scripts/docs.py

# ---------------------------------------------------------------- upkeep
pins:
	@sh scripts/check_python.sh "$(PYTHON)"
	PYTHON="$(PYTHON)" sh scripts/pin.sh

clean:
	rm -rf build dist node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find usr_nb tests scripts notebooks demo_material -name __pycache__ -type d -prune -exec rm -rf {} +

# The demo root is data that somebody may have curated: only this removes it.
distclean: clean
	rm -rf "$(VENV)" demo
