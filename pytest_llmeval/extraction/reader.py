"""The places in an answer where its program may stand, from the most to the least explicit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from pytest_llmeval.extraction.bodies import bodies, body_draft, gives_result, salvaged, without_tail
from pytest_llmeval.extraction.choice import Candidate, choose
from pytest_llmeval.extraction.context import Context
from pytest_llmeval.extraction.draft import Draft, draft_from
from pytest_llmeval.extraction.fences import Block, between_fence_lines, fenced_blocks, rejoined_blocks
from pytest_llmeval.extraction.names import folded
from pytest_llmeval.extraction.reachable import WORD
from pytest_llmeval.extraction.syntax import Parser, Statement, with_line_feeds

_INLINE_CODE = re.compile(r"(?<!`)(`{1,3})(?!`)(?:python[ \t]+)?([^`]{1,20000}+)\1(?!`)")
_DEFINITION = re.compile(r"\b(?:def|class)[ \t]+\w")
_HEAD = re.compile(r"(?:^|\W)(?:for|while|if|with|try|lambda)\b")
_END_OF_HEAD = re.compile(r":[ \t]*+(?:#|$)")
_JSON_START = re.compile(r"\s*[\[{]")

_MOST_CANDIDATES = 16
"""More blocks that define the same function are a model repeating itself; the last ones decide."""

_MOST_BLOCKS = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A draft and the place where it was found."""

    rule: str
    draft: Draft


@dataclass(frozen=True)
class Answer:
    """One version of an answer's text, and its blocks in order, found when they are first asked for."""

    text: str

    @cached_property
    def fenced(self) -> list[Block]:
        return fenced_blocks(self.text)[-_MOST_BLOCKS:]

    @cached_property
    def between(self) -> list[Block]:
        return between_fence_lines(self.text)[-_MOST_BLOCKS:]

    @cached_property
    def words(self) -> list[frozenset[str]]:
        """Of each of the blocks between fence lines."""
        return [frozenset(WORD.findall(block.text)) for block in self.between]

    @cached_property
    def backwards(self) -> list[Block]:
        """Every block, the most explicit kind first and of each kind the last first."""
        return [*reversed(self.fenced), *reversed(self.between)]


@dataclass(frozen=True)
class Reader:
    """Reads versions of one answer for one problem. `respelt` accepts the entry point in another case."""

    context: Context
    parser: Parser
    respelt: bool = False

    def read(self, answer: Answer) -> Found | None:
        """The program of the first place that holds one."""
        for place in (
            self._closed_fences,
            self._open_fences,
            self._between_fences,
            self._rejoined_fences,
            self._salvage,
            self._inline_code,
            self._json,
            self._body,
        ):
            draft = place(answer)
            if draft is not None:
                return Found(place.__name__.lstrip("_"), draft)
        return None

    def _closed_fences(self, answer: Answer) -> Draft | None:
        return self._choose([block for block in answer.fenced if block.closed], answer)

    def _open_fences(self, answer: Answer) -> Draft | None:
        """The last fence never closed: the answer stopped at a stop string or its length limit."""
        return self._choose([block for block in answer.fenced if not block.closed], answer)

    def _between_fences(self, answer: Answer) -> Draft | None:
        """Fences are absent or broken: opened by a prefill, closed twice, or one is missing."""
        return self._choose(answer.between, answer)

    def _rejoined_fences(self, answer: Answer) -> Draft | None:
        for block in islice(rejoined_blocks(answer.text), _MOST_BLOCKS):
            draft = self._choose([block], answer)
            if draft is not None:
                return draft
        return None

    def _salvage(self, answer: Answer) -> Draft | None:
        """Code and prose in one block: the statements that compile on their own."""
        for block in answer.backwards:
            if self._mentions(block.text):
                draft = self._draft(salvaged(block.text, self.parser), answer)
                if draft is not None:
                    return draft
        return None

    def _inline_code(self, answer: Answer) -> Draft | None:
        spans = [Block(match[2]) for match in _INLINE_CODE.finditer(answer.text)]
        return self._choose(spans[-_MOST_BLOCKS:], answer)

    def _json(self, answer: Answer) -> Draft | None:
        """`{"code": "def f(x): …"}`, alone or in a fence."""
        for source in (*_texts(answer.fenced), answer.text):
            for value in reversed(list(islice(_json_strings(source), _MOST_BLOCKS))):
                draft = self._within_json(Answer(value))
                if draft is not None:
                    return draft
        return None

    def _within_json(self, answer: Answer) -> Draft | None:
        places = (self._closed_fences, self._between_fences, self._salvage, self._body)
        return next((draft for draft in (place(answer) for place in places) if draft is not None), None)

    def _body(self, answer: Answer) -> Draft | None:
        """The function's body without its signature."""
        for text in (*_texts(answer.backwards), *_from_first_indented_line(answer.text)):
            for body in bodies(text.rstrip(), self.context.indent):
                draft = body_draft(body, self.context, self.parser)
                if draft is not None and gives_result(draft):
                    return draft
        return None

    def cut(self, answer: Answer) -> Found | None:
        """The beginning of a definition that does not compile as a whole."""
        for block in answer.backwards:
            start = self._definition_line(block.text)
            if start is not None:
                lines = block.text.split("\n")
                before = salvaged("\n".join(lines[:start]), self.parser)
                kept = without_tail("\n".join(lines[start:]), 1, self.parser)
                draft = self._draft((*before, *kept), answer) if kept else None
                if draft is not None:
                    return Found("cut", draft)
        return None

    def stub(self, answer: Answer) -> Found | None:
        """A definition that does nothing, which is code and fails, where nothing better was found."""
        for block in answer.backwards:
            if self._mentions(block.text):
                draft = draft_from(salvaged(block.text, self.parser), self.context, accept_stub=True)
                if draft is not None:
                    return Found("stub", draft)
        return None

    def uncompilable(self, answer: Answer) -> str | None:
        """The text of the last block that tries to define the entry point."""
        blocks = (block.text for block in answer.backwards)
        return next((block for block in blocks if self._definition_line(block) is not None), None)

    def _definition_line(self, text: str) -> int | None:
        pattern = rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(self.context.entry_point)}\b"
        match = re.search(pattern, text, re.MULTILINE)
        return text[: match.start()].count("\n") if match else None

    def _choose(self, blocks: Sequence[Block], answer: Answer) -> Draft | None:
        """The best of the blocks that define the entry point and compile as they are."""
        candidates: list[Candidate] = []
        for block in reversed(blocks):
            draft = self._whole(block.text, answer) if self._mentions(block.text) else None
            if draft is not None:
                candidates.append(Candidate(draft, block.introduction))
            if len(candidates) == _MOST_CANDIDATES:
                break
        return choose(candidates[::-1])

    def _whole(self, source: str, answer: Answer) -> Draft | None:
        statements = self.parser.statements(source.rstrip())
        return None if statements is None else self._draft(statements, answer)

    def _draft(self, statements: Sequence[Statement], answer: Answer) -> Draft | None:
        """A draft; where it lacks names, the answer's other blocks are searched for them."""
        draft = draft_from(statements, self.context, accept_respelt=self.respelt)
        if draft is None or not draft.missing:
            return draft
        library = [
            statement
            for block, words in zip(answer.between, answer.words, strict=True)
            if not draft.missing.isdisjoint(words)
            for statement in salvaged(block.text, self.parser)
        ]
        return draft_from(statements, self.context, library, accept_respelt=self.respelt)

    def _mentions(self, source: str) -> bool:
        name = self.context.entry_point
        return name in source or (self.respelt and folded(name) in folded(source))


def _texts(blocks: Iterable[Block]) -> list[str]:
    return [block.text for block in blocks]


def _from_first_indented_line(text: str) -> list[str]:
    """A body after a sentence of prose, but not the body of some other function."""
    match = re.search(r"^[ \t]+\S", text, re.MULTILINE)
    if match is None or any(map(_is_code, text[: match.start()].split("\n"))):
        return []
    return [text[match.start() :]]


def _is_code(line: str) -> bool:
    """True for a definition and for the head of a block."""
    head = _HEAD.search(line)
    return bool(_DEFINITION.search(line) or (head and _END_OF_HEAD.search(line, head.end())))


def _json_strings(text: str) -> Iterator[str]:
    if not _JSON_START.match(text):
        return
    try:
        waiting = [json.loads(text, strict=False)]
    except (ValueError, RecursionError):
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield with_line_feeds(value)
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
