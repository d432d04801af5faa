"""A canary secret through every way out of a handler: log, events, errors, results, progress and data directory."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr  # noqa: TC002 - an argument is checked by it
from tests.jobs.disk import contents

from jobledger.jobs import App, Cancel, Client, Context, Park, PermanentFailure, Retry, Secret, Snooze, Stopped
from jobledger.settings import Settings
from jobledger.testing import drain
from jobledger.worker.worker import Worker

if TYPE_CHECKING:
    from jobledger.embedded import Server
    from jobledger.store.pool import Store

SEEN: list[str] = []
MARK = "w0rker-c4nary"

app = App()


@app.job(max_attempts=1)
async def use(context: Context, key: SecretStr, way: str) -> Any:
    """Say the secret in the way asked for."""
    secret = key.get_secret_value()
    SEEN.append(f"{way} {secret.startswith(MARK)}")
    context.logger.info("the key is %s", secret)
    await context.progress(0.1, f"with {secret}", {"key": secret, secret: [secret]})
    if way == "wait":
        await wait_to_be_ended(secret)
    outcomes: dict[str, Any] = {
        "snooze": lambda: Snooze(3600, f"later {secret}"),
        "cancel": lambda: Cancel(f"no {secret}"),
        "park": lambda: Park(f"stop {secret}", needs=f"a key like {secret}"),
        "retry": lambda: Retry(after=3600, reason=f"again {secret}"),
        "result": lambda: {"key": secret, secret: [secret]},
    }
    if way in outcomes:
        return outcomes[way]()
    if way == "raise":
        try:
            raise KeyError(secret)
        except KeyError as error:
            raise PermanentFailure(f"refused {secret}") from error
    if way == "group":
        raise ExceptionGroup(f"many {secret}", [ValueError(secret)])
    return None


async def wait_to_be_ended(secret: str) -> None:
    """Wait, and complain with the secret when ended."""
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        raise ValueError(f"ended with {secret}") from None


@app.job(max_attempts=1)
def use_sync(context: Context, key: SecretStr) -> str:
    """Say the secret in a thread."""
    secret = key.get_secret_value()
    SEEN.append(f"sync {secret.startswith(MARK)}")
    context.wait_for(context.progress(0.5, secret))
    context.logger.error("sync %s", secret)
    raise RuntimeError(f"sync {secret}")


@app.job(max_attempts=1)
def use_until_ended(context: Context, key: SecretStr) -> None:
    """Complain with the secret when ended in a thread."""
    SEEN.append("sync wait True")
    context.cancellation.wait_blocking(60)
    try:
        context.cancellation.raise_if_cancelled()
    except Stopped as stopped:
        raise RuntimeError(f"ended with {key.get_secret_value()}") from stopped


@app.job(max_attempts=1, isolation="process")
def use_in_process(key: SecretStr) -> str:
    """Say the secret in another process."""
    raise RuntimeError(f"process {key.get_secret_value()}")


@app.job(max_attempts=1, transaction=True)
async def use_in_transaction(context: Context, key: SecretStr) -> str:
    """Say the secret to the database."""
    await context.connection.execute("select $1::int", key.get_secret_value())
    return "never"


async def events(store: Store) -> list[Any]:
    """Return the whole log as text."""
    async with store.connection() as conn:
        return [row["event"] for row in await conn.fetch("select e::text as event from jobledger.events as e")]


async def until(condition: Any) -> None:
    """Wait for a condition, a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    """Give each test a secret of its own: they share a data directory."""
    made = f"{MARK}-{uuid4().hex}"
    monkeypatch.setenv("CANARY_KEY", made)
    SEEN.clear()
    return made


async def search(canary: str, store: Store, postgres: Server, caplog: pytest.LogCaptureFixture, said: str) -> None:
    """Look for the canary wherever the service puts anything."""
    log = await events(store)
    assert [event for event in log if canary in event] == []
    assert canary not in caplog.text
    for record in caplog.records:
        assert canary not in repr(record.__dict__)
    assert canary not in said
    async with store.connection() as conn:
        await conn.execute("checkpoint")
    for file, content in contents(postgres.data):
        assert canary.encode() not in content, file


async def test_no_way_out_of_a_handler_carries_the_secret(
    canary: str,
    store: Store,
    postgres: Server,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Results, outcomes, exceptions with causes and groups, threads, processes, transactions."""
    client = Client(store, app=app)
    key = Secret("env:CANARY_KEY")
    ways = ["snooze", "cancel", "park", "retry", "result", "raise", "group", "plain"]
    with caplog.at_level(logging.DEBUG):
        handles: list[Any] = [await use.using(client=client).enqueue(key, way) for way in ways]
        handles += [
            await job.using(client=client).enqueue(key) for job in (use_sync, use_in_process, use_in_transaction)
        ]
        await use.using(client=client).enqueue(Secret("env:MISSING_KEY"), "missing")
        done = await drain(app, store)
    assert len(done) == len(handles) + 1
    assert sorted(SEEN) == sorted([*(f"{way} True" for way in ways), "sync True"])
    said = [str(done)]
    for handle in handles:
        said.append(f"{await client.job(handle)} {await client.history(handle)}")
        try:
            said.append(repr(await handle.result(timeout=0)))
        except Exception as error:  # noqa: BLE001 - whatever it says is searched
            said.append(f"{error!r} {getattr(error, 'detail', None)}")
    output = capfd.readouterr()
    await search(canary, store, postgres, caplog, " ".join([*said, output.out, output.err]))
    assert "[secret]" in " ".join(said)


@pytest.mark.parametrize("ending", ["cancel", "kill", "timeout", "stop"])
async def test_no_early_end_of_a_handler_carries_the_secret(
    canary: str,
    store: Store,
    postgres: Server,
    caplog: pytest.LogCaptureFixture,
    ending: str,
) -> None:
    """The handler complains with the secret while it is cancelled, killed, timed out or stopped."""
    client = Client(store, app=app)
    options: Any = {"client": client, "timeout": 1} if ending == "timeout" else {"client": client}
    with caplog.at_level(logging.DEBUG):
        handles = [
            await use.using(**options).enqueue(Secret("env:CANARY_KEY"), "wait"),
            await use_until_ended.using(**options).enqueue(Secret("env:CANARY_KEY")),
        ]
        worker = Worker(app, store, settings=Settings(lease_s=3, heartbeat_s=0.5))
        async with worker:
            await until(lambda: len(SEEN) == 2)
            for handle in handles:
                if ending == "cancel":
                    await client.cancel(handle, reason="test")
                elif ending == "kill":
                    await client.kill(handle, reason="test")
            if ending == "stop":
                worker.stop("test", hurry=True)
            else:
                for handle in handles:
                    with pytest.raises(Exception, match="The job"):
                        await handle.result(timeout=30)
    await search(canary, store, postgres, caplog, str([await client.history(handle) for handle in handles]))


async def test_a_plain_secret_from_sql_goes_to_the_dead_letters_unseen(store: Store) -> None:
    """Plain SQL cannot be kept from logging it; the handler does not take it, and the error does not repeat it."""
    async with store.connection() as conn:
        await conn.execute("""select jobledger.enqueue('use', '{"key": "sk_live_plain", "way": "plain"}')""")
    done = await drain(app, store)
    (failure,) = done.failures
    assert failure.error is not None
    assert (failure.error["class"], "sk_live" in str(failure)) == ("permanent", False)
    assert [job.state for job in (await Client(store).jobs()).jobs] == ["failed"]
