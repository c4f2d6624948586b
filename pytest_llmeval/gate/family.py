"""Many tests, one promise: the chance of any false alarm stays at α."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given; reject where one is at most α.

    In ascending order the i-th of m becomes the largest of (m - j + 1) p_j over j ≤ i, at most 1. It needs no
    independence. Holm 1979, Scandinavian Journal of Statistics 6:65-70.
    """
    adjusted = [1.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - rank) * p_values[index])
        adjusted[index] = min(1.0, largest)
    return adjusted
