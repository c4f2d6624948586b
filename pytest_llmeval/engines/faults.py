"""Why an engine did not start or died, in one paragraph: what happened, in its own words, and what to do.

The causes were provoked on vLLM 0.32; gated and missing repositories and CUDA's out-of-memory follow the texts of
huggingface_hub and torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from textwrap import shorten

from pytest_llmeval.schema import ModelSpec

CAUSE_CHARACTERS = 400


class FaultKind(StrEnum):
    """What kind of trouble an engine is in."""

    GATED = "gated"
    NOT_FOUND = "not found"
    OFFLINE = "offline"
    ARCHITECTURE = "architecture not supported"
    ARGUMENT = "wrong engine argument"
    CONTEXT = "context too long for the model"
    MEMORY = "out of memory"
    WEIGHTS = "weights missing or damaged"
    TOKENIZER = "tokenizer missing"
    CHAT_TEMPLATE = "chat template missing"
    PROMPT = "prompt too long"
    PACKAGE = "package missing"
    DIED = "died"


@dataclass(frozen=True)
class Rule:
    """Text that tells a kind of fault, and what to do about it; `{model}` and the like come from the ModelSpec.

    `of_transformers` is the advice for that engine, where its `engine` table has other keys than vLLM's.
    """

    kind: FaultKind
    pattern: str
    advice: str
    of_transformers: str = ""


# In order: the first that matches decides. A gated repository is also "not found" to who has no access.
RULES = (
    Rule(
        FaultKind.GATED,
        r"GatedRepo|gated repo|awaiting a review|403 Client Error.*(?:gated|access)",
        "Accept the terms on the hub page of {model} with your account, then set {token_env} to a token of that "
        "account.",
    ),
    Rule(
        FaultKind.OFFLINE,
        r"LocalEntryNotFound|outgoing traffic has been disabled|couldn't connect to|OfflineModeIsEnabled"
        r"|Max retries exceeded|Temporary failure in name resolution|Network is unreachable",
        "The hub cannot be reached and {model} is not in the local cache. Connect, or download it on a machine that "
        "can and set HF_HOME to its cache, or give a path in `model`.",
    ),
    Rule(
        FaultKind.NOT_FOUND,
        r"RepositoryNotFound|RevisionNotFound|HFValidationError|is not a local folder and is not a valid model"
        r"|404 Client Error",
        "Check `model` and `revision`; a private repository also needs a token in {token_env}.",
    ),
    Rule(
        FaultKind.ARCHITECTURE,
        r"Model architectures .* are not supported|does not recognize this architecture|No model architectures",
        'This vLLM has no implementation of it: upgrade vLLM, or use kind = "transformers".',
        "This transformers has no implementation of it: upgrade transformers, or set engine.trust_remote_code = true "
        "where the repository brings its own code and you trust it.",
    ),
    Rule(
        FaultKind.CONTEXT,
        r"max_model_len .* is greater than the derived max_model_len",
        "Lower engine.max_model_len, or leave it out.",
    ),
    Rule(
        FaultKind.MEMORY,
        r"out-of-memory killer",
        "The machine's memory ran out, not the device's. Give the container or machine more, run fewer models side by "
        "side, or choose a smaller or quantised model; on a CPU, lower engine.kv_cache_memory_bytes.",
    ),
    Rule(
        FaultKind.MEMORY,
        r"No available memory for the cache blocks|To serve at least one request|Available memory on node"
        r"|Free memory on device|out of memory|OutOfMemoryError|Cannot allocate memory|std::bad_alloc",
        "Lower engine.max_model_len or engine.max_num_seqs, change engine.gpu_memory_utilization (or "
        "engine.kv_cache_memory_bytes), choose a quantised model, or free the device.",
        "Lower engine.batch_size or engine.max_model_len, choose a smaller or quantised model, or free the device.",
    ),
    Rule(
        FaultKind.PACKAGE,
        r"ModuleNotFoundError|ImportError: (?!.*circular)",
        "The engine's environment lacks a package: see the log, then `pip install 'pytest-llmeval-bench[{extra}]'`.",
    ),
    Rule(
        FaultKind.WEIGHTS,
        r"Cannot find any model weights|safetensors|Expecting value: line 1|size of tensor|MemoryError: *$"
        r"|HeaderTooLarge|InvalidHeader",
        "The checkpoint at {model} is incomplete or damaged: download it again.",
    ),
    Rule(
        FaultKind.CHAT_TEMPLATE,
        r"chat_template is not set|ChatTemplateResolutionError|no chat template",
        'The tokenizer of {model} has none. Set prompt_style = "completion" if it is a base model, or add the '
        "template to the checkpoint.",
    ),
    Rule(
        FaultKind.TOKENIZER,
        r"the tokenizer gives no tokens|Can't load tokenizer|Unable to load vocabulary|tekken",
        "The checkpoint's tokenizer files are missing; check engine.tokenizer and engine.tokenizer_mode.",
        "The checkpoint's tokenizer files are missing; check `model` and `revision`.",
    ),
    Rule(
        FaultKind.PROMPT,
        r"PromptTooLongError|maximum context length is",
        "Raise engine.max_model_len, lower sampling.max_tokens, or choose another truncation strategy.",
    ),
    Rule(
        FaultKind.ARGUMENT,
        r"unexpected keyword argument|ValidationError|Unknown attention backend|is not valid for this configuration",
        "Correct the entry's `engine` table; it goes to vLLM verbatim.",
        "Correct the entry's engine.from_pretrained; it goes to `from_pretrained` verbatim.",
    ),
    Rule(
        FaultKind.DIED,
        r"host died|EngineDeadError",
        "Something ended its process. The log may say more; nothing is said where somebody killed it.",
    ),
)

_PYDANTIC_HEAD = re.compile(r"^ValidationError: \d+ validation errors? for \w+ ")
_PYDANTIC_TAIL = re.compile(r" \[type=\w+, input_value=.*$")
_ROOT_CAUSE = re.compile(r"\b((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception)): (.+)")


def classify(cause: str, log: str = "") -> Rule | None:
    """The first rule that the cause matches; where it only points at the log, what the log says."""
    text = root_cause(cause, log)
    return next((rule for rule in RULES if re.search(rule.pattern, text)), None)


def explain(cause: str, log: str, spec: ModelSpec) -> str:
    """A headline with the kind of fault, the engine's own words, and the way out."""
    cause = root_cause(cause, log)
    rule, words = classify(cause), readable(cause)
    if rule is None:
        return words
    fits = what_would_fit(cause) if rule.kind is FaultKind.MEMORY else ""
    return f"{rule.kind}: {words}\n{fits}{_advice(rule, spec)}"


def _advice(rule: Rule, spec: ModelSpec) -> str:
    is_transformers = spec.kind == "transformers"
    advice = (is_transformers and rule.of_transformers) or rule.advice
    extra = "transformers" if is_transformers else "vllm] or [cpu"
    return advice.format(model=spec.model, token_env=spec.token_env, extra=extra)


def what_would_fit(cause: str) -> str:
    """vLLM's own figures, as the setting that would have fitted; empty where it gives none."""
    if found := re.search(r"estimated maximum model length is (\d+)", cause):
        return f"vLLM estimates that engine.max_model_len = {found[1]} fits. "
    if found := re.search(r"Free memory on device.*? \(([\d.]+)/([\d.]+) GiB\)", cause):
        free, total = float(found[1]), float(found[2])
        share = max(0, int(100 * free / total) - 1) / 100
        return f"{free:g} of {total:g} GiB are free: engine.gpu_memory_utilization = {share:g} fits. "
    if found := re.search(r"Available memory on node \d+ \(([\d.]+)/([\d.]+) GiB\)", cause):
        return f"{found[1]} of {found[2]} GiB are free, which is the most that engine.kv_cache_memory_bytes can be. "
    return ""


def root_cause(cause: str, log: str) -> str:
    """vLLM's core process dies with "See root cause above": the last error before that in the log."""
    if "root cause above" not in cause.lower():
        return cause
    found = [m for m in _ROOT_CAUSE.finditer(log) if "root cause above" not in m[0].lower()]
    return " ".join(found[-1][0].split()) if found else cause


def readable(cause: str) -> str:
    """One line without pydantic's wrapping, cut to a length that people read."""
    words = _PYDANTIC_TAIL.sub("", _PYDANTIC_HEAD.sub("", cause)).removeprefix("Value error, ")
    return shorten(words, CAUSE_CHARACTERS, placeholder=" …") if words else cause
