"""`webhooks`, as an operator and as a program read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]


def test_webhooks_are_created_looked_at_changed_and_removed(cli: Run, database: str) -> None:
    """Each command for people and for programs, by name and by id; only a new secret is shown."""
    at = ("--dsn", database)
    create, of = ("webhooks", "create", "audit"), ("--tenant", "acme", *at)
    refused = cli(*create, "https://127.0.0.1:9999/hook", *of)
    assert (refused.status, "127.0.0.1" in refused.err) == (2, False)
    made = (*create, "https://hooks.invalid/hook", "--type", "job.failed", "--from", "beginning", *of)
    assert cli(*made).out.startswith("audit: created.\nIts secret is whsec_")
    first = cli(*made, "--json").document
    assert (first["webhook"], first["created"]) == ("audit", False)
    assert cli(*made, "--batch", "5").status == 4
    [one] = cli("webhooks", "list", "--json", *at).document["webhooks"]
    assert (one["id"], one["name"], one["tenant"], one["state"]) == (first["id"], "audit", "acme", "active")
    assert "audit" in cli("webhooks", "list", "--tenant", "acme", *at).out
    assert cli("webhooks", "list", "--tenant", "other", "--json", *at).document["webhooks"] == []
    tried = cli("webhooks", "test", "audit", "--json", *of)
    assert (tried.status, tried.document["ok"], tried.document["outcome"]) == (1, False, "name")
    assert "not taken, name" in cli("webhooks", "test", "audit", *of).out
    assert cli("webhooks", "rotate", "audit", "--json", *of).document["secret"] != first["secret"]
    assert cli("webhooks", "rotate", "audit", *of).out.startswith("Its secret is whsec_")
    assert cli("webhooks", "disable", "audit", "--reason", "moved", *of).out == "audit: disabled.\n"
    assert cli("webhooks", "disable", one["id"], "--json", *of).document["disabled"] is False
    for place in ("end", "beginning", "2h"):
        assert cli("webhooks", "reset", one["id"], "--to", place, *of).status == 0
    assert cli("webhooks", "reset", "audit", "--to", "strange", *of).status == 2
    assert cli("webhooks", "reset", "audit", *at).status == 3
    assert cli("webhooks", "remove", "audit", "--reason", "done", *of).out == "audit: removed.\n"
    assert cli("webhooks", "list", *at).status == 0
