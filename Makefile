# `make` alone lists what there is. A fresh machine needs python3 (3.11 or newer, with venv), make and a
# package index; everything else comes from requirements.lock.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.locked

# Tests and campaigns start hundreds of processes, and each would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench simulate campaign scenarios up lock image clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: setup ## work some thirty parent orders over four simulated venues, then audit them
	$(BIN)/python -m bestex.demo $(ARGS)

test: setup ## the whole test suite; ARGS goes to pytest, as in `make test ARGS=tests/unit`
	$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup ## lint, formatting, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/unit/test_layers.py tests/unit/test_repository.py

bench: setup ## measure against the bare bus; writes tests/bench/results.json
	$(BIN)/python -m tests.bench $(ARGS)

campaign: setup ## kill services and the bus under load, then audit; ARGS='--service-kills 1000 --minutes 40'
	$(BIN)/python -m tests.faults.campaign $(ARGS)

simulate: setup ## the whole platform on a virtual clock, with faults; ARGS='--seeds 100000'
	$(BIN)/python -m tests.faults.simulate $(ARGS)

scenarios: setup ## frozen processes, a full disk, a lying disk, and three servers of which one is cut off
	$(BIN)/python -m pytest -m campaign $(ARGS)

up: setup ## the bus and all services on this machine, until ctrl-C
	$(BIN)/bestex up $(ARGS)

setup: $(STAMP) ## .venv with the locked dependencies and bestex itself

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo 'bestex needs Python 3.11 or newer: make PYTHON=python3.12 $(MAKECMDGOALS)'; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV) || \
	  { echo 'this python3 cannot make a venv: install python3-venv'; exit 1; }
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# The locks name no index and no place, and hold the hashes of every platform that a release was built for. A
# person's own pip configuration stays out of it, because it may add indexes with other builds. The image gets
# locks of its own: the same versions, without the tools of development, and one for each extra.
LOCK_ENV := PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= PIP_EXTRA_INDEX_URL= CUSTOM_COMPILE_COMMAND='make lock'
LOCK := $(LOCK_ENV) $(VENV)/lock/bin/pip-compile --quiet --generate-hashes --strip-extras --no-emit-options \
  --no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(ARGS)

EXTRA_LOCKS := ccxt equities lab

lock: setup ## requirements.lock and the image's anew from pyproject.toml; ARGS=--upgrade for newer versions
	@test -x $(VENV)/lock/bin/pip-compile || \
	  { $(PYTHON) -m venv $(VENV)/lock && $(VENV)/lock/bin/pip install --quiet 'pip-tools>=7.5'; }
	@$(BIN)/python -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); \
	  run = p["project"]["dependencies"] + p["build-system"]["requires"]; \
	  print(*run, file=open("runtime.in", "w"), sep="\n"); \
	  print(*p["dependency-groups"]["dev"], file=open("dev.in", "w"), sep="\n"); \
	  [print(*p["project"]["optional-dependencies"][extra], file=open(f"{extra}.in", "w"), sep="\n") \
	   for extra in "$(EXTRA_LOCKS)".split()]'
	$(LOCK) --output-file requirements.lock runtime.in dev.in
	$(LOCK) --output-file deploy/requirements.lock --constraint requirements.lock runtime.in
	@for extra in $(EXTRA_LOCKS); do set -x; \
	  $(LOCK) --output-file deploy/requirements-$$extra.lock --constraint requirements.lock $$extra.in || exit 1; done
	@rm runtime.in dev.in $(EXTRA_LOCKS:=.in)

image: ## the container image of all services; SERVICE=router for one alone, EXTRAS=ccxt for its venues
	docker build --file deploy/Dockerfile --build-arg SERVICE=$(SERVICE) --build-arg EXTRAS="$(EXTRAS)" --tag bestex:dev .

clean: ## remove what can be made again; the data in .bestex stays
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
