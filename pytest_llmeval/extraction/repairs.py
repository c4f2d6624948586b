"""Repairs of damage that transport and layout do to code. The model's own mistakes are never repaired.

Each repair is a function from text to text. They are tried only where the text as it stands gives no
program, and the ones that were needed are named in the Program.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from pytest_llmeval.extraction.syntax import with_line_feeds

Repair = Callable[[str], str]

_STRING_OR_COMMENT = re.compile(
    r'''"""(?:[^"\\]|\\.|"(?!""))*+"""|\'\'\'(?:[^'\\]|\\.|'(?!\'\'))*+\'\'\''''
    r"""|"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+'|\#[^\n]*+|\\["']""",
    re.DOTALL,
)
_STRING = re.compile(r"""\"(?:[^"\\\n]|\\.)*+\"|'(?:[^'\\\n]|\\.)*+'|\\["']""")
# Both step over an escaped quote outside strings: one that opened a string would search the rest for its end, and
# so would the next.
_SPACES = dict.fromkeys(
    map(
        ord,
        "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000",
    ),
    " ",
)
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"))
_QUOTES = str.maketrans("“”„‟«»″‘’‚‛′", '"""""""\'\'\'\'\'')
_PUNCTUATION = str.maketrans("（）［］｛｝：，；＝＋－＊／．＜＞−–—×÷", "()[]{}:,;=+-*/.<>---*/")
_TAGS = re.compile(
    r"</?(?:code|answer|python|py|pre|solution|response|output|final_answer|result|function|program|script|p|div|"
    r"span|br|body|html|source|snippet|implementation|completion)(?:\s[^<>\n]{0,200})?/?>"
    r"|\[/?(?:PYTHON|CODE|ANSWER|SOLUTION|DONE|BEGIN|END)\]|<!\[CDATA\[|\]\]>",
    re.IGNORECASE,
)
_SPECIAL_TOKENS = re.compile(
    r"<\|[A-Za-z_/ ]{1,40}\|>|<｜[^<>\n]{1,40}｜>|</?s>|<(?:end|start)_of_turn>|<eos>|<EOT>|\[/?INST\]|<pad>"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "'": "'", "\\": "\\", "/": "/"}
_SESSION_LINE = re.compile(r"^[ \t]*+(?:>>>|\.\.\.|In \[\d+\]:|\.\.\.:)(?: |$)(.*)$", re.MULTILINE)


def _outside_strings(text: str, table: Mapping[int, str | int]) -> str:
    """Translate characters, but leave the contents of strings and comments alone."""
    parts, position = [], 0
    for match in _STRING_OR_COMMENT.finditer(text):
        parts += [text[position : match.start()].translate(table), match[0]]
        position = match.end()
    return "".join(parts) + text[position:].translate(table)


def special_tokens(text: str) -> str:
    """`return x<|im_end|>`: control tokens that the server did not remove."""
    return _SPECIAL_TOKENS.sub("\n", text)


def spaces(text: str) -> str:
    """No-break and other typographic spaces, as web pages make them; inside strings only where all are."""
    lines = (line if " " in line else line.translate(_SPACES) for line in text.split("\n"))
    return _outside_strings("\n".join(lines), _SPACES)


def invisible_characters(text: str) -> str:
    """Zero-width characters and byte order marks."""
    return text.translate(_INVISIBLE)


def quotes(text: str) -> str:
    """Typographic quotes that delimit strings; those inside strings stay."""
    return _outside_strings(text, _QUOTES)


def punctuation(text: str) -> str:
    """Full-width punctuation and typographic dashes used as operators."""
    return _outside_strings(text, _PUNCTUATION)


def html_entities(text: str) -> str:
    """`if a &lt; b`: escaped for a web page."""
    try:
        return html.unescape(text)
    except ValueError:  # a character's number of thousands of digits
        return text


def markdown_escapes(text: str) -> str:
    """`is\\_prime`: underscores and asterisks escaped for Markdown."""
    return re.sub(r"\\([_*])", r"\1", text)


def tags(text: str) -> str:
    """`<code>def f(x): …</code>`: tags around code."""
    return _TAGS.sub("\n", text)


def literal_newlines(text: str) -> str:
    """Backslash and n where line breaks belong: an escaped string, as in broken JSON."""
    return with_line_feeds(re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text))


def newlines_outside_strings(text: str) -> str:
    """The same, where the strings' own `\\n` was not escaped once more."""
    if text.count("\n") > text.count("\\n"):
        return text
    parts, position = [], 0
    for match in _STRING.finditer(text):
        parts += [_unescaped(text[position : match.start()]), match[0]]
        position = match.end()
    return "".join(parts) + _unescaped(text[position:])


def _unescaped(text: str) -> str:
    return text.replace("\\n", "\n").replace("\\t", "\t")


def tabs(text: str) -> str:
    """Tabs mixed with spaces in indentation: a tab is four columns."""
    return _expanded(text, 4)


def wide_tabs(text: str) -> str:
    """Tabs mixed with spaces in indentation: a tab is eight columns."""
    return _expanded(text, 8)


def _expanded(text: str, columns: int) -> str:
    return re.sub(r"^[ \t]+", lambda match: match[0].expandtabs(columns), text, flags=re.MULTILINE)


def session_prompts(text: str) -> str:
    """`>>> def f(x):`: an interactive session; its output lines go."""
    return "\n".join(_SESSION_LINE.findall(text)) if _SESSION_LINE.search(text) else text


def quote_marks(text: str) -> str:
    """`> def f(x):`: code quoted as in mail."""
    return re.sub(r"^[ \t]*> ?", "", text, flags=re.MULTILINE)


def line_numbers(text: str) -> str:
    """`12: return x`: a listing with numbered lines."""
    return re.sub(r"^[ \t]*\d{1,4}(?:[.:|)\t]| (?=[ \S])) ?", "", text, flags=re.MULTILINE)


def diff_markers(text: str) -> str:
    """`+def f(x):`: an answer given as a patch."""
    without_removed = re.sub(r"^(?:-|@@|\\ No newline).*\n?", "", text, flags=re.MULTILINE)
    return re.sub(r"^[+ ]", "", without_removed, flags=re.MULTILINE) if "\n+" in f"\n{text}" else text


def code_after_prose(text: str) -> str:
    """`Here it is: def f(x):`: code that begins in the middle of a line."""
    return re.sub(
        r"^(?![ \t]*(?:#|async\b))([^\n]*?\S)[ \t]+(?=(?:async +)?def +\w+ *\()",
        "\\1\n",
        text,
        flags=re.MULTILINE,
    )


def fence_after_code(text: str) -> str:
    """`return x```: a closing fence on the last line of the code."""
    return re.sub(r"(?<=[^\s`])[ \t]*```[ \t]*$", "\n```", text, flags=re.MULTILINE)


def dedent(text: str) -> str:
    """Code indented as a whole, as in a list: moved left by the indentation of its first definition."""
    margin = re.search(r"^([ \t]+)(?:def|async def|class|from|import|@)\b", text, re.MULTILINE)
    return re.sub(rf"^[ \t]{{1,{len(margin[1])}}}", "", text, flags=re.MULTILINE) if margin else text


CHARACTER_REPAIRS: tuple[Repair, ...] = (
    special_tokens,
    invisible_characters,
    spaces,
    html_entities,
    quotes,
    punctuation,
    tabs,
    wide_tabs,
)
"""Repairs that leave the layout alone: the only ones for text that continues a prompt."""

REPAIRS: tuple[Repair, ...] = (
    *CHARACTER_REPAIRS,
    fence_after_code,
    markdown_escapes,
    dedent,
    code_after_prose,
    tags,
    session_prompts,
    quote_marks,
    line_numbers,
    diff_markers,
    literal_newlines,
    newlines_outside_strings,
)


def repaired_versions(text: str, repairs: Sequence[Repair]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The text with one repair at a time, then with more and more; with the names of those applied."""
    singles = [(repair(text), repair) for repair in repairs]
    yield from ((version, (repair.__name__,)) for version, repair in singles if version != text)
    names: tuple[str, ...] = ()
    for repair in repairs:
        repaired = repair(text)
        if repaired != text:
            text, names = repaired, (*names, repair.__name__)
            if len(names) > 1:
                yield text, names
