"""What an entry of models.toml may hold, and the ModelSpec that a right one becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from pytest_llmeval.errors import ConfigurationError
from pytest_llmeval.extensions import suggestion
from pytest_llmeval.prompting.instructions import check_instruction
from pytest_llmeval.schema import (
    ModelSpec,
    Needs,
    PromptStyle,
    Sampling,
    SetOverrides,
    Strategy,
    TruncationPolicy,
)

DEFAULT_KIND = "vllm"
SHOWN_CHARACTERS = 80

# Names become parts of item ids, file names and marker expressions.
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
Category = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
# fmt: off
RESERVED_CATEGORIES = frozenset({
    "skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings", "tryfirst", "trylast",
    "benchmark", "problems", "serving", "latency", "throughput", "memory", "goodput",
})
# fmt: on


class Table(BaseModel):
    """A table of models.toml: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", strict=True)


class SamplingTable(Table):
    n: int = Field(default=1, ge=1)
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    max_tokens: int = Field(default=1024, ge=1)
    stop: list[str] | None = None
    seed: int = 0


class NeedsTable(Table):
    device: Literal["gpu", "any"] = "gpu"
    device_memory_gib: float = Field(default=0.0, ge=0)
    hub: bool = True
    gated: bool = False


def _text_of(value: str) -> str:
    """A template as it stands, or the content of the file that a value without braces names."""
    if "{" in value:
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"holds no field in braces, and {value} cannot be read: {error}") from None


def _instruction(value: str) -> str:
    try:
        return check_instruction(_text_of(value))
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


Style = Literal["chat", "completion"]
Instruction = Annotated[str, AfterValidator(_instruction)]
ChatTemplate = Annotated[str, AfterValidator(_text_of)]


class TruncationTable(Table):
    strategy: Literal["head_tail", "head", "tail", "middle_lines", "sliding_window", "error"] = "head_tail"
    head_share: float = Field(default=0.8, gt=0, lt=1)
    overlap_share: float = Field(default=0.125, ge=0, le=0.5)


def _named(value: Any) -> Any:
    """`truncation = "head"` is short for `truncation = { strategy = "head" }`."""
    return {"strategy": value} if isinstance(value, str) else value


class ProblemSetTable(Table):
    """How one problem set is asked, where it differs from the entry."""

    prompt_style: Style | None = None
    instruction: Instruction | None = None
    system_prompt: str | None = None
    assistant_prefill: str | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    stop: list[str] | None = None


class ModelTable(Table):
    model: str = Field(min_length=1)
    kind: str = DEFAULT_KIND
    revision: str | None = None
    categories: list[Category] = []
    prompt_style: Style = "chat"
    instruction: Instruction | None = None
    system_prompt: str | None = None
    assistant_prefill: str = ""
    chat_template_kwargs: dict[str, Any] = {}
    chat_template: ChatTemplate | None = None
    problem_sets: dict[str, ProblemSetTable] = {}
    truncation: Annotated[TruncationTable, BeforeValidator(_named)] = TruncationTable()
    sampling: SamplingTable = SamplingTable()
    engine: dict[str, Any] = {}
    environment: dict[str, str] = {}
    needs: NeedsTable = NeedsTable()
    token_env: str = "HF_TOKEN"
    description: str = ""


# Keys that steer inheritance and are used up before an entry is validated.
INHERITANCE_KEYS = frozenset({"extends", "unset"})


class NameTable(Table):
    name: ModelName


def explain(where: str, error: ValidationError) -> Iterator[str]:
    """pydantic's findings as lines that name the key, what is wrong and the key that may be meant."""
    for finding in error.errors(include_url=False):
        *parents, key = finding["loc"]
        path = ".".join(str(part) for part in (where, *parents, key))
        if finding["type"] == "extra_forbidden":
            yield f"{path}: unknown key{suggestion(str(key), _keys_at(parents))}"
        elif finding["type"] == "missing":
            yield f"{path}: is missing"
        else:
            said = finding["msg"].removeprefix("Value error, ")
            yield f"{path}: {said[0].lower()}{said[1:]} (got {_shown(finding['input'])})"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"


def _keys_at(parents: list[int | str]) -> list[str]:
    tables: dict[str, type[Table]] = {
        "sampling": SamplingTable,
        "needs": NeedsTable,
        "truncation": TruncationTable,
        "problem_sets": ProblemSetTable,
    }
    table = tables.get(str(parents[0]), ModelTable) if parents else ModelTable
    extra = () if parents else tuple(INHERITANCE_KEYS)
    return [*table.model_fields, *extra]


def check_sampling(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Some keys of a `sampling` table, as a suite's marker or the command line gives them.

    Raises:
        ConfigurationError: unknown keys or values that make no sense; all of them are named.
    """
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in given.items()}
    try:
        _SamplingOnly.model_validate({"sampling": listed})
    except ValidationError as error:
        mistakes = [line.removeprefix(f"{where}.sampling.") for line in explain(where, error)]
        raise ConfigurationError(f"{where}: {'; '.join(mistakes)}") from error
    return {key: tuple(value) if isinstance(value, list) else value for key, value in listed.items()}


class _SamplingOnly(Table):
    sampling: SamplingTable


def spec_of(name: str, table: ModelTable) -> ModelSpec:
    """The ModelSpec of a checked entry."""
    return ModelSpec(
        name=name,
        model=table.model,
        kind=table.kind,
        revision=table.revision,
        categories=tuple(table.categories),
        prompt_style=PromptStyle(table.prompt_style),
        instruction=table.instruction,
        system_prompt=table.system_prompt,
        assistant_prefill=table.assistant_prefill,
        chat_template_kwargs=table.chat_template_kwargs,
        chat_template=table.chat_template,
        problem_sets={key: _overrides(inner) for key, inner in table.problem_sets.items()},
        truncation=_policy(table.truncation),
        sampling=Sampling(**{**table.sampling.model_dump(), "stop": _strings(table.sampling.stop)}),
        engine=table.engine,
        environment=table.environment,
        needs=Needs(**table.needs.model_dump()),
        token_env=table.token_env,
        description=table.description,
    )


def _overrides(table: ProblemSetTable) -> SetOverrides:
    style = None if table.prompt_style is None else PromptStyle(table.prompt_style)
    return SetOverrides(**{**table.model_dump(), "prompt_style": style, "stop": _strings(table.stop)})


def _policy(table: TruncationTable) -> TruncationPolicy:
    return TruncationPolicy(Strategy(table.strategy), table.head_share, table.overlap_share)


def _strings(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
