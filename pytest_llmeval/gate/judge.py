"""Holds a run against the rules: which model against what, then every rule, then one correction for all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

from pytest_llmeval.gate.baseline import Baseline
from pytest_llmeval.gate.conditions import differences, settings_changed
from pytest_llmeval.gate.figures import UNAVAILABLE, ModelFigures, RunFigures, Tallies, Task
from pytest_llmeval.gate.findings import Conclusion, Finding, Judged, conclude, finding_id
from pytest_llmeval.gate.floors import judge_faults, judge_floor
from pytest_llmeval.gate.measures import MEASURES
from pytest_llmeval.gate.rates import SHARES, judge_share
from pytest_llmeval.gate.relative import judge_length, judge_measure
from pytest_llmeval.gate.rules import Policy, Rules

NO_FIGURES = ModelFigures({}, 0)
FIRST_RULE = "accuracy"  # says for a whole model that it is missing or was left out


@dataclass(frozen=True)
class Scope:
    """What a run was meant to judge.

    Args:
        registered: names of all models the registry knows, in its order.
        planned: the problems each selected model is asked.
        biased: why this selection says nothing on accuracy ("--lf selects what failed before").
        stopped: true where the run ended before all its items had run.
        deselected: ids of Findings the user does not want.
    """

    registered: Sequence[str]
    planned: Mapping[str, Collection[Task]]
    biased: str = ""
    stopped: bool = False
    deselected: frozenset[str] = frozenset()


class Reference(NamedTuple):
    """What one model is held against: `figures` for answers; for speeds `runs`, figures of single runs by measure,
    and `timed`, which knows their conditions."""

    figures: ModelFigures
    timed: ModelFigures
    runs: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Gate:
    """The rules and what a run is held against; knows beforehand which wrong answers it will judge."""

    policy: Policy
    baseline: Baseline | None = None

    def judges(self, model: str, task: Task, scope: Scope) -> bool:
        """True where a Finding, not a single wrong answer, decides on how this model does on this problem."""
        if scope.biased:
            return False
        rules = self.policy.rules_of(model)
        deciding = [str(floor) for floor in rules.floors]
        if rules.accuracy.on and self._is_paired(model, task, scope):
            deciding.append(FIRST_RULE)
        # A model that is asked several problem sets has a Finding for each.
        return any(
            not scope.deselected & {finding_id(model, rule), finding_id(model, f"{rule}[{task.problem_set}]")}
            for rule in deciding
        )

    def _is_paired(self, model: str, task: Task, scope: Scope) -> bool:
        """True where the problem has a counterpart: in the entry it is held against, here or in the baseline."""
        against = self.policy.compare.get(model, model)
        if against != model and against in scope.planned:
            return task in scope.planned[against]
        there = self.baseline.figures(against) if self.baseline else None
        return there is not None and task in there.tallies

    def judge(self, run: RunFigures, scope: Scope) -> list[Finding]:
        """Every Finding, those of one model together, in the registry's order.

        Models that the baseline has and the registry no longer are missing; what was deselected is left out.
        """
        known = self.baseline.first.models if self.baseline else {}
        names = dict.fromkeys([*scope.registered, *known])
        judged = [one for name in names for one in self._judge_model(name, run, scope)]
        wanted = [one for one in judged if finding_id(one.model, one.rule) not in scope.deselected]
        return conclude(wanted, self.policy.alpha)

    def _judge_model(self, name: str, run: RunFigures, scope: Scope) -> Iterator[Judged]:
        in_baseline = bool(self.baseline and self.baseline.figures(name))
        if name not in scope.registered:
            says = "in the baseline, and no longer in the registry"
            yield Finding(name, FIRST_RULE, Conclusion.MISSING, says)
        elif name not in scope.planned:
            if in_baseline or name in self.policy.compare:
                yield Finding(name, FIRST_RULE, Conclusion.NOT_JUDGED, "deselected: no item of it ran")
        else:
            yield from self._judge_planned(name, run.models.get(name, NO_FIGURES), run, scope)

    def _judge_planned(
        self, name: str, figures: ModelFigures, run: RunFigures, scope: Scope
    ) -> Iterator[Judged]:
        if not (scope.planned[name] or figures.selected):  # of a suite that measures
            yield Finding(name, FIRST_RULE, Conclusion.NOT_JUDGED, "asked no problem, only measured")
            return
        if not figures.tallies:
            yield Finding(name, FIRST_RULE, Conclusion.MISSING, _why_missing(figures, scope))
            return
        rules = self.policy.rules_of(name)
        reference = self.reference(name, run)
        yield from self._judge_answers(name, rules, figures, reference, scope)
        if rules.faults.on:
            yield judge_faults(name, rules.faults, figures)
        yield from self._judge_measures(name, rules, figures, reference, scope)

    def reference(self, name: str, run: RunFigures) -> Reference | None:
        """The entry it is compared with: of this run where that has it, of the baseline otherwise.

        Speeds are held against the baseline's runs where it has any: one run alone has no spread.
        """
        against = self.policy.compare.get(name, name)
        here = run.models.get(against) if against != name else None
        there = self.baseline.figures(against) if self.baseline else None
        figures = here if here and here.tallies else there
        if figures is None:
            return None
        known = self.baseline if there else None
        runs = {one: found for one in MEASURES if known and (found := known.measured(against, one))}
        if runs and there:
            return Reference(figures, there, runs)
        return Reference(figures, figures, {one: [value] for one, value in figures.measures.items()})

    # --------------------------------------------------------------------------------------------- answers

    def _judge_answers(
        self, name: str, rules: Rules, figures: ModelFigures, reference: Reference | None, scope: Scope
    ) -> Iterator[Judged]:
        before = reference.figures.tallies if reference else {}
        sets = list(dict.fromkeys(task.problem_set for task in (*figures.tallies, *before)))
        for problem_set in sets:
            suffix = f"[{problem_set}]" if len(sets) > 1 else ""
            then, now = _of(before, problem_set), _of(figures.tallies, problem_set)
            if now:
                floors = self._judge_floors(name, rules, figures, problem_set)
                compared = self._judge_set(name, rules, reference, then, now, figures.greedy)
                yield from (_named(_unless_biased(one, scope), suffix) for one in chain(floors, compared))
            elif rules.accuracy.on:
                says = f"deselected: no item of {problem_set} ran"
                yield Finding(name, f"{FIRST_RULE}{suffix}", Conclusion.NOT_JUDGED, says)

    def _judge_floors(
        self, name: str, rules: Rules, figures: ModelFigures, problem_set: str
    ) -> Iterator[Judged]:
        drawn = _of(figures.drawn or figures.tallies, problem_set)
        for floor in dict.fromkeys(rules.floors):  # models.toml and the command line may say the same
            yield judge_floor(name, floor, drawn.values())

    def _judge_set(
        self,
        name: str,
        rules: Rules,
        reference: Reference | None,
        before: Tallies,
        after: Tallies,
        greedy: bool,
    ) -> Iterator[Judged]:
        if reference is None:
            if rules.accuracy.on and self.baseline:
                yield Finding(name, FIRST_RULE, Conclusion.NOT_JUDGED, "new: the baseline does not have it")
            if rules.output_length.on and rules.output_length.has_limit:
                yield judge_length(name, rules.output_length, {}, after, self.policy.confidence)
            return
        for share in SHARES:
            rule = getattr(rules, share.rule)
            if rule.on:
                yield judge_share(share, name, rule, before, after, self.policy.confidence, greedy)
        if rules.output_length.on:
            yield judge_length(name, rules.output_length, before, after, self.policy.confidence)

    # -------------------------------------------------------------------------------------------- measures

    def _judge_measures(
        self, name: str, rules: Rules, figures: ModelFigures, reference: Reference | None, scope: Scope
    ) -> Iterator[Judged]:
        incomparable = _incomparable(reference.timed, figures) if reference else []
        for measure in MEASURES:
            rule = getattr(rules, measure)
            if rule.on and (reference or rule.has_limit):
                yield judge_measure(
                    measure,
                    name,
                    rule,
                    reference.runs.get(measure, ()) if reference else (),
                    figures.measures.get(measure),
                    self.policy.confidence,
                    incomparable,
                )


def _of(tallies: Tallies, problem_set: str) -> Tallies:
    return {task: tally for task, tally in tallies.items() if task.problem_set == problem_set}


def _named(judged: Judged, suffix: str) -> Judged:
    return replace(judged, rule=f"{judged.rule}{suffix}") if suffix else judged


def _unless_biased(judged: Judged, scope: Scope) -> Judged:
    if not scope.biased:
        return judged
    return Finding(judged.model, judged.rule, Conclusion.NOT_JUDGED, scope.biased)


def _incomparable(before: ModelFigures, after: ModelFigures) -> list[str]:
    if not before.conditions or not after.conditions:
        return ["a run without a manifest does not say under which conditions it was timed"]
    return differences(before.conditions, after.conditions)


def _why_missing(figures: ModelFigures, scope: Scope) -> str:
    reason = figures.reason.splitlines()[0] if figures.reason else ""
    if figures.status == UNAVAILABLE:
        return f"not run: {reason}"
    if scope.stopped and not reason:
        return "the run ended before any of its answers was judged"
    return f"no answer was judged: {reason or 'see its errors'}"


def what_changed(gate: Gate, run: RunFigures) -> dict[str, list[str]]:
    """Per model, what differs from what it is held against: what is under test, or what should not differ."""
    changes: dict[str, list[str]] = {}
    for name, figures in run.models.items():
        reference = gate.reference(name, run)
        if reference and figures.tallies:
            before = reference.figures
            changes[name] = settings_changed(before.settings, figures.settings)
            if other := _other_prompts(before.tallies, figures.tallies):
                changes[name].append(f"the prompts of {other} problem{'s' if other > 1 else ''}")
    return changes


def _other_prompts(before: Tallies, after: Tallies) -> int:
    common = [(before[task].prompt, tally.prompt) for task, tally in after.items() if task in before]
    return sum(one != other for one, other in common if one and other)


def failing(findings: Iterable[Finding], policy: Policy) -> list[Finding]:
    """The Findings that fail a run under the user's choice for inconclusive ones."""
    strict = policy.inconclusive == "fail"
    return [
        finding
        for finding in findings
        if finding.conclusion.fails or (strict and finding.conclusion is Conclusion.INCONCLUSIVE)
    ]
