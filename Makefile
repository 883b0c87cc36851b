# Everything runs in .venv, made on first use from Python 3.11 or newer and pip alone.
PYTHON ?= python3
PROCESSES ?= 2

BIN := .venv/bin
READY := .venv/.ready
FOLDERS := core solvers physics sim validation
PYTEST := $(BIN)/python -m pytest --numprocesses $(PROCESSES) --dist worksteal

.PHONY: demo test test-all lint types bench clean

demo: $(READY)
	$(BIN)/worldline demo

test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory types

# mypy follows folders, not the package map, so it is shown a tree of links shaped like the package.
types: $(READY)
	@rm -rf .types && mkdir -p .types/worldline
	@for file in worldline/*; do ln -s "../../$$file" .types/worldline/; done
	@for folder in $(FOLDERS); do ln -s "../../$$folder" ".types/worldline/$$folder"; done
	cd .types && ../$(BIN)/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache

bench: $(READY)
	@set -e; for script in benchmarks/[a-z]*.py; do \
		[ -e "$$script" ] || { echo "benchmarks/ holds no scripts"; exit 1; }; \
		echo "$$script"; $(BIN)/python "$$script"; \
	done

$(READY): pyproject.toml setup.py constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "worldline needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)"; \
		echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
		exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[test]'
	@touch $@

clean:
	rm -rf .venv .types build dist out *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
