"""Who starts next, and where: pure rules over a line of waiting models and the places that are free.

Nobody is overtaken on a place they wait for. Models are looked at in the order of the line; one that finds too few
free places reserves those it will take, the free ones first, and whoever stands behind it can have only what is
neither taken nor reserved. As long as models end, the first of the line gets its places, and then the next: nobody
starves, and what nobody ahead waits for does not lie idle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from pytest_llmeval.placement.places import ELSEWHERE, Need, Place
from pytest_llmeval.units import GIB


@dataclass(frozen=True, slots=True)
class Assignment:
    """A model that starts, and the places it has to itself until it ends."""

    need: Need
    places: tuple[Place, ...]


def starts(line: Sequence[Need], places: Sequence[Place], taken: Collection[str]) -> list[Assignment]:
    """Who of the line starts now; `taken` names the places that have an engine.

    Models that `why_never` refuses must not stand in the line: they would hold up those behind them.
    """
    unavailable, found, everybody_started = set(taken), list[Assignment](), True
    for need in line:
        chosen = _choose(need, places, set(taken) | _names(found), unavailable)
        free = len(chosen) == need.places and not {place.name for place in chosen} & unavailable
        if free and (everybody_started or not need.kept):
            found.append(Assignment(need, tuple(chosen)))
        else:
            everybody_started = False
        unavailable |= {place.name for place in chosen}
    return found


def _names(assignments: Sequence[Assignment]) -> set[str]:
    return {place.name for one in assignments for place in one.places}


def _choose(need: Need, places: Sequence[Place], busy: set[str], unavailable: set[str]) -> list[Place]:
    """The places a model takes or waits for: free ones first, of these the smallest that will do.

    So that a small model does not take the one device that is large enough for another.
    """
    order = {place.name: number for number, place in enumerate(places)}

    def preference(place: Place) -> tuple[bool, bool, int, int]:
        size = place.memory_bytes or 0
        return place.name in unavailable, place.name in busy, size, order[place.name]

    chosen = sorted(filter(need.fits, places), key=preference)[: need.places]
    return sorted(chosen, key=lambda place: order[place.name])


def why_never(need: Need, places: Sequence[Place]) -> str | None:
    """Why a model will never start on these places, in a few words; None where it will."""
    fitting = [place for place in places if need.fits(place)]
    if len(fitting) >= need.places:
        return None
    given = [place for place in places if place.name != ELSEWHERE]
    if need.only is not None and len(need.only) < need.places:
        return f"needs {need.places} devices; its entry's CUDA_VISIBLE_DEVICES names {len(need.only)}"
    if need.only is not None:
        missing = ", ".join(sorted(need.only - {place.name for place in given})) or "none"
        return f"its entry names the devices {', '.join(sorted(need.only))}; --llmeval-devices leaves out {missing}"
    wanted = "1 device" if need.places == 1 else f"{need.places} devices at a time"
    if need.memory_bytes:
        wanted += f" with {need.memory_bytes / GIB:.3g} GiB{' each' if need.places > 1 else ''}"
    largest = max((place.memory_bytes or 0 for place in given), default=0)
    sizes = f", {largest / GIB:.3g} GiB at most" if largest else ""
    return f"needs {wanted}; --llmeval-devices gives it {len(given)}{sizes}"
