"""What one process remembers of the lanes it claims from. Pure: no I/O.

A lane is (queue, tenant, priority). Of each the process keeps the key (run_at, id) it has read up to, so that a claim
never reads the dead entries of what was taken before. Four cursors go round, each a bounded way a claim, so the cost of
a claim grows with the window, not with tenants or backlog:

- the ring, over the tenants known to have jobs: who is served next;
- the gaps between known lanes, where new ones are looked for;
- the lanes set aside, which were found empty: has something come after their key?
- the walk behind the keys: rows that committed late, or that another process had locked and given back.

A lane that was found empty and has given few rows is forgotten: what comes later is found in the gap that it leaves.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from jobledger.store.lane import END, START, Key, Lane, Name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["END", "START", "WINDOW", "Gap", "Key", "Lane", "LaneRead", "Lanes", "Name", "Plan", "Segment"]

_FIRST = ("", -32768)
_LAST = ("~", 0)

WINDOW = 64
"""Tenants served by one claim, gaps probed by one, lanes set aside probed by one (`k`)."""
WIDE = 1000
"""The same at most, while the tenants of a window have too few jobs to fill a claim."""
_FEW = 8
BEHIND_BUSY, BEHIND_SHORT, BEHIND_ROWS = 4, 32, 16
"""Looks behind the keys that a claim takes (of full ones each fourth; short), and rows that each may give."""
_LOOKS_EVERY = 4
DEAD_BUSY, DEAD_SHORT = 4096, 4096
"""Rows once taken that one look may pass over: dead entries, under a snapshot held open elsewhere. The looks of busy
claims pass over several times what these take, else the walk would never meet the key again."""
GAP_ROWS = 1024
"""Rows taken from forgotten lanes that one gap may hold, for the same reason; above it lanes are kept."""
ASIDE_LIMIT = 4096
"""Lanes set aside that are remembered at most."""


class Segment(NamedTuple):
    """What a claim reads of one lane: after `after`, up to `upto`.

    `most` is None where the lane has a share; 0: it has one if there is anything; else this many rows at most, if any.
    """

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
    """What one claim reads: looks behind keys, then the ring, whole or a part of it, then lanes set aside."""

    segments: list[Segment] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    new_lanes: int = 0
    ring: range = range(0)
    whole: bool = False
    before: tuple[str, str] | None = None
    served: tuple[str, str] | None = None


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
        self._random = random.Random(seed)  # noqa: S311 - where to begin is no secret
        self._queues = sorted(set(queues))
        self._begin()

    def _begin(self) -> None:
        self._lanes: dict[Name, Lane] = {}
        # The known lanes in order, and for each queue a mark at its end: it stands for the gap after its last lane.
        self._order: list[Name] = [(queue, *_LAST) for queue in self._queues]
        self._active: list[Name] = []
        self._aside: OrderedDict[Name, None] = OrderedDict()
        self._walk: OrderedDict[Name, None] = OrderedDict()
        self._weights: dict[Name, int] = {}
        self._served: tuple[str, str] | None = None
        self._gap: Name = ("", "", -32768)
        self._short = self._empty = True
        self._unread = self._passed = False
        self._plans = 0
        self._width = self._window
        self._owed = 0
        self._repays = False

    @property
    def queues(self) -> list[str]:
        """The queues whose lanes are known, in order."""
        return self._queues.copy()

    @property
    def unread(self) -> bool:
        """Whether the last claim stopped in the middle of what this worker cannot take now, and the next goes on."""
        return self._unread

    def __len__(self) -> int:
        """Return how many lanes are known."""
        return len(self._lanes)

    def plan(self, held: Mapping[str, int], queues: Sequence[str] | None = None, *, n: int = WINDOW) -> Plan:
        """Say what the next claim, of `n` jobs, reads: of the given queues only (None: of all)."""
        wanted = None if queues is None else set(queues)
        width = max(self._window, min(n, self._width))
        # More would be found and not served, and then have to wait until the ring comes round to them.
        looks = min(width, self._window) if self._passed and not self._empty else width
        plan = Plan(new_lanes=0 if self._repays else min(max(n, _FEW), looks))
        if not self._repays:
            plan.gaps = self._gaps(wanted, WIDE if self._empty else self._window)
        # While claims come back full a look gets jobs only if it comes first: that is its right now and then, no more,
        # for it may lead to many rows that this worker cannot take.
        self._plans += 1
        if not self._short and self._plans % _LOOKS_EVERY == 0:
            plan.segments += self._looks(held, wanted, BEHIND_BUSY, DEAD_BUSY)
        first = len(plan.segments)
        for name in self._ring(plan, wanted, width, n):
            lane = self._lanes[name]
            plan.segments.append(Segment(lane, lane.key, END, None, held.get(name[1], 0)))
        plan.ring = range(first, len(plan.segments))
        aside = WIDE if self._empty else self._window
        for name in self._turn(self._aside, aside, wanted):
            lane = self._lanes[name]
            plan.segments.append(Segment(lane, lane.key, END, 0, held.get(name[1], 0)))
        if self._short:
            plan.segments += self._looks(held, wanted, BEHIND_SHORT, DEAD_SHORT)
        return plan

    def learn(self, plan: Plan, reads: Sequence[LaneRead], *, missing: int, asked: int) -> None:
        """Take in what a claim of `asked` jobs said of its lanes; it gave `missing` fewer."""
        fresh = len(reads) - len(plan.segments)
        self._passed = any(not read.asked and not read.more for read in reads[:fresh])
        if fresh and (self._passed or fresh >= plan.new_lanes):
            # The search for new lanes ended at its limit: it goes on after the last one found.
            last = reads[fresh - 1]
            self._gap = (last.queue, last.tenant, last.priority + 1)
        self._short = missing > 0
        self._empty = missing * 4 > asked * 3
        self._unread = self._passed
        self._widen(asked, asked - missing, [read.more for read in reads if read.got])
        for read in reads[:fresh]:
            self._found(read)
        unasked: list[Name] = []
        for segment, read in zip(plan.segments, reads[fresh:], strict=True):
            lane = segment.lane
            if self._lanes.get(lane.name) is not lane:
                continue
            if not segment.most:
                self._forward(lane, read)
            elif read.got * 2 >= BEHIND_ROWS and segment.after < lane.key:
                lane.set_back(segment.after)
                self._bring_back(lane)
            elif read.asked or not read.more:
                lane.looked(segment.after, segment.upto, read.key)
            else:
                unasked.append(lane.name)
        self._first_next(unasked)
        self._go_on(plan, [read.asked > 0 for read in reads[fresh:]], fresh, asked)
        while len(self._aside) > ASIDE_LIMIT:
            self._forget(self._lanes[next(iter(self._aside))])

    def forget_all(self) -> None:
        """Begin anew, as after the live tables were rebuilt: keys of rows that came back would hide them."""
        self._begin()

    def _widen(self, asked: int, got: int, gave: Sequence[bool]) -> None:
        """Serve as many tenants a claim as it takes to fill half of it, and fewer while most have more than they gave.

        A claim costs by the lanes that it reads: better a few that are emptied than a few rows of many each. How many
        it takes is told by what those gave that `gave` anything (with more left, or not): others were emptied by a
        claim at the same time.
        """
        if 2 * got < asked:
            self._width = max(self._window, min(asked * len(gave) // got if got else WIDE, asked, WIDE))
        elif 2 * sum(gave) > len(gave):
            self._width = max(self._window, self._width - self._width // 8 - 1)

    def _first_next(self, unasked: Sequence[Name]) -> None:
        """Let the looks that were left out be the first of the next claim: others came before, and took all of this.

        A lane whose share was empty in the same claim is forgotten by now: what lies behind its key is found in the
        gap that it left.
        """
        for name in reversed(unasked):
            if name in self._walk:
                self._walk.move_to_end(name, last=False)

    def _found(self, read: LaneRead) -> None:
        """Know a new lane, unless it is empty already. What is paused, or not this worker's, is not worth knowing."""
        if read.queue not in self._queues:
            insort(self._queues, read.queue)
            insort(self._order, (read.queue, *_LAST))
        if not read.asked and not read.more:
            return
        name = (read.queue, read.tenant, read.priority)
        if name in self._lanes:
            return  # found by two claims under way at once
        lane = Lane(name)
        at = bisect_left(self._order, name)
        if not read.more and not read.strange and self._fits(self._order[at], read.looked):
            return
        # The search goes upwards: what was forgotten in this gap mostly lies before the lane that is kept now.
        self._weights[name] = self._weights.pop(self._order[at], 0)
        self._order.insert(at, name)
        self._lanes[name] = lane
        insort(self._active, name)
        self._forward(lane, read)

    def _forward(self, lane: Lane, read: LaneRead) -> None:
        if read.asked:
            lane.advance(read.key, read.looked)
            lane.mixed = read.more and (lane.mixed or read.strange > 0)
            lane.strange = lane.strange or read.strange > 0
            self._unread = self._unread or (read.more and read.got < read.asked)
            if lane.stretches:
                self._walk.setdefault(lane.name)
        if read.more:
            self._bring_back(lane)
        elif lane.rows <= GAP_ROWS and not lane.strange and self._fits_after(lane):
            self._forget(lane)
        elif not lane.aside:
            lane.aside = True
            self._aside[lane.name] = None
            del self._active[bisect_left(self._active, lane.name)]

    def _bring_back(self, lane: Lane) -> None:
        if lane.aside:
            lane.aside = False
            del self._aside[lane.name]
            insort(self._active, lane.name)

    def _fits_after(self, lane: Lane) -> bool:
        return self._weights.get(self._after(lane.name), 0) + lane.rows + self._weights.get(lane.name, 0) <= GAP_ROWS

    def _after(self, name: Name) -> Name:
        return self._order[bisect_right(self._order, name)]

    def _fits(self, before: Name, rows: int) -> bool:
        """Whether the gap before a name bears so many dead rows more; then they are noted."""
        weight = self._weights.get(before, 0) + rows
        if weight > GAP_ROWS:
            return False
        self._weights[before] = weight
        return True

    def _forget(self, lane: Lane) -> None:
        name = lane.name
        at = bisect_left(self._order, name)
        del self._order[at]
        self._weights[self._order[at]] = self._weights.get(self._order[at], 0) + lane.rows + self._weights.pop(name, 0)
        del self._lanes[name]
        self._walk.pop(name, None)
        if lane.aside:
            del self._aside[name]
        else:
            del self._active[bisect_left(self._active, name)]

    def _looks(self, held: Mapping[str, int], wanted: set[str] | None, most: int, rows: int) -> list[Segment]:
        """The looks behind the keys of the lanes longest unvisited."""
        looks: list[Segment] = []
        for name in self._turn(self._walk, most, wanted):
            lane = self._lanes[name]
            part = lane.behind(rows)
            parts = lane.both(rows) if self._empty else [] if part is None else [part]
            looks += [Segment(lane, *one, BEHIND_ROWS, held.get(name[1], 0)) for one in parts]
        return looks

    def _ring(self, plan: Plan, wanted: set[str] | None, most: int, n: int) -> list[Name]:
        """The lanes of the next `most` tenants that have jobs, after the last one served, going round once."""
        order, count = self._active, len(self._active)
        found: list[Name] = []
        tenants: list[tuple[str, str]] = []
        if not count:
            return found
        start = self._random.randrange(count) if self._served is None else bisect_right(order, (*self._served, 32768))
        step = 0
        while step < count and len(found) < 4 * most:
            at = (start + step) % count
            name = order[at]
            if wanted is not None and name[0] not in wanted:
                step += bisect_right(order, (name[0], *_LAST), at) - at
                continue
            if not tenants or name[:2] != tenants[-1]:
                if len(tenants) == most:
                    break
                tenants.append(name[:2])
            found.append(name)
            step += 1
        plan.whole = step >= count
        if tenants:
            # A claim under way at the same time goes on where this one is expected to end.
            plan.before = self._served
            plan.served = self._served = tenants[0 if plan.whole and n >= len(tenants) else min(n, len(tenants)) - 1]
        return found

    def _go_on(self, plan: Plan, asked: Sequence[bool], fresh: int, n: int) -> None:
        """Move the ring on to the last tenant that was asked, and see that new lanes do not starve the known ones."""
        last = next((at for at in reversed(plan.ring) if asked[at]), None)
        if self._served != plan.served:
            pass  # another claim has gone on meanwhile
        elif last is None:
            self._served = plan.before
        else:
            # Where everybody was asked one tenant on, not round: who gets what is over when shares are uneven.
            at = plan.ring[0] if plan.whole and last == plan.ring[-1] else last
            self._served = plan.segments[at].lane.name[:2]
        if self._repays:
            self._owed -= 1
            self._repays = self._owed > 0
        elif last is None and plan.ring and fresh:
            self._owed += 1
            served = min(n, self._window)
            self._repays = self._owed * served > len(self._active) + served
        else:
            self._owed = 0

    def _gaps(self, wanted: set[str] | None, most: int) -> list[Gap]:
        """The gaps before the next known lanes in turn."""
        order, count = self._order, len(self._order)
        gaps: list[Gap] = []
        if not count:
            return gaps
        start = bisect_left(order, self._gap)
        step = 0
        while step < count and len(gaps) < most:
            at = (start + step) % count
            queue, tenant, priority = order[at]
            if wanted is not None and queue not in wanted:
                step += bisect_right(order, (queue, *_LAST), at) - at
                continue
            before = order[at - 1] if at and order[at - 1][0] == queue else None
            after = _FIRST if before is None else before[1:]
            if not step and self._gap[0] == queue:
                # The last search ended inside this gap, at its limit.
                after = max(after, (self._gap[1], self._gap[2] - 1))
            gaps.append(Gap(queue, after, (tenant, priority)))
            step += 1
        at = (start + step) % count
        before = order[at - 1]
        fresh = at == 0 or before[0] != order[at][0]
        self._gap = (order[at][0], *_FIRST) if fresh else (*before[:2], before[2] + 1)
        return gaps

    @staticmethod
    def _turn(ring: OrderedDict[Name, None], most: int, wanted: set[str] | None) -> list[Name]:
        names = list(islice(ring, most))
        for name in names:
            ring.move_to_end(name)
        return names if wanted is None else [name for name in names if name[0] in wanted]
