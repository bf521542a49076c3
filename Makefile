# Everything runs from .venv, which any target makes on first use with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

export RAY_AUTH_MODE ?= token
export MLFLOW_DISABLE_TELEMETRY ?= true

.PHONY: demo quick test test-all check ui clean

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(INSTALLED)  ## search, register, predict and report on the embedded data set
	$(BIN)/aib search search_spaces/demo.yaml --resume
	$(BIN)/aib data show cluttered-digits --image-size 16 --save runs/demo/images --count 1
	$(BIN)/aib predict aib-demo@champion runs/demo/images/*.png --out runs/demo/predictions
	$(BIN)/aib report demo
	@echo 'All of it is under runs/. Open the MLflow UI with: make ui'

# Two processes, each with whole files: fixtures of a module and its servers are made once. Tests with Ray come second, in
# processes of their own: a process that has joined a cluster keeps it for all its tests. One thread each: with more
# threads than cores, torch's threads wait for each other.
quick test: export OMP_NUM_THREADS ?= 1
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

quick: $(INSTALLED)  ## the inner loop: no Ray, no servers, nothing slow
	$(BIN)/python -m pytest --numprocesses 2 -m 'not ray and not server and not slow and not minutes'

test: $(INSTALLED)  ## the whole, without the tests that take minutes each
	@$(PYTEST) -m 'not ray and not minutes'; without=$$?; \
	$(PYTEST) -m 'ray and not minutes'; exit $$((without | $$?))

test-all: $(INSTALLED)  ## also the benchmarks that take minutes
	$(BIN)/python -m pytest -m ''

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

ui: $(INSTALLED)  ## the MLflow UI over the local record, on this machine only
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(CURDIR)/runs/mlflow.db --host 127.0.0.1

clean:
	rm -rf $(VENV) build *.egg-info
