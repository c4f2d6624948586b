"""Writes what the docs say by the code: the keys of models.toml, options, ini keys and commands; a test holds them.

A page that people write has places for it, between the comments <!-- made: NAME --> and <!-- made: end -->.
"""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin
from unittest.mock import patch

from pytest_llmeval import __main__ as commands
from pytest_llmeval.options import declared
from pytest_llmeval.registry.tables import INHERITANCE, ModelTable

# Modules that others may import from, and for whom; their __all__ is what they may import.
PUBLIC = {
    "engines": "for engines of your own, see [engines.md](engines.md#adding-an-engine)",
    "engines.host.launch": "for engines that need a process of their own",
    "engines.host.worker": "for what drives such an engine in its process",
    "problems": "for problem sets of your own, see [problems.md](problems.md#problems-of-your-own)",
    "hookspecs": "hooks that your conftest.py may implement",
    "schema": "the values that cross everything",
    "errors": "what is raised on purpose",
    "runs": "a run read back from its folder, see [reports.md](reports.md#in-python)",
    "sandbox": "judging programs by yourself, see [sandbox.md](sandbox.md)",
    "extraction": "from an answer to a program, see [extraction.md](extraction.md)",
    "testing": "contract tests and fakes",
}
DOCS = Path(__file__).parents[1] / "docs"
PLACE = re.compile(r"(<!-- made: (?P<name>[\w.]+) -->\n).*?(<!-- made: end -->)", re.DOTALL)
BELOW = {"sampling": "SamplingTable", "needs": "NeedsTable", "truncation": "TruncationTable"}


def pages() -> dict[Path, str]:
    """Every page with a place, and what it must hold."""
    made = {
        **tables_of_models(),
        "options": options(),
        "ini": ini_keys(),
        "api": "\n".join(public()),
        "commands": "\n".join(helps()),
    }
    written = {}
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if PLACE.search(text):
            written[path] = PLACE.sub(lambda m: f"{m[1]}\n{made[m['name']]}\n{m[3]}", text)
    return written


# ------------------------------------------------------------------------------------------ models.toml


def tables_of_models() -> dict[str, str]:
    schema = ModelTable.model_json_schema()
    inherited = [(f"`{key}`", shape, "none", says) for key, (shape, says) in INHERITANCE.items()]
    made = {"models": table(("key", "value", "default", "meaning"), [*keys_of(schema), *inherited])}
    for key, name in {**BELOW, "problem_sets": "ProblemSetTable"}.items():
        made[f"models.{key}"] = table(("key", "value", "default", "meaning"), keys_of(schema["$defs"][name]))
    return made


def keys_of(schema: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for key, field in schema["properties"].items():
        if "description" not in field:
            raise SystemExit(
                f"{schema['title']}.{key} has no description: say in registry/tables.py what it is"
            )
        default = "needed" if key in schema.get("required", ()) else default_of(field)
        yield f"`{key}`", value_of(field), default, field["description"]


def value_of(field: Mapping[str, Any]) -> str:
    """The type of a key in words, with its bounds."""
    shape = next((one for one in field.get("anyOf", ()) if one.get("type") != "null"), field)
    if "$ref" in shape:
        return "table"
    if "enum" in shape:
        return ", ".join(f"`{value}`" for value in shape["enum"])
    words = {"array": "list", "object": "table", "boolean": "`true`, `false`"}
    said = words.get(shape["type"], shape["type"])
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {shape[name]:g}" for name, sign in signs.items() if name in shape]
    return " ".join([said, ", ".join(bounds)]).strip()


def default_of(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, dict):
        return "see below"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


# --------------------------------------------------------------------------- options, ini keys, commands


def options() -> str:
    rows = []
    for name, told in declared.DECLARED.items():
        value = told.get("metavar") or "|".join(told.get("choices", ()))
        value = f"[={value}]" if told.get("nargs") == "?" else f" {value}" if value else ""
        rows.append((f"`--llmeval-{name}{value}`".replace("|", "\\|"), escaped(told["help"])))
    return table(("option", "meaning"), rows)


class Recorder:
    """Stands where pytest's parser does and remembers what is declared."""

    def __init__(self) -> None:
        self.ini: list[tuple[str, str, str]] = []

    def getgroup(self, *_: Any) -> Recorder:
        return self

    def addoption(self, *_: Any, **__: Any) -> None:
        """Options are read from DECLARED."""

    def addini(self, name: str, says: str, type: str = "string", default: Any = None) -> None:
        self.ini.append((f"`{name}`", {"linelist": "lines"}.get(type, type), escaped(says)))


def ini_keys() -> str:
    recorder = Recorder()
    declared.declare(recorder)  # type: ignore[arg-type]
    return table(("ini key", "value", "meaning"), recorder.ini)


def public() -> Iterator[str]:
    """What each public module offers, in the words of the first line of its docstring."""
    for name, whom in PUBLIC.items():
        module = import_module(f"pytest_llmeval.{name}")
        rows = [(f"`{one}`", first_sentence(getattr(module, one))) for one in module.__all__]
        yield f"### pytest_llmeval.{name}\n\n{whom[0].upper()}{whom[1:]}.\n\n{table(('name', 'what it is'), rows)}"


def first_sentence(thing: Any) -> str:
    """What a thing says of itself; a value or an alias, which can say nothing, is shown."""
    if not callable(thing) or get_origin(thing):
        shown = re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(thing)).replace("|", "\\|")
        return f"`{shown}`"
    paragraph = " ".join((inspect.getdoc(thing) or "").partition("\n\n")[0].split())
    return escaped(re.split(r"(?<=\.) (?=[A-Z])", paragraph)[0])


class Captured(Exception):
    """A command's parser, at the moment when it would have parsed."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


def capture(parser: argparse.ArgumentParser, *_: Any, **__: Any) -> Any:
    raise Captured(parser)


def helps() -> Iterator[str]:
    """What each command takes. Not its --help as it stands: how that looks depends on Python's version."""
    for name, command in commands.COMMANDS.items():
        try:
            with patch.object(argparse.ArgumentParser, "parse_args", capture):
                commands.run(name, [])
        except Captured as captured:
            rows = [arguments_of(action) for action in captured.parser._actions if action.dest != "help"]
            says = f"{command.says[0].upper()}{command.says[1:]}."
            yield f"### {name}\n\n{says}\n\n{table(('argument', 'meaning'), rows)}"


def arguments_of(action: argparse.Action) -> tuple[str, str]:
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    shown = {"*": f"[{value} ...]", "+": f"{value} ...", "?": f"[{value}]"}.get(str(action.nargs), str(value))
    flag = ", ".join(action.option_strings)
    needed = " (needed)" if action.required and flag else ""
    return f"`{f'{flag} {shown}'.strip()}`", f"{escaped(action.help or '')}{needed}".strip()


def escaped(text: str) -> str:
    """Text of a terminal in a table of Markdown: words that look like code are code."""
    text = text.replace("%%", "%").replace("|", "\\|")
    return re.sub(
        r"(?<![\w`'])(--[a-z][\w-]*(?:[= ][A-Z]+)?|llmeval_\w+|\[gate\]|'pass@[^']+')", r"`\1`", text
    )


def table(heads: tuple[str, ...], rows: Any) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where a page is not current")
    check = parser.parse_args().check
    stale = {path: text for path, text in pages().items() if path.read_text(encoding="utf-8") != text}
    for path, text in stale.items():
        print(f"{path} {'is not current: make reference' if check else 'written'}")
        if not check:
            path.write_text(text, encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    raise SystemExit(main())
