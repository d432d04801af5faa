"""Who asks: a key, a browser's token, or a JWT, out of a request.

One credential a request: the header `Authorization: Bearer …`, or for what reads a browser's token in the address.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from jobledger.errors import Unauthenticated
from jobledger.http import token
from jobledger.http.access import Access
from jobledger.http.jwt import JwtReader
from jobledger.store.keys import MARK as KEY_MARK
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from aiohttp import web

    from jobledger.http.key_book import KeyBook
    from jobledger.settings import Settings
    from jobledger.store.keys import FoundKey

IN_ADDRESS: Final = "token"
"""The query's field that may hold a browser's token; routes may have one of that name for other texts."""
_TEXT: Final = re.compile(r"[A-Za-z0-9._~+/-]{1,8000}=*", re.ASCII)
_WAY: Final = "Send it as `Authorization: Bearer jl_…`."


class Authentication:
    """Says who asks. Made once for a service; keys are remembered in its book."""

    def __init__(self, book: KeyBook, settings: Settings) -> None:
        """Ask nobody yet. Raises `InvalidArgument` where JWTs are set up so that none could be read."""
        self._book = book
        self._jwt = JwtReader(settings) if settings.jwt_keys is not None else None
        self._last: tuple[FoundKey | None, Access] = (None, Access("nobody", frozenset(), frozenset()))

    async def __call__(self, request: web.Request) -> Access:
        """Return who asks.

        Raises:
            Unauthenticated: nobody, or nobody (any more) whom this service knows.
            Unavailable: who it is cannot be found out now.
        """
        text = _credential(request)
        if text.startswith(token.MARK):
            return await self._of_token(text)
        if text.startswith(KEY_MARK):
            return await self._of_key(text)
        if self._jwt is not None and text.count(".") == 2:
            return await self._jwt.read(text, await self._book.now())
        raise _unknown()

    async def _of_key(self, text: str) -> Access:
        key = await self._book.find(text)
        if key is None:
            raise _unknown()
        self._book.used(key.id)
        known, access = self._last
        if known is not key:
            access = _access(key)
            # Most requests in a row come with the same few keys; the book gives the same object while it is fresh.
            self._last = (key, access)
        return access

    async def _of_token(self, text: str) -> Access:
        claims = token.read(await self._book.service_key(), text)
        if claims.key is not None:
            key = await self._book.find_id(claims.key)
            if key is None or not _is_within(claims, key):
                raise _over()
            self._book.used(claims.key)
        elif self._jwt is None or claims.tenant is None or claims.owner != claims.name:
            # Nothing is looked up of a JWT: what was made with one is of its subject, in one tenant, or is forged.
            raise _over()
        if claims.expires_at <= await self._book.now():
            raise _over()
        return claims.access()


def _access(key: FoundKey) -> Access:
    return Access(
        name=f"key:{key.name}",
        roles=frozenset(map(Role, key.roles)),
        tenants=key.tenants,
        owner=key.owner,
        id=key.id,
        rate=key.rate,
        expires_at=key.expires_at,
        key=key.id,
    )


def _is_within(claims: token.Claims, key: FoundKey) -> bool:
    # It was so when the token was made; asked again, what somebody else could sign is worth no more than the key.
    return (
        (key.tenants is None or claims.tenant in key.tenants)
        and key.owner in (None, claims.owner)
        and (Role.ADMIN in key.roles or claims.roles <= key.roles)
    )


def is_in_address(name: str, value: str) -> bool:
    """Say whether a field of a query is a browser's token: then it is nothing that a route reads."""
    return name == IN_ADDRESS and value.startswith(token.MARK)


def _credential(request: web.Request) -> str:
    headers = request.headers.getall("Authorization", [])
    # The address is most often without a query, and taking one apart costs more than all the rest here.
    fields = request.query.items() if request.query_string else ()
    given = [value for name, value in fields if is_in_address(name, value)]
    if len(headers) + len(given) > 1:
        raise Unauthenticated("More than one key or token was given.", hint="Send one.")
    if given:
        if request.method not in ("GET", "HEAD"):
            raise Unauthenticated("A token in the address only reads.", hint=_WAY)
        text = given[0]
    elif headers:
        scheme, _, rest = headers[0].partition(" ")
        text = rest.strip(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("The scheme is none that is taken here.", hint=_WAY)
    else:
        raise Unauthenticated("No key was given.", hint=_WAY)
    if _TEXT.fullmatch(text) is None:
        raise _unknown()
    return text


def _unknown() -> Unauthenticated:
    return Unauthenticated("The key is none, or counts no more.", hint="Ask for another one.")


def _over() -> Unauthenticated:
    return Unauthenticated("The token is over.", hint="Ask for a new one.")
