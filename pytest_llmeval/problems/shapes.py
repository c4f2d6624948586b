"""Arguments of MBPP+ as Python values: its JSON has lists where tuples, sets and complex numbers are meant.

Which task has which shape is a fact of the published file (MbppPlus.jsonl, v0.2.0); the hub's layout of the
same data spells its arguments in Python and needs none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Arguments = list[Any]
Shape = Callable[[Arguments], Arguments]


def each_a_tuple(arguments: Arguments) -> Arguments:
    return [tuple(argument) for argument in arguments]


def each_of_tuples(arguments: Arguments) -> Arguments:
    return [[tuple(item) for item in argument] for argument in arguments]


def each_a_tuple_of_tuples(arguments: Arguments) -> Arguments:
    return [tuple(tuple(item) for item in argument) for argument in arguments]


def first_a_tuple(arguments: Arguments) -> Arguments:
    return [tuple(arguments[0]), *arguments[1:]]


def first_of_tuples(arguments: Arguments) -> Arguments:
    return [[tuple(item) for item in arguments[0]], *arguments[1:]]


def second_a_tuple(arguments: Arguments) -> Arguments:
    return [arguments[0], tuple(arguments[1])]


def tuples_all_the_way(arguments: Arguments) -> Arguments:
    return [_tupled(argument) for argument in arguments]


def tuple_with_tuples(arguments: Arguments) -> Arguments:
    return [tuple(tuple(item) if isinstance(item, list) else item for item in arguments[0])]


def of_sets(arguments: Arguments) -> Arguments:
    """Sets where something is in them, and the empty dictionary that EvalPlus has for an empty one."""
    return [[set(item) if isinstance(item, list) and item else {} for item in arguments[0]]]


def values_tuples(arguments: Arguments) -> Arguments:
    return [{key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:]]


def float_and_complex(arguments: Arguments) -> Arguments:
    return [float(arguments[0]), complex(arguments[1])]


def one_complex(arguments: Arguments) -> Arguments:
    return [complex(arguments[0])]


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


# fmt: off
_TASKS: dict[Shape, tuple[int, ...]] = {
    each_a_tuple: (
        2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809,
    ),
    each_of_tuples: (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
    each_a_tuple_of_tuples: (259, 401, 445),
    first_a_tuple: (250, 307, 405, 446, 617, 720, 763, 808),
    first_of_tuples: (75, 413, 444, 753),
    second_a_tuple: (106, 750),
    tuples_all_the_way: (580, 615, 791),
    tuple_with_tuples: (278,),
    of_sets: (115,),
    values_tuples: (722,),
    float_and_complex: (124,),
    one_complex: (252,),
}
# fmt: on
_SHAPES = {f"Mbpp/{number}": shape for shape, numbers in _TASKS.items() for number in numbers}


def shaped(task_id: str, arguments: list[Arguments]) -> list[Arguments]:
    """The argument lists of a task, as its reference expects them.

    Raises:
        TypeError, ValueError, IndexError, AttributeError: they are not what the published file has.
    """
    shape = _SHAPES.get(task_id)
    return [shape(one) for one in arguments] if shape else arguments
