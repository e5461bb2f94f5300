# Needs Python 3.11 or newer with venv, make and git; nothing else, and no activated environment.
#
#   make demo    the business from admission to credited profit, in one go
#   make test    the tests, docs and README included
#   make check   lint, format, types, arrows
#   make cluster the tests on three Galera nodes: needs mariadbd, galera and rsync, not as a service
#   make bench   the benchmarks
#   make lock    write requirements/*.txt anew; `make lock LOCK_FLAGS=--upgrade` takes newer releases
#   make clean   remove all that was generated, .venv included

PYTHON ?= python3
PYTEST_FLAGS ?= -n auto --maxprocesses 8
BENCH_FLAGS ?=
LOCK_FLAGS ?=

SHELL := /bin/sh
.DELETE_ON_ERROR:
.SUFFIXES:

VENV := .venv
BIN := $(VENV)/bin
# pip asks for no more than it is told here: of the caller's pip settings only those remain which
# say how to reach packages.
REACH := CACHE_DIR CERT CLIENT_CERT CONFIG_FILE DEFAULT_TIMEOUT EXTRA_INDEX_URL FIND_LINKS \
  INDEX_URL KEYRING_PROVIDER NO_INDEX PROXY RETRIES TIMEOUT TRUSTED_HOST
unexport $(filter-out $(REACH:%=PIP_%),$(filter PIP_%,$(.VARIABLES)))
unexport PYTHONHOME PYTHONPATH PYTHONSAFEPATH VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

PIP := $(BIN)/python -m pip --quiet --no-input
LOCKED := $(PIP) install --no-user --require-hashes --no-deps --only-binary :all:
EDITABLE := $(PIP) install --no-user --no-deps --no-build-isolation --editable .

MADE := $(VENV)/.made
RUN := $(VENV)/.run
DEV := $(VENV)/.dev

.PHONY: demo test check cluster bench lock clean

demo: $(RUN)
	$(BIN)/consignment demo

test: $(DEV)
	$(BIN)/python -m pytest $(PYTEST_FLAGS)

check: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

cluster: $(DEV)
	CONSIGNMENT_CLUSTER=1 $(BIN)/python -m pytest -n0 -s tests/cluster

bench: $(DEV)
	$(BIN)/python -m benchmarks $(BENCH_FLAGS)

# A virtual environment holds absolute paths and a link to its Python: one that was copied, moved
# or has lost its Python is made anew.
ifneq ($(shell $(BIN)/python -c '' 2>/dev/null && cat $(MADE) 2>/dev/null),$(CURDIR))
.PHONY: $(MADE) $(RUN) $(DEV)
endif

$(MADE):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("consignment needs Python 3.11 or newer, this is %d.%d; try make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv --clear $(VENV)
	@printf '%s\n' '$(CURDIR)' > $@

$(RUN): requirements/run.txt requirements/build.txt pyproject.toml | $(MADE)
	$(LOCKED) --requirement requirements/run.txt --requirement requirements/build.txt
	$(EDITABLE)
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(MADE)
	$(LOCKED) --requirement requirements/dev.txt
	$(EDITABLE)
	@touch $@

# dev.txt comes first, and the others take their versions from it.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
  --no-config --no-header --no-annotate $(LOCK_FLAGS)

lock: | $(MADE)
	$(PIP) install --no-user 'uv>=0.9'
	mkdir -p requirements
	$(LOCK) pyproject.toml --all-extras --group pyproject.toml:dev --output-file requirements/dev.txt
	$(LOCK) pyproject.toml --extra cli --constraint requirements/dev.txt \
	  --output-file requirements/run.txt
	$(LOCK) --group pyproject.toml:build --constraint requirements/dev.txt --output-file requirements/build.txt
	@if grep -nE '://|^-|^ *--(index|extra|find|trusted)' requirements/*.txt; then \
	  echo 'requirements name a host or a place' >&2; exit 1; fi

clean:
	rm -rf $(VENV) build dist htmlcov .coverage .coverage.* \
	  .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests docs examples benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || :
