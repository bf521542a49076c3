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

# One thread a process: with more threads than cores, torch's threads wait for each other.
quick test: export OMP_NUM_THREADS ?= 1

quick: $(INSTALLED)  ## the inner loop: no Ray, no servers, nothing slow
	$(BIN)/python -m pytest --numprocesses 2 -m 'not ray and not server and not slow and not minutes'

# Tests with a cluster of their own beside the others.
APART := $(addprefix tests/orchestrator/,slots ray_cluster checks/test_storage.py search/test_trial_actor.py finalists/test_fixed_trials.py)

# Two halves of like length, side by side: tests with Ray wait a lot, tests without it compute. Two pytest-xdist processes
# take longer, since they run either kind at the same time.
test: $(INSTALLED)  ## the whole, without the tests that take minutes each
	@{ $(BIN)/python -m pytest -m 'not minutes' --ignore=tests/orchestrator; others=$$?; \
	$(BIN)/python -m pytest -m 'ray and not minutes' $(APART); exit $$((others | $$?)); } > .pytest-beside.log 2>&1 & beside=$$!; \
	$(BIN)/python -m pytest -m 'not ray and not minutes' tests/orchestrator; ours=$$?; \
	$(BIN)/python -m pytest -m 'ray and not minutes' $(addprefix --ignore=,$(APART)) tests/orchestrator; ours=$$((ours | $$?)); \
	wait $$beside; others=$$?; cat .pytest-beside.log; exit $$((ours | others))

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
