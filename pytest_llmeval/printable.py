"""Text that others wrote (models, servers, engines), made harmless for terminals and logs."""

from __future__ import annotations

import re
import unicodedata

_KEPT = {"\n", "\t"}
_SUSPICIOUS = re.compile(r"[^\n\t -~]")  # all but plain ASCII is looked up
# Control, format (bidi overrides, zero width), surrogate, private use, unassigned, separators of lines.
_HIDDEN_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
# What a GitHub job takes for a command: two colons at the beginning of a line, or the older form anywhere in it.
_COMMAND = re.compile(r"^(\s*):(?=:)|(?<=##)\[", re.MULTILINE)


def safe(text: str) -> str:
    r"""`text` with control, bidi and surrogate characters spelled as \x1b, \u202e and the like."""
    return _SUSPICIOUS.sub(lambda found: _spelled(found[0]), text)


def printed(text: str) -> str:
    r"""`safe` for a log that a CI job reads: no line of it is a command to the job (`\x3a:error::`, `##\x5berror]`)."""
    return _COMMAND.sub(lambda found: r"\x5b" if found[0] == "[" else rf"{found[1]}\x3a", safe(text))


def _spelled(character: str) -> str:
    if character in _KEPT or unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
