"""What the gate found, as the run's folder tells it: against what, which Findings, which problems changed sides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pytest_llmeval.errors import LLMEvalError
from pytest_llmeval.gate.findings import ACCURACY, FINDINGS, Conclusion, Finding
from pytest_llmeval.gate.relative import NOISE
from pytest_llmeval.report.links import Links
from pytest_llmeval.report.text import code, html, table_markdown
from pytest_llmeval.runs import LoadedRun
from pytest_llmeval.schema import RecordId

TITLE = "Against the baseline"
SECTION = "gate"  # its id in the page
NO_NEWS = "unchanged, not comparable, not judged, or too few runs to tell"
ORDER = (Conclusion.REGRESSED, Conclusion.MISSING, Conclusion.INCONCLUSIVE, Conclusion.IMPROVED)
"""Conclusions that have a row of their own, those that matter most first."""


@dataclass(frozen=True)
class Verdict:
    """What findings.json holds. `inconclusive` is what the user wants of undecided Findings: "warn" or "fail"."""

    findings: tuple[Finding, ...] = ()
    baseline: str | None = None
    changed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    inconclusive: str = "warn"

    def fails(self, finding: Finding) -> bool:
        undecided = finding.conclusion is Conclusion.INCONCLUSIVE and self.inconclusive == "fail"
        return finding.conclusion.fails or undecided

    @property
    def failing(self) -> list[Finding]:
        return [finding for finding in self.findings if self.fails(finding)]

    @property
    def telling(self) -> list[Finding]:
        """Findings that say more than that nothing changed or could be compared; worst first."""
        return sorted(filter(self._tells, self.findings), key=lambda one: ORDER.index(one.conclusion))

    @property
    def rest(self) -> list[Finding]:
        return [one for one in self.findings if not self._tells(one)]

    def _tells(self, finding: Finding) -> bool:
        """A speed that the baseline has too few runs for is no news, unless it fails the run."""
        return finding.conclusion in ORDER and (self.fails(finding) or not finding.says.endswith(NOISE))

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        against = f" against {self.baseline}" if self.baseline else ""
        if failing := self.failing:
            which = ", ".join(dict.fromkeys(f"{one.model} ({_word(one)} {one.rule})" for one in failing))
            return f"The gate fails{against}: {len(failing)} of {len(self.findings)} Findings: {which}."
        undecided = sum(one.conclusion is Conclusion.INCONCLUSIVE for one in self.findings)
        but = f", {undecided} of them undecided" if undecided else ""
        return f"The gate passes{against}: none of {len(self.findings)} Findings fails{but}."


def read(folder: Path) -> Verdict | None:
    """The verdict of a run; None where it had no gate.

    Raises:
        LLMEvalError: findings.json holds something else.
    """
    path = folder / FINDINGS
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_bytes())
        findings = TypeAdapter(tuple[Finding, ...]).validate_python(document["findings"])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise LLMEvalError(f"{path} holds no Findings: {error}") from error
    told = {key: document[key] for key in ("baseline", "changed", "inconclusive") if key in document}
    return Verdict(findings, **told)


# ------------------------------------------------------------------------------------------------ the page


def verdict_line(run: LoadedRun) -> str:
    """The verdict where nobody overlooks it; it leads to the section."""
    verdict = read(run.folder)
    if verdict is None or not verdict.findings:
        return ""
    state = "fails" if verdict.failing else "passes"
    return f"<p class='headline {state}'>{html(verdict.sentence)} <a href='#{SECTION}'>details</a></p>"


def verdict_html(run: LoadedRun, links: Links) -> str:
    """The section; empty where the run had no gate."""
    verdict = read(run.folder)
    if verdict is None or not verdict.findings:
        return ""
    changed = "".join(
        f"<p class=legend>changed in {html(model)}: {html('; '.join(what))}</p>"
        for model, what in verdict.changed.items()
        if what
    )
    told = "".join(_finding(run, one, verdict.fails(one), links) for one in verdict.telling)
    rows = f"<table class='board findings'>{HEAD}<tbody>{told}</tbody></table>" if told else ""
    return (
        f"<h2 id={SECTION}>{TITLE if verdict.baseline else 'Gate'}</h2>"
        f"<p>{html(_against(verdict))}</p>{changed}<div class=scroll>{rows}</div>{_rest(verdict.rest)}"
    )


def _against(verdict: Verdict) -> str:
    """What the run was held against, and how many Findings say what."""
    counts = Counter(_word(finding) for finding in verdict.findings)
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    against = f"Held against {verdict.baseline}" if verdict.baseline else "Held against the rules"
    return f"{against}: {told}."


HEAD = (
    "<thead><tr><th scope=col>model</th><th scope=col>rule</th><th scope=col>conclusion</th>"
    "<th scope=col>what was found</th></tr></thead>"
)


def _finding(run: LoadedRun, finding: Finding, fails: bool, links: Links) -> str:
    state = "fail" if fails else "pass" if finding.conclusion is Conclusion.IMPROVED else ""
    more = _problems(run, finding, links, fails) or "".join(
        f"<small>{html(line)}</small>" for line in finding.details
    )
    return (
        f"<tr><td data-l=model>{html(finding.model)}</td><td data-l=rule>{html(finding.rule)}</td>"
        f"<td data-l=conclusion><b class='{state}'>{html(_word(finding))}</b></td>"
        f"<td data-l='what was found'><div>{html(finding.says)}{more}</div></td></tr>"
    )


def _word(finding: Finding) -> str:
    return finding.conclusion.replace("_", " ")


def _problems(run: LoadedRun, finding: Finding, links: Links, fails: bool) -> str:
    """Which problems changed sides, each leading to its item; only accuracy is about problems won and lost."""
    if not finding.rule.startswith(ACCURACY):
        return ""
    lists = (
        ("newly failed", finding.figures.get("worse", ()), fails),
        ("newly passed", finding.figures.get("better", ()), False),
    )
    return "".join(
        _listed(run, finding, title, tasks, opened, links) for title, tasks, opened in lists if tasks
    )


def _listed(
    run: LoadedRun, finding: Finding, title: str, tasks: Iterable[str], opened: bool, links: Links
) -> str:
    names = [(task, _record_id(run, finding, task)) for task in tasks]
    shown = ", ".join(
        f"<a href='{html(links.item(name))}'>{html(task)}</a>" if name else html(task) for task, name in names
    )
    state = " open" if opened else ""
    return f"<details{state}><summary>{title}: {len(names)}</summary><p class=problems>{shown}</p></details>"


def _record_id(run: LoadedRun, finding: Finding, task: str) -> RecordId | None:
    """The item of a problem; a Finding names its set (`accuracy[mbpp]`) where there are several."""
    named = finding.rule.partition("[")[2].removesuffix("]")
    sets = [named] if named else run.problem_sets
    names = (RecordId(finding.model, problem_set, task) for problem_set in sets)
    return next((name for name in names if name in run.records), None)


def _rest(findings: Sequence[Finding]) -> str:
    """Findings without news: one line each, closed."""
    if not findings:
        return ""
    lines = "".join(
        f"<li>{html(one.model)} {html(one.rule)}: <b>{html(_word(one))}</b>: {html(one.says)}</li>"
        for one in findings
    )
    title = f"{len(findings)} more Findings: {NO_NEWS}"
    return f"<details class=rest><summary>{title}</summary><ul>{lines}</ul></details>"


# ------------------------------------------------------------------------------------------------ Markdown


def verdict_summary(run: LoadedRun) -> list[str]:
    """The verdict in a sentence, to stand below the headline; none where the run had no gate."""
    verdict = read(run.folder)
    if verdict is None or not verdict.findings:
        return []
    failing = dict.fromkeys(f"{code(one.model)} ({_word(one)} {code(one.rule)})" for one in verdict.failing)
    return [f"**The gate fails:** {', '.join(failing)}." if failing else "**The gate passes.**"]


def verdict_markdown(run: LoadedRun, heading: str = "##") -> str:
    """The verdict for report.md and a CI job's summary; empty where the run had no gate."""
    verdict = read(run.folder)
    if verdict is None or not verdict.findings:
        return ""
    return "\n\n".join(_paragraphs(verdict, heading))


def _paragraphs(verdict: Verdict, heading: str) -> Iterator[str]:
    yield f"{heading} {TITLE if verdict.baseline else 'Gate'}"
    state = "fails" if verdict.failing else "passes"
    against = f" against {code(verdict.baseline)}" if verdict.baseline else ""
    count = f"{len(verdict.failing)} of {len(verdict.findings)} Findings fail"
    yield f"**The gate {state}**{against}: {count}."
    for model, what in verdict.changed.items():
        if what:
            yield f"Changed in {code(model)}: {', '.join(map(code, what))}."
    if verdict.telling:
        rows = [
            (code(one.model), code(one.rule), _word(one), "<br>".join(map(code, (one.says, *one.details))))
            for one in verdict.telling
        ]
        yield table_markdown([("model", "rule", "conclusion", "what was found"), *rows])
    if verdict.rest:
        yield f"{len(verdict.rest)} more Findings: {NO_NEWS}."
