"""The replay of a small log through the real service, end to end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DATA = Path(__file__).parents[1] / "data"


def _jobledger(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobledger", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own program


@pytest.fixture
def replayed(database: str) -> dict[str, Any]:
    """Replay the small log and return its result."""
    done = _jobledger("simulate", str(DATA / "small.swf"), "--speed", "100", "--dsn", database, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_log_equals_the_file(replayed: dict[str, Any]) -> None:
    """Every record of the small log has become a job of its user that ended as the record says."""
    assert replayed["check"]["findings"] == []
    assert replayed["tenants"] == {
        "user-1": {"enqueued": 3, "succeeded": 1, "failed": 1, "cancelled": 1},
        "user-2": {"enqueued": 3, "succeeded": 2, "cancelled": 1},
        "user-3": {"enqueued": 2, "succeeded": 1, "failed": 1},
        "user-unknown": {"enqueued": 1, "succeeded": 1},
    }
    assert replayed["parts_left_out"] == 3


@pytest.mark.slow
def test_the_next_commands_work_as_printed(replayed: dict[str, Any], database: str) -> None:
    """Each of the three commands that the simulation ends with ends well on the same database."""
    assert [command[0] for command in replayed["next"]] == ["jobs", "history", "doctor"]
    for command in replayed["next"]:
        done = _jobledger(*command, "--dsn", database)
        # The tests' server is set for speed, which the doctor rightly calls alarming.
        assert done.returncode == (8 if command == ["doctor"] else 0), done.stdout + done.stderr
        assert "log says" in done.stdout or command != ["doctor"]


def test_a_cancelled_record_was_cancelled_by_the_operator_while_it_ran(replayed: dict[str, Any], database: str) -> None:
    """Its history has the claim, then the request with actor and reason, then the end."""
    job = replayed["next"][1][1]
    done = _jobledger("history", job, "--dsn", database, "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["type"] for event in events] == [
        "job.enqueued",
        "job.claimed",
        "job.cancel_requested",
        "job.cancelled",
    ]
    assert events[2]["actor"] == "simulated operator"
    assert events[2]["data"]["reason"]


def test_people_get_acknowledgements_a_table_and_the_check(database: str) -> None:
    """The plain output names the log's source, every tenant, and what the check came to."""
    done = _jobledger("simulate", str(DATA / "small.swf"), "--speed", "500", "--dsn", database)
    assert done.returncode == 0, done.stderr
    for words in ("Acknowledge: nobody", "user-unknown", "Check: the log equals the file", "Next:"):
        assert words in done.stdout
    assert "enqueued 9/9" in done.stderr


@pytest.mark.slow
def test_the_whole_real_log_is_replayed_within_a_minute(database: str) -> None:
    """Three months of NASA Ames, 18,239 jobs with drawn failures and cancellations, and the log equals the file."""
    file = str(DATA / "NASA-iPSC-1993-3.1-cln.swf.gz")
    done = _jobledger("simulate", file, "--fail-rate", "0.05", "--cancel-rate", "0.02", "--dsn", database, "--json")
    found = json.loads(done.stdout)
    assert found["check"]["findings"] == []
    assert done.returncode == 0
    assert found["finished"] == 18_239
    assert found["elapsed_s"] < 60
