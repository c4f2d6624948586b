"""Instructions: the words around a problem, with a `{prompt}` where it goes; checked before they are used."""

from __future__ import annotations

from string import Formatter

from pytest_llmeval.errors import ConfigurationError

PROMPT_FIELD, NAME_FIELD = "prompt", "entry_point"


def check_instruction(text: str) -> str:
    """The instruction itself.

    Raises:
        ConfigurationError: it has no single `{prompt}`, another field, or a brace that is not doubled.
    """
    try:
        fields = [(name, spec, how) for _, name, spec, how in Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise ConfigurationError(f"{error}: write {{{{ and }}}} for braces that are meant as such") from None
    for name, spec, how in fields:
        if name not in (PROMPT_FIELD, NAME_FIELD) or spec or how:
            raise ConfigurationError(
                f"knows the fields {{prompt}} and {{entry_point}}, and not {{{name}}}; write {{{{ and }}}} for "
                f"braces that are meant as such"
            )
    if [name for name, _, _ in fields].count(PROMPT_FIELD) != 1:
        raise ConfigurationError("needs {prompt} once, where the problem goes")
    return text


def around(instruction: str, entry_point: str) -> tuple[str, str]:
    """What stands before and after the problem."""
    before, after = [""], [""]
    side = before
    for literal, name, _, _ in Formatter().parse(instruction):
        side.append(literal)
        if name == PROMPT_FIELD:
            side = after
        elif name == NAME_FIELD:
            side.append(entry_point)
    return "".join(before), "".join(after)
