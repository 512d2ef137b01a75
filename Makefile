# Everything runs in .venv with the locked versions, and nothing is installed outside of it but Debian's packages for the tests.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo picture test coverage clients picoclaw soak fuzz bench check lock system test-clients clean

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

PY := .venv/bin/python
INSTALL := $(PY) -m pip install --quiet
COMPILE := $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--annotation-style line --custom-compile-command 'make lock'
PROJECT := pyproject.toml --group build

# Three workers even for two processors: a test waits for a third of its time. nproc knows which processors are ours.
WORKERS = $(shell n=$$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN); echo $$((n < 3 ? 3 : n > 8 ? 8 : n)))

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/run.stamp ## Create .venv and install the locked versions

demo: .venv/run.stamp ## Watch a fleet of embedded hosts at work, driven through MCP
	@$(PY) -m demo

picture: .venv/run.stamp ## Draw the README's picture anew, from a run
	@$(PY) -m demo.picture docs/demo.svg

test: .venv/dev.stamp system test-clients check ## Run the checks and the tests
	$(PY) -m pytest -n $(WORKERS) -r s

coverage: .venv/dev.stamp system test-clients ## Run the tests and count the branches taken: 95 % at least (takes twice as long)
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest -n $(WORKERS)
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

clients: .venv/dev.stamp ## Check that OpenClaw, Claude Code, Codex and Gemini CLI start this server and use it (1.5 GB, no account)
	@tests/setup-clients.sh .venv real
	$(PY) -m pytest -n 2 tests/real_clients

picoclaw: .venv/dev.stamp ## Hold the stand-in to PicoClaw itself, and run jobs on it, with each binary in a folder (PICOCLAW=FOLDER)
	PICOCLAW_FLEET_BINARIES="$(PICOCLAW)" $(PY) -m pytest -n 2 -r s tests/real_picoclaw tests/standin

soak: .venv/dev.stamp system ## Kill the server 200 times while everything else fails too, and give it 10,000 jobs (KILLS=... JOBS=... SEED=...)
	PICOCLAW_FLEET_FAULT_KILLS=$(or $(KILLS),200) PICOCLAW_FLEET_FAULT_SECONDS=600 $(if $(SEED),PICOCLAW_FLEET_FAULT_SEED=$(SEED)) \
		PICOCLAW_FLEET_LEAK_JOBS=$(or $(JOBS),10000) $(PY) -m pytest tests/faults tests/mcp_server/test_many_jobs.py -s

fuzz: .venv/dev.stamp system ## Throw the dice in the property tests, and throw messages at the server for SECONDS=60 a way (SEED=...)
	PICOCLAW_FLEET_FUZZ_SECONDS=$(or $(SECONDS),60) PICOCLAW_FLEET_FUZZ_SEED=$(or $(SEED),$(shell date +%s)) \
		$(PY) -m pytest -n $(WORKERS) --hypothesis-profile=random $$(grep -rlE 'hypothesis|FUZZ_SECONDS' --include='test_*.py' tests)

bench: .venv/run.stamp .venv/bench.stamp system ## Measure us beside what people use instead: as root, on a quiet machine (20 minutes; ONLY=... ROUNDS=5)
	@bench/setup.sh
	$(PY) -m bench $(if $(ROUNDS),--rounds $(ROUNDS)) $(addprefix --only ,$(ONLY))

check: .venv/dev.stamp ## Check format, lint, types, layers and shell files
	$(PY) -m ruff format --check --quiet .
	$(PY) -m ruff check --quiet .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(PY) -m pyright
	.venv/bin/lint-imports --no-cache --no-logo
	if command -v shellcheck >/dev/null; then \
		find . -name .venv -prune -o \( -name '*.sh' -o -path './.ci/run' \) -exec shellcheck {} +; \
	fi

lock: .venv/dev.stamp ## Lock again after a change of dependencies (LOCK=--upgrade: to the newest versions)
	$(COMPILE) $(LOCK) $(PROJECT) --output-file requirements/run.txt
	$(COMPILE) $(LOCK) $(PROJECT) --group dev --constraint requirements/run.txt --output-file requirements/dev.txt
	$(COMPILE) $(LOCK) --group bench --output-file requirements/bench.txt

clean: ## Remove .venv and everything that can be made again
	rm -rf .venv .coverage* .hypothesis .import_linter_cache .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

system:
	@tests/setup-system.sh

test-clients: .venv/dev.stamp
	@tests/setup-clients.sh .venv

.venv/bin/python:
	requirements/venv.sh .venv

.venv/run.stamp: .venv/bin/python requirements/run.txt pyproject.toml
	$(INSTALL) --require-hashes --only-binary :all: -r requirements/run.txt
	$(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

.venv/dev.stamp: .venv/run.stamp requirements/dev.txt
	$(INSTALL) --require-hashes --only-binary :all: -r requirements/dev.txt
	touch $@

.venv/bench.stamp: .venv/run.stamp requirements/bench.txt
	$(PY) -m venv --clear .venv/bench
	.venv/bench/bin/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/bench.txt
	touch $@
