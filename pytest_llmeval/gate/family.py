"""Many tests, one promise: the chance of any false alarm stays at α."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float], weights: Sequence[float] = ()) -> list[float]:
    """Holm's adjusted p-values, in the order given; reject where one is at most α.

    In ascending order of p / w, the i-th becomes the largest of p_j W_j / w_j over j ≤ i, at most 1, where W_j is
    the weight of the j-th and all after it. With equal weights that is (m - j + 1) p_j. It needs no independence.
    Holm 1979, Scandinavian Journal of Statistics 6:65-70; weights in its section 4.
    """
    weighs = list(weights) or [1.0] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i] / weighs[i])
    adjusted, largest, left = [1.0] * len(p_values), 0.0, sum(weighs)
    for index in order:
        largest = max(largest, p_values[index] * left / weighs[index])
        adjusted[index] = min(1.0, largest)
        left -= weighs[index]
    return adjusted
