"""Secrets: in by reference only, and never out again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pydantic import SecretStr
from tests.jobs.disk import contents

from jobledger.errors import InvalidArgument, JobledgerError, NotFound, SecretInPlain
from jobledger.jobs import App, Client, Context, Secret
from jobledger.jobs.context import JobLogger
from jobledger.jobs.outcomes import error_record
from jobledger.jobs.secret import Concealer

if TYPE_CHECKING:
    from pathlib import Path

    from jobledger.embedded import Server
    from jobledger.store.pool import Store

CANARY = "c4nary'\"\\-9d2e\nsecond line"

app = App()


@app.job()
async def pay(card: SecretStr, backup: SecretStr | None = None, amount: int = 1) -> str:
    """Use a secret."""
    return f"{amount} {backup is None} {len(card.get_secret_value())}"


def traces(text: object) -> list[str]:
    """Return the pieces of the canary that a text holds."""
    return [piece for piece in ("c4nary", "9d2e", "second line") if piece in str(text)]


@pytest.mark.parametrize("reference", ["env:STRIPE_KEY", "file:/run/secrets/stripe", "vault:kv/stripe#key"])
def test_a_reference_is_taken(reference: str) -> None:
    """The three forms."""
    assert Secret(reference).reference == reference


@pytest.mark.parametrize(
    "plain", [CANARY, "sk_live_c4nary", "env:", "env:not a name", "file:relative", ":x", "", "A:b"]
)
def test_what_is_no_reference_is_refused_without_an_echo(plain: str) -> None:
    """The secret itself, wrapped by mistake."""
    with pytest.raises(SecretInPlain) as caught:
        Secret(plain)
    assert not traces(caught.value)


def test_a_wrapped_reference_shows_nothing() -> None:
    """Not in repr, str, format; and it has no value to give."""
    secret = Secret("env:STRIPE_KEY")
    assert "STRIPE" not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(SecretInPlain):
        secret.get_secret_value()


@pytest.mark.parametrize("plain", [CANARY, SecretStr(CANARY), 5, ["x"], "env:STRIPE_KEY"])
def test_a_plain_secret_is_refused_when_enqueued(plain: Any) -> None:
    """Also a bare text in the form of a reference: it has to be said that it is one."""
    with pytest.raises(SecretInPlain) as caught:
        pay.call(plain)
    assert caught.value.detail == {"kind": "pay", "fields": ["card"]}
    assert not traces(caught.value)


def test_a_scheme_that_nobody_resolves_is_refused() -> None:
    """Most likely it is the secret, with a colon in it."""
    with pytest.raises(SecretInPlain) as caught:
        pay.call(Secret("c4nary:9d2e"))
    assert not traces(caught.value)


async def test_by_name_a_plain_secret_is_refused_with_and_without_the_app(store: Store) -> None:
    """A client without the app knows the secret arguments from the registered schema."""
    await app.register(store)
    for client in (Client(store, app=app), Client(store), Client(store, strict=False)):
        with pytest.raises(SecretInPlain) as caught:
            await client.enqueue("pay", {"card": CANARY})
        assert not traces(caught.value)
        await client.enqueue("pay", {"card": "env:CARD", "backup": None})
    await Client(store).enqueue("pay", {"card": Secret("env:CARD")})


async def test_the_value_exists_in_the_handler_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`env:` and `file:` are resolved just before the handler; what was loaded holds references."""
    monkeypatch.setenv("CARD", CANARY)
    place = tmp_path / "backup secret"
    place.write_text(CANARY + "\n")
    document = pay.arguments.dump({"card": Secret("env:CARD"), "backup": Secret(f"file:{place}")})
    values = pay.arguments.load(document)
    assert not traces(values)
    await pay.arguments.resolve(values, app.resolvers)
    assert values["card"].get_secret_value() == CANARY
    assert values["backup"].get_secret_value() == CANARY
    assert not traces(values)


async def test_a_secret_that_cannot_be_resolved_names_the_scheme_only(tmp_path: Path) -> None:
    """A missing variable, a missing file, one too large, a resolver that quotes what it was asked for."""
    large = tmp_path / "large"
    large.write_bytes(b"x" * 70_000)
    own = App()

    @own.secret_resolver("vault")
    async def vault(name: str) -> str:
        raise ValueError(f"no {name}")

    for reference in ("env:MISSING_c4nary", f"file:{tmp_path}/c4nary", f"file:{large}", "vault:c4nary"):
        with pytest.raises(NotFound) as caught:
            await own.resolvers.resolve(Secret(reference))
        assert not traces(caught.getrepr(chain=True, style="no"))


async def test_an_app_may_resolve_its_own_scheme() -> None:
    """Sync or async."""
    own = App()

    @own.secret_resolver("upper")
    def upper(name: str) -> str:
        return name.upper()

    assert (await own.resolvers.resolve(Secret("upper:abc"))).get_secret_value() == "ABC"
    with pytest.raises(InvalidArgument):
        own.secret_resolver("Not A Scheme")(upper)


def test_what_a_job_says_is_freed_of_its_secrets() -> None:
    """Messages, tracebacks, progress, results: also where the secret is escaped or in the name of a key."""
    conceal = Concealer([CANARY])
    try:
        raise ValueError(f"refused: {CANARY!r} and {CANARY}")
    except ValueError as error:
        record = error_record(error, conceal)
    # The source line of the traceback holds the name of the constant, not its value.
    assert not traces(record)
    assert record["type"] == "ValueError"
    assert not traces(conceal.json(pay.returns.dump(f"x {CANARY}") or b""))
    assert conceal.value({CANARY: [CANARY, 1, None]}) == {"[secret]": ["[secret]", 1, None]}


def test_what_a_job_logs_is_freed_of_its_secrets(caplog: pytest.LogCaptureFixture) -> None:
    """In the message, in its parameters and in the traceback of `exception`."""
    logger = JobLogger(logging.getLogger("test.handler"), {"job": "1"}, Concealer([CANARY]))
    with caplog.at_level(logging.INFO):
        logger.info("the key is %s, 100 %%", CANARY)
        try:
            raise ValueError(CANARY)
        except ValueError:
            logger.exception("failed with %s", CANARY)
    assert "the key is [secret], 100 %" in caplog.text
    assert "ValueError" in caplog.text
    assert not traces(caplog.text)
    assert {record.__dict__["job"] for record in caplog.records} == {"1"}


def test_the_logger_names_tenant_kind_job_and_attempt(caplog: pytest.LogCaptureFixture) -> None:
    """Each record carries the job's facts and the place it was written at."""
    context = Context(id=UUID(int=1), tenant="acme", queue="q", kind="k", attempt=2, max_attempts=3)
    with caplog.at_level(logging.INFO):
        context.logger.info("hello %s", "you", extra={"more": 1})
    (record,) = caplog.records
    facts = record.__dict__
    assert (facts["tenant"], facts["kind"], facts["attempt"], facts["more"]) == ("acme", "k", 2, 1)
    assert (record.getMessage(), record.filename) == ("hello you", "test_secrets.py")


async def test_no_path_of_enqueuing_leaves_the_secret_anywhere(
    store: Store, postgres: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The canary goes through every way in; then log, tables, errors, output and the data directory are searched."""
    monkeypatch.setenv("CARD", CANARY)
    await app.register(store)
    client = Client(store, app=app)
    said: list[str] = []
    ways: list[Any] = [
        lambda: pay.using(client=client).enqueue(SecretStr(CANARY)),
        lambda: pay.using(client=client).enqueue(CANARY),  # type: ignore[arg-type]
        lambda: client.enqueue("pay", {"card": CANARY, "amount": CANARY}),
        lambda: Client(store).enqueue("pay", {"card": CANARY}),
        lambda: Client(store).call("pay", {"card": {"deep": CANARY}}),
    ]
    with caplog.at_level(logging.DEBUG):
        for way in ways:
            with pytest.raises(JobledgerError) as caught:
                await way()
            said.append(
                f"{caught.value!r} {caught.value} {caught.value.detail} {caught.getrepr(style='no', chain=True)}"
            )
        handle = await pay.using(client=client).enqueue(Secret("env:CARD"))
        call = pay.call(Secret("env:CARD"))
        said.append(f"{handle} {call} {call.new} {pay.statement(Secret('env:CARD'))!r}")
    assert not traces(" ".join(said) + caplog.text)
    async with store.connection() as conn:
        rows = await conn.fetch("select e::text as event from jobledger.events as e")
        await conn.execute("checkpoint")
    assert rows
    assert not traces(rows)
    pieces = [piece.encode() for piece in ("c4nary", "second line")]
    searched = 0
    for file, content in contents(postgres.data):
        searched += 1
        assert not any(piece in content for piece in pieces), file
    assert searched > 100
