# The commands that people, hooks and CI run. `make` without a target prints the help.
PYTHON ?= python3
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
LOCK := $(if $(GPU),requirements-gpu.lock,requirements.lock)
INSTALLED := .venv/.installed-$(LOCK)
UV := $(BIN)/uv
# If PYTHONDONTWRITEBYTECODE is set, as in containers, each start would compile thousands of modules again.
export UV_COMPILE_BYTECODE := 1
TASKS ?=
WORKERS ?= 2
# tests/conftest.py starts with the files that take longest: one of them would run alone at the end.
SPREAD := -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=15
# Ends a process that hangs in C code after this many seconds; with --dist loadfile the next process starts the same test again.
STUCK := --max-worker-restart=2 -o faulthandler_timeout
# The files of smoke tests: collecting only these takes a third of the time.
SMOKE = $$(grep -rlF --include='test_*.py' pytest.mark.smoke tests)

.DEFAULT_GOAL := help
.PHONY: help run test coverage check smoke smoke-ci wheel nightly catalogue fuzz mutants cluster jax docs serve bench results lock clean

help:  ## print this help
	@if [ -t 1 ] && [ -z "$$NO_COLOR" ] && [ "$$TERM" != dumb ]; then on='\033[36m'; off='\033[0m'; fi; \
	awk -v on="$$on" -v off="$$off" -F ':.*## ' \
	  '/^[a-z-]+:.*## / {printf "  %smake %-9s%s %s\n", on, $$1, off, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  variables: TASKS='iris sine' (default: all), WORKERS=4 (tests at once), GPU=1 (CUDA build), PYTHON=python3.12, MINUTES=60, EXAMPLES=1000"

run: $(INSTALLED)  ## install, then run the pipeline for every task
	@tiltyard run $(TASKS) || case $$? in 3) ;; *) exit $$? ;; esac  # HOLD and REJECT are verdicts, not errors

test: $(INSTALLED)  ## run the unit and property tests; more tests: coverage, smoke, nightly, catalogue, jax
	pytest -m "(hypothesis or not smoke) and not catalogue and not jax" $(SPREAD) $(STUCK)=900

coverage: $(INSTALLED)  ## run the tests and report the coverage of src and pipelines; takes half as long again
	@rm -f .coverage .coverage.*
	coverage run -m pytest -m "not hypothesis and not smoke and not catalogue and not jax" $(SPREAD) $(STUCK)=900
	@coverage combine -q && coverage report

check: $(INSTALLED)  ## check style, format, types and import contracts
	ruff check .
	ruff format --check .
	mypy src serving tests benchmarks docs/generate
	lint-imports --no-cache
	pytest -q tests/test_repository.py

smoke: $(INSTALLED)  ## run the smoke tests: the command line, kills, attacks on a running service
	pytest -q -m smoke -n $(WORKERS) --durations=15 $(SMOKE)

smoke-ci: $(INSTALLED)  ## run the smoke tests that take less than a minute each, as CI does
	pytest -q -m "smoke and not nightly" -n $(WORKERS) --durations=15 $(SMOKE)

wheel: $(INSTALLED)  ## build the wheel, and use it in a project without this tree
	pytest -q tests/project/test_wheel.py

nightly: $(INSTALLED) coverage smoke catalogue cluster jax  ## run the tests that take too long for every change, and an hour of fuzzing
	$(MAKE) fuzz MINUTES=$(or $(MINUTES),60)

catalogue: $(INSTALLED)  ## run every task on few rows (real data with TILTYARD_MIRROR), every model family, long trainings
	pytest -q -m catalogue -n $(WORKERS) --dist loadfile $(STUCK)=7500

fuzz: $(INSTALLED)  ## run the property tests with new random seeds for MINUTES=1; SEED=n repeats a round
	python tests/fuzz.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(EXAMPLES),--examples $(EXAMPLES)) $(if $(SEED),--seed $(SEED))

mutants: $(INSTALLED)  ## run mutation tests of the code that judges models, write benchmarks/MUTANTS.md; MINUTES=60
	python benchmarks/mutants.py $(if $(MINUTES),--minutes $(MINUTES)) $(if $(MOST),--most $(MOST)) $(if $(SEED),--seed $(SEED))

cluster: $(INSTALLED)  ## install the schemas of Kubernetes and validate the manifest against them
	@$(UV) pip install -q --python $(BIN)/python --group cluster
	pytest -q tests/serving/test_kubernetes.py

jax: $(INSTALLED)  ## install JAX and test every model family with it
	@$(UV) pip install -q --python $(BIN)/python --group jax
	pytest -q -m jax

docs: $(INSTALLED)  ## install MkDocs, run the example and build the documentation into site/; a warning is an error
	@$(UV) pip install -q --python $(BIN)/python --group docs
	python docs/generate/example.py
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

serve: $(INSTALLED)  ## serve the champions on http://localhost:3000
	@tiltyard serve $(TASKS)

bench: $(INSTALLED)  ## run the benchmarks, write benchmarks/RESULTS.md
	python benchmarks/run.py

results: $(INSTALLED)  ## measure the catalogue on real data (hours; TILTYARD_MIRROR), write docs/RESULTS.md
	python benchmarks/results.py $(TASKS)

lock: $(INSTALLED)  ## write the lock files again from pyproject.toml
	$(UV) pip compile -q pyproject.toml --extra cpu --group dev --universal --generate-hashes \
	  --no-emit-index-url --python-version 3.11 -o requirements.lock
	$(UV) pip compile -q pyproject.toml --extra gpu --group dev --universal --generate-hashes \
	  --no-emit-index-url --python-version 3.11 -o requirements-gpu.lock
	$(UV) pip compile -q serving/requirements.in --universal --generate-hashes \
	  --no-emit-index-url --python-version 3.11 -o serving/requirements.lock

clean:  ## remove the environment and everything that can be rebuilt; data and champions stay
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage* .tiltyard/state logs

# pip installs uv, in the version of the lock; uv installs the rest, by hash
$(INSTALLED): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v < (3, 14))' || \
	  { echo "error: expected Python 3.11, 3.12 or 3.13; received `$(PYTHON) --version`"; \
	    echo "next:  make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv || { \
	  echo "error: this Python has no venv; on Debian: apt install python3-venv"; rm -rf .venv; exit 1; }
	@test -x $(UV) || $(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep -o '^uv==[0-9.]*' $(LOCK))"
	@$(UV) pip sync -q --python $(BIN)/python --require-hashes $(LOCK)
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src pipelines  # an editable install does not compile them; Python compiles changed files again
	@rm -f .venv/.installed-* && touch $@
