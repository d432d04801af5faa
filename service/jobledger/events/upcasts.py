"""Old shapes of event data are made new when they are read; the log itself is never rewritten.

Data carry their shape's version under the key `v` (absent = 1). A shape that changes in a way that a reader cannot
tolerate gets the next `VERSION` on its model, and here one step from the version before:

    UPCASTS["job.parked", 1] = lambda data: {"reason": data["why"]}

A step takes the old data and returns new ones; it never changes what it was given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jobledger.errors import UnknownEvent

Upcast = Callable[[Mapping[str, Any]], Mapping[str, Any]]

UPCASTS: dict[tuple[str, int], Upcast] = {}
"""(event type, version of the shape) -> the step to the next version. Empty: no shape has changed yet."""


def upcast(
    type_: str, data: Mapping[str, Any], to: int, steps: Mapping[tuple[str, int], Upcast] = UPCASTS
) -> Mapping[str, Any]:
    """Return `data` in the shape of version `to`, by as many steps as it takes, without the key `v`.

    Raises `UnknownEvent` where the data are of a newer shape, or a step is missing.
    """
    version = data.get("v", 1)
    if version == 1 == to:
        return data
    if not isinstance(version, int) or version > to:
        raise UnknownEvent(
            f"An event of type {type_} has a newer shape than version {to}, the last that this program knows.",
            hint="Use a newer jobledger to read it.",
            detail={"type": type_, "known": to},
        )
    data = {key: value for key, value in data.items() if key != "v"}
    for step in range(version, to):
        if (type_, step) not in steps:
            raise UnknownEvent(
                f"No step leads from version {step} of {type_} to the next.", detail={"type": type_, "version": step}
            )
        data = dict(steps[type_, step](data))
    return data
