"""What the gate holds a model to: `[gate]` of models.toml and pyproject.toml, and --llmeval-gate.

Every mistake is named at once, with the key that was probably meant.
"""

from __future__ import annotations

import contextlib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion
from pytest_llmeval.registry import gate_table, merge

PYPROJECT_TABLE = ("tool", "pytest_llmeval", "gate")
FLOOR = re.compile(
    r"\s*(?P<lower>lower95\()?\s*pass@(?P<k>[1-9]\d*)\s*(?(lower)\)\s*)>=\s*(?P<least>[\d.]+)\s*"
)


class Frozen(BaseModel):
    """A table of rules: unknown keys are mistakes, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Floor(Frozen):
    """An absolute floor of pass@k: of the estimate, or of the lower end of its 95 % interval."""

    k: int
    least: float = Field(ge=0, le=1)
    lower: bool = False

    @property
    def name(self) -> str:
        return f"lower95(pass@{self.k})" if self.lower else f"pass@{self.k}"

    def __str__(self) -> str:
        return f"{self.name}>={self.least:g}"


def _floor(given: Any) -> Any:
    match = FLOOR.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        raise ValueError('a floor reads like "pass@1 >= 0.80" or "lower95(pass@1) >= 0.75"')
    return {"k": int(match["k"]), "least": match["least"], "lower": match["lower"] is not None}


def _switch(given: Any) -> Any:
    """`rule = true` and `rule = false` stand for a rule as it is by default, and for none."""
    return {"on": given} if isinstance(given, bool) else given


class RateRule(Frozen):
    """A share of samples, paired by problem, in points. `margin`: a change smaller than this is no change;
    `threshold`: a change must be at least this large, besides being beyond chance, to fail."""

    on: bool = True
    margin: float = Field(default=3.0, gt=0, le=100)
    threshold: float = Field(default=0.0, ge=0, le=100)


class RelativeRule(Frozen):
    """A figure that may get worse by `threshold` percent. `max` and `min` are absolute limits, in the figure's
    unit; they hold without a baseline."""

    on: bool = True
    threshold: float = Field(default=5.0, gt=0)
    max: float | None = None
    min: float | None = None

    @property
    def has_limit(self) -> bool:
        """True where something can be said of a run alone."""
        return self.max is not None or self.min is not None


class LengthRule(RelativeRule):
    threshold: float = Field(default=10.0, gt=0)


class FaultRule(Frozen):
    """How large a share of problems may end in a fault, in percent."""

    on: bool = True
    max: float = Field(default=0.0, ge=0, le=100)


Rate = Annotated[RateRule, BeforeValidator(_switch)]
Relative = Annotated[RelativeRule, BeforeValidator(_switch)]


class Rules(Frozen):
    """The rules of one model."""

    accuracy: Rate = RateRule()
    no_code: Rate = RateRule()
    truncated: Rate = RateRule()
    output_length: Annotated[LengthRule, BeforeValidator(_switch)] = LengthRule()
    response_time: Relative = RelativeRule()
    first_token: Relative = RelativeRule()
    output_speed: Relative = RelativeRule()
    batch_speed: Relative = RelativeRule()
    energy: Relative = RelativeRule()
    memory: Relative = RelativeRule()
    faults: Annotated[FaultRule, BeforeValidator(_switch)] = FaultRule()
    floors: tuple[Annotated[Floor, BeforeValidator(_floor)], ...] = ()

    @property
    def has_limits(self) -> bool:
        """True where something is to be judged without a baseline, faults aside."""
        return bool(self.floors) or any(
            rule.has_limit for rule in self.__dict__.values() if isinstance(rule, RelativeRule)
        )


class Policy(Rules):
    """`[gate]` as a whole: the rules of every model, those of single models over them, and what holds for all."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    confidence: float = Field(default=0.95, ge=0.8, lt=1)
    inconclusive: Literal["warn", "fail", "pass"] = "warn"
    compare: dict[str, str] = {}
    models: dict[str, Rules] = {}

    def rules_of(self, model: str) -> Rules:
        return self.models.get(model, self)

    @property
    def needs_no_baseline(self) -> bool:
        """True where `[gate]` asks for something that this run alone can answer."""
        return bool(self.compare) or any(rules.has_limits for rules in (self, *self.models.values()))


RULES = tuple(Rules.model_fields)


def load_policy(
    registry: Path | None, project: Path | None, given: Sequence[str], known: Iterable[str]
) -> Policy:
    """Lay pyproject.toml's rules over the registry's, and the command line's over both.

    Args:
        registry: a models.toml, where there is one; those it includes lie below it.
        project: the project's pyproject.toml, where there is one.
        given: values of --llmeval-gate, `KEY=VALUE` or a floor.
        known: names of all models there are, of the registry and the baseline.

    Raises:
        ConfigurationError: there are mistakes; all are named.
    """
    mistakes: list[str] = []
    table = _table_of(gate_table(registry) if registry else {}, f"{registry}: gate", mistakes)
    table = merge(table, _table_of(_pyproject_table(project), f"{project}: gate", mistakes))
    for one in given:
        table = merge(table, _from_command_line(one, table, mistakes))
    policy = _validated(table, mistakes)
    if policy is not None:
        mistakes += _unknown_models(policy, set(known))
    if mistakes or policy is None:
        count = len(mistakes)
        raise ConfigurationError(
            f"the rules of the gate ({registry or 'no registry'}, pyproject.toml, --llmeval-gate) have "
            f"{count} mistake{'s' if count > 1 else ''}:\n"
            + "\n".join(f"  {mistake}" for mistake in mistakes)
        )
    return policy


def _table_of(value: Any, where: str, mistakes: list[str]) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    mistakes.append(f"{where}: must be a table")
    return {}


def _pyproject_table(path: Path | None) -> Any:
    if path is None or not path.is_file():
        return {}
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    for key in PYPROJECT_TABLE:
        table = table.get(key, {}) if isinstance(table, Mapping) else {}
    return table


def _from_command_line(given: str, table: Mapping[str, Any], mistakes: list[str]) -> Mapping[str, Any]:
    """`accuracy.margin=5`, `inconclusive=fail`, or a floor, which is added to those there are."""
    if FLOOR.fullmatch(given):
        return {"floors": [*table.get("floors", []), given]}
    key, is_pair, value = given.partition("=")
    # A word without quotes is meant as a string: shells take quotes away.
    for text in (f"{key} = {value}", f'{key} = "{value.strip()}"') if is_pair else ():
        with contextlib.suppress(tomllib.TOMLDecodeError):
            return tomllib.loads(text)
    mistakes.append(f'--llmeval-gate {given!r}: must read KEY=VALUE, or like "pass@1 >= 0.80"')
    return {}


def _validated(table: Mapping[str, Any], mistakes: list[str]) -> Policy | None:
    """Rules of single models are laid over those of all, then everything is checked together."""
    common = {key: value for key, value in table.items() if key in RULES}
    models = table.get("models", {})
    laid = {
        name: merge(_switched(common), _switched(own)) if isinstance(own, Mapping) else own
        for name, own in (models.items() if isinstance(models, Mapping) else ())
    }
    try:
        return Policy.model_validate({**table, "models": laid if isinstance(models, Mapping) else models})
    except ValidationError as error:
        # A mistake in the rules of all models shows in every model: once is enough.
        mistakes += dict.fromkeys(_explained(error, table))
        return None


def _switched(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Switches as tables, so that merging `false` with a table does what it says."""
    return {key: _switch(value) for key, value in rules.items()}


def _explained(error: ValidationError, table: Mapping[str, Any]) -> Iterator[str]:
    for finding in error.errors(include_url=False):
        location = [str(part) for part in finding["loc"]]
        if location[0] == "models" and len(location) > 2 and not _is_own(location[1:], table["models"]):
            location = location[2:]
        path = ".".join(["gate", *location])
        if finding["type"] == "extra_forbidden":
            yield f"{path}: unknown key{suggestion(location[-1], _keys_beside(location))}"
        else:
            message = finding["msg"].removeprefix("Value error, ")
            yield f"{path}: {message[0].lower()}{message[1:]} (got {finding['input']!r})"


def _is_own(location: Sequence[str], models: Mapping[str, Any]) -> bool:
    """True where a mistake stands in the model's own table, not in the rules below it."""
    model, rule = location[:2]
    return isinstance(models.get(model), Mapping) and rule in models[model]


def _keys_beside(location: Sequence[str]) -> Iterable[str]:
    """The keys that could stand where an unknown one does."""
    of_model = location[0] == "models"
    table: type[BaseModel] = Rules if of_model else Policy
    for rule in location[2:-1] if of_model else location[:-1]:
        table = type(table.model_fields[rule].default)
    return table.model_fields


def _unknown_models(policy: Policy, known: set[str]) -> Iterator[str]:
    for table, names in (
        ("compare", [*policy.compare, *policy.compare.values()]),
        ("models", [*policy.models]),
    ):
        for name in dict.fromkeys(names):
            if name not in known:
                yield f"gate.{table}: no model {name!r}{suggestion(name, known)}"
