"""Enqueuing from synchronous code: SQL and parameters for psycopg and SQLAlchemy, in the caller's transaction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from pydantic import SecretStr  # noqa: TC002 - an argument is checked by it
from sqlalchemy import create_engine, text

from jobledger.errors import InvalidArgs, InvalidTenant, SecretInPlain
from jobledger.jobs import App

if TYPE_CHECKING:
    from jobledger.store.pool import Store

app = App()


@app.job(queue="mail", max_attempts=3)
async def greet(name: str, at: datetime | None = None) -> str:
    """Return a greeting."""
    return f"{name} {at}"


@app.job()
async def pay(card: SecretStr) -> None:
    """Use a secret."""


SOON = datetime.now(UTC) + timedelta(hours=1)
OPTIONS: dict[str, Any] = {
    "tenant": "acme",
    "run_at": SOON,
    "owner": "ada",
    "tags": ["a", "b"],
    "meta": {"x": 1},
    "key": "k",
    "actor": "sync",
}
LOOK = "select tenant, actor, data from jobledger.events where stream_id = %s"


def check(row: Any) -> None:
    """Compare an event with what was asked for."""
    tenant, actor, data = row
    assert (tenant, actor) == ("acme", "sync")
    assert (data["kind"], data["queue"], data["max_attempts"]) == ("greet", "mail", 3)
    assert (data["args"], data["owner"], data["tags"], data["meta"]) == (
        {"name": "50 % :x"},
        "ada",
        ["a", "b"],
        {"x": 1},
    )
    assert datetime.fromisoformat(data["run_at"]) == SOON


def test_psycopg_enqueues_in_its_own_transaction(database: str) -> None:
    """`cursor.execute(*job.statement(…))`; a rollback takes the job back."""
    statement = greet.using(**OPTIONS).statement("50 % :x")
    with psycopg.connect(database) as connection:
        row = connection.execute(*statement).fetchone()
        assert row is not None
        check(connection.execute(LOOK, row).fetchone())
        connection.rollback()
        assert connection.execute(LOOK, row).fetchone() is None


def test_sqlalchemy_enqueues_in_its_own_transaction(database: str) -> None:
    """The named form goes through `text()`."""
    statement = greet.using(**OPTIONS).statement("50 % :x").named
    engine = create_engine(database.replace("postgresql://", "postgresql+psycopg://"))
    try:
        with engine.begin() as connection:
            id_ = connection.execute(text(statement.sql), statement.parameters).scalar_one()
        with engine.connect() as connection:
            query = text("select tenant, actor, data from jobledger.events where stream_id = :id")
            check(connection.execute(query, {"id": id_}).one())
    finally:
        engine.dispose()


async def test_the_servers_own_style_works_with_asyncpg(store: Store) -> None:
    """`$1` for drivers that speak the protocol itself."""
    sql, parameters = greet.using(tenant="acme").statement("Ada").numeric
    async with store.connection() as conn:
        id_ = await conn.fetchval(sql, *parameters)
        assert await conn.fetchval("select kind from jobledger.jobs where id = $1", id_) == "greet"


def test_what_is_wrong_shows_before_any_sql() -> None:
    """The same named errors as everywhere."""
    with pytest.raises(InvalidTenant):
        greet.using(tenant="no spaces").statement("x")
    with pytest.raises(InvalidArgs):
        greet.statement(5)  # type: ignore[arg-type]
    with pytest.raises(SecretInPlain):
        pay.statement("sk_live")  # type: ignore[arg-type]


def test_a_statement_shows_no_parameters() -> None:
    """They are the caller's data; a log line with the statement must not hold them."""
    statement = greet.statement("Ada Lovelace")
    assert "Ada" not in f"{statement} {statement!r} {statement.named!r} {statement.numeric!r}"
