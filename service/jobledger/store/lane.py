"""One lane as a process remembers it: how far it was read, and the walk over what lies behind. Pure: no I/O.

The part before the key is remembered as stretches, one for each claim, with how many rows each gave: as long as some
transaction keeps an old snapshot, a look at a stretch passes over that many dead entries. Looks are bounded by it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import UTC, datetime
from uuid import UUID

Key = tuple[datetime, UUID]
Name = tuple[str, str, int]

START: Key = (datetime(1, 1, 2, tzinfo=UTC), UUID(int=0))
END: Key = (datetime(9999, 12, 30, tzinfo=UTC), UUID(int=2**128 - 1))

STRETCHES = 256
"""Stretches remembered of one lane; of more, the older half are joined in pairs."""


class Lane:
    """One known lane: its key, its stretches behind the key, and how it was last found."""

    __slots__ = ("_at", "_ends", "_newest", "_recent", "_rows", "aside", "key", "mixed", "name", "rows", "strange")

    def __init__(self, name: Name) -> None:
        """Begin before everything."""
        self.name = name
        self.key = START
        self.rows = 0
        self.mixed = False
        self.strange = False
        self.aside = False
        self._ends: list[Key] = [START]
        self._rows: list[int] = [0]
        self._at = START
        self._recent: Key | None = None
        self._newest = True

    @property
    def stretches(self) -> int:
        """Count the stretches behind the key."""
        return len(self._ends) - 1

    def advance(self, key: Key, rows: int) -> None:
        """Move the key past `rows` rows that were read, and remember the stretch."""
        if key <= self.key:
            return
        self.key = key
        self.rows += rows
        self._ends.append(key)
        self._rows.append(rows)
        if len(self._ends) > STRETCHES:
            middle = len(self._ends) // 2 | 1
            pairs = [self._rows[at] + self._rows[at + 1] for at in range(1, middle - 1, 2)]
            self._ends[1:middle] = self._ends[2:middle:2]
            self._rows[1:middle] = pairs

    def set_back(self, key: Key) -> None:
        """Take up reading at an earlier key: most of what lay behind could be claimed."""
        at = bisect_left(self._ends, key)
        self.key = key
        self._ends[at:] = [key] if at else [START]
        self._rows[at:] = [0]
        self._at = START
        self._recent = None

    def behind(self, most_rows: int) -> tuple[Key, Key] | None:
        """Return what to look at behind the key next: stretches side by side that gave `most_rows` at most, or one.

        Every other time the newest ones, else the next of the walk that began at the lane's start, and begins there
        again when it meets the key.
        """
        ends, rows, last = self._ends, self._rows, len(self._ends) - 1
        if last < 1:
            return None
        if self._newest:
            at, sum_ = last, rows[last]
            while at > 1 and sum_ + rows[at - 1] <= most_rows:
                at -= 1
                sum_ += rows[at]
            after = ends[at - 1]
            return max(after, self._recent) if self._recent is not None and self._recent < self.key else after, self.key
        at = bisect_right(ends, self._at)
        if at > last:
            self._at, at = START, 1
        sum_ = rows[at]
        while at < last and sum_ + rows[at + 1] <= most_rows:
            at += 1
            sum_ += rows[at]
        return self._at, ends[at]

    def both(self, most_rows: int) -> list[tuple[Key, Key]]:
        """Return both looks at once, side by side and never over each other: for a claim that has nothing else to do.

        A worker that waits polls seldom; what was committed late is to be found by its next poll, not the one after.
        """
        if len(self._ends) < 2:
            return []
        self._newest = True
        newest = self.behind(most_rows)
        first = newest[0] if newest is not None else self.key
        if self._at >= first:
            self._at = START
        self._newest = False
        walk = self.behind(most_rows)
        self._newest = True
        looks = [newest] if newest is not None else []
        if walk is not None and walk[0] < first:
            looks.append((walk[0], min(walk[1], first)))
        return looks

    def looked(self, after: Key, upto: Key, reached: Key) -> None:
        """Note how far a look behind the key came: the next goes on there, or past it where nothing was left.

        Rows that this worker cannot take lie at the start of a stretch for as long as nobody else takes them: one that
        began there each time would never see what lies behind them.
        """
        self._newest = not self._newest
        stopped = reached if after < reached < upto else None
        if after == self._at:
            self._at = stopped or (START if upto >= self.key else upto)
        if upto == self.key:
            self._recent = stopped
