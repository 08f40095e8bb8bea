# Every target works in .venv, which is made from the lock file when it is missing or older.
PYTHON ?= python3
BIN := .venv/bin
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: quickstart test e2e lint bench generate lock clean

quickstart: .venv/installed  ## a real search on this machine, in minutes; report under runs/quickstart
	$(BIN)/autosel run examples/quickstart/search.yaml --out runs/quickstart

test: .venv/installed lint  ## lint, types, layers and all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations 30 --durations-min 5

e2e: .venv/installed  ## the operator on a real node: docs/testing.md says what it needs
	tests/e2e/run.sh

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

bench: .venv/installed  ## the benchmarks that need no accelerator
	$(BIN)/python -m benchmarks.materialize --rows 90000
	$(BIN)/python -m benchmarks.pool --rows 90000

# The lock constrains versions; torch takes the build that fits the machine (CPU or CUDA).
.venv/installed: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	touch $@

generate: .venv/installed  ## definitions, the chart's copies of them, the chart's table of values, pages of fields and operators
	$(BIN)/python -m autosel_runtime.api.reference docs/fields.md
	$(BIN)/python -m autosel_runtime.recipe.reference docs/operators.md
	$(BIN)/python -m autosel_runtime.report.schema docs/report.schema.json
	$(BIN)/python -m autosel_runtime.api.crd crds
	cp crds/*.yaml charts/autosel/files/crds/
	$(BIN)/python charts/readme.py
	helm template autosel charts/autosel --namespace autosel --no-hooks --set crds.enabled=false > gitops/kustomize/base/controller.yaml

lock: .venv/installed  ## write the versions of this environment into the lock
	$(BIN)/python -m pip freeze --exclude-editable | sed -E 's/\+cpu$$//' > requirements.lock

clean:
	rm -rf .venv runs
