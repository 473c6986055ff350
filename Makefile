# Everything a newcomer needs; `make` alone lists it. Nothing but make, git and Python 3.11–3.13 with pip is assumed.
.DEFAULT_GOAL := help
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo "$$p" && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
TRACE ?=
DEMO_ARGS ?=
TEST_ARGS ?=
DATES ?=
MUTANTS ?=
# Two processes, and every test but the long ones.
SUITE = -n 2 --dist loadfile -m "not long"
BENCH_ARGS ?=
BASE ?= HEAD
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help install demo test test-dates test-long test-mutants check format bench bench-growth compare lock audit clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1@\2/p' $(MAKEFILE_LIST) | column -t -s @ 2>/dev/null || grep '##' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with `tollbook` and `celery` in .venv/bin

$(INSTALLED): requirements-dev.lock pyproject.toml clients/python/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name it with: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv --clear .venv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .venv
	@echo "Installing into .venv …"
	@if test -x $(BIN)/pip; then pip="$(BIN)/python -m pip"; else pip="$(PYTHON) -m pip --python $(BIN)/python"; fi; \
	$$pip install --quiet --require-hashes --requirement requirements-dev.lock && \
	$$pip install --quiet --no-deps --no-build-isolation --editable . && \
	$$pip install --quiet --no-deps --no-build-isolation --editable ./clients/python
	@touch $(INSTALLED)

demo: install ## real servers, real traffic, a killed worker, exact books (TRACE=path.csv, DEMO_ARGS=--keep)
	@DATABASE_URL= DATABASE_OWNER_URL= CELERY_BROKER_URL= REDIS_URL= $(BIN)/tollbook demo --trace "$(TRACE)" $(DEMO_ARGS)

test: install ## every test but the long ones (TEST_ARGS="-k name")
	@$(BIN)/python -m pytest $(SUITE) $(TEST_ARGS)

test-dates: install ## the same tests at other times, by libfaketime (DATES="2028-02-29T23:58:00 2027-03-28T00:56:00", TEST_ARGS as above)
	@$(BIN)/python -m lab.dates $(DATES) -- $(SUITE) $(TEST_ARGS)

test-long: install ## the tests that take minutes
	@$(BIN)/python -m pytest -m long --timeout 3600 $(TEST_ARGS)

test-mutants: install ## deliberately broken programs: which check catches which (MUTANTS="ack-before-commit day-of-utc", MUTANTS=--json)
	@$(BIN)/python -m lab.mutants $(MUTANTS)

check: install ## format, lint, types, import contracts, migrations = models, docs in step, lock in step
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache | tail -n 3
	@$(BIN)/python -m lab.docs --check
	@$(BIN)/python -m pytest -q -p no:cacheprovider tests/architecture

format: install ## write the format and what the linter can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python -m lab.docs

bench: install ## events per second of each path into PostgreSQL, in one run (BENCH_ARGS=--json)
	@$(BIN)/python -m lab.bench $(BENCH_ARGS)

bench-growth: install ## the recorder on 20 million transactions, a worker before a million messages (BENCH_ARGS="--rows 1000000"); an hour and a half, 40 GB
	@$(BIN)/python -m lab.bench.growth $(BENCH_ARGS)

compare: install ## the speed of the working tree against that of an earlier commit, by turns (BASE=main, BENCH_ARGS="--rounds 3 --scale 0.1")
	@$(BIN)/python -m lab.bench.compare --base "$(BASE)" $(BENCH_ARGS)

lock: install ## write the requirements files anew from pyproject.toml
	@$(BIN)/uv lock --quiet
	@$(BIN)/uv export --quiet --locked --extra embedded --extra parquet --extra prices --all-groups --no-emit-project --no-header --no-annotate -o requirements-dev.lock
	@$(BIN)/uv export --quiet --locked --no-dev --no-emit-project --no-header --no-annotate -o requirements.lock

audit: install ## what is known against the locked packages, and a list of them in build/sbom.json (exit code 1: something is, 69: nobody can be asked)
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m lab.audit

clean: ## stop the embedded servers and remove what was made here
	@test ! -x $(BIN)/tollbook || $(BIN)/tollbook services down --delete >/dev/null 2>&1 || true
	@rm -rf .venv .local .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
