# `make` alone lists what there is. Variables: PORT, HOST, DATABASE_URL and the others of config.py; TESTS=tests/api to
# choose tests; ALLOW_SKIPS=1 to pass without the servers that could not be installed; PYTHON=python3.12.

PYTHON ?= python3
TESTS ?= tests
PYTEST = pytest -q -n $(JOBS) --dist worksteal $(TESTS)
CORES := $(shell nproc 2> /dev/null || echo 2)
JOBS ?= $(shell expr $(CORES) + 1) # some tests wait for what takes no time of a core
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help install run test test-fast test-slow e2e bench lint openapi sure tools

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: .venv/installed ## Make .venv from the lock file
.venv/installed: requirements-dev.txt scripts/install
	@scripts/install $(PYTHON) requirements-dev.txt
	@touch $@

run: install ## Run the portal with demo data: web, worker, everything; Ctrl-C stops it
	@flask serve

tools: # PostgreSQL, pgBackRest, Redis and Chromium for the tests, where they may be installed
	@$(PYTHON) scripts/test-tools

test: tools install ## Run the tests, on SQLite and on PostgreSQL, in the browser too
	$(PYTEST) -m "not slow"

PATIENT = proofs adapters cli api/test_fuzz.py api/test_restores.py portal/test_restores.py tasks/test_exports.py domain/test_tabs.py test_starting.py
test-fast: install ## Run what needs neither server nor process nor patience: under a minute on two cores
	$(PYTEST) -m "not slow and not browser and not processes and not postgresql and not redis" $(PATIENT:%=--ignore tests/%)

test-slow: tools install ## Run the long proofs: crashes, races, volume
	$(PYTEST) -m slow

e2e: tools install ## Run the browser tests
	$(PYTEST) -m browser

bench: install ## Measure requests, jobs and backups, each against a floor; MEGABYTES=1000 backs up that much
	@python -m bench --megabytes $(or $(MEGABYTES),100)

lint: install ## Check style, types and the direction of imports
	ruff check .
	mypy
	lint-imports

openapi: install # docs/openapi.json is what the code says
	@flask openapi write - | diff -q - docs/openapi.json > /dev/null || \
		{ echo "docs/openapi.json is behind the code; write: .venv/bin/flask openapi write docs/openapi.json" >&2; exit 1; }

sure: lint openapi test test-slow ## Everything that CI runs
