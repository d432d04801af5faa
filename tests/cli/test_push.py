"""`push`, as an operator and as a program read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]


def test_a_push_is_set_shown_changed_and_removed(cli: Run, database: str) -> None:
    """The secret is told each time, another one after --rotate; an address inside is refused, and says the rule."""
    at = ("--dsn", database)
    made = ("push", "set", "thumbs", "https://f.example/jobs", "--max-run", "2m", "--batch", "10", *at)
    first = cli(*made, "--json").document
    assert (first["queue"], first["tenant"], first["changed"]) == ("thumbs", None, True)
    assert first["secret"].startswith("whsec_")
    again = cli(*made)
    assert again.out.splitlines() == [
        "The jobs of thumbs are delivered to its endpoint, as before.",
        f"Its secret is {first['secret']}",
    ]
    assert cli(*made, "--rotate", "--json").document["secret"] != first["secret"]
    own = cli("push", "set", "own", "https://f.example/", "--tenant", "acme", "--start-failure", "free", "--json", *at)
    assert own.document["tenant"] == "acme"
    found = {one["queue"]: one for one in cli("push", "list", "--json", *at).document["pushes"]}
    assert (found["thumbs"]["max_run"], found["thumbs"]["batch"], found["thumbs"]["generation"]) == (120, 10, 2)
    assert (found["own"]["tenant"], found["own"]["start_failure"]) == ("acme", "free")
    assert "https://f.example/jobs" in cli("push", "list", *at).out
    assert [one["queue"] for one in cli("push", "list", "-t", "acme", "--json", *at).document["pushes"]] == ["own"]
    refused = cli("push", "set", "in", "https://169.254.169.254/", "--json", *at)
    assert (refused.status, "169.254" in refused.out + refused.err) == (2, False)
    assert cli("push", "set", "thumbs", "https://f.example/", "--tenant", "acme", *at).status == 4
    assert cli("push", "remove", "own", *at).status == 3
    assert cli("push", "remove", "own", "-t", "acme", *at).out == "The jobs of own are delivered no more.\n"
    assert cli("push", "remove", "thumbs", "--reason", "moved", "--json", *at).document["removed"] is True
    assert cli("push", "list", "--json", *at).document == {"pushes": []}
