"""What an entry of models.toml may hold, and the ModelSpec that a right one becomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite
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
# pytest refuses markers that begin with an underscore.
Category = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


class Table(BaseModel):
    """A table of models.toml: unknown keys are mistakes.

    Descriptions of fields are what docs/models.md says of them (scripts/write_reference.py).
    """

    model_config = ConfigDict(extra="forbid", strict=True)


class SamplingTable(Table):
    n: int = Field(default=1, ge=1, description="answers to each problem")
    temperature: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="0: greedy")
    top_p: float = Field(default=1.0, gt=0, le=1, description="nucleus sampling; 1: off")
    top_k: int = Field(default=0, ge=0, description="only the so many likeliest tokens; 0: all")
    min_p: float = Field(
        default=0.0, ge=0, le=1, description="least share of the likeliest token's probability"
    )
    max_tokens: int = Field(default=1024, ge=1, description="where an answer is cut")
    stop: list[str] | None = Field(
        default=None,
        description="strings at which an answer ends, also `[]`; without it the prompt style's own "
        "([prompts.md](prompts.md))",
    )
    seed: int = Field(default=0, description="one of the parts of each sample's seed")


class NeedsTable(Table):
    device: Literal["gpu", "any"] = Field(
        default="gpu", description="an NVIDIA GPU, or whatever there is, a CPU included"
    )
    device_memory_gib: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="GiB over all devices of the engine"
    )
    hub: bool = Field(default=True, description="the weights come from the hub")
    gated: bool = Field(default=False, description="the hub gives them to those who accepted its terms")


def _text_of(value: str) -> str:
    """A template as it stands, or the content of the file that a value without braces names."""
    if "{" in value:
        return value
    try:
        return Path(value).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise ValueError(
            f"holds nothing in braces, so it names a file, which cannot be read: {why}"
        ) from None


def _instruction(value: str) -> str:
    try:
        return check_instruction(_text_of(value))
    except ConfigurationError as error:
        raise ValueError(str(error)) from None


Style = Literal["chat", "completion"]
Instruction = Annotated[str, AfterValidator(_instruction)]
ChatTemplate = Annotated[str, AfterValidator(_text_of)]


class TruncationTable(Table):
    strategy: Literal["head_tail", "head", "tail", "middle_lines", "sliding_window", "error"] = Field(
        default="head_tail", description="which part is kept"
    )
    head_share: float = Field(
        default=0.8,
        gt=0,
        lt=1,
        description="the head's part of what is kept, for `head_tail`, and for `middle_lines` where no line fits",
    )
    overlap_share: float = Field(
        default=0.125, ge=0, le=0.5, description="how much a window repeats of the one before"
    )


def _named(value: Any) -> Any:
    """`truncation = "head"` is short for `truncation = { strategy = "head" }`."""
    return {"strategy": value} if isinstance(value, str) else value


def _finite(table: dict[str, Any]) -> dict[str, Any]:
    """TOML has `nan` and `inf`, which JSON, and so an engine's host, has not."""
    for key, value in table.items():
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{key} is not a finite number")
        if isinstance(value, dict):
            _finite(value)
    return table


class ProblemSetTable(Table):
    """How one problem set is asked, where it differs from the entry."""

    prompt_style: Style | None = Field(default=None, description="another style for this set")
    instruction: Instruction | None = Field(default=None, description="other words around its problems")
    system_prompt: str | None = Field(default=None, description="another system message")
    assistant_prefill: str | None = Field(default=None, description="another beginning of the answer")
    chat_template_kwargs: dict[str, Any] | None = Field(
        default=None, description="other arguments of the chat template"
    )
    stop: list[str] | None = Field(default=None, description="other stop strings than `sampling.stop`")


class ModelTable(Table):
    model: str = Field(
        min_length=1,
        description="hub id, a path (`./`, `../`, `/`, `~`; relative to this file) or `builtin:NAME`",
    )
    kind: str = Field(
        default=DEFAULT_KIND,
        description="which engine: `vllm`, `openai`, `transformers`, `replay`, one that a package adds, or "
        '`"module:Class"`; see [engines.md](engines.md)',
    )
    revision: str | None = Field(
        default=None, description="commit, branch or tag on the hub; without it the newest"
    )
    categories: list[Category] = Field(
        default=[],
        description="marker names for `-m`; they stand on items of problem sets that belong to categories "
        "(HumanEval)",
    )
    prompt_style: Style = Field(
        default="chat",
        description="`chat`: the model's own chat template; `completion`: the problem's text as it is (base "
        "models)",
    )
    instruction: Instruction | None = Field(
        default=None,
        description="the words around a problem, with `{prompt}` where it goes, or a file; without it the "
        "problem set's own; see [prompts.md](prompts.md)",
    )
    system_prompt: str | None = Field(default=None, description="the system message of a chat")
    assistant_prefill: str = Field(
        default="", description="how a chat answer begins; the model goes on from there"
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default={}, description="handed to the chat template, e.g. `{ enable_thinking = false }`"
    )
    chat_template: ChatTemplate | None = Field(
        default=None, description="a template, or a file with one, in the place of the tokenizer's own"
    )
    problem_sets: dict[str, ProblemSetTable] = Field(
        default={}, description="`[models.NAME.problem_sets.mbpp]`: how one set is asked otherwise; below"
    )
    truncation: Annotated[TruncationTable, BeforeValidator(_named)] = Field(
        default=TruncationTable(),
        description="how a prompt that does not fit is cut: a strategy's name, or a table; below",
    )
    sampling: SamplingTable = Field(default=SamplingTable(), description="how answers are drawn; below")
    engine: Annotated[dict[str, Any], AfterValidator(_finite)] = Field(
        default={},
        description="the engine's own arguments: for vLLM, verbatim, any field of its `EngineArgs`; for the "
        "others see [engines.md](engines.md)",
    )
    environment: dict[str, str] = Field(
        default={}, description="environment variables of the engine's process"
    )
    needs: NeedsTable = Field(default=NeedsTable(), description="what a machine must offer; below")
    token_env: str = Field(
        default="HF_TOKEN",
        description="which variable holds the hub token; it reaches the engine's process only",
    )
    description: str = Field(default="", description="a line for people")


# Keys that steer inheritance and are used up before an entry is validated: value and meaning.
INHERITANCE = {
    "extends": ("string", "the entry this one is laid over; circles are reported"),
    "unset": ("list", 'keys of the parent to drop, e.g. `["engine.attention_backend"]`'),
}
INHERITANCE_KEYS = frozenset(INHERITANCE)


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
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2  # both ends: a path is told by its last part
    return f"{text[: half - 1]}…{text[-half:]}"


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
