# Everything a developer types. `make help` lists it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
UV     := $(BIN)/uv
UV_VERSION := $(shell sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/dev.txt)
LOCK   := --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 --universal --quiet \
          --no-emit-package raysmith --no-emit-package raysmith-workloads --custom-compile-command 'make requirements'
OURS   := operator/pyproject.toml workloads/pyproject.toml

export UV_LINK_MODE ?= hardlink
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-cluster soak lint format generate verify bench requirements clean cluster-demo cluster-up \
  cluster-down cluster-status cluster-images

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv with everything in it (6 GB; PyTorch brings CUDA's libraries along)

$(READY): requirements/cpu.txt requirements/operator.txt requirements/dev.txt $(OURS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Raysmith needs Python 3.11 or newer, and $(PYTHON) is older. Name another one: make PYTHON=python3.12 setup"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "$(PYTHON) has no venv module. On Debian and Ubuntu: apt-get install python3-venv"; exit 2; }
	@$(PYTHON) -c 'import ctypes; ctypes.CDLL("libnuma.so.1")' 2>/dev/null || \
	  { echo "vLLM needs libnuma, which this machine lacks. On Debian and Ubuntu: apt-get install libnuma1"; exit 2; }
	@echo "Setting up $(VENV): some 200 packages, 6 GB. This takes a minute with a fast network, and happens once."
	test -x $(UV) || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); }
	$(UV) pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/cpu.txt requirements/operator.txt requirements/dev.txt
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e operator -e workloads
	@touch $@

demo: $(READY) ## Train, tune and serve a small model on this machine, then ask it
	$(BIN)/raysmith run examples/quickstart/ --no-wait

cluster-demo: $(READY) ## Do the same on a real Kubernetes: that of KUBECONFIG, kind's, or one that is started here (Linux, root)
	hack/cluster-demo.sh

test: $(READY) ## Run everything that can be tested on this machine, but for test-cluster
	$(BIN)/python -m pytest -m "not e2e"

test-cluster: $(READY) ## Run the tests on a whole Kubernetes: KUBECONFIG's, or one that is started here (Linux, root, 30 GB)
	$(BIN)/python -m pytest -m "e2e and not soak"

soak: $(READY) ## Run what takes hours on a whole Kubernetes: kills without end, a lost node (SOAK_ROUNDS=10)
	$(BIN)/python -m pytest -m soak

test-fast: $(READY) ## Run the tests that start neither Ray nor Kubernetes
	$(BIN)/python -m pytest -m "not real and not cluster"

lint: $(READY) ## Check style, types, layers and spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy operator/src workloads/src tests benchmarks
	$(BIN)/mypy charts/raysmith/files/check.py
	$(BIN)/mypy hack
	$(BIN)/lint-imports
	$(BIN)/codespell README.md CHANGELOG.md CONTRIBUTING.md docs operator workloads examples charts hack

format: $(READY) ## Bring all Python files into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

cluster-up: ## Start a real Kubernetes with KubeRay on this machine, without Docker (Linux, root; NODES=2 for two nodes)
	hack/cluster/cluster up $(if $(NODES),--nodes $(NODES))

cluster-down: ## End it, and leave nothing behind but the programs and images in the cache
	hack/cluster/cluster down

cluster-status: ## Say what of it runs, and where the kubeconfig is
	hack/cluster/cluster status

cluster-images: ## Build our images into it (the first time: minutes and 20 GB)
	hack/cluster/cluster images

generate: $(READY) ## Write crds/ from the API models, and the chart's table of values
	$(BIN)/python -m raysmith.crdgen
	$(BIN)/python -m pytest -q tests/unit/test_chart_documents.py --update-golden

verify: $(READY) ## Check that crds/ is what the API models say
	$(BIN)/python -m raysmith.crdgen --check

bench: $(READY) ## Measure against the peers and print the tables of benchmarks/
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --require-hashes -r requirements/bench.txt
	$(BIN)/python -m benchmarks

requirements: $(READY) ## Resolve and pin all dependencies anew
	$(UV) pip compile $(LOCK) --override requirements/overrides.txt $(OURS) --extra cpu -o requirements/cpu.txt
	$(UV) pip compile $(LOCK) $(OURS) --extra gpu -o requirements/gpu.txt
	$(UV) pip compile $(LOCK) operator/pyproject.toml --extra operator -c requirements/cpu.txt -o requirements/operator.txt
	$(UV) pip compile $(LOCK) --override requirements/overrides.txt requirements/dev.in -c requirements/cpu.txt -o requirements/dev.txt
	$(UV) pip compile $(LOCK) --override requirements/overrides.txt requirements/bench.in -c requirements/cpu.txt -o requirements/bench.txt

clean: ## Remove the virtual environment and the caches in the tree
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
