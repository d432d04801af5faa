"""Commands on a real database: hand in, look, act, hold back, rebuild; each with its exit status and its JSON."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from jobledger.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]

SHOP = """
from typing import Annotated
from jobledger import App, Masked, Park

app = App("shop")

@app.job(max_attempts=1)
async def greet(name: str) -> str:
    return f"Hello, {name}!"

@app.job(max_attempts=1)
async def break_down() -> None:
    raise RuntimeError("the oven is cold")

@app.job()
async def ask() -> None:
    raise Park("who may see this?", needs="an answer")

@app.job()
async def mail(address: Annotated[str, Masked]) -> None:
    pass
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the address of an application in the working folder."""
    name = f"shop_{new_id().hex}"
    (tmp_path / f"{name}.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return f"{name}:app"


def _enqueue(cli: Run, database: str, kind: str, args: str = "{}", *more: str) -> str:
    answer = cli("enqueue", kind, args, "--lax", "--dsn", database, *more)
    assert answer.status == 0, answer.err
    return str(UUID(answer.out.strip()))


def test_a_job_runs_and_its_history_tells_how(cli: Run, database: str, shop: str) -> None:
    """Enqueue, work, show, history: the four commands of the first hour agree about one job."""
    job = _enqueue(cli, database, "greet", '{"name": "Ada"}', "--tenant", "acme", "--owner", "ada", "--tag", "first")
    assert cli("worker", shop, "--until-empty", "--dsn", database).status == 0
    shown = cli("show", job, "--dsn", database, "--json").document
    assert (shown["job"]["state"], shown["last_data"]["result"]) == ("succeeded", "Hello, Ada!")
    assert (shown["enqueued"]["tags"], shown["job"]["owner"]) == (["first"], "ada")
    lines = cli("history", job, "--dsn", database, "--json").out.splitlines()
    assert len(lines) == 3
    told = cli("history", job, "--dsn", database)
    assert [word for word in told.out.split() if word.startswith("job.")] == [
        "job.enqueued",
        "job.claimed",
        "job.succeeded",
    ]
    assert "Hello, Ada!" in cli("show", job, "--dsn", database).out


def test_arguments_that_do_not_fit_are_refused_before_they_are_a_job(cli: Run, database: str, shop: str) -> None:
    """What a worker has registered counts: each field is named with its rule, no value is; --lax does not ask."""
    assert cli("worker", shop, "--until-empty", "--dsn", database).status == 0
    wrong = ("enqueue", "greet", '{"name": 777000777}', "--dsn", database)
    refused = cli(*wrong, "--json")
    assert (refused.status, refused.problem["code"]) == (2, "invalid_args")
    assert [fault["field"] for fault in refused.problem["facts"]["fields"]] == ["args.name"]
    told = cli(*wrong)
    assert "args.name" in told.err
    assert "777000777" not in told.err
    assert cli("enqueue", "greet", "--dsn", database).status == 2
    assert cli("jobs", "--dsn", database, "--json").document["jobs"] == []
    assert cli(*wrong, "--lax").status == 0
    assert cli("enqueue", "greet", '{"name": "Ada"}', "--dsn", database).status == 0


def test_waiting_for_a_result_prints_it(cli: Run, database: str, shop: str) -> None:
    """`--wait` on a job that has ended prints its result; one that failed makes the status 9."""
    good = _enqueue(cli, database, "greet", '{"name": "Ada"}', "--key", "one")
    bad = _enqueue(cli, database, "break_down", "{}", "--key", "two", "--max-attempts", "1")
    cli("worker", shop, "--until-empty", "--dsn", database)
    again = cli("enqueue", "greet", '{"name": "Ada"}', "--key", "one", "--wait", "--dsn", database, "--json")
    assert again.document == {"id": good, "created": False, "result": "Hello, Ada!"}
    failed = cli("enqueue", "break_down", "--key", "two", "--max-attempts", "1", "--wait", "--dsn", database, "--json")
    assert (failed.status, failed.problem["code"]) == (9, "job_failed")
    listed = cli("jobs", "--state", "failed", "--dsn", database, "--json").document
    assert [one["id"] for one in listed["jobs"]] == [bad]


def test_a_dead_letter_is_retried_with_a_reason(cli: Run, database: str, shop: str) -> None:
    """The reason and who gave it stand in the history; a second retry is refused, because the job is open now."""
    job = _enqueue(cli, database, "break_down", "{}", "--max-attempts", "1")
    cli("worker", shop, "--until-empty", "--dsn", database)
    done = cli("retry", job, "--reason", "the oven is on", "--actor", "grace", "--dsn", database, "--json")
    assert done.document == {"act": "retry", "jobs": [{"id": job, "verdict": "done", "state": "ready"}]}
    refused = cli("retry", job, "--reason", "again", "--dsn", database, "--json")
    assert (refused.status, refused.problem["code"]) == (4, "wrong_state")
    history = cli("history", job, "--dsn", database).out
    assert "the oven is on" in history
    assert "grace" in history


def test_a_parked_job_says_what_it_needs_and_goes_on(cli: Run, database: str, shop: str) -> None:
    """`show` tells the need; `unpark` lets it go on."""
    job = _enqueue(cli, database, "ask")
    cli("worker", shop, "--until-empty", "--dsn", database)
    assert "an answer" in cli("show", job, "--dsn", database).out
    assert cli("unpark", job, "--reason", "Ada may", "--dsn", database).status == 0


def test_masked_arguments_are_shown_nowhere(cli: Run, database: str, shop: str) -> None:
    """What the handler marks as masked is hidden by show and history, for people and for programs."""
    job = _enqueue(cli, database, "mail", '{"address": "ada@example.com"}')
    cli("worker", shop, "--until-empty", "--dsn", database)
    for command in ("show", "history"):
        for form in ((), ("--json",)):
            answer = cli(command, job, "--dsn", database, *form)
            assert answer.status == 0
            assert "ada@example.com" not in answer.out + answer.err


def test_acts_on_waiting_jobs(cli: Run, database: str) -> None:
    """Reschedule, reprioritise, move, kill: each changes what it says, and says it."""
    job = _enqueue(cli, database, "greet")
    for words, state in (
        (("reschedule", "--run-at", "2h"), "ready"),
        (("reprioritise", "--priority", "-5"), "ready"),
        (("move", "--to", "slow"), "ready"),
    ):
        acted = cli(words[0], job, *words[1:], "--dsn", database, "--json").document["jobs"]
        assert acted[0]["verdict"] == "done", (words, acted)
        assert acted[0]["state"] in (state, "scheduled")
    row = cli("show", job, "--dsn", database, "--json").document["job"]
    assert (row["queue"], row["priority"], row["state"]) == ("slow", -5, "scheduled")
    assert cli("kill", job, "--reason", "enough", "--dsn", database).status == 0
    assert cli("show", job, "--dsn", database, "--json").document["job"]["state"] == "killed"


def test_many_jobs_are_acted_on_after_a_preview(cli: Run, database: str) -> None:
    """A filter first counts; without a terminal to ask on it needs --yes; then every job that fits is met."""
    for number in range(3):
        _enqueue(cli, database, "greet", f'{{"name": "{number}"}}', "--tenant", "acme")
    other = _enqueue(cli, database, "greet", "{}", "--tenant", "other")
    words = ("cancel", "--tenant", "acme", "--reason", "closed", "--dsn", database)
    assert cli(*words, "--preview", "--json").document == {"act": "cancel", "fit": 3, "more": False, "verdicts": {}}
    unasked = cli(*words, "--json")
    assert (unasked.status, unasked.problem["code"]) == (2, "invalid_argument")
    assert cli(*words, "--yes", "--json").document["verdicts"] == {"done": 3}
    assert cli("show", other, "--dsn", database, "--json").document["job"]["state"] == "ready"
    assert cli("cancel", "--reason", "all", "--dsn", database).status == 2


def test_some_ids_refused_is_a_conflict(cli: Run, database: str) -> None:
    """Of several ids those that can be are acted on; that some were not makes the status 4."""
    job = _enqueue(cli, database, "greet")
    answer = cli("cancel", job, str(new_id()), "--reason", "x", "--dsn", database, "--json")
    assert answer.status == 4
    assert sorted(one["verdict"] for one in answer.document["jobs"]) == ["done", "not_found"]


def test_pages_go_on_by_cursor(cli: Run, database: str) -> None:
    """Pages of two give all five jobs, each once, newest first."""
    ids = [_enqueue(cli, database, "greet", "{}", "--tenant", "acme") for _ in range(5)]
    seen: list[str] = []
    cursor: list[str] = []
    while True:
        page = cli("jobs", "--tenant", "acme", "--limit", "2", *cursor, "--dsn", database, "--json").document
        seen += [one["id"] for one in page["jobs"]]
        if page["next"] is None:
            break
        cursor = ["--cursor", page["next"]]
    assert seen == ids[::-1]


def test_pauses_and_defaults_are_kept_with_their_reason(cli: Run, database: str) -> None:
    """Pause, resume and limits show up in `limits`, with who and why."""
    paused = cli("pause", "tenant", "acme", "--reason", "flooding", "--actor", "grace", "--dsn", database, "--json")
    assert paused.document == {"act": "pause", "scope": "tenant", "name": "acme", "changed": True}
    cli("limits", "kind", "greet", "--timeout", "10m", "--max-attempts", "3", "--dsn", database)
    found = {(one["scope"], one["name"]): one for one in cli("limits", "--dsn", database, "--json").document["limits"]}
    assert found["tenant", "acme"]["paused"] is True
    assert (found["tenant", "acme"]["changed_by"], found["tenant", "acme"]["reason"]) == ("grace", "flooding")
    assert (found["kind", "greet"]["timeout"], found["kind", "greet"]["max_attempts"]) == (600, 3)
    assert "is not paused" in cli("resume", "tenant", "acme", "--dsn", database).out
    cleared = cli("limits", "kind", "greet", "--clear", "timeout", "--dsn", database, "--json").document["limits"]
    assert cleared[0]["timeout"] is None


def test_the_database_commands(cli: Run, database: str) -> None:
    """Open, tick, rebuild, repair and doctor answer on a sound database, and change nothing that matters."""
    job = _enqueue(cli, database, "greet")
    assert cli("open", "--dsn", database, "--json").document["rebuilt"] is False
    assert set(cli("tick", "--dsn", database, "--json").document) >= {"promoted", "rescued", "killed"}
    assert cli("rebuild", "queue", "--dsn", database, "--json").document["rows"] == 1
    assert cli("rebuild", "status", "--dsn", database, "--json").document["projection"] == "status"
    assert cli("repair", "--dsn", database, "--json").document == {"repaired": []}
    found = cli("doctor", "--dsn", database, "--json").document["findings"]
    # The tests' server is set for speed, which the doctor rightly calls alarming; all else is sound.
    assert {one["topic"] for one in found if one["severity"] == "alarm"} <= {"settings"}
    assert "good" in {one["severity"] for one in found if one["topic"] == "log"}
    told = cli("doctor", "--dsn", database).out
    assert all(f" {one['topic']} {one['sentence'][:20]}" in " ".join(told.split()) for one in found)
    assert cli("show", job, "--dsn", database, "--json").document["job"]["state"] == "ready"


def test_migrations_are_told_made_printed_and_checked(cli: Run, empty_database: str) -> None:
    """A dry run says all and changes nothing; migrate does it once; check finds no drift; print is SQL."""
    words = ("--dsn", empty_database, "--json")
    told: dict[str, Any] = cli("migrate", "--dry-run", *words).document
    assert told["dry_run"] is True
    assert cli("jobs", *words).problem["code"] == "schema_missing"
    assert cli("migrate", *words).document["migrations"] == told["migrations"]
    assert cli("migrate", *words).document["migrations"] == []
    assert cli("migrate", "check", *words).document == {"drift": []}
    printed = cli("migrate", "print").out
    assert "create schema" in printed.lower()


def test_behind_a_transaction_pooler_a_migration_goes_past_it(
    cli: Run, database: str, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is a session's: without an address of the server itself it is refused, unless there is nothing to do."""
    monkeypatch.setenv("JOBLEDGER_POOLER", "transaction")
    words = ("--dsn", empty_database, "--json")
    assert cli("migrate", "--dry-run", *words).status == 0
    for command in (("migrate",), ("migrate", "check")):
        refused = cli(*command, *words)
        assert (refused.status, refused.problem["code"]) == (2, "invalid_argument")
        assert "JOBLEDGER_POOLER=none" in refused.problem["hint"]
    assert cli("migrate", "--dsn", database, "--json").document["migrations"] == []
    monkeypatch.setenv("JOBLEDGER_LISTEN_DSN", database)
    assert "another database" in cli("migrate", *words).problem["detail"]
    monkeypatch.setenv("JOBLEDGER_LISTEN_DSN", empty_database)
    assert cli("migrate", *words).document["migrations"]
    assert cli("migrate", "check", *words).document == {"drift": []}


def test_help_answers_without_loading_the_service() -> None:
    """Neither the driver nor the models are imported for --help: it has to answer at once."""
    code = (
        "import sys; from jobledger.cli.failures import run; run(['--help']);"
        "heavy = {'asyncpg', 'pydantic', 'opentelemetry', 'cryptography'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr
