"""`subscriptions`, as an operator and as a program read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]


def test_subscriptions_are_created_looked_at_reset_and_removed(cli: Run, database: str) -> None:
    """Each command for people and for programs; the cursor that is shown is one that they take."""
    at = ("--dsn", database)
    assert cli("enqueue", "k", "--lax", *at).status == 0
    assert cli("seal", *at).status == 0
    made = ("subscriptions", "create", "mail", "--type", "job.failed", "--kind", "k", "--slices", "2", *at)
    assert cli(*made).out == "mail: created.\n"
    assert cli(*made, "--json").document == {"subscription": "mail", "created": False}
    assert cli("subscriptions", "create", "mail", *at).status == 4
    assert cli("subscriptions", "create", "own", "--tenant", "acme", "--from", "end", *at).status == 0
    (own, mail) = sorted(
        cli("subscriptions", "list", "--json", *at).document["subscriptions"], key=lambda o: -len(o["cursor"])
    )
    assert (mail["name"], mail["types"], mail["kind"], mail["lag"]["events"]) == ("mail", ["job.failed"], "k", 1)
    assert (own["tenant"], own["cursor"][0], own["lag"]["events"]) == ("acme", "s", 0)
    assert "mail" in cli("subscriptions", "list", *at).out
    assert len(cli("subscriptions", "show", "mail", "--json", *at).document["shares"]) == 2
    assert "job.failed" in cli("subscriptions", "show", "mail", *at).out
    assert cli("subscriptions", "reset", "own", "--tenant", "acme", "--to", own["cursor"], *at).status == 0
    assert cli("subscriptions", "reset", "mail", "--to", own["cursor"], *at).status == 2
    for place in ("end", "beginning", "2h"):
        assert cli("subscriptions", "reset", "mail", "--to", place, *at).status == 0
    assert cli("subscriptions", "disable", "mail", *at).out == "mail: disabled.\n"
    assert cli("subscriptions", "disable", "mail", *at).out == "mail: was disabled already.\n"
    assert cli("subscriptions", "set-aside", "mail", "--json", *at).document == {"set_aside": []}
    assert cli("subscriptions", "set-aside", "mail", *at).status == 0
    assert cli("subscriptions", "retry", "mail", *at).status == 2
    assert cli("subscriptions", "retry", "mail", "--all", "--json", *at).document["events"] == 0
    assert cli("subscriptions", "remove", "mail", "--reason", "done", *at).status == 0
    assert cli("subscriptions", "show", "mail", *at).status == 3
