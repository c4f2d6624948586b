"""Which tests may share a process with those of other problems: those that cannot leave anything behind.

Seen in their compiled code, and on the careful side: they set no attribute, import only modules that compute,
and use no name that reaches around either. Tests are trusted; this keeps carelessness of one problem from
another, so that no verdict depends on what was judged before.
"""

from __future__ import annotations

from collections.abc import Iterator
from opcode import opmap  # the module that dis is made of, without dis
from types import CodeType

# "random" starts each sample in the same state.
COMPUTING = frozenset((
    "math", "cmath", "random", "copy", "itertools", "collections", "functools", "typing", "re", "string",
    "operator", "heapq", "bisect", "fractions", "statistics", "datetime", "hashlib", "json",
))  # fmt: skip
_REACHING = frozenset((
    "setattr", "delattr", "exec", "eval", "compile", "globals", "vars", "open", "input", "breakpoint",
    "getcontext", "setcontext",
))  # fmt: skip
_HARMLESS = frozenset(("__name__", "__doc__", "__qualname__", "__module__", "__annotations__", "__class__"))
_SETS_ATTRIBUTES = frozenset((opmap["STORE_ATTR"], opmap["DELETE_ATTR"]))
_IMPORT, _EXTENDED = opmap["IMPORT_NAME"], opmap["EXTENDED_ARG"]


def leaves_no_trace(*sources: CodeType) -> bool:
    """True where nothing that these do to their process can outlive their namespace."""
    return all(_is_pure(code) for source in sources for code in _nested(source))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _is_pure(code: CodeType) -> bool:
    names = set(code.co_names)
    if names & _REACHING or any(n.startswith("_") and n.strip("_") and n not in _HARMLESS for n in names):
        return False
    if _SETS_ATTRIBUTES & set(code.co_code[::2]):
        return False
    return all(name.partition(".")[0] in COMPUTING for name in _imported(code))


def _imported(code: CodeType) -> Iterator[str]:
    argument, data = 0, code.co_code
    for operation, low in zip(data[::2], data[1::2], strict=True):
        argument = argument << 8 | low
        if operation == _IMPORT:
            yield code.co_names[argument]
        if operation != _EXTENDED:
            argument = 0
