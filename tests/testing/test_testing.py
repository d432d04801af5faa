"""What applications test themselves with: `drain`, `assert_enqueued`, the clock, the plugin's fixtures."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from jobledger import testing
from jobledger.jobs import App, Client, Context, Masked, Park, PermanentFailure, Snooze
from jobledger.lifecycle.backoff import Fixed
from jobledger.testing import assert_enqueued, drain, enqueued

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Annotated

    from jobledger.embedded import Server
    from jobledger.store.pool import Store
    from jobledger.testing import Clock
else:
    from typing import Annotated


app = App()


@app.job(queue="mail")
async def greet(context: Context, name: str, again: bool = False) -> str:
    """Greet, and perhaps enqueue another."""
    if again:
        await greet.using(tenant=context.tenant).enqueue(name + "!")
    return f"hello {name}"


@app.job(max_attempts=2, backoff=Fixed(60))
def fail(kind: str) -> None:
    """Fail in the way asked for."""
    if kind == "for good":
        raise PermanentFailure("no use")
    raise ValueError("not yet")


@app.job()
async def wait(how: str) -> Snooze | Park | None:
    """Wait in the way asked for."""
    return Snooze(timedelta(hours=1)) if how == "snooze" else Park("a person is needed", needs="a key")


@app.job()
async def private(email: Annotated[str, Masked]) -> None:
    """Take a marked argument."""


async def test_draining_runs_all_that_is_due_and_tells_what_happened(store: Store) -> None:
    """Also what is enqueued meanwhile; outcomes, results and errors are in the answer."""
    client = Client(store, app=app)
    await greet.using(client=client, tenant="acme").enqueue("Ada", again=True)
    await fail.using(client=client).enqueue("for good")
    done = await drain(app, store)
    assert sorted(done.outcomes) == ["failed", "succeeded", "succeeded"]
    assert [attempt.result for attempt in done.of("greet")] == ["hello Ada", "hello Ada!"]
    assert {attempt.tenant for attempt in done.of("greet")} == {"acme"}
    (failure,) = done.failures
    assert failure.error is not None
    assert (failure.number, failure.error["class"]) == (1, "permanent")
    with pytest.raises(AssertionError, match="no use"):
        done.check()
    assert len(await drain(app, store)) == 0


async def test_the_clock_brings_what_is_due_later(store: Store, clock: Clock) -> None:
    """A back-off, a snooze and a scheduled job stay where they are until the clock is moved."""
    client = Client(store, app=app)
    await clock.stand()
    await fail.using(client=client).enqueue("twice")
    await wait.using(client=client).enqueue("snooze")
    await greet.using(client=client, run_at=await clock.now() + timedelta(days=1)).enqueue("Ada")
    assert sorted((await drain(app, store)).outcomes) == ["failed", "snoozed"]
    assert (await drain(app, store)).outcomes == []
    await clock.advance(minutes=2)
    assert (await drain(app, store)).outcomes == ["failed"]
    await clock.advance(hours=1)
    assert (await drain(app, store)).outcomes == ["snoozed"]
    await clock.advance(days=1)
    assert sorted((await drain(app, client)).outcomes) == ["snoozed", "succeeded"]


async def test_a_parked_job_ends_the_drain(store: Store) -> None:
    """It waits for a person, not for the clock."""
    client = Client(store, app=app)
    handle = await wait.using(client=client).enqueue("park")
    done = (await drain(app, store)).check()
    assert (done.outcomes, done.attempts[0].data["needs"]) == (["parked"], "a key")
    assert await handle.state() == "parked"


async def test_enqueued_jobs_are_found_by_a_part_of_what_they_are(store: Store) -> None:
    """Kind, arguments, tenant, fields and count."""
    client = Client(store, app=app)
    await greet.using(client=client, tenant="acme", owner="ada").enqueue("Ada")
    await greet.using(client=client).enqueue("Bob")
    assert len(await assert_enqueued(client, greet)) == 2
    (job,) = await assert_enqueued(store, "greet", {"name": "Ada"}, tenant="acme", owner="ada", queue="mail", count=1)
    assert job.args == {"name": "Ada"}
    await assert_enqueued(store, fail, count=0)
    assert len(await enqueued(store)) == 2
    for wrong in ({"args": {"name": "Eve"}}, {"tenant": "other"}, {"owner": "bob"}, {"count": 1}):
        with pytest.raises(AssertionError, match="enqueued jobs of kind greet"):
            await assert_enqueued(store, greet, **wrong)


async def test_a_failed_assertion_masks_marked_arguments(store: Store) -> None:
    """A test's output is a face, too."""
    await private.using(client=Client(store, app=app)).enqueue("ada@example.org")
    with pytest.raises(AssertionError) as caught:
        await assert_enqueued(store, private, {"email": "x"})
    assert "example.org" not in str(caught.value)


def test_the_public_names_of_testing_exist() -> None:
    """Each is loaded when it is first used."""
    assert all(getattr(testing, name) for name in testing.__all__)
    with pytest.raises(AttributeError):
        _ = testing.nonsense


PROJECT = """
    from datetime import timedelta

    from jobledger import App, Client
    from jobledger.testing import assert_enqueued

    app = App()

    @app.job()
    async def greet(name: str) -> str:
        return "hello " + name

    async def test_with_fixtures(jobledger_client, jobledger_clock, jobledger_drain):
        async with app.bound(jobledger_client):
            handle = await greet.using(run_at=await jobledger_clock.now() + timedelta(hours=1)).enqueue("Ada")
        await assert_enqueued(jobledger_client, greet, {"name": "Ada"})
        assert (await jobledger_drain(app)).outcomes == []
        await jobledger_clock.advance(hours=2)
        assert (await jobledger_drain(app)).check().outcomes == ["succeeded"]
        assert await handle.result(timeout=5) == "hello Ada"

    async def test_each_test_has_a_database_of_its_own(jobledger_client):
        assert (await jobledger_client.jobs()).jobs == []

    def test_a_plain_test_gets_an_address(jobledger_database):
        assert jobledger_database.startswith("postgresql://")
"""


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Give a runner of pytest in a user's own project."""
    settings = ("asyncio_mode = auto", "asyncio_default_fixture_loop_scope = function", "filterwarnings = error")
    (tmp_path / "pytest.ini").write_text("\n".join(["[pytest]", *settings]))
    (tmp_path / "test_app.py").write_text(textwrap.dedent(PROJECT))

    def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {name: value for name, value in os.environ.items() if not name.startswith(("JOBLEDGER", "PYTEST"))}
        return subprocess.run(  # noqa: S603 - this interpreter
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words],
            cwd=tmp_path,
            env={**known, **environment},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    return run


@pytest.mark.slow
def test_a_project_of_ones_own_gets_the_fixtures(
    project: Callable[..., subprocess.CompletedProcess[str]], postgres: Server
) -> None:
    """On a server that the environment names; its databases are dropped at the end."""
    ran = project(JOBLEDGER_TEST_DSN=postgres.dsn_for("postgres"))
    assert "3 passed" in ran.stdout, ran.stdout + ran.stderr


@pytest.mark.slow
def test_a_project_without_a_server_gets_an_embedded_one(
    project: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """Nothing has to be set up."""
    ran = project("-k", "plain")
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr


def test_the_plugin_loads_nothing_until_it_is_used() -> None:
    """It is there in every project whose environment has jobledger; it must cost nothing."""
    code = (
        "import sys, jobledger.testing.plugin; "
        "print([name for name in ('asyncpg', 'pydantic', 'jobledger.store', 'jobledger.jobs') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert ran.stdout.strip() == "[]"
