"""Text that a model may have written, made harmless for terminals and plain-text files."""

from __future__ import annotations

import unicodedata

_KEPT = {"\n", "\t"}
# Control, format (bidi overrides, zero width), surrogate, private use, unassigned.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn"}


def safe(text: str) -> str:
    r"""`text` with control, bidi and surrogate characters spelled as \x1b, ‮ and the like."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_spelled(character) for character in text)


def _spelled(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
