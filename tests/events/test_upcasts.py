"""Old shapes are made new when they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from jobledger.errors import UnknownEvent
from jobledger.events import MODELS
from jobledger.events.job import Parked
from jobledger.events.upcasts import UPCASTS, upcast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.events.upcasts import Upcast


def _renamed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"because": data["why"]}


def _renamed_again(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"reason": data["because"]}


STEPS: dict[tuple[str, int], Upcast] = {("job.parked", 1): _renamed, ("job.parked", 2): _renamed_again}


@pytest.mark.parametrize("old", [{"why": "x"}, {"v": 1, "why": "x"}, {"v": 2, "because": "x"}, {"v": 3, "reason": "x"}])
def test_each_old_shape_arrives_at_the_newest(old: dict[str, Any]) -> None:
    """As many steps as it takes, one version each; what was given is not changed."""
    given = dict(old)
    assert upcast("job.parked", old, 3, STEPS) == {"reason": "x"}
    assert old == given


def test_a_shape_from_the_future_is_named() -> None:
    """Guessing at a newer shape would be worse than stopping."""
    with pytest.raises(UnknownEvent, match="newer shape than version 3"):
        upcast("job.parked", {"v": 4}, 3, STEPS)


def test_a_missing_step_is_named() -> None:
    """A version that was raised without its step is found at the first old event."""
    with pytest.raises(UnknownEvent, match="from version 1"):
        upcast("job.moved", {}, 2, STEPS)


def test_a_shape_above_the_first_is_written_with_its_version() -> None:
    """Absent means 1, so only later shapes say theirs."""

    class LaterParked(Parked):
        VERSION = 2

    assert LaterParked(reason="x").to_data() == {"reason": "x", "v": 2}
    assert Parked(reason="x").to_data() == {"reason": "x"}


def test_every_raised_version_has_its_steps() -> None:
    """From each old shape of each model there is a way to the newest, and no step leads anywhere else."""
    needed = {(type_, version) for type_, model in MODELS.items() for version in range(1, model.VERSION)}
    assert UPCASTS.keys() == needed
