"""Where a list goes on, as a text that tells nothing: the place may be another's job."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from jobledger.errors import InvalidArgument

if TYPE_CHECKING:
    from jobledger.http.route import Call
    from jobledger.store.service_key import ServiceKey

_MOST: Final = 64


class Bookmarks:
    """Writes and reads the cursors of one list, of one tenant and owner; those of another list are none here."""

    def __init__(self, key: ServiceKey, *of: str | None) -> None:
        """Keep the cipher, and whose list it is."""
        self._cipher = AESSIV(key.derive("bookmark", 64))
        self._of = [b"-" if part is None else b"+" + part.encode("utf-8", "surrogatepass") for part in of]

    def write(self, job: UUID) -> str:
        """Return the cursor that goes on behind a job."""
        return base64.urlsafe_b64encode(self._cipher.encrypt(job.bytes, self._of)).decode().rstrip("=")

    def read(self, text: str) -> UUID:
        """Return the job behind which to go on. Raises `InvalidArgument`: the cursor is none of this list's."""
        try:
            if len(text) > _MOST:
                raise ValueError
            sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            return UUID(bytes=self._cipher.decrypt(sealed, self._of))
        except (ValueError, binascii.Error, InvalidTag):
            raise InvalidArgument(
                "The cursor is none of this list's.", hint="Send `next` of the page before."
            ) from None


async def marks_for(call: Call[Any, Any], of: str, tenant: str | None) -> Bookmarks | None:
    """Return what writes a list's cursors for who is bound to one owner; None for others: they get ids."""
    if call.access.owner is None:
        return None
    return Bookmarks(await call.service.book.service_key(), of, tenant, call.access.owner)


def opened(marks: Bookmarks | None, cursor: str | None) -> str | None:
    """Return the place that a cursor means. Raises `InvalidArgument`: it is none of this list's."""
    return cursor if marks is None or cursor is None else str(marks.read(cursor))


def closed(marks: Bookmarks | None, following: str | None) -> str | None:
    """Return the cursor of a place."""
    return following if marks is None or following is None else marks.write(UUID(following))
