# Every act of the project, by name. `make help` lists them.
.DEFAULT_GOAL := help
SHELL := bash
PY := .venv/bin/python
WORKERS ?= auto
GPU_WORKERS ?= 6

.PHONY: help install demo test test-long check format gpu-test bench docs conformance clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.venv/.installed-base: pyproject.toml setup.py constraints/cpu.txt
	@scripts/install.sh

.venv/.installed-test: pyproject.toml setup.py constraints/cpu.txt
	@scripts/install.sh test

.venv/.installed-docs: pyproject.toml setup.py constraints/cpu.txt
	@scripts/install.sh docs

.venv/.installed-test,cluster: pyproject.toml setup.py constraints/cpu.txt
	@scripts/install.sh test cluster

.venv/.installed-test,check: pyproject.toml setup.py constraints/cpu.txt
	@scripts/install.sh test check

install: .venv/.installed-base ## make .venv and install the server into it
	@echo "Ready: .venv/bin/kernel-harness serve"

demo: .venv/.installed-base ## go round the whole loop with a real MCP client
	@$(PY) scripts/demo.py

# Bytecode of tests is kept, whatever the shell says: rewriting their assertions takes seconds.
test: .venv/.installed-test ## run every test that needs no GPU
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(WORKERS) --dist worksteal -m "not gpu and not long"

test-long: .venv/.installed-test,cluster ## run the matrices that take minutes, and every fuzz on new inputs, without a GPU
	@PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(WORKERS) --dist worksteal --hypothesis-profile=random -m "(long or fuzz) and not gpu"

check: .venv/.installed-test,check ## lint, types, layers, spelling
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .
	@.venv/bin/basedpyright --level error
	@.venv/bin/lint-imports
	@.venv/bin/codespell server tools kernels skills docs tests scripts benchmarks *.md

format: .venv/.installed-test,check ## format the code
	@$(PY) -m ruff format . && $(PY) -m ruff check --fix .

gpu-test: .venv/.installed-test ## run the tests that need an NVIDIA GPU
	@$(PY) -m pytest -q -n $(GPU_WORKERS) --dist worksteal -m "gpu and not alone" tests/gpu
	@$(PY) -m pytest -q -m "gpu and alone" tests/gpu

bench: .venv/.installed-base ## measure turnaround and noise on this GPU
	@$(PY) benchmarks/turnaround.py

docs: .venv/.installed-docs ## build the guide into site/, its reference from the code
	@$(PY) scripts/generate_docs.py && NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict

conformance: .venv/.installed-base ## run MCP's own suites against the server
	@scripts/conformance.sh

clean: ## remove what builds and tests left, keep workspaces and archive
	@rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis site
