"""A service for a test: its routes over a real database, on a port of its own, asked by an aiohttp client."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from jobledger.http.access import Access
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.settings import Settings
from jobledger.store.roles import Role

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiohttp import web

    from jobledger.jobs.app import App
    from jobledger.store.pool import Store

ADMIN = Access("admin", frozenset({Role.ADMIN}))


@contextmanager
def kept_port() -> Iterator[int]:
    """Give a port that nobody else gets within the block, and that a service may listen on again and again."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


@asynccontextmanager
async def served(
    store: Store, access: Access | None = ADMIN, *, app: App | None = None, **settings: Any
) -> AsyncIterator[tuple[aiohttp.ClientSession, Service]]:
    """Serve on a free port, as `access` for whoever asks (None: keys decide); a session with its base URL."""

    async def fixed(_: web.Request) -> Access:
        assert access is not None
        return access

    given = Settings(http_port=0, **settings)
    service = Service(store, settings=given, app=app, authenticate=fixed if access is not None else None)
    async with listening(service) as url, aiohttp.ClientSession(url) as session:
        yield session, service


@pytest.fixture
def port() -> Iterator[int]:
    """Give a port of the test's own."""
    with kept_port() as kept:
        yield kept


@pytest.fixture
def serving() -> Any:
    """How a test serves: `async with serving(store, access) as (session, service)`."""
    return served
