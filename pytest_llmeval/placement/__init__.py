"""Which model runs on which devices, and when: places, needs, the rules between them, and what drives the models.

`line` decides who starts (pure), `needs` reads a model's need from its entry, `pool` finds the places of this
machine: GPUs, or sets of cores where there is none. `side_by_side` drives them, a thread each; `turns`
keeps measurements undisturbed.
"""

from pytest_llmeval.placement.line import Assignment, starts, why_never
from pytest_llmeval.placement.places import ELSEWHERE, Need, Place, Placement, Pool

__all__ = ["ELSEWHERE", "Assignment", "Need", "Place", "Placement", "Pool", "starts", "why_never"]
