"""The places in an answer where its program may stand, from the most to the least explicit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pytest_llmeval.extraction.bodies import bodies, body_draft, gives_result, salvaged, without_tail
from pytest_llmeval.extraction.choice import Candidate, choose
from pytest_llmeval.extraction.context import Context
from pytest_llmeval.extraction.draft import Draft, draft_from
from pytest_llmeval.extraction.fences import Block, between_fence_lines, fenced_blocks, rejoined_blocks
from pytest_llmeval.extraction.syntax import Parser, Statement

_INLINE_CODE = re.compile(r"(?<!`)(`{1,2})(?!`)([^`]{1,20000}+)\1(?!`)")
_CODE_LINE = re.compile(
    r"(?:^|[^\w])(?:def|class|for|while|if|with|try|lambda)\b[^\n]*:[ \t]*(?:#[^\n]*)?$", re.MULTILINE
)
_JSON_START = re.compile(r"\s*[\[{]")


@dataclass(frozen=True, slots=True)
class Found:
    """A draft and the place where it was found."""

    rule: str
    draft: Draft


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one answer for one problem. `respelt` also accepts the entry point's name in another case."""

    context: Context
    parser: Parser
    respelt: bool = False

    def read(self, text: str) -> Found | None:
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
            draft = place(text)
            if draft is not None:
                return Found(place.__name__.lstrip("_"), draft)
        return None

    def _closed_fences(self, text: str) -> Draft | None:
        return self._choose([block for block in fenced_blocks(text) if block.closed], text)

    def _open_fences(self, text: str) -> Draft | None:
        """The last fence never closed: the answer stopped at a stop string or its length limit."""
        return self._choose([block for block in fenced_blocks(text) if not block.closed], text)

    def _between_fences(self, text: str) -> Draft | None:
        """Fences are absent or broken: opened by a prefill, closed twice, or one is missing."""
        return self._choose(between_fence_lines(text), text)

    def _rejoined_fences(self, text: str) -> Draft | None:
        for block in rejoined_blocks(text):
            draft = self._choose([block], text)
            if draft is not None or self.parser.exhausted:
                return draft
        return None

    def _salvage(self, text: str) -> Draft | None:
        """Code and prose in one block: the statements that compile on their own."""
        for block in (*reversed(fenced_blocks(text)), *reversed(between_fence_lines(text))):
            if self._mentions(block.text):
                draft = self._draft(salvaged(block.text, self.parser), text)
                if draft is not None:
                    return draft
        return None

    def _inline_code(self, text: str) -> Draft | None:
        return self._choose([Block(match[2]) for match in _INLINE_CODE.finditer(text)], text)

    def _json(self, text: str) -> Draft | None:
        """`{"code": "def f(x): …"}`, alone or in a fence."""
        for source in (*_texts(fenced_blocks(text)), text):
            for value in reversed(list(_json_strings(source))):
                found = self._within_json(value)
                if found is not None:
                    return found
        return None

    def _within_json(self, value: str) -> Draft | None:
        for place in (self._closed_fences, self._between_fences, self._salvage, self._body):
            draft = place(value)
            if draft is not None:
                return draft
        return None

    def _body(self, text: str) -> Draft | None:
        """The function's body without its signature."""
        blocks = _texts((*between_fence_lines(text), *fenced_blocks(text)))
        for block in (*reversed(blocks), *_from_first_indented_line(text)):
            for body in bodies(block.rstrip(), self.context.indent):
                draft = body_draft(body, self.context, self.parser)
                if draft is not None and gives_result(draft):
                    return draft
        return None

    def cut(self, text: str) -> Found | None:
        """The beginning of a definition that does not compile as a whole."""
        for block in (*reversed(fenced_blocks(text)), *reversed(between_fence_lines(text))):
            start = self._definition_line(block.text)
            if start is not None:
                lines = block.text.split("\n")
                before = salvaged("\n".join(lines[:start]), self.parser)
                kept = without_tail("\n".join(lines[start:]), 1, self.parser)
                draft = self._draft((*before, *kept), text) if kept else None
                if draft is not None:
                    return Found("cut", draft)
        return None

    def stub(self, text: str) -> Found | None:
        """A definition that does nothing, which is code and fails, where nothing better was found."""
        for block in (*reversed(fenced_blocks(text)), *reversed(between_fence_lines(text))):
            if self._mentions(block.text):
                draft = draft_from(salvaged(block.text, self.parser), self.context, accept_stub=True)
                if draft is not None:
                    return Found("stub", draft)
        return None

    def uncompilable(self, text: str) -> str | None:
        """The text of the last block that tries to define the entry point."""
        for block in (*reversed(fenced_blocks(text)), *reversed(between_fence_lines(text))):
            if self._definition_line(block.text) is not None:
                return block.text
        return None

    def _definition_line(self, text: str) -> int | None:
        pattern = rf"^[ \t]*(?:async[ \t]+)?def[ \t]+{re.escape(self.context.entry_point)}\b"
        match = re.search(pattern, text, re.MULTILINE)
        return text[: match.start()].count("\n") if match else None

    def _choose(self, blocks: Sequence[Block], text: str) -> Draft | None:
        """The best of the blocks that define the entry point and compile as they are."""
        candidates = []
        for block in blocks:
            draft = self._whole(block.text, text) if self._mentions(block.text) else None
            if draft is not None:
                candidates.append(Candidate(draft, block.introduction))
        return choose(candidates)

    def _whole(self, source: str, text: str) -> Draft | None:
        statements = self.parser.statements(source.rstrip())
        return None if statements is None else self._draft(statements, text)

    def _draft(self, statements: Sequence[Statement], text: str) -> Draft | None:
        """A draft; where it lacks names, the answer's other blocks are searched for them."""
        draft = draft_from(statements, self.context, accept_respelt=self.respelt)
        if draft is None or not draft.missing:
            return draft
        library = [s for block in between_fence_lines(text) for s in salvaged(block.text, self.parser)]
        return draft_from(statements, self.context, library, accept_respelt=self.respelt)

    def _mentions(self, source: str) -> bool:
        name = self.context.entry_point
        return name in source or (self.respelt and _folded(name) in _folded(source))


def _texts(blocks: Iterable[Block]) -> list[str]:
    return [block.text for block in blocks]


def _folded(text: str) -> str:
    return text.replace("_", "").casefold()


def _from_first_indented_line(text: str) -> list[str]:
    """A body after a sentence of prose, but not the body of some other function."""
    match = re.search(r"^[ \t]+\S", text, re.MULTILINE)
    if match is None or _CODE_LINE.search(text, 0, match.start()):
        return []
    return [text[match.start() :]]


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
            yield value
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
