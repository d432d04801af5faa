"""What one process remembers of the lanes it claims from. Pure: no I/O.

A lane is (queue, tenant, priority). Of each the process keeps the key (run_at, id) it has read up to, so that a claim
never reads the dead entries of what was taken before. New lanes are looked for only in the gaps between known ones. A
second cursor of each lane walks the part before the key, in the stretches that earlier claims read, newest first: it
finds rows that committed late, or that another process had locked and given back. It goes on where it stopped, so what
this worker cannot take is walked past.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Key = tuple[datetime, UUID]
Name = tuple[str, str, int]

START: Key = (datetime(1, 1, 2, tzinfo=UTC), UUID(int=0))
END: Key = (datetime(9999, 12, 30, tzinfo=UTC), UUID(int=2**128 - 1))
_FIRST = ("", -32768)
_LAST = ("~", 0)

WINDOW = 64
"""Tenants served by one claim at most, and gaps probed by one (`k`)."""
ASIDE_BUSY, ASIDE_SOME, ASIDE_SHORT = 16, 128, 1000
"""Lanes set aside that a claim looks at: when claims come back full, somewhat short, and nearly empty."""
BEHIND_BUSY, BEHIND_SHORT, BEHIND_ROWS = 4, 32, 16
"""Stretches before the keys that a claim looks at, and rows in each at most."""
STRETCHES = 12
LANES_LIMIT = 200_000
"""Lanes remembered at most; what was set aside longest is forgotten first."""


class Lane:
    """One known lane: its key, its stretches behind the key, and how it was last found."""

    __slots__ = ("aside", "key", "mixed", "name", "stretches", "turn", "walked")

    def __init__(self, name: Name) -> None:
        """Begin before everything."""
        self.name = name
        self.key = START
        self.stretches: list[Key] = [START]
        self.walked: dict[Key, Key] = {}
        self.turn = 0
        self.mixed = False
        self.aside = False

    def advance(self, key: Key) -> None:
        """Move the key past what was read, and remember the stretch; old stretches are joined as they grow many."""
        if key <= self.key:
            return
        self.key = key
        self.stretches.append(key)
        if len(self.stretches) > STRETCHES:
            middle = len(self.stretches) // 2
            self.stretches = self.stretches[:middle:2] + self.stretches[middle:]
            self.walked = {begun: at for begun, at in self.walked.items() if begun in self.stretches}

    def set_back(self, key: Key) -> None:
        """Take up reading at an earlier key: most of what lay behind could be claimed."""
        self.key = key
        self.stretches = [stretch for stretch in self.stretches if stretch < key]
        self.stretches.append(key if self.stretches else START)
        self.walked.clear()
        self.turn = 0

    def behind(self) -> tuple[Key, Key] | None:
        """Return the next stretch to walk, from where the last look at it stopped to its end.

        The newest every other time, the older ones in turn.
        """
        count = len(self.stretches) - 1
        if count < 1:
            return None
        self.turn += 1
        at = count if self.turn % 2 else count - (self.turn // 2) % count
        return self.walked.get(self.stretches[at - 1], self.stretches[at - 1]), self.stretches[at]

    def walk(self, after: Key, upto: Key, reached: Key) -> None:
        """Note how far a look at a stretch came: the next one goes on there, or begins anew where nothing was left.

        Rows that this worker cannot take lie at the start of a stretch for as long as nobody else takes them: one that
        began there each time would never see what lies behind them.
        """
        at = bisect_left(self.stretches, upto)
        if not 0 < at < len(self.stretches) or self.stretches[at] != upto:
            return  # joined with others meanwhile
        begun = self.stretches[at - 1]
        if after < reached < upto:
            self.walked[begun] = reached
        else:
            self.walked.pop(begun, None)


class Segment(NamedTuple):
    """What a claim reads of one lane: after `after`, up to `upto`; `most` rows of a stretch behind the key."""

    lane: Lane
    after: Key
    upto: Key
    most: int | None
    held: int


class Gap(NamedTuple):
    """Where a claim looks for lanes not yet known: strictly between two known ones of a queue, or the ends."""

    queue: str
    after: tuple[str, int]
    before: tuple[str, int]


@dataclass(slots=True)
class Plan:
    """What one claim reads."""

    segments: list[Segment] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)


class LaneRead(NamedTuple):
    """What a claim says of one lane; those of new lanes come first, then one for each segment in its order."""

    queue: str
    tenant: str
    priority: int
    key: Key
    asked: int
    got: int
    strange: int
    looked: int
    more: bool


class Lanes:
    """The lanes of one process. Each process starts at a random place of the ring, so two do not march in step."""

    def __init__(self, queues: Iterable[str] = (), *, window: int = WINDOW, seed: float | None = None) -> None:
        """Know no lane yet; `queues` are those the worker is bound to."""
        self._window = window
        self._lanes: dict[Name, Lane] = {}
        self._order: list[Name] = []
        self._aside: OrderedDict[Name, None] = OrderedDict()
        self._walk: OrderedDict[Name, None] = OrderedDict()
        self._served: tuple[str, str] | None = None
        self._gap: Name = ("", "", -32768)
        self._short = True
        self._empty = True
        self._plans = 0
        self._random = random.Random(seed)  # noqa: S311 - where to begin is no secret
        for queue in queues:
            self.add_queue(queue)

    @property
    def queues(self) -> list[str]:
        """The queues whose lanes are known, in order."""
        return [name[0] for name in self._order if name[1:] == _LAST]

    def __len__(self) -> int:
        """Return how many lanes are known."""
        return len(self._lanes)

    def add_queue(self, queue: str) -> None:
        """Know a queue: a mark at its end stands for the gap after its last lane."""
        mark = (queue, *_LAST)
        at = bisect_left(self._order, mark)
        if at == len(self._order) or self._order[at] != mark:
            self._order.insert(at, mark)

    def plan(self, held: Mapping[str, int], queues: Sequence[str] | None = None) -> Plan:
        """Say what the next claim reads, of the given queues only (None: of all)."""
        wanted = None if queues is None else set(queues)
        plan = Plan(gaps=self._gaps(wanted))
        for name in self._ring(wanted):
            lane = self._lanes[name]
            plan.segments.append(Segment(lane, lane.key, END, None, held.get(name[1], 0)))
        most = ASIDE_SHORT if self._empty else ASIDE_SOME if self._short else ASIDE_BUSY
        for name in self._turn(self._aside, most, wanted):
            lane = self._lanes[name]
            plan.segments.append(Segment(lane, lane.key, END, None, held.get(name[1], 0)))
        behind: list[Segment] = []
        for name in self._turn(self._walk, BEHIND_SHORT if self._short else BEHIND_BUSY, wanted):
            lane = self._lanes[name]
            stretch = lane.behind()
            if stretch is not None:
                behind.append(Segment(lane, *stretch, BEHIND_ROWS, held.get(name[1], 0)))
        # What comes first is read first, and the rest only with what that left free: under full load the stretches
        # behind the keys would never be read if they did not come first now and then.
        self._plans += 1
        plan.segments = behind + plan.segments if self._plans % 8 == 0 else plan.segments + behind
        return plan

    def fresh(self, n: int) -> int:
        """Return how many new lanes a claim of `n` jobs may take up: more than the window when the last came short."""
        return max(self._window, min(n, 1000)) if self._short else self._window

    def learn(self, plan: Plan, reads: Sequence[LaneRead], *, missing: int, asked: int) -> None:
        """Take in what a claim of `asked` jobs said of its lanes; it gave `missing` fewer."""
        fresh = len(reads) - len(plan.segments)
        if fresh >= self.fresh(asked):
            # The search for new lanes ended at its limit: it goes on after the last one found.
            last = reads[fresh - 1]
            self._gap = (last.queue, last.tenant, last.priority + 1)
        self._short = missing > 0
        self._empty = missing * 4 > asked * 3
        for read in reads[:fresh]:
            lane = self._add((read.queue, read.tenant, read.priority))
            self._forward(lane, read)
        for segment, read in zip(plan.segments, reads[fresh:], strict=True):
            if segment.lane.name not in self._lanes:
                continue
            if segment.most is None:
                self._forward(segment.lane, read)
            elif read.got * 2 >= segment.most and segment.after < segment.lane.key:
                segment.lane.set_back(segment.after)
                self._bring_back(segment.lane)
            elif read.asked:
                segment.lane.walk(segment.after, segment.upto, read.key)
        while len(self._lanes) > LANES_LIMIT and self._aside:
            self._forget(next(iter(self._aside)))

    def forget_all(self) -> None:
        """Begin anew, as after the live tables were rebuilt: keys of rows that came back would hide them."""
        queues = self.queues
        self._lanes.clear()
        self._order.clear()
        self._aside.clear()
        self._walk.clear()
        for queue in queues:
            self.add_queue(queue)

    def _forward(self, lane: Lane, read: LaneRead) -> None:
        if read.asked:
            lane.advance(read.key)
            lane.mixed = read.more and (lane.mixed or read.strange > 0)
        if read.more:
            self._bring_back(lane)
        else:
            lane.aside = True
            self._aside[lane.name] = None

    def _bring_back(self, lane: Lane) -> None:
        lane.aside = False
        self._aside.pop(lane.name, None)

    def _add(self, name: Name) -> Lane:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = Lane(name)
            self.add_queue(name[0])
            insort(self._order, name)
            self._walk[name] = None
        return lane

    def _forget(self, name: Name) -> None:
        del self._lanes[name]
        self._aside.pop(name, None)
        self._walk.pop(name, None)
        at = bisect_left(self._order, name)
        if at < len(self._order) and self._order[at] == name:
            del self._order[at]

    def _ring(self, wanted: set[str] | None) -> list[Name]:
        """The lanes of the next `window` tenants after the last one served, going round once."""
        order, count = self._order, len(self._order)
        if not self._lanes:
            return []
        after = None if self._served is None else (*self._served, 32768)
        start = self._random.randrange(count) if after is None else bisect_right(order, after)
        found: list[Name] = []
        tenants: dict[tuple[str, str], None] = {}
        for step in range(min(count, 16 * self._window)):
            name = order[(start + step) % count]
            lane = self._lanes.get(name)
            if lane is None or lane.aside or (wanted is not None and name[0] not in wanted):
                continue
            if name[:2] not in tenants and len(tenants) == self._window:
                break
            tenants[name[:2]] = None
            found.append(name)
        if tenants:
            # One tenant on, not a whole window: where fewer slots than tenants are free, each comes first in its turn.
            self._served = next(iter(tenants)) if len(tenants) < self._window else list(tenants)[-1]
        return found

    def served(self, tenants: Sequence[tuple[str, str]]) -> None:
        """Go on after the last of the tenants that a claim gave jobs of, in the order of the ring."""
        if tenants:
            self._served = tenants[-1]

    def _gaps(self, wanted: set[str] | None) -> list[Gap]:
        """The gaps before the next known lanes in turn, up to the window."""
        order, count = self._order, len(self._order)
        gaps: list[Gap] = []
        if not count:
            return gaps
        start = bisect_left(order, self._gap)
        for step in range(min(count, 4 * self._window)):
            at = (start + step) % count
            queue, *upto = order[at]
            if wanted is not None and queue not in wanted:
                continue
            if len(gaps) == self._window:
                self._gap = order[at]
                return gaps
            before = order[at - 1] if at and order[at - 1][0] == queue else None
            gaps.append(Gap(queue, _FIRST if before is None else before[1:], (upto[0], upto[1])))  # type: ignore[arg-type]  # unpacking a tuple widens it to a list
        self._gap = order[(start + min(count, 4 * self._window)) % count]
        return gaps

    def _turn(self, ring: OrderedDict[Name, None], most: int, wanted: set[str] | None) -> list[Name]:
        names: list[Name] = []
        for name in list(ring)[:most] if most < len(ring) else list(ring):
            ring.move_to_end(name)
            if wanted is None or name[0] in wanted:
                names.append(name)
        return names
