"""The cursor: an opaque text for a place in the order of the log.

Operators get it plain. Two plain cursors tell how much everybody did between them, so tenants get it encrypted, with a
key that only the service has; the text is bound to the tenant and good for nobody else.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from jobledger.errors import BadCursor, Forbidden
from jobledger.store import opaque
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.pool import Connection

_PLAIN: Final = "p"
_SEALED: Final = "s"
_FORM: Final = struct.Struct(">IQQ")
_LIMITS: Final = (2**31 - 1, 2**63 - 1, 2**63 - 1)
_LONGEST: Final = 200
_SALT: Final = 12


class Place(NamedTuple):
    """A place in the order: everything up to `position` of `block` was read. The default is the beginning.

    Places compare as the log is ordered. `epoch` is that in which the block was sealed.
    """

    block: int = 0
    position: int = 0
    epoch: int = 0

    def text(self) -> str:
        """Return the plain cursor, for who may know how much everybody does."""
        return _PLAIN + opaque.written(_packed(self))


class Cursors:
    """Writes and reads the cursors of one feed: plain ones, or with `tenant` that tenant's own.

    With a tenant only encrypted ones are read: who could make up plain ones would learn how far the log reaches.
    """

    def __init__(self, key: bytes | None = None, tenant: str | None = None) -> None:
        """Keep the key (64 bytes), which a tenant's cursors need."""
        if tenant is not None and key is None:
            raise Forbidden("This role may not make cursors for a tenant.", hint="Ask the service, which has the key.")
        self._cipher = AESSIV(key) if key is not None and tenant is not None else None
        self._bound = [(tenant or "").encode()]

    def write(self, place: Place, *, blind: bool = False) -> str:
        """Return the text of a place; the same place gives the same text.

        Except where it is `blind`, and a tenant's: for places that the tenant's own events did not lead to. Whether two
        such texts are of one place cannot be seen, so they do not tell that others were busy between them.
        """
        if self._cipher is None:
            return place.text()
        packed = _packed(place) + (os.urandom(_SALT) if blind else b"")
        return _SEALED + opaque.written(self._cipher.encrypt(packed, self._bound))

    def read(self, text: str) -> Place:
        """Return the place that a cursor names.

        Raises:
            BadCursor: it is none of this feed's; the value is not told.
        """
        try:
            if not isinstance(text, str) or len(text) > _LONGEST:
                raise ValueError
            packed = opaque.read(text[1:])
            if text[:1] != (_PLAIN if self._cipher is None else _SEALED):
                raise ValueError
            if self._cipher is not None:
                packed = self._cipher.decrypt(packed, self._bound)[: _FORM.size]
            epoch, block, position = _FORM.unpack(packed)
        except (ValueError, struct.error, InvalidTag):
            raise BadCursor(hint="Give one that this feed gave, or begin at its start.") from None
        if (epoch, block, position) > _LIMITS or block > _LIMITS[1] or position > _LIMITS[2]:
            raise BadCursor(hint="Give one that this feed gave, or begin at its start.")
        return Place(block, position, epoch)


async def cursors_for(connection: Connection, tenant: str | None = None) -> Cursors:
    """Return what writes and reads the cursors of a feed of one tenant, or of everybody.

    Raises:
        Forbidden: a tenant's were asked for, and the role is bound to tenants.
    """
    if tenant is None:
        return Cursors()
    with translated():
        return Cursors(await connection.fetchval(statement("order/cursor_key")), tenant)


def _packed(place: Place) -> bytes:
    return _FORM.pack(place.epoch, place.block, place.position)
