"""The wall of the service: what the bearer of a key, token or JWT may see and do.

Every route asks here which tenant and owner it may look at, and nowhere else. What is not the bearer's own answers as
if it did not exist: whether it does, nobody can tell.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from jobledger.errors import Forbidden, InvalidFields, NotFound
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

_KEY_MOST: Final = 256


@dataclass(frozen=True, slots=True)
class Access:
    """Who asks. `tenants` None: of every tenant; `owner` not None: of that owner's jobs inside them only.

    `name` is the actor that the log gets; `id` by what its requests are counted; `rate` its own limit of requests a
    second; `key` the key that it has, or that its token was made with.
    """

    name: str
    roles: frozenset[Role]
    tenants: frozenset[str] | None = None
    owner: str | None = None
    id: UUID | None = None
    rate: int | None = None
    expires_at: datetime | None = None
    key: UUID | None = None

    def may(self, *roles: Role) -> bool:
        """Say whether it has one of the roles; `admin` has all, and none asked for is everybody's."""
        return not roles or Role.ADMIN in self.roles or not self.roles.isdisjoint(roles)

    def require(self, *roles: Role) -> None:
        """Raise `Forbidden` where it has none of the roles."""
        if not self.may(*roles):
            wanted = " or ".join(role.value for role in roles)
            raise Forbidden(f"This key has not the role {wanted}.", hint="Ask for a key that has.")

    def tenant(self, asked: str | None) -> str | None:
        """Return the tenant that is looked at: the one asked for, else the key's only one; None: every tenant.

        Raises:
            NotFound: it is not this key's, whether or not it exists.
            InvalidFields: the key has several, and none was asked for.
        """
        if self.tenants is None:
            return asked
        if asked is None:
            if len(self.tenants) != 1:
                raise InvalidFields(
                    "The key is for several tenants; say which.",
                    detail={"fields": [{"field": "tenant", "rule": "one of the key's tenants"}]},
                )
            return next(iter(self.tenants))
        if asked not in self.tenants:
            raise NotFound("There is no such tenant.")
        return asked

    def one_tenant(self, asked: str | None, default: str = "default") -> str:
        """Return the tenant that something is written for; a key of every tenant that names none means `default`."""
        return self.tenant(asked) or default

    def owner_of(self, asked: str | None) -> str | None:
        """Return the owner whose jobs are looked at: the key's own, else the one asked for.

        Raises:
            NotFound: it is not this key's.
        """
        if self.owner is None:
            return asked
        if asked is not None and asked != self.owner:
            raise NotFound("There is no such owner.")
        return self.owner

    def own(self, key: str) -> str:
        """Return a key that its tenant's jobs share as one of this owner's alone.

        Else a repeated request would find another owner's job, and an open job of another owner's be in its way.
        """
        if self.owner is None or not 1 <= len(key) <= _KEY_MOST:
            return key
        digest = hashlib.blake2b(f"{self.owner}\0{key}".encode("utf-8", "surrogatepass"), digest_size=24)
        return f"owner:{digest.hexdigest()}"

    def must_see_all(self) -> None:
        """Raise `Forbidden` unless it is of every tenant and no single owner: for what is the whole service's."""
        if self.tenants is not None or self.owner is not None:
            raise Forbidden("This is for keys of every tenant.", hint="Ask for a key without tenants.")

    def must_see_tenant(self) -> None:
        """Raise `Forbidden` for a key that is bound to one owner: for what is of the tenant as a whole."""
        if self.owner is not None:
            raise Forbidden("This is not for keys that are bound to one owner.", hint="Ask for a key of the tenant.")
