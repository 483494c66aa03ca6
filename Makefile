# One-word tasks. `make` alone lists them; each sets up what it needs on a fresh machine.

SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
CODE := src tests $(wildcard examples benchmarks)

# Words for pytest: two processes at once, and who has nothing left takes over from the other.
# Others, for example: make test PYTEST="-x -k lease"
PYTEST ?= -n 2 --dist worksteal

.PHONY: help
help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMP) ## create .venv and install everything into it
	@:

# The first Python that answers and is new enough; a name on the PATH may be a shim that can't run.
$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	if command -v uv >/dev/null 2>&1; then \
		[ -x $(PYTHON) ] || uv venv --quiet --python '>=3.11' $(VENV); \
		uv pip install --quiet --python $(PYTHON) --constraint constraints.txt --editable '.[all,dev]'; \
	else \
		if ! [ -x $(PYTHON) ]; then \
			for candidate in python3 python3.14 python3.13 python3.12 python3.11 python; do \
				if $$candidate -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
					>/dev/null 2>&1; then found=$$candidate; break; fi; \
			done; \
			[ -n "$$found" ] || { echo 'backroom needs Python 3.11 or newer, with venv (Debian: apt install python3-venv).' >&2; exit 1; }; \
			echo "Setting up $(VENV) with $$($$found --version) ..."; \
			$$found -m venv $(VENV); \
		fi; \
		$(PYTHON) -m pip install --quiet --disable-pip-version-check --upgrade pip; \
		$(PYTHON) -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'; \
	fi; \
	touch $@

.PHONY: demo
demo: setup ## run the expense example
	$(PYTHON) -m examples.expenses

.PHONY: test
test: setup ## run the whole suite, on SQLite and on PostgreSQL
	$(PYTHON) -m pytest $(PYTEST)

.PHONY: oldest
oldest: setup ## run the store's and the engine's tests on the oldest PostgreSQL
	@set -e; rooms='$(wildcard tests/store tests/engine)'; \
	if [ -z "$$rooms" ]; then echo 'No tests of the store or the engine yet.'; exit 0; fi; \
	$(PYTHON) -m pytest --postgres=oldest $(PYTEST) $$rooms

.PHONY: check
check: setup ## lint, formatting, types, import contracts
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy $(CODE)
	$(VENV)/bin/lint-imports

.PHONY: format
format: setup ## let ruff fix and format the code
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

.PHONY: bench
bench: setup ## measure, and print the numbers
	$(PYTHON) -m benchmarks

.PHONY: bench-peers
bench-peers: setup ## measure the peers beside us, each in an environment of its own
	$(PYTHON) -m benchmarks.peers

.PHONY: bench-growth
bench-growth: setup ## measure how cost grows with backlog, history and size
	$(PYTHON) -m benchmarks.growth

.PHONY: torture
torture: setup ## kill and starve workers for minutes, and count what was lost
	$(PYTHON) -m pytest tests/torture -m torture $(PYTEST)

.PHONY: clean
clean: ## remove .venv, caches and builds
	rm -rf $(VENV) .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf build dist
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
