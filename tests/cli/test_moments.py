"""`--as-of` and `--token`, as a person and as a program reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]


def test_what_was_answered_is_asked_for_again(cli: Run, database: str) -> None:
    """By the token of an answer, by a cursor, by a time; tables say of when they are, a tenant's name no block."""
    at = ("--dsn", database)
    job = cli("enqueue", "k", "--lax", "--tenant", "acme", "--json", *at).document["id"]
    cli("seal", *at)
    listed = cli("jobs", "--json", *at).document
    shown = cli("show", job, "--tenant", "acme", "--json", *at).document
    read = cli("follow", "--from", "beginning", "--stop-at-end", "--json", *at).document
    assert cli("cancel", job, "--reason", "why", *at).status == 0
    cli("seal", *at)
    assert cli("show", job, "--json", *at).document["job"]["state"] == "cancelled"
    token = listed["as_of"]["moment"]
    again = cli("jobs", "--as-of", token, "--json", *at).document
    assert (again["jobs"], again["as_of"]["moment"]) == (listed["jobs"], token)
    assert (again["as_of"]["block"], again["horizon"]) == (1, None)
    mine = shown["as_of"]["moment"]
    assert set(shown["as_of"]) == {"moment", "at"}
    then = cli("show", job, "--tenant", "acme", "--as-of", mine, "--json", *at).document
    assert then["job"] == shown["job"]
    assert set(then["as_of"]) == {"moment", "at"}
    by_cursor = cli("show", job, "--as-of", read["cursor"], "--json", *at).document
    assert (by_cursor["job"]["state"], by_cursor["as_of"]["block"]) == ("ready", 1)
    table = cli("jobs", "--as-of", "0s", *at)
    assert "cancelled" in table.out
    assert "block 2" in table.err
    told = cli("show", job, "--as-of", token, *at)
    assert "ready" in told.out
    assert "block 1" in told.err
    printed = cli("show", job, "--token", *at).err
    assert cli("show", job, "--as-of", printed.split()[-1], "--json", *at).document["job"]["state"] == "cancelled"
    lost = cli("jobs", "--as-of", "52w", "--json", *at)
    assert (lost.status, lost.problem["code"]) == (4, "moment_lost")
    assert cli("jobs", "--as-of", "1h", "--silent", "1m", *at).status == 2
