"""Random lives of a job, told by a second, plain bookkeeping that knows nothing of the machine's table."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import strategies as st

from jobledger.events import Event
from jobledger.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

START = datetime(2026, 3, 1, tzinfo=UTC)
ERROR = {"type": "OSError", "message": "no", "class": "transient"}


@dataclass
class Life:
    """What a job is after each event, kept by hand; `tellings` has (state, attempts, releases, run_at) of each."""

    id: UUID = field(default_factory=lambda: new_id(START))
    events: list[Event] = field(default_factory=list)
    tellings: list[tuple[str, int, int, datetime]] = field(default_factory=list)
    state: str = ""
    attempts: int = 0
    allowed: int = 0
    releases: int = 0
    run_at: datetime = START

    def append(self, type_: str, data: dict[str, Any] | None = None, **columns: Any) -> None:
        """Append one event at the next second, and what the bookkeeping then says."""
        version = len(self.events) + 1
        self.events.append(
            Event(
                position=version * 3,
                stream_id=self.id,
                version=version,
                type=type_,
                at=self.now,
                tenant="t",
                data=data,
                **columns,
            )
        )
        self.tellings.append((self.state, self.attempts, self.releases, self.run_at))

    @property
    def now(self) -> datetime:
        """The moment of the next event."""
        return START + timedelta(seconds=len(self.events) + 1)

    def later(self, seconds: int) -> str:
        """Return a moment after the next event, as the log writes it."""
        return (self.now + timedelta(seconds=seconds)).isoformat()


def enqueue(life: Life, draw: Callable[[Any], Any]) -> None:
    """Begin the life."""
    life.allowed = draw(st.integers(1, 4))
    data: dict[str, Any] = {"kind": "k", "args": {}, "max_attempts": life.allowed}
    life.run_at = life.now
    if draw(st.booleans()):
        data["run_at"] = life.later(50)
        life.run_at = datetime.fromisoformat(data["run_at"])
    life.state = "ready"
    life.append("job.enqueued", data)


def waiting(life: Life, draw: Callable[[Any], Any]) -> None:
    """Do something that can happen to a ready job."""
    what = draw(st.sampled_from(["claimed"] * 6 + ["rescheduled", "reprioritised", "moved", "cancelled", "killed"]))
    if what == "claimed":
        life.state, life.attempts = "running", life.attempts + 1
        life.append("job.claimed", {"call": 1, "beat": 2}, worker=UUID(int=5), attempt=life.attempts)
    elif what == "rescheduled":
        data = {"run_at": life.later(30), "kill_at": life.later(99), "kill_rule": "own"}
        life.run_at = datetime.fromisoformat(data["run_at"])
        life.append("job.rescheduled", data)
    else:
        aside(life, what)


def parked(life: Life, draw: Callable[[Any], Any]) -> None:
    """Do something that can happen to a parked job."""
    what = draw(st.sampled_from(["unparked"] * 4 + ["reprioritised", "moved", "cancelled", "killed"]))
    if what == "unparked":
        life.state, life.run_at = "ready", life.now
        life.append("job.unparked")
    else:
        aside(life, what)


def aside(life: Life, what: str) -> None:
    """Do what can happen to a ready and to a parked job alike."""
    said: dict[str, dict[str, Any]] = {
        "reprioritised": {"priority": 7},
        "moved": {"queue": "q"},
        "killed": {"rule": "own"},
    }
    if what in {"cancelled", "killed"}:
        life.state = what
    life.append(f"job.{what}", said.get(what))


def running(life: Life, draw: Callable[[Any], Any]) -> None:
    """Do something that can happen to a running job."""
    endings = ["succeeded", "failed", "lease_expired", "cancelled", "killed"]
    given_back = ["snoozed", "interrupted", "released", "released", "released", "parked"]
    what = draw(st.sampled_from(["progressed", "cancel_requested", *endings, *given_back]))
    data: dict[str, Any] = {}
    if what == "released" and life.releases == 2:
        what = "failed"
    if what in {"failed", "lease_expired"}:
        data = {"error": ERROR} if what == "failed" else {}
        life.state, life.releases = "failed", 0
        if life.attempts < life.allowed and draw(st.booleans()):
            data["retry_at"] = life.later(5)
            life.state, life.run_at = "ready", datetime.fromisoformat(data["retry_at"])
    elif what in given_back:
        life.attempts -= 1
        life.releases = life.releases + 1 if what == "released" else 0
        life.state = "parked" if what == "parked" else "ready"
        data = {"reason": "r"} if what == "parked" else {"run_at": life.later(9)} if what == "snoozed" else {}
        if what == "snoozed":
            life.run_at = datetime.fromisoformat(data["run_at"])
    elif what in endings:
        life.state = what
        data = {"rule": "operator"} if what == "killed" else {}
    else:
        data = {"progress": 1} if what == "progressed" else {}
    life.append(f"job.{what}", data or None)


def over(life: Life, draw: Callable[[Any], Any]) -> None:
    """Do something that can happen to a finished job."""
    if life.state != "succeeded" and draw(st.booleans()):
        life.allowed = life.attempts + draw(st.integers(1, 3))
        data = {"max_attempts": life.allowed, "kill_at": life.later(99), "kill_rule": "own", "reason": "again"}
        life.state, life.releases, life.run_at = "ready", 0, life.now
        life.append("job.retried", data)
    else:
        life.append("job.redacted", {"fields": ["args.x"], "reason": "asked for"})


@st.composite
def _lives(draw: Callable[[Any], Any]) -> Life:
    life = Life()
    enqueue(life, draw)
    for _ in range(draw(st.integers(0, 25))):
        {"ready": waiting, "running": running, "parked": parked}.get(life.state, over)(life, draw)
    return life


LIVES = _lives()


@pytest.fixture(scope="session")
def lives() -> st.SearchStrategy[Life]:
    """Give the strategy that draws a life: its events, and what a job is after each."""
    return LIVES
