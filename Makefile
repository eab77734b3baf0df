# `make` alone lists the targets. Everything runs in .venv, which the first target that needs it makes.
.DEFAULT_GOAL := help
.PHONY: help demo test test-all soak fuzz signals conformance bench lint dist site format clean

# The newest interpreter at hand that is at least 3.11; `make PYTHON=python3.13 test` chooses another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
PYTEST_ARGS ?= -n auto --dist worksteal --ignore=tests/slow

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.venv/installed: pyproject.toml
	@test -n "$(PYTHON)" || { echo "rowsmith needs Python 3.11 or newer; none was found on PATH." >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[all,fastapi,flask]" --group dev
	@touch $@

demo: .venv/installed  ## the main job on real input, on an embedded PostgreSQL (or on DATABASE_URL)
	$(BIN)/python -m blueprint.demo

test: .venv/installed  ## the test suite without tests/slow, on an embedded PostgreSQL
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-all: .venv/installed  ## every test, with more examples, and on every PostgreSQL and PgBouncer of this machine
	$(BIN)/python -m pytest -n auto --hypothesis-profile=all
	PYTEST="$(BIN)/python -m pytest -n auto" tools/test_other_servers

soak: .venv/installed  ## the bank of tests/slow under random faults, an hour in each isolation level at one time: SECONDS=N
	ROWSMITH_BANK_STRIKES=1 ROWSMITH_BANK_SECONDS=$(or $(SECONDS),3600) $(BIN)/python -m pytest tests/slow/bank -n 3 -k loses_nothing -p no:logging

fuzz: .venv/installed  ## random programs of blocks against a model, some minutes: SEED=N for those of a seed
	$(BIN)/python -m pytest tests/fuzz -n 2 --hypothesis-profile=fuzz --hypothesis-show-statistics \
		--hypothesis-seed=$(or $(SEED),$(shell date +%s))

signals: .venv/installed  ## 10,000 blocks interrupted by real signals, in threads and in tasks: COUNT=N for another number
	ROWSMITH_SIGNALS=$(or $(COUNT),10000) $(BIN)/python -m pytest tests/transactions/test_signals.py -n 2

conformance: .venv/installed  ## the queries of others: SCRIPTS=DIR, SQLC=DIR, SAFEQL=DIR, see docs/conformance-others.md
	$(BIN)/python -m tests.conformance $(if $(SCRIPTS),--scripts "$(SCRIPTS)") $(if $(SQLC),--sqlc "$(SQLC)") \
		$(if $(SAFEQL),--safeql "$(SAFEQL)") $(if $(PG_BIN),--pg-bin "$(PG_BIN)")

.venv-bench/installed: pyproject.toml benchmarks/requirements.txt
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-bench/bin/python -m pip install --quiet --editable ".[all]" --requirement benchmarks/requirements.txt
	@touch $@

bench: .venv-bench/installed  ## rowsmith beside its peers: a table and a chart, in about six minutes
	.venv-bench/bin/python -m benchmarks $(BENCH_ARGS)

lint: .venv/installed  ## ruff, mypy --strict, pyright, the generated twins, and the queries
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tools/async_to_sync.py --check
	$(BIN)/rowsmith check
	cd examples/fastapi_app && ../../$(BIN)/rowsmith check
	cd examples/flask_app && ../../$(BIN)/rowsmith check
	$(BIN)/python -m benchmarks.generate --check
	$(BIN)/mypy
	$(BIN)/pyright

dist: .venv/installed  ## what is released, in the folder dist: the sdist, and the wheel made from it
	rm -rf dist
	$(BIN)/python -m build --quiet
	$(BIN)/twine check --strict dist/*

.venv-site/installed: pyproject.toml
	$(PYTHON) -m venv .venv-site
	.venv-site/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	.venv-site/bin/python -m pip install --quiet --group docs
	@touch $@

site: .venv-site/installed  ## the documentation as a site, in the folder site; a broken link is an error
	.venv-site/bin/zensical build --clean --strict

format: .venv/installed  ## format the code, and regenerate the twins and the typed module
	$(BIN)/python tools/async_to_sync.py
	$(BIN)/rowsmith generate
	cd examples/fastapi_app && ../../$(BIN)/rowsmith generate
	cd examples/flask_app && ../../$(BIN)/rowsmith generate
	$(BIN)/python -m benchmarks.generate
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the virtual environment and the caches
	rm -rf .venv .venv-bench .venv-site site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
