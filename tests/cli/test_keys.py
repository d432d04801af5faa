"""`keys`, as an operator and as a program use it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]


def test_a_key_is_made_listed_and_revoked(cli: Run, database: str) -> None:
    """It is printed alone, so that it can be piped on; found again by its prefix; revoked once."""
    at = ("--dsn", database)
    made = cli("keys", "create", "shop", "--role", "read,enqueue", "--tenant", "acme", "--actor", "ada", *at)
    key = made.out.strip()
    assert (made.status, len(key), key[:3]) == (0, 54, "jl_")
    other = cli(
        "keys", "create", "ops", "--role", "admin", "--every-tenant", "--expires", "90d", "--json", *at
    ).document
    assert (other["name"], other["prefix"]) == ("ops", other["key"][:11])
    (shop, ops) = cli("keys", "list", "--json", *at).document["keys"]
    assert (shop["roles"], shop["tenants"], shop["created_by"]) == (["enqueue", "read"], ["acme"], "ada")
    assert (ops["tenants"], ops["id"]) == (None, other["id"])
    shown = cli("keys", "list", *at).out
    assert key[:11] in shown
    assert key[:14] not in shown
    assert cli("keys", "revoke", key[:11], "--reason", "lost", "--json", *at).document == {
        "key": shop["id"],
        "revoked": True,
    }
    assert "already" in cli("keys", "revoke", shop["id"], *at).out
    assert [one["name"] for one in cli("keys", "list", "--json", *at).document["keys"]] == ["ops"]
    assert "revoked" in cli("keys", "list", "--ended", *at).out
    assert cli("keys", "revoke", "jl_nothing1", *at).status == 3
    assert cli("keys", "create", "n", *at).status == 2
    assert cli("keys", "create", "n", "--tenant", "a", "--every-tenant", *at).status == 2


def test_the_commands_of_the_page_are_taken(cli: Run, database: str) -> None:
    """What docs/howto/keys.md types in makes keys; the one that it revokes is not there."""
    page = Path(__file__).resolve().parents[2] / "docs" / "howto" / "keys.md"
    block = re.search(r"^```sh\n(jobledger keys create.*?)^```", page.read_text(), re.M | re.S)
    assert block is not None
    lines = [shlex.split(line, comments=True)[1:] for line in block[1].splitlines()]
    assert [cli(*words, "--dsn", database).status for words in lines] == [0, 0, 0, 0, 0, 3]
