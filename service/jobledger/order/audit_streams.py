"""The fold of each stream beside what the tables say of it."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from jobledger.errors import JobledgerError
from jobledger.events import Event, parse
from jobledger.lifecycle import State, evolve
from jobledger.order.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from uuid import UUID

    from jobledger.lifecycle import Job
    from jobledger.order.fault import Code

_SHARED: Final = ("head", "tenant", "queue", "kind", "owner", "priority", "attempt", "max_attempts")
_LIVE: Final = (*_SHARED, "unique_key", "releases", "timeout", "run_at", "kill_at")
_RUNNING: Final = (*_LIVE, "claim", "worker", "call", "claimed_at", "cancel_requested")
_FIRST: Final = 3
_PLACES: Final = {State.READY: ("ready", "waiting"), State.PARKED: ("waiting",), State.RUNNING: ("running",)}
_GETTERS: Final = {names: attrgetter(*names) for names in (_SHARED, _LIVE, _RUNNING)}
_CONTROL: Final = 0xFFFFFFFF


class Stream:
    """One stream as far as it was read: a job is folded, of the others each event is read."""

    __slots__ = ("_position", "fault", "head", "id", "job", "last")

    def __init__(self, id: UUID) -> None:  # noqa: A002 - the domain's word
        """Begin before its first event."""
        self.id = id
        self.job: Job | None = None
        self.head = 0
        self.last: Event | None = None
        self.fault: Fault | None = None
        self._position = -1

    def add(self, row: Any) -> None:
        """Take in the next row of the log; after a fault nothing more is looked at."""
        if self.fault is not None:
            return
        version = row["version"]
        if version != self.head + 1:
            self._fail("stream_broken", f"version {version} follows version {self.head}")
            return
        if row["position"] <= self._position:
            self._fail("position_inverted", f"version {version} has a lower position than the one before it")
            return
        try:
            event = Event.from_columns(row)
            if self.job is not None or event.type.startswith("job."):
                self.job = evolve(self.job, event)
            else:
                parse(event)
        except JobledgerError as error:
            self._fail("stream_broken", f"version {version}, {row['type']}: {error.message}")
            return
        self.head = version
        self._position = row["position"]
        self.last = event

    def _fail(self, code: Code, said: str) -> None:
        self.fault = Fault(code, self.id, said)


def rows_by_id(rows: Iterable[Any]) -> dict[UUID, list[Any]]:
    """Return the rows of the tables by the stream they are about."""
    found: dict[UUID, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


def judged(stream: Stream, rows: Sequence[Any], *, gone: bool = False) -> Iterator[Fault]:
    """Yield what is wrong with a whole stream, or with what the tables say of it.

    `gone`: retention is giving up its partition, where the rows of finished jobs go before their events.
    """
    if stream.fault is not None:
        yield stream.fault
        return
    if stream.job is not None and gone and stream.job.finished and not rows:
        return
    if stream.job is not None:
        yield from _of_job(stream.job, stream, rows)
        return
    if not rows:
        # The row of a worker goes a week after its end; a control stream's stays.
        if stream.id.int >> 96 == _CONTROL:
            yield Fault("stream_unknown", stream.id, f"{stream.last.type if stream.last else 'an event'} of nothing")
        return
    for row in rows:
        if row["place"] != "register":
            yield Fault("row_without_stream", stream.id, f"a row in {row['place']}", "no job")
        elif row["head"] != stream.head:
            yield Fault("head_differs", stream.id, f"head {row['head']} of a {row['state']}", f"head {stream.head}")


def orphans(left: Mapping[UUID, Sequence[Any]]) -> Iterator[Fault]:
    """Yield the rows that no stream is there for."""
    for id, rows in left.items():  # noqa: A001 - the domain's word
        for row in rows:
            where = f"a {row['state']}" if row["place"] == "register" else f"a row in {row['place']}"
            yield Fault("row_without_stream", id, f"{where}, head {row['head']}", "no event")


def _of_job(job: Job, stream: Stream, rows: Sequence[Any]) -> Iterator[Fault]:
    if not rows:
        yield Fault("row_missing", job.id, "no row", f"{job.state}, head {job.head}")
        return
    if len(rows) > 1:
        yield Fault("row_doubled", job.id, f"rows in {' and '.join(row['place'] for row in rows)}", str(job.state))
        return
    row = rows[0]
    if row["place"] not in _PLACES.get(job.state, ("finished",)):
        found = f"a row in {row['place']}, head {row['head']}"
        yield Fault("row_differs", job.id, found, f"{job.state}, head {job.head}")
        return
    differing = list(_differing(job, stream, row))
    if differing:
        found, expected = (", ".join(f"{name} {pair[side]}" for name, *pair in differing) for side in (0, 1))
        yield Fault("row_differs", job.id, f"{row['place']}: {found}", expected)
    if job.open and row["key_holder"] != (job.id if job.unique_key is not None else None):
        yield Fault("key_differs", job.id, f"its unique key is held by {row['key_holder'] or 'nobody'}", "by this job")


def _differing(job: Job, stream: Stream, row: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, found and expected of what the row says otherwise than the fold."""
    names = _RUNNING if job.state is State.RUNNING else _SHARED if job.finished else _LIVE
    found: tuple[Any, ...] = row[_FIRST : _FIRST + len(names)]
    expected: tuple[Any, ...] = _GETTERS[names](job)
    if found != expected:
        yield from (one for one in zip(names, found, expected, strict=True) if one[1] != one[2])
    if job.finished:
        if row["state"] != job.state:
            yield "state", row["state"], job.state
        # A redaction is an event of a finished job, and its row takes over that event's time.
        last = stream.last.at if stream.last is not None and stream.last.type == "job.redacted" else None
        if row["finished_at"] not in (job.finished_at, last):
            yield "finished_at", row["finished_at"], job.finished_at
    elif job.state is State.RUNNING:
        until = job.claimed_at + timedelta(seconds=job.timeout) if job.claimed_at is not None else None
        if row["timeout_at"] != until:
            yield "timeout_at", row["timeout_at"], until
    elif row["place"] == "waiting":
        yield from _waits_for_nothing(job, row)


def _waits_for_nothing(job: Job, row: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield what would keep a waiting row from ever being woken or brought back."""
    if job.state is State.PARKED:
        if row["state"] != "parked":
            yield "state", row["state"], "parked"
    elif row["state"] == "scheduled":
        if row["wake_at"] != job.run_at:
            yield "wake_at", row["wake_at"], job.run_at
    elif row["state"] != "ready" or row["reason"] is None:
        yield "state", row["state"], "scheduled, or ready with a reason"
