"""Malformed input over the Python client of a service: refused here or there, and nothing of it is told or written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobledger import Client
from jobledger.http.access import Access
from jobledger.http.server import listening
from jobledger.http.service import Service
from jobledger.remote.connection import ServiceConnection
from jobledger.settings import Settings
from jobledger.store.roles import Role

from .python_inputs import calls
from .test_malformed_python import counts, refusal

if TYPE_CHECKING:
    from aiohttp import web

    from jobledger.store.pool import Store


@pytest.mark.slow
async def test_each_malformed_argument_is_refused_by_a_service_too(store: Store) -> None:
    """One malformed part at a time: every call of the client, every argument, every value."""

    async def fixed(_: web.Request) -> Access:
        return Access("key:ada", frozenset({Role.ADMIN}))

    faults = []
    service = Service(store, settings=Settings(http_port=0), authenticate=fixed)
    async with store.connection() as connection, listening(service) as url, ServiceConnection(url, "jl_key") as line:
        waiting = await connection.fetchval("select jobledger.enqueue('k')")
        await connection.execute("select jobledger.pause(0::smallint, 'queue', 'q')")
        found = calls(Client(line), connection, waiting, lambda app: Client(line, app=app))
        before = await counts(store)
        for name, attack in found.items():
            if not name.startswith("Client."):
                continue
            for part, values in attack.spoilt.items():
                for value in values:
                    fault = await refusal(attack, dict(attack.sound) | {part: value}, "Cn4ry")
                    if fault is not None:
                        faults.append(f"{name}({part}={value!r:.60}): {fault}")
            if await counts(store) != before:
                faults.append(f"{name}: rows were written")
                before = await counts(store)
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])
