"""What goes wrong on the command line: each error has its exit status, its JSON form, and repeats no value."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from jobledger.cli.application import application
from jobledger.cli.failures import problem
from jobledger.cli.worker import _without
from jobledger.errors import BY_CODE
from jobledger.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.cli.conftest import Answer

    Run = Callable[..., Answer]

DATA = Path(__file__).parents[1] / "data"
CANARY = "s3cr3t-canary"


def _commands() -> Iterator[tuple[str, ...]]:
    def walk(group: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        for name, command in group.commands.items():
            yield (*path, name)
            if hasattr(command, "commands"):
                yield from walk(command, (*path, name))

    yield from walk(typer.main.get_command(application), ())


@pytest.mark.parametrize("words", list(_commands()), ids=" ".join)
def test_every_command_has_help(cli: Run, words: tuple[str, ...]) -> None:
    """`--help` of every command ends well and names its options."""
    answer = cli(*words, "--help")
    assert answer.status == 0
    assert "--help" in answer.out


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("jobs", "--nonsense"),
        ("show",),
        ("jobs", "--limit", "many"),
        ("rebuild", "everything"),
        ("cancel", "some-id"),
        ("bench", "nonsense"),
        ("pause", "planet", "earth"),
        ("worker", "--processes", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(cli: Run, words: tuple[str, ...]) -> None:
    """A command, option or value that does not exist ends with 2, and nothing on stdout; also as JSON."""
    told = cli(*words)
    assert (told.status, told.out) == (2, "")
    as_json = cli(*words, "--json")
    assert as_json.status == 2
    assert as_json.problem["exit_status"] == 2


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", CANARY), "invalid_argument"),
        (("cancel", CANARY, "--reason", "x"), "invalid_argument"),
        (("cancel", "--reason", "x"), "invalid_argument"),
        (("enqueue", "greet", f"{{{CANARY}"), "invalid_argument"),
        (("enqueue", "greet", f'["{CANARY}"]'), "invalid_argument"),
        (("enqueue", "greet", f"@/nowhere/{CANARY}"), "invalid_argument"),
        (("enqueue", "greet", "--tenant", f"{CANARY} {CANARY}"), "invalid_tenant"),
        (("enqueue", "greet", "--run-at", CANARY), "invalid_argument"),
        (("enqueue", "greet", "--run-at", "2026-01-01T00:00:00"), "invalid_argument"),
        (("enqueue", "greet", "--timeout", CANARY), "invalid_argument"),
        (("enqueue", CANARY), "unknown_kind"),
        (("enqueue", "greet", "--lax", "--args", "{}", "--priority", "5000"), "invalid_argument"),
        (("enqueue", "greet", "--lax", "--run-at", "2020-01-01T00:00:00Z"), "run_at_too_old"),
        (("jobs", "--state", CANARY), "invalid_argument"),
        (("jobs", "--cursor", CANARY), "invalid_argument"),
        (("jobs", "--limit", "5000"), "invalid_argument"),
        (("jobs", "--silent", CANARY), "invalid_argument"),
        (("limits", "kind", "greet", "--clear", CANARY), "invalid_argument"),
        (("limits", "--timeout", "10m"), "invalid_argument"),
        (("worker", CANARY), "invalid_argument"),
        (("worker", f"{CANARY}:app"), "invalid_argument"),
        (("worker",), "invalid_argument"),
        (("bench", "drain", "--jobs", "0"), "invalid_argument"),
        (("simulate", "/nowhere.swf"), "invalid_file"),
        (("simulate", str(DATA / "bad_line.swf")), "invalid_file"),
        (("simulate", str(DATA / "small.swf"), "--fail-rate", "2"), "invalid_argument"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_bad_input_is_2_and_is_not_repeated(cli: Run, database: str, words: tuple[str, ...], code: str) -> None:
    """Each malformed value gets its named error; no error repeats it."""
    answer = cli(*words, "--dsn", database, *(("--json",) if words[0] != "worker" else ()))
    assert answer.status == 2
    assert answer.out == ""
    if words[0] != "worker":
        assert answer.problem["code"] == code
    assert CANARY not in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("command", ["show", "history"])
def test_an_unknown_id_is_3(cli: Run, database: str, command: str) -> None:
    """A job that does not exist, and one of another tenant, answer alike."""
    unknown = cli(command, str(new_id()), "--dsn", database, "--json")
    assert (unknown.status, unknown.problem["code"]) == (3, "not_found")
    job = cli("enqueue", "greet", "--lax", "--tenant", "acme", "--dsn", database).out.strip()
    foreign = cli(command, job, "--tenant", "other", "--dsn", database, "--json")
    assert foreign.problem == unknown.problem
    acted = cli("cancel", job, "--tenant", "other", "--reason", "x", "--dsn", database)
    assert acted.status == 3


def test_a_server_that_is_not_there_is_6(cli: Run) -> None:
    """The error names the place and never the password."""
    answer = cli("jobs", "--dsn", f"postgresql://ada:{CANARY}@127.0.0.1:1/none", "--json")
    assert (answer.status, answer.problem["code"]) == (6, "unreachable")
    assert "127.0.0.1:1" in answer.err
    assert CANARY not in answer.err


def test_a_folder_that_is_named_comes_before_an_address_of_the_environment(
    cli: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`--data` means the embedded Postgres of that folder, never the server that DATABASE_URL happens to name."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    (tmp_path / "file").touch()
    assert cli("jobs", "--json").problem["code"] == "unreachable"
    refused = cli("jobs", "--data", str(tmp_path / "file" / "data"), "--json")
    assert (refused.status, refused.problem["code"]) == (6, "data_directory_unusable")


def test_worker_processes_get_the_words_of_the_command_but_the_place() -> None:
    """The address goes by the environment; with `--data` a child would look for a server of its own."""
    words = ["worker", "shop:app", "--data", "here", "--processes=2", "-c", "5"]
    assert _without(_without(words, "--processes"), "--data") == ["worker", "shop:app", "-c", "5"]


def test_a_database_without_the_schema_is_7(cli: Run, empty_database: str) -> None:
    """The hint or sentence says what to run."""
    answer = cli("jobs", "--dsn", empty_database)
    assert answer.status == 7
    assert "jobledger migrate" in answer.err


def test_every_error_has_its_form_for_programs() -> None:
    """The members of RFC 9457 are there for each error, with the code and exit status of its class, as over HTTP."""
    for code, kind in BY_CODE.items():
        told = problem(kind(hint="Look.", detail={"n": 1}))
        assert told["type"] == f"https://jobledger.dev/problems/{code}"
        assert (told["code"], told["exit_status"], told["status"]) == (code, kind.exit_status, kind.http_status)
        assert (told["hint"], told["facts"]) == ("Look.", {"n": 1})


def test_ctrl_c_is_130_without_a_traceback(database: str) -> None:
    """A simulation that is interrupted ends with 130, quietly."""
    command = [sys.executable, "-m", "jobledger", "simulate", str(DATA / "small.swf"), "--speed", "0.01"]
    with subprocess.Popen(  # noqa: S603 - our own program
        [*command, "--dsn", database], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ}
    ) as running:
        assert running.stderr is not None
        line = running.stderr.readline()
        while line and "enqueued" not in line:
            line = running.stderr.readline()
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", ["migrate print", "doctor", "--help", "jobs --json"])
def test_a_closed_pipe_is_no_fault(command: str, database: str) -> None:
    """`jobledger … | head` ends quietly, also where `head` has ended before the first line, whoever writes it."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-m", "jobledger", *command.split()],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env={**os.environ, "JOBLEDGER_DSN": database},
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_completion_for_shells_works() -> None:
    """The script for a shell is printed, and completes the commands."""
    asked = {**os.environ, "_JOBLEDGER_COMPLETE": "complete_bash", "COMP_WORDS": "jobledger his", "COMP_CWORD": "1"}
    program = Path(sys.executable).with_name("jobledger")
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False, env=asked)  # noqa: S603
    assert "history" in done.stdout
