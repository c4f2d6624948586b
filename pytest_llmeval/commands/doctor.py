"""`python -m pytest_llmeval doctor`: what this machine can evaluate, what keeps it from more, and the cure."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from pytest_llmeval.commands import checks, registries
from pytest_llmeval.commands.checks import Finding, State
from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion
from pytest_llmeval.printable import printed
from pytest_llmeval.schema import ModelSpec

SIGNS = {State.OK: "ok     ", State.MISSING: "missing", State.BROKEN: "BROKEN "}


def main(arguments: Sequence[str]) -> int:
    """0: nothing is broken, and every model that was named can run; 1: something is, or one cannot."""
    options = _parser().parse_args(arguments)
    specs = registries.read(options.registry, Path.cwd())
    for name in options.models:
        if name not in specs:
            raise ConfigurationError(f"no model {name!r}{suggestion(name, specs)}; known: {', '.join(specs)}")
    findings = []
    for finding in examine(list(specs.values())):
        findings.append(finding)
        if not options.json:
            sys.stdout.write(printed(told(finding)))  # errors of libraries, words of the hub
            sys.stdout.flush()  # some checks take seconds
    if options.json:
        sys.stdout.write(json.dumps({"findings": [asdict(f) for f in findings]}, indent=2) + "\n")
    return exit_code(findings, options.models)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pytest_llmeval doctor", description=__doc__)
    parser.add_argument("models", nargs="*", help="models that must be able to run here, for the exit code")
    parser.add_argument("--json", action="store_true", help="findings as JSON")
    registries.add_option(parser)
    return parser


def examine(specs: Sequence[ModelSpec]) -> Iterator[Finding]:
    """Every finding, in the order in which one would mend things."""
    yield from checks.python_environment()
    yield from checks.gpus()
    engines = list(checks.engines())
    yield from engines
    yield from checks.sandbox()
    yield from checks.hub(specs)
    findings, refused = checks.access(specs)
    yield from findings
    yield from checks.disk(specs)
    broken = any(finding.state is State.BROKEN for finding in engines)
    yield from checks.models(specs, refused, vllm_imports=not broken)


def told(finding: Finding) -> str:
    cure = f"{' ' * 8}→ {finding.cure}\n" if finding.cure else ""
    return f"{SIGNS[finding.state]} {finding.topic}: {finding.says}\n{cure}"


def exit_code(findings: Iterable[Finding], wanted: Iterable[str]) -> int:
    must_run = {checks.topic_of(name) for name in wanted}
    return int(
        any(f.state is State.BROKEN or (f.topic in must_run and f.state is not State.OK) for f in findings)
    )
