"""What verifying finds: one fault, named, and the collection of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from uuid import UUID

Code = Literal[
    "stream_broken",
    "position_inverted",
    "position_repeated",
    "row_differs",
    "row_missing",
    "row_doubled",
    "row_without_stream",
    "view_differs",
    "key_differs",
    "head_differs",
    "stream_unknown",
    "block_out_of_order",
    "block_count",
    "sealed_twice",
    "never_sealed",
]

LISTED_MOST: Final = 1_000


class Fault(NamedTuple):
    """One thing that is not as the log says, or as the log must be.

    `stream` is the job, worker or control stream it is about, None for a block; `found` is what lies there and
    `expected` what should.
    """

    code: Code
    stream: UUID | None
    found: str
    expected: str | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        where = f"{self.stream}: " if self.stream is not None else ""
        return f"{self.code}: {where}{self.found}" + (f"; expected {self.expected}" if self.expected else "")


class Faults:
    """The first 1,000 faults and the number of all; a log that is wrong everywhere costs no memory."""

    def __init__(self) -> None:
        """Begin with none."""
        self.listed: list[Fault] = []
        self.total = 0

    def add(self, fault: Fault) -> None:
        """Take one in."""
        self.total += 1
        if len(self.listed) < LISTED_MOST:
            self.listed.append(fault)

    def take_streams(self) -> list[UUID]:
        """Take out what is said of single streams, to be looked at again; return those streams, each once."""
        if self.total > len(self.listed):
            return []
        again = [one for one in self.listed if one.stream is not None and one.code in _LOOKED_AT_AGAIN]
        self.listed = [one for one in self.listed if one not in set(again)]
        self.total = len(self.listed)
        return list(dict.fromkeys(one.stream for one in again if one.stream is not None))


_LOOKED_AT_AGAIN: Final = frozenset(
    {
        *("stream_broken", "position_inverted", "row_differs", "row_missing", "row_doubled", "row_without_stream"),
        *("view_differs", "head_differs", "stream_unknown"),
    }
)
