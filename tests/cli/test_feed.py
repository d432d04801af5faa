"""`follow` and `seal`, as a person and as a program reads them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]


def test_the_log_is_sealed_and_followed(cli: Run, database: str) -> None:
    """What was enqueued is read after it was sealed, in order, and again from any line's cursor."""
    for tenant in ("a", "b", "a"):
        assert cli("enqueue", "k", "--lax", "--tenant", tenant, "--owner", "ada", "--dsn", database).status == 0
    assert _lines(cli("follow", "--from", "beginning", "--stop-at-end", "--json", "--dsn", database)) == []
    assert cli("seal", "--json", "--dsn", database).document["blocks"] == 1
    assert cli("seal", "--json", "--dsn", database).document["blocks"] == 0
    whole = _lines(cli("follow", "--from", "beginning", "--stop-at-end", "--json", "--dsn", database))
    assert [line["tenant"] for line in whole] == ["a", "b", "a"]
    rest = _lines(cli("follow", "--from", whole[0]["cursor"], "--stop-at-end", "--json", "--dsn", database))
    assert rest == whole[1:]
    mine = ("--tenant", "a", "--stop-at-end", "--dsn", database)
    own = _lines(cli("follow", "--from", "beginning", "--json", *mine))
    assert [line["stream_id"] for line in own] == [whole[0]["stream_id"], whole[2]["stream_id"]]
    assert _lines(cli("follow", "--from", own[0]["cursor"], "--json", *mine)) == own[1:]
    assert cli("follow", "--from", whole[0]["cursor"], *mine).status == 2
    shown = cli("follow", "--from", "beginning", *mine)
    assert shown.out.count("job.enqueued") == 2
    assert whole[1]["stream_id"] not in shown.out
    assert not {"position", "block", "shard", "xid"} & set(own[0])
    assert _lines(cli("follow", "--stop-at-end", "--json", "--dsn", database)) == []


def _lines(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 0, answer.err
    return [json.loads(line) for line in answer.out.splitlines()]
