"""Files of problems, row by row: JSON lines (also gzipped), a JSON list, Parquet. A row is parsed when it is used."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from pytest_llmeval.errors import ConfigurationError, MissingExtraError
from pytest_llmeval.extensions import suggestion

# Published files begin each row with its id: then naming their tasks needs no parsing.
_FIRST_KEY = re.compile(r'\s*\{\s*"task_id"\s*:\s*("[^"\\]+"|\d+)\s*[,}]')
PARQUET = """\
import json, sys
import pyarrow.parquet
for row in pyarrow.parquet.read_table(sys.argv[1]).to_pylist():
    print(json.dumps(row))
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One problem as it was published. `where` names file and line."""

    where: str
    text: str

    def parsed(self) -> dict[str, Any]:
        """Its fields.

        Raises:
            ConfigurationError: it is no JSON object.
        """
        try:
            fields = json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"{self.where} is not JSON: {error}") from error
        if not isinstance(fields, dict):
            raise ConfigurationError(f"{self.where}: a problem is an object, found {type(fields).__name__}")
        return fields

    @property
    def task_id(self) -> str | int:
        """Its id as it stands.

        Raises:
            ConfigurationError: it has none.
        """
        quick = _FIRST_KEY.match(self.text)
        found = json.loads(quick[1]) if quick else self.parsed().get("task_id")
        if not (is_text(found) or isinstance(found, int)) or found == "":
            raise ConfigurationError(f"{self.where}: task_id must be a text or a number, found {found!r}")
        return found


def read_rows(path: Path) -> list[Row]:
    """Every row of a file, in file order; blank lines are skipped.

    Raises:
        ConfigurationError: it cannot be read.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    try:
        if path.suffix == ".parquet":
            return list(_parquet_rows(path))
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    if text.lstrip().startswith("["):
        return list(_list_rows(path, text))
    return [
        Row(f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()
    ]


def _list_rows(path: Path, text: str) -> Iterator[Row]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not JSON: {error}") from error
    for number, entry in enumerate(entries, 1):
        yield Row(f"{path}, entry {number}", json.dumps(entry))


def _parquet_rows(path: Path) -> Iterator[Row]:
    """Read by a process of its own: pyarrow is heavy, and collecting tests should stay light."""
    read = subprocess.run(
        [sys.executable, "-c", PARQUET, str(path)], capture_output=True, text=True, check=False
    )
    if read.returncode:
        last = (read.stderr.strip().splitlines() or ["no reason given"])[-1]
        if "No module named" in last:
            raise MissingExtraError(
                f"{path}: Parquet needs pyarrow, which comes with pip install 'pytest-llmeval-bench[datasets]'"
            )
        raise ConfigurationError(f"{path} cannot be read as Parquet: {last}")
    for number, line in enumerate(read.stdout.splitlines(), 1):
        yield Row(f"{path}, row {number}", line)


def is_text(value: object) -> TypeGuard[str]:
    """True for what a model can be asked: JSON can spell half a character, which no encoding holds."""
    try:
        return isinstance(value, str) and (value.isascii() or bool(value.encode()))
    except UnicodeEncodeError:
        return False


@dataclass
class Fields:
    """Reads the fields of one row and collects what is wrong with them."""

    values: dict[str, Any]
    where: str
    mistakes: list[str] = field(default_factory=list)

    def text(self, name: str, default: str | None = None) -> str:
        found = self._taken(name, default)
        return found if self._is(is_text(found), name, "a text", found) else ""

    def number(self, name: str, default: float) -> float:
        found = self._taken(name, default)
        good = isinstance(found, int | float) and not isinstance(found, bool) and found >= 0
        return found if self._is(good, name, "a number, at least 0", found) else default

    def flag(self, name: str) -> bool:
        found = self._taken(name, False)
        return found if self._is(isinstance(found, bool), name, "true or false", found) else False

    def texts(self, name: str, default: list[str] | None = None) -> list[str]:
        found = self._taken(name, default)
        good = isinstance(found, list) and all(map(is_text, found))
        return found if self._is(good, name, "a list of texts", found) else []

    def arguments(self, name: str, default: list[Any] | None = None) -> list[Any]:
        """A list of argument lists; EvalPlus writes an empty object where there are none."""
        found = self._taken(name, default)
        found = [] if found == {} else found
        good = isinstance(found, list) and all(isinstance(item, list) for item in found)
        return found if self._is(good, name, "a list of argument lists", found) else []

    def wrong(self, name: str, why: str) -> None:
        self.mistakes.append(f"{self.where}: {name} {why}")

    def _taken(self, name: str, default: Any) -> Any:
        if name in self.values and self.values[name] is not None:
            return self.values[name]
        if default is None:
            self.wrong(name, f"is missing{suggestion(name, self.values)}")
        return default

    def _is(self, good: bool, name: str, what: str, found: Any) -> bool:
        if not good and found is not None:
            shown = repr(found) if len(repr(found)) < 60 else f"{repr(found)[:57]}…"
            self.wrong(name, f"must be {what}, found {shown}")
        return good


def each_once(rows: list[Row], name_of: Callable[[Row], str]) -> dict[str, Row]:
    """Rows by task.

    Raises:
        ConfigurationError: two rows have one id; names both.
    """
    found: dict[str, Row] = {}
    for row in rows:
        name = name_of(row)
        if name in found:
            raise ConfigurationError(f"{row.where}: task_id {name!r} stands at {found[name].where} already")
        found[name] = row
    return found
