"""The order in which an answer is read: as it stands, then repaired, then whatever is left of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pytest_llmeval.extraction.bodies import bodies, body_draft, gives_result, without_tail
from pytest_llmeval.extraction.chunks import top_level_split
from pytest_llmeval.extraction.context import Context
from pytest_llmeval.extraction.draft import Draft, draft_from
from pytest_llmeval.extraction.reader import Answer, Reader
from pytest_llmeval.extraction.reasoning import split_reasoning
from pytest_llmeval.extraction.repairs import CHARACTER_REPAIRS, REPAIRS, Repair, repaired_versions
from pytest_llmeval.extraction.syntax import MAX_SOURCE_CHARS, Parser
from pytest_llmeval.schema import Program


def read_chat(text: str, context: Context, parser: Parser) -> Program | None:
    """A chat answer's program. Code inside reasoning counts only where there is no other, and is named."""
    answer, unfinished = split_reasoning(text)
    program = _read(answer, context, parser)
    for fallback in (unfinished, text):
        if program is None and fallback not in ("", answer):
            program = _read(fallback, context, parser)
            if program is not None:
                program = replace(program, repairs=("code_in_reasoning", *program.repairs))
    return program


def _read(text: str, context: Context, parser: Parser) -> Program | None:
    answer = Answer(text)
    return (
        _read_as_it_stands(answer, context, parser)
        or _read_repaired(text, context, parser)
        or _read_the_rest(answer, context, parser)
    )


def _read_as_it_stands(answer: Answer, context: Context, parser: Parser) -> Program | None:
    found = Reader(context, parser).read(answer) or Reader(context, parser, respelt=True).read(answer)
    return None if found is None else _program(found.rule, found.draft)


def _read_repaired(text: str, context: Context, parser: Parser) -> Program | None:
    reader = Reader(context, parser)
    for version, names in _versions(text, REPAIRS):
        found = None if parser.exhausted else reader.read(Answer(version))
        if found is not None:
            return _program(found.rule, found.draft, names)
    return None


def _versions(text: str, repairs: Sequence[Repair]) -> Iterable[tuple[str, tuple[str, ...]]]:
    """Repaired versions, unless there is so much text that it is no answer any more."""
    return repaired_versions(text, repairs) if len(text) <= MAX_SOURCE_CHARS else ()


def _read_the_rest(answer: Answer, context: Context, parser: Parser) -> Program | None:
    """What does not compile as a whole, does nothing, or does not compile at all: code all the same."""
    reader = Reader(context, parser)
    cut = reader.cut(answer)
    if cut is not None:
        return _program(cut.rule, cut.draft, ("cut_tail",))
    stub = reader.stub(answer)
    if stub is not None:
        return _program(stub.rule, stub.draft)
    source = reader.uncompilable(answer)
    return None if source is None else _uncompilable(context.preamble_source() + source)


def read_completion(text: str, context: Context, parser: Parser) -> Program | None:
    """A base model's continuation of the prompt; where it is none, what it would mean as a chat answer."""
    return (
        _continuation(text, context, parser)
        or _repaired_continuation(text, context, parser)
        or _cut_continuation(text, context, parser)
        or read_chat(text, context, parser)
        or _failing_continuation(text, context, parser)
    )


def _continuation(
    text: str, context: Context, parser: Parser, repairs: tuple[str, ...] = ()
) -> Program | None:
    for body in bodies(text, context.indent):
        draft = body_draft(body, context, parser)
        if draft is not None:
            return _program("continuation", draft, (*repairs, *body.repairs))
    return None


def _repaired_continuation(text: str, context: Context, parser: Parser) -> Program | None:
    for version, names in _versions(text, CHARACTER_REPAIRS):
        program = None if parser.exhausted else _continuation(version, context, parser, names)
        if program is not None:
            return program
    return None


def _cut_continuation(text: str, context: Context, parser: Parser) -> Program | None:
    body, _ = top_level_split(text)
    if not body.strip():
        return None
    statements = without_tail(context.prompt + body, context.prompt.count("\n"), parser)
    draft = draft_from(statements, context) if statements else None
    if draft is None or not gives_result(draft):
        return None
    return _program("continuation", draft, ("cut_tail",))


def _failing_continuation(text: str, context: Context, parser: Parser) -> Program | None:
    """An indented text was meant as a body: a stub or a syntax error is its verdict. Prose is no code."""
    body, _ = top_level_split(text)
    if body.lstrip("\n")[:1] not in (" ", "\t") or not body.strip():
        return None
    compiles = parser.statements(context.prompt + body) is not None
    return replace(_uncompilable(context.prompt + body), rule="stub" if compiles else "uncompilable")


def _uncompilable(source: str) -> Program:
    encodable = source.encode(errors="replace").decode()  # a lone surrogate could not even be stored
    return Program(f"{encodable.rstrip()}\n", rule="uncompilable")


def _program(rule: str, draft: Draft, repairs: tuple[str, ...] = ()) -> Program:
    place = rule if draft.form == "function" else f"{rule}/{draft.form}"
    return Program(draft.source, place, (*repairs, *draft.repairs))
