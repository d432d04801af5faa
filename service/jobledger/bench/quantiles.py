"""Quantiles and medians, as the results give them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SPREAD: Final = ("mean", "p50", "p95", "p99", "max")
"""What is said of many values, in this order."""


def spread(values: Sequence[float], digits: int = 3) -> Mapping[str, float] | None:
    """Return mean, p50, p95, p99 and the greatest of the values; None of none."""
    if not values:
        return None
    cuts = statistics.quantiles(values, n=100, method="inclusive") if len(values) > 1 else list(values) * 99
    found = (statistics.fmean(values), cuts[49], cuts[94], cuts[98], max(values))
    return {name: round(value, digits) for name, value in zip(SPREAD, found, strict=True)}


def medians(runs: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """Return the median of each figure over the runs that know it, of a spread each of its values; None of none."""
    found: dict[str, Any] = {}
    for name in names:
        known = [run[name] for run in runs if run[name] is not None]
        if known and isinstance(known[0], dict):
            found[name] = medians(known, known[0])
        else:
            found[name] = round(statistics.median(known), 3) if known else None
    return found


def ratio(one: float, other: float) -> float | None:
    """Return one value over the other to four digits; None where there is no other."""
    return round(one / other, 4) if other else None
