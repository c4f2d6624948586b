"""Takes secrets out of whatever people will read: messages, the engine's log, the manifest."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pytest_llmeval.schema import ModelSpec

HIDDEN = "***"
SHORTEST = 8  # shorter values of variables are words that appear everywhere

_VARIABLE = re.compile(r"TOKEN(?!IZ)|SECRET|PASSWORD|PASSWD|API_?KEY|CREDENTIAL", re.IGNORECASE)
_KEY = re.compile(
    r"(^|[_-])(token|secret|password|passwd|api[_-]?key|credentials?|authorization)$", re.IGNORECASE
)
# What gives itself away wherever it stands, and the part of it that stays.
_SHAPES = (
    (re.compile(r"\b(?:hf_|sk-|ghp_|github_pat_|glpat-)[A-Za-z0-9_-]{16,}"), HIDDEN),
    (re.compile(r"(?<=://)[^/\s@'\"]+(?=@)"), HIDDEN),
    (
        re.compile(
            r"([?&](?:[a-z_-]*key|[a-z_-]*token|sig|signature|password|secret)=)[^&\s'\"]+", re.IGNORECASE
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/-]{8,}=*", re.IGNORECASE), rf"\1{HIDDEN}"),
)


def names_a_secret(variable: str) -> bool:
    """True where an environment variable's name says that its value opens doors."""
    return _VARIABLE.search(variable) is not None


def redact(text: str, environ: Mapping[str, str] = os.environ, secrets: Iterable[str] = ()) -> str:
    """`text` without `secrets`, the values of variables named like secrets, and what looks like one."""
    named = (value for name, value in environ.items() if names_a_secret(name) and len(value) >= SHORTEST)
    for value in sorted({*named, *secrets}, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for shape, left in _SHAPES:
        text = shape.sub(left, text)
    return text


def secrets_of(spec: ModelSpec, environ: Mapping[str, str] = os.environ) -> set[str]:
    """The values that an entry calls secret: its hub token, and what its tables hold under such a name."""
    values = {environ.get(spec.token_env, ""), environ.get(str(spec.engine.get("api_key_env", "")), "")}
    values |= {value for name, value in spec.environment.items() if names_a_secret(name)}
    values |= {value for key, value in spec.engine.items() if _KEY.search(key) and isinstance(value, str)}
    return {value for value in values if len(value) >= SHORTEST}


def redacted(table: Any, environ: Mapping[str, str] = os.environ) -> Any:
    """A table as it may be written down: texts redacted, values under the name of a secret hidden."""
    if isinstance(table, Mapping):
        return {
            key: HIDDEN if _KEY.search(str(key)) and isinstance(value, str) else redacted(value, environ)
            for key, value in table.items()
        }
    if isinstance(table, (list, tuple)):
        return [redacted(value, environ) for value in table]
    return redact(table, environ) if isinstance(table, str) else table


def scrub(path: Path, secrets: Iterable[str]) -> None:
    """Take the secrets out of a file that is written no more."""
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8", errors="surrogateescape")
    clean = redact(text, secrets=secrets)
    if clean != text:
        path.write_text(clean, encoding="utf-8", errors="surrogateescape")
