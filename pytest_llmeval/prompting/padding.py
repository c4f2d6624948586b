"""Real-looking Python around a problem: the same for the same Padding on every machine, and valid as a whole."""

from __future__ import annotations

import random

from pytest_llmeval.prompting.signatures import signatures
from pytest_llmeval.schema import Padding

CHARACTERS_PER_TOKEN = 3.5
"""What a nominal token is. Tokenizers of code models make 3 to 4 characters of Python into one."""

_VERBS = ("load", "parse", "merge", "check", "render", "collect", "resolve", "encode", "apply", "trim")
_NOUNS = ("row", "plan", "user", "event", "batch", "order", "token", "page", "route", "cache", "field", "job")
_TYPES = ("int", "float", "str", "bytes", "bool")
_UNWRITTEN = "    raise NotImplementedError\n"
_AGAIN = "\n\n# The function that is not written yet, once more and to the end:\n"


def padded(prompt: str, entry_point: str, padding: Padding, *, goes_on: bool) -> str:
    """A module of about `padding.tokens` tokens that holds the unwritten function.

    `goes_on`: the text ends where a base model shall go on. At the tail that is the problem itself; elsewhere
    its signature follows once more, because what is asked must be found in the text above.
    """
    size = max(0, round(padding.tokens * CHARACTERS_PER_TOKEN) - len(prompt))
    share = {"head": 0.0, "middle": 0.5, "tail": 1.0}[padding.position]
    before = filler(round(size * share), f"{padding.seed} before")
    after = filler(size - round(size * share), f"{padding.seed} after")
    if goes_on and padding.position == "tail":
        return f"{before}\n\n{prompt}"
    text = f"{before}\n\n{prompt.rstrip()}\n{_UNWRITTEN}\n\n{after}".lstrip("\n")
    return f"{text}{_AGAIN}{_signature(prompt, entry_point)}\n" if goes_on else text


def _signature(prompt: str, entry_point: str) -> str:
    start, end = signatures(prompt, entry_point)[-1]
    return prompt[start:end]


def filler(characters: int, seed: str) -> str:
    """Functions and classes of at most so many characters; none is called like another."""
    dice = random.Random(seed)
    pieces: list[str] = []
    length, number = 0, 0
    while True:
        number += 1
        piece = (_class if dice.random() < 0.25 else _function)(dice, number, "")
        length += len(piece)
        if length > characters:
            return "".join(pieces)
        pieces.append(piece)


def _function(dice: random.Random, number: int, indent: str) -> str:
    noun, kind, given = dice.choice(_NOUNS), dice.choice(_TYPES), dice.choice(_TYPES)
    name = f"{dice.choice(_VERBS)}_{noun}_{number}"
    first = "self, " if indent else ""
    lines = [
        f"def {name}({first}{noun}s: list[{given}], limit: float = {dice.randrange(1000) / 10}) -> list[{kind}]:",
        f'    """Return the {noun}s that count, at most {dice.randrange(2, 500)} of them, as {kind}."""',
        f"    found: list[{kind}] = []",
        f"    for index, {noun} in enumerate({noun}s):",
        f"        if index * {dice.randrange(2, 99)} % {dice.randrange(2, 17)} == 0 and index < limit:",
        f"            found.append({kind}({noun}))",
        f"        # {dice.choice(_NOUNS)} {dice.randrange(10_000)} is kept for the {dice.choice(_NOUNS)} below",
        "    return found",
    ]
    return "\n".join(indent + line for line in lines) + "\n\n" + ("" if indent else "\n")


def _class(dice: random.Random, number: int, indent: str) -> str:
    noun = dice.choice(_NOUNS)
    head = (
        f"class {noun.title()}{dice.choice(_NOUNS).title()}{number}:\n"
        f'    """Keeps every {noun} of one {dice.choice(_NOUNS)}, in the order of their {dice.choice(_NOUNS)}s."""\n\n'
        f"    {noun.upper()}_LIMIT = {dice.randrange(10, 10_000)}\n\n"
    )
    return head + "".join(_function(dice, part, "    ") for part in range(dice.randrange(1, 4))) + "\n"
