"""Malformed input over the Python interface: one of the package's own errors, nothing written, no value repeated."""

from __future__ import annotations

import inspect
import math
import random
import traceback
from typing import TYPE_CHECKING, Any, Final

import pytest

import jobledger
from jobledger import Client, JobledgerError

from .python_inputs import HANDED_ON, Attack, calls, declarations

if TYPE_CHECKING:
    from jobledger.store.pool import Store

CASES: Final = 3_000
TABLES: Final = """
select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'jobledger' and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""


def marked(value: Any, mark: str) -> Any:
    """Put the mark into every text of a value."""
    if isinstance(value, str):
        return value.replace("{mark}", mark)
    if isinstance(value, bytes):
        return value.replace(b"{mark}", mark.encode())
    if isinstance(value, dict) and type(value) is dict:
        return {marked(key, mark): marked(item, mark) for key, item in value.items()}
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return [marked(value[0], mark)]
    return value


async def refusal(attack: Attack, parts: dict[str, Any], mark: str) -> str | None:
    """Return what is wrong with the answer to a malformed call: null where it is refused as it should be."""
    try:
        answer = attack.call(**{name: marked(value, mark) for name, value in parts.items()})
        if inspect.isawaitable(answer):
            answer = await answer
    except JobledgerError as error:
        told = "".join(traceback.format_exception(error))
        if type(error) is JobledgerError:
            return f"no error of its own: {error}"
        said = f"{error} {error.hint} {error.detail}"
        return f"echoes the value: {said}"[:400] if mark in said or f"Error: {mark}" in told else None
    except Exception as error:  # noqa: BLE001 - what a caller would see
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error!s:.120} ({place.filename.rpartition('/')[2]}:{place.lineno})"
    return "was accepted"


async def counts(store: Store) -> dict[str, int]:
    """Return the number of rows of every table."""
    async with store.connection() as connection:
        names = [row[0] for row in await connection.fetch(TABLES)]
        parts = [f"select '{name}' as name, count(*) as n from jobledger.{name}" for name in names]  # noqa: S608
        return {row["name"]: row["n"] for row in await connection.fetch(" union all ".join(parts))}


async def attacks(store: Store, connection: Any) -> tuple[Client, dict[str, Attack]]:
    """Return every attack, with a client and a job that waits."""
    client = Client(store, strict=True)
    waiting = await connection.fetchval("select jobledger.enqueue('k')")
    await connection.execute("select jobledger.pause(0::smallint, 'queue', 'q')")
    return client, declarations() | calls(client, connection, waiting)


async def test_every_public_name_is_attacked_or_has_nothing_to_attack(store: Store) -> None:
    """A new public name, or a new method of the client, without malformed inputs fails here."""
    async with store.connection() as connection:
        names = set((await attacks(store, connection))[1])
    heads = {name.partition(".")[0] for name in names}
    assert set(jobledger.__all__) <= heads | HANDED_ON
    methods = {
        f"Client.{name}"
        for name, member in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_") and name != "register"
    }
    assert methods <= names


async def test_each_malformed_argument_of_the_python_interface_is_refused_by_name(store: Store) -> None:
    """One malformed part at a time: every call, every argument, every value."""
    faults = []
    async with store.connection() as connection:
        _, found = await attacks(store, connection)
        before = await counts(store)
        for name, attack in found.items():
            for part, values in attack.spoilt.items():
                for value in values:
                    fault = await refusal(attack, dict(attack.sound) | {part: value}, "Cn4ry")
                    if fault is not None:
                        faults.append(f"{name}({part}={value!r:.60}): {fault}")
            if await counts(store) != before:
                faults.append(f"{name}: rows were written")
                before = await counts(store)
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])


async def test_thousands_of_random_malformed_python_calls_write_nothing(store: Store) -> None:
    """One to three malformed parts together, drawn from a fixed seed."""
    draw = random.Random(20260302)  # noqa: S311 - not for secrets
    faults = []
    async with store.connection() as connection:
        _, found = await attacks(store, connection)
        before = await counts(store)
        names = [name for name in found if name != "Store.connect"]
        for turn in range(CASES):
            name = draw.choice(names)
            attack = found[name]
            spoilt = draw.sample(sorted(attack.spoilt), min(len(attack.spoilt), draw.choice((1, 2, 3))))
            parts = dict(attack.sound) | {part: draw.choice(list(attack.spoilt[part])) for part in spoilt}
            fault = await refusal(attack, parts, f"Cn4ry{turn:06}")
            if fault is not None:
                faults.append(f"{name} {spoilt}: {fault}")
        assert await counts(store) == before
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])


async def test_a_number_that_json_has_not_is_refused(store: Store) -> None:
    """NaN and the infinities are refused; they would else become null in silence."""
    async with store.connection() as connection:
        _, found = await attacks(store, connection)
        before = await counts(store)
        for value in (math.nan, math.inf, -math.inf):
            for name in ("NewJob", "enqueue_many", "Client.enqueue"):
                with pytest.raises(JobledgerError):
                    await found[name].call(**{**found[name].sound, "args": {"a": [value]}})
        assert await counts(store) == before
