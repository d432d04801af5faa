"""Pages of other origins (CORS): off, unless the settings name them. Keys are no cookies: a header is sent for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from aiohttp import web

from jobledger.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ORIGINS_MOST: Final = 100
PREFLIGHT_S: Final = 600
"""Seconds for which a browser need not ask again."""
_METHODS: Final = "GET, POST, PUT, DELETE"
_SENT: Final = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Accept"
_SHOWN: Final = "ETag, Location, Retry-After, RateLimit, RateLimit-Policy"


def origins_of(setting: str) -> frozenset[str]:
    """Return the origins of the setting.

    Raises:
        InvalidArgument: one of them is no origin (scheme, host and port alone), or there are over 100.
    """
    named = frozenset(part.strip() for part in setting.split(",") if part.strip())
    if len(named) > ORIGINS_MOST or not all(one == "*" or _is_origin(one) for one in named):
        raise InvalidArgument(
            f"JOBLEDGER_HTTP_ORIGINS names up to {ORIGINS_MOST} origins, such as https://shop.example, by commas.",
            hint="An origin has no path and no slash at its end; `*` is every one.",
        )
    return named


class Crossing:
    """Answers browsers that ask for pages of other origins, and lets those that are named read what is answered."""

    def __init__(self, origins: frozenset[str]) -> None:
        """Keep the origins that may; none: every answer is as if no browser had asked."""
        self.origins = origins

    @web.middleware
    async def answer(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer what a browser asks before it sends a request; everything else goes on."""
        if not self.origins or request.method != "OPTIONS" or "Access-Control-Request-Method" not in request.headers:
            return await handler(request)
        if self._may(request) is None:
            return web.Response(status=403)
        return web.Response(
            status=204,
            headers={
                "Access-Control-Allow-Methods": _METHODS,
                "Access-Control-Allow-Headers": _SENT,
                "Access-Control-Max-Age": str(PREFLIGHT_S),
            },
        )

    def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Say in the answer's headers which page may read it. Caches are told that it depends on who asks."""
        if not self.origins:
            return
        vary = response.headers.get("Vary")
        response.headers["Vary"] = f"{vary}, Origin" if vary else "Origin"
        allowed = self._may(request)
        if allowed is not None:
            response.headers["Access-Control-Allow-Origin"] = allowed
            response.headers["Access-Control-Expose-Headers"] = _SHOWN

    def _may(self, request: web.Request) -> str | None:
        given = request.headers.getall("Origin", [])
        if len(given) != 1:
            return None
        if given[0] in self.origins:
            return given[0]
        return "*" if "*" in self.origins else None


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
        whole = f"{parts.scheme}://{parts.netloc}"
        sound = parts.port is None or parts.port > 0
    except ValueError:
        return False
    return sound and parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in text and text == whole
