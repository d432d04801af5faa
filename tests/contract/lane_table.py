"""A table of waiting jobs in memory that answers plans by the rules of a claim: for tests of what a process remembers.

It counts what a claim would cost: index descents, and rows or dead entries read.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from datetime import UTC, datetime, timedelta
from uuid import UUID

from jobledger.store.lanes import START, Key, LaneRead, Lanes, Name, Plan

Item = tuple[Name, Key, Key, int | None]

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def key_at(moment: int) -> Key:
    """Return the key of a job that came at this moment."""
    return _BEGIN + timedelta(seconds=moment), UUID(int=moment)


class LaneTable:
    """Jobs waiting in lanes, and dead entries of those taken."""

    def __init__(self) -> None:
        """Begin empty."""
        self.jobs: dict[Name, list[Key]] = {}
        self.strange: set[tuple[Name, Key]] = set()
        self.dead: dict[Name, list[Key]] = {}
        self.paused: set[str] = set()
        self.descents = 0
        self.entries = 0
        self._names: list[Name] = []

    def __len__(self) -> int:
        """Count the jobs."""
        return sum(map(len, self.jobs.values()))

    def put(self, tenant: str, moment: int, *, priority: int = 0, strange: bool = False) -> None:
        """Let a job wait; a strange one is of a kind that the worker does not know."""
        name = ("q", tenant, priority)
        if name not in self.jobs:
            insort(self._names, name)
        insort(self.jobs.setdefault(name, []), key_at(moment))
        if strange:
            self.strange.add((name, key_at(moment)))

    def claim(self, lanes: Lanes, n: int, held: dict[str, int] | None = None) -> list[tuple[str, Key]]:
        """Answer one claim of `n` jobs, and let the process learn from it; returns (tenant, key) of each job."""
        plan = lanes.plan(held or {}, n=n)
        return self.answer(lanes, plan, n, held or {})

    def answer(self, lanes: Lanes, plan: Plan, n: int, held: dict[str, int]) -> list[tuple[str, Key]]:
        """Answer a plan."""
        new = self._new_lanes(plan)
        shares = sum(segment.most is None for segment in plan.segments)
        items: list[Item] = [(name, START, (datetime.max.replace(tzinfo=UTC), UUID(int=0)), None) for name in new]
        items += [(s.lane.name, s.after, s.upto, s.most) for s in plan.segments]
        more = [
            name[1] not in self.paused and (most is None or self._any(name, after, upto))
            for name, after, upto, most in items
        ]
        mosts: list[int | None] = [most or None for *_, most in items]
        first = [at for at, most in enumerate(mosts) if most is None][: max(plan.new_lanes, shares)]
        keys = [after for _, after, _, _ in items]
        asked, got, odd, looked = ([0] * len(items) for _ in range(4))
        taken: list[tuple[str, Key]] = []
        running = dict(held)
        for turn in range(8):
            left = n - len(taken)
            now = [at for at in range(len(items)) if more[at] and (turn or mosts[at] or at in first)]
            now = self._one_lane_a_tenant(now, items, mosts)
            if left <= 0 or not now:
                break
            for at, quota in self._quotas(now, items, mosts, left, running):
                name, _, upto, _ = items[at]
                read = self._read(name, keys[at], upto, quota)
                fit = [key for key in read if (name, key) not in self.strange]
                asked[at] += quota
                looked[at] += len(read)
                got[at] += len(fit)
                odd[at] += len(read) - len(fit)
                running[name[1]] = running.get(name[1], 0) + len(fit)
                taken += [(name[1], key) for key in fit]
                if read:
                    keys[at] = read[-1]
                more[at] = mosts[at] is None and len(read) >= quota and self._any(name, keys[at], upto)
                for key in fit:
                    self.jobs[name].remove(key)
                    insort(self.dead.setdefault(name, []), key)
        reads = [
            LaneRead(*item[0], keys[at], asked[at], got[at], odd[at], looked[at], more[at])
            for at, item in enumerate(items)
        ]
        lanes.learn(plan, reads, missing=n - len(taken), asked=n)
        return taken

    def _new_lanes(self, plan: Plan) -> list[Name]:
        found: list[Name] = []
        looked = 0
        gaps = plan.gaps or []
        for queue, after, before in [("q", ("", -32768), ("~", 0))] if not plan.segments and not gaps else gaps:
            self.descents += 1
            at = bisect_right(self._names, (queue, *after))
            while at < len(self._names) and self._names[at] < (queue, *before) and looked < plan.new_lanes:
                self.descents += 1
                self.entries += len(self.dead.get(self._names[at], []))
                if self.jobs[self._names[at]]:
                    looked += 1
                    found.append(self._names[at])
                at += 1
        left = [name for name in found if name[1] not in self.paused]
        if 0 < plan.new_lanes <= looked and len(left) < looked:
            paused = next(name for name in reversed(found) if name[1] in self.paused)
            return [*left, paused] if found[-1] == paused else [paused, *left]
        return left

    def _one_lane_a_tenant(self, now: list[int], items: list[Item], mosts: list[int | None]) -> list[int]:
        best: dict[str, int] = {}
        for at in now:
            name = items[at][0]
            if mosts[at] is None and (name[1] not in best or name[2] < items[best[name[1]]][0][2]):
                best[name[1]] = at
        return [at for at in now if mosts[at] is not None or best[items[at][0][1]] == at]

    def _quotas(
        self,
        now: list[int],
        items: list[Item],
        mosts: list[int | None],
        left: int,
        running: dict[str, int],
    ) -> list[tuple[int, int]]:
        shared = [at for at in now if mosts[at] is None]
        slots = left + sum(running.get(items[at][0][1], 0) for at in shared)
        each, over = divmod(slots, len(shared)) if shared else (0, 0)
        quotas: list[tuple[int, int]] = []
        wanted = turn = 0
        for at in now:
            most = mosts[at]
            if most is None:
                turn += 1
                want = max(0, each + (turn <= over) - running.get(items[at][0][1], 0))
            else:
                want = most
            if (quota := min(want, max(0, left - wanted))) > 0:
                quotas.append((at, quota))
            wanted += want
        return quotas

    def _any(self, name: Name, after: Key, upto: Key) -> bool:
        self.descents += 1
        return bool(self._between(name, after, upto))

    def _between(self, name: Name, after: Key, upto: Key) -> list[Key]:
        dead, jobs = self.dead.get(name, []), self.jobs.get(name, [])
        self.entries += bisect_right(dead, upto) - bisect_right(dead, after)
        return jobs[bisect_right(jobs, after) : bisect_right(jobs, upto)]

    def _read(self, name: Name, after: Key, upto: Key, quota: int) -> list[Key]:
        self.descents += 1
        read = self._between(name, after, upto)[:quota]
        self.entries += len(read)
        return read
