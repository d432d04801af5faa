"""A set of positions of the log, one bit each: a hundred million events are 12 MB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_SHIFT: Final = 20
_MASK: Final = (1 << _SHIFT) - 1
_BYTES: Final = 1 << (_SHIFT - 3)


class Positions:
    """Positions that were met; memory goes with the span of positions, not with gaps between far ones."""

    def __init__(self) -> None:
        """Begin empty."""
        self._chunks: dict[int, bytearray] = {}

    def __contains__(self, position: int) -> bool:
        """Say whether it was met."""
        chunk = self._chunks.get(position >> _SHIFT)
        return chunk is not None and bool(chunk[(position & _MASK) >> 3] >> (position & 7) & 1)

    def add(self, position: int) -> bool:
        """Take one in; False if it was there already."""
        chunk = self._chunks.get(position >> _SHIFT)
        if chunk is None:
            chunk = self._chunks[position >> _SHIFT] = bytearray(_BYTES)
        place, bit = (position & _MASK) >> 3, 1 << (position & 7)
        if chunk[place] & bit:
            return False
        chunk[place] |= bit
        return True

    def add_all(self, positions: Iterable[int]) -> list[int]:
        """Take them in, and return those that were there already."""
        return [one for one in positions if not self.add(one)]
