# make help lists the targets.
SHELL := bash
VENV ?= .venv
BIN := $(VENV)/bin
MAKEFLAGS += --no-builtin-rules --no-print-directory

# What the shell or a conda environment may carry must not reach the programs below; $(BIN) alone decides.
unexport PYTHONPATH PYTHONHOME
# A hundred processes of the tests import the project; where bytecode is not kept, each compiles it again.
unexport PYTHONDONTWRITEBYTECODE
# The trainer sets its own threads; this only keeps torchrun from remarking on them.
export OMP_NUM_THREADS ?= 1
export VENV

QUICKSTART := runs/quickstart
GRID := --grid configs/quickstart.yaml
SEED_0 := $(QUICKSTART)/digits/fixmatch/1/0-* $(QUICKSTART)/digits/fixmatch-calibratemix/1/0-*
# The tests of a file stay in one process, those of a group too: tests/conftest.py. Four on two cores: some wait for jobs.
TESTS := $(BIN)/python -m pytest -n $(or $(WORKERS),4) --dist loadgroup
# A dozen tests are a third of all the time; continuous integration runs them.
CHOSEN := $(if $(CI)$(ALL),,-m "not long")

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help quickstart test check gpu-check doctor setup lint clean distclean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

quickstart: setup ## train FixMatch with and without CalibrateMix on the digits, three seeds each, and compare them
	$(BIN)/python dataprep/make_beton.py digits --out data
	$(BIN)/python slurm/submit.py $(GRID) --cluster local --cpus-per-task 1
	$(BIN)/python slurm/collect.py $(GRID)
	@echo
	$(BIN)/python pipeline/compare.py $(SEED_0) --plot $(QUICKSTART)/reliability.png
	@echo
	$(BIN)/python pipeline/evaluate.py $(SEED_0) --out $(QUICKSTART)/report

ifdef ARGS
test: setup
	$(BIN)/python -m pytest $(ARGS)
else
test: lint ## lint and tests, eight minutes; ALL=1 those too that are left to CI; ARGS="-k name -x": pytest with these
	@scripts/setup.sh tests
	$(TESTS) $(CHOSEN)
endif

check: lint ## lint and the fast tests: a minute
	$(TESTS) -m "not slow"

gpu-check: setup ## is it right and fast on this machine's GPUs? ten minutes; without a GPU: PRETEND=1
	$(BIN)/python benchmarks/check_gpu.py $(if $(PRETEND),--pretend)

lint: setup ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

setup: ## make .venv with everything in it; does nothing when it is up to date
	@scripts/setup.sh

doctor: ## what this machine has, what is missing, how to get it
	@scripts/doctor.sh

clean: ## remove caches (never data/ or runs/)
	find . \( -path ./.git -o -path './.venv*' -o -path ./data -o -path ./runs \) -prune -o -type d -name __pycache__ -exec rm -rf {} +
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info

distclean: clean ## clean, and remove the environment
	test ! -e $(VENV)/pyvenv.cfg || rm -rf $(VENV)
