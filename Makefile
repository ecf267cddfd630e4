# make demo   run the packaged quick suite on built-in photographs and render its leaderboard
# make test   lint, contracts of imports, types, tests, documentation site
# make docs   the documentation site alone: site/index.html
# All set up a virtual environment with pinned versions first; nothing else is needed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Three for two cores, at most 16: tests wait for processes, but more of them share the caches. When
# the tests took 11 to 13 minutes on two cores with three, they took 15 with four, 16 with six.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(16, 3 * (os.cpu_count() or 1) // 2))')
READY := $(VENV)/.ready
COMPILED := $(VENV)/.compiled

# Compiled modules are kept: the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: ready demo test lint imports types unit docs bench gpu publish pages clean

ready: $(READY)

demo: $(READY)
	$(BIN)/encbench run quick -o demo
	@echo
	@echo "Leaderboard: demo/leaderboard.html in a browser; demo/leaderboard.md, pictures in demo/leaderboard/"

# Types and documentation use a core each, and the tests wait for processes now and then.
test: lint
	$(MAKE) --no-print-directory --jobs 4 types imports docs unit

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Which part may import which: the contracts in pyproject.toml.
imports: $(READY)
	$(BIN)/lint-imports

# Python compiles a module when it is first imported. Once, or each process that tests would do it.
$(COMPILED): $(READY)
	$(BIN)/python -m pytest --collect-only -n0 >/dev/null || true # what fails is shown by unit
	touch $(COMPILED)

types: $(READY)
	$(BIN)/mypy

unit: $(COMPILED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

# A link that leads nowhere is an error.
docs: $(COMPILED)
	$(BIN)/python docs/assemble.py build/docs
	$(BIN)/zensical build --clean --strict

bench: $(READY)
	$(BIN)/python -m pytest tests/benchmarks --benchmark-enable --benchmark-only

# What needs a GPU: tests, benchmarks and timings of the encodings on it; all also in gpu-report.txt.
gpu: SHELL := bash -o pipefail
gpu: $(READY)
	$(BIN)/encbench doctor | tee gpu-report.txt
	$(BIN)/python -m pytest -m gpu -n0 | tee --append gpu-report.txt
	$(BIN)/python -m pytest -m gpu -n0 -s tests/benchmarks --benchmark-enable --benchmark-only | tee --append gpu-report.txt
	$(BIN)/encbench bench --device cuda | tee --append gpu-report.txt

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("encbench needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	# the pip that comes with Python 3.11 takes half a minute longer
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	# pip would compile all modules, on one core for a minute or more; most are never imported
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) demo dist build site .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks gpu-report.txt

# The published leaderboard: hours. Records go on where they are in results/.
TUNED_ON := --tune-on image:image=motorcycle_left,side=96
QUESTIONS := fit held-out equal-parameters occupancy
publish: $(READY)
	$(BIN)/encbench tune photographs $(TUNED_ON) --no-report -o results/fit
	$(BIN)/encbench tune photographs-heldout $(TUNED_ON),split=checker --no-report -o results/held-out
	$(BIN)/encbench tune photographs-equal $(TUNED_ON) --no-report -o results/equal-parameters
	$(BIN)/encbench run occupancy --no-report -o results/occupancy
	$(MAKE) --no-print-directory pages

# Its pages, and its records without arrays and pictures, from results/.
pages: $(READY)
	$(BIN)/encbench leaderboard $(QUESTIONS:%=results/%) -o leaderboard/README.md --no-html --small-pictures
	rm -rf build/records leaderboard/records && mkdir -p leaderboard/records
	for question in $(QUESTIONS); do \
	  $(BIN)/encbench merge results/$$question -o build/records/$$question --without pictures --without arrays && \
	  for file in tune.json tuned.toml; do cp results/$$question/$$file build/records/$$question/ 2>/dev/null; done; \
	  tar --sort=name --exclude=index.sqlite --exclude=.lock -C build/records -czf leaderboard/records/$$question.tar.gz $$question; \
	done
