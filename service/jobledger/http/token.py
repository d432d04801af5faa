"""Tokens for browsers: what a page may see, signed by the service, over within the hour.

A page's EventSource sends no header, so a token may stand in the address (`?token=`) of what reads. It counts until its
end, as long as the key that it was made with does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID, uuid5

import orjson

from jobledger.errors import Unauthenticated
from jobledger.http.access import Access
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from jobledger.store.service_key import ServiceKey

MARK: Final = "jlt_"
LIFE_MOST_S: Final = 3600
"""Seconds for which a token may count."""
_LABEL: Final = "browser"


class Claims(NamedTuple):
    """What a token says. `key` None: it was made with a JWT, whose subject is `name`."""

    key: UUID | None
    name: str
    roles: frozenset[Role]
    tenant: str | None
    owner: str | None
    rate: int | None
    expires_at: datetime

    def access(self) -> Access:
        """Return what the bearer may. Requests are counted for each owner of each key, not for the key."""
        whose = f"{self.tenant or ''}\0{self.owner or ''}"
        return Access(
            name=f"token:{self.name}",
            roles=self.roles,
            tenants=None if self.tenant is None else frozenset({self.tenant}),
            owner=self.owner,
            id=uuid5(self.key or UUID(int=0), whose),
            rate=self.rate,
            expires_at=self.expires_at,
            key=self.key,
        )


def written(service: ServiceKey, claims: Claims) -> str:
    """Return the text of a token."""
    payload = {
        "k": None if claims.key is None else claims.key.hex,
        "n": claims.name,
        "r": sorted(claims.roles),
        "t": claims.tenant,
        "o": claims.owner,
        "q": claims.rate,
        "e": int(claims.expires_at.timestamp()),
    }
    return MARK + service.sign(_LABEL, orjson.dumps(payload))


def read(service: ServiceKey, text: str) -> Claims:
    """Return what a token of this service says; whether it is over yet is not looked at.

    Raises:
        Unauthenticated: it is none.
    """
    said = orjson.loads(service.verify(_LABEL, text.removeprefix(MARK)))
    try:
        return Claims(
            key=None if said["k"] is None else UUID(said["k"]),
            name=said["n"],
            roles=frozenset(Role(role) for role in said["r"]),
            tenant=said["t"],
            owner=said["o"],
            rate=said["q"],
            expires_at=datetime.fromtimestamp(said["e"], UTC),
        )
    except (KeyError, ValueError):
        # Signed by this service, in another version of it.
        raise Unauthenticated("The token is none of this service's.", hint="Ask for a new one.") from None
