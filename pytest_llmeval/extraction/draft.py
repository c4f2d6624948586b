"""Statements → a self-contained program: the entry point, what it needs, what the prompt provides."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_llmeval.extraction.context import Context
from pytest_llmeval.extraction.entry import (
    Entry,
    find_entry,
    find_respelt_entry,
    stub_names,
    stub_of,
    without_overridden,
    without_stubs,
)
from pytest_llmeval.extraction.names import definition_time_names, names_of
from pytest_llmeval.extraction.reachable import is_future_import, reachable
from pytest_llmeval.extraction.syntax import FUNCTIONS, Statement


@dataclass(frozen=True, slots=True)
class Draft:
    """A candidate program and what tells it from its rivals, none of which needs running it.

    `missing` are names it uses that nothing defines, or only a function that does nothing.
    """

    source: str
    form: str
    entry: Entry
    missing: frozenset[str]
    repairs: tuple[str, ...] = ()


def draft_from(
    statements: Sequence[Statement],
    context: Context,
    library: Sequence[Statement] = (),
    *,
    accept_respelt: bool = False,
    accept_stub: bool = False,
) -> Draft | None:
    """Make a program of the statements that define the entry point, or None where they do not.

    `library` holds statements from elsewhere in the answer, used for names that are otherwise missing.
    """
    entry = find_entry(statements, context.entry_point)
    if entry is None and accept_respelt:
        entry = find_respelt_entry(statements, context.entry_point)
    if entry is None and accept_stub:
        entry = stub_of(statements, context.entry_point)
    return None if entry is None else _assemble(entry, statements, context, library)


def _assemble(
    entry: Entry, statements: Sequence[Statement], context: Context, library: Sequence[Statement]
) -> Draft:
    provided = context.provides()
    own = without_overridden(without_stubs(statements, provided | _real_functions(library)))
    shared = _complement(library, own) if library else ()
    reach = reachable((*shared, *own), [entry.root], context.entry_point)
    kept, missing = reach.kept, reach.missing - provided
    local_imports = context.imports_for(missing)
    missing -= _bound_by(local_imports)
    typing_names = _typing_names(missing, kept)
    return Draft(
        source=_join(context, (*local_imports, *kept), typing_names, entry.adapter),
        form="assembled" if not set(shared).isdisjoint(kept) else entry.form,
        entry=entry,
        missing=missing.difference(typing_names) | stub_names(kept),
        repairs=_repairs(entry, typing_names),
    )


def _repairs(entry: Entry, typing_names: Sequence[str]) -> tuple[str, ...]:
    respelt = ("respelt_name",) if entry.form == "respelt" else ()
    return (*respelt, "typing_import") if typing_names else respelt


def _complement(library: Sequence[Statement], own: Sequence[Statement]) -> tuple[Statement, ...]:
    """What the library defines and the block itself does not."""
    taken = _bound_by(own)
    return tuple(s for s in without_stubs(library, ()) if not names_of(s).binds & taken)


def _real_functions(statements: Iterable[Statement]) -> frozenset[str]:
    real = without_stubs(statements, _function_names(statements))
    return _function_names(real)


def _function_names(statements: Iterable[Statement]) -> frozenset[str]:
    return frozenset(s.node.name for s in statements if isinstance(s.node, FUNCTIONS))


def _bound_by(statements: Iterable[Statement]) -> frozenset[str]:
    return frozenset(name for statement in statements for name in names_of(statement).binds)


def _typing_names(missing: Iterable[str], statements: Sequence[Statement]) -> list[str]:
    """Names of `typing` that signatures use without an import: the module could not even be loaded."""
    wanted = sorted(name for name in missing if name in typing.__all__)
    if not wanted or any(is_future_import(s.node) for s in statements):
        return []
    evaluated = definition_time_names(statements)
    return [name for name in wanted if name in evaluated]


def _join(context: Context, kept: Sequence[Statement], typing_names: Sequence[str], adapter: str) -> str:
    """Future imports first (Python demands it), then the prompt's part, then the answer's, each once."""
    provided = {statement.source for statement in context.preamble}
    statements = [*context.preamble, *(s for s in kept if s.source not in provided)]
    future = [s.source for s in statements if is_future_import(s.node)]
    imports = [f"from typing import {', '.join(typing_names)}"] if typing_names else []
    rest = [s.source for s in statements if not is_future_import(s.node)]
    parts = (*future, *imports, *rest, adapter.rstrip())
    return "\n\n".join(part for part in parts if part) + "\n"
