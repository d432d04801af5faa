"""Malformed words on the command line: the error's own exit status, one message, no traceback, nothing written."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest
import typer

from jobledger.cli.application import application
from jobledger.cli.failures import INTERNAL, OK, USAGE, run
from jobledger.errors import BY_CODE

from .cli_inputs import COMMANDS, EVERYWHERE, Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CASES: Final = 1_000
DATA: Final = Path(__file__).parent.parent / "data"
TABLES: Final = """
select c.relname from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where n.nspname = 'jobledger' and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""
NEEDED: Final = {
    *("up", "migrate", "open", "tick", "worker", "enqueue", "jobs", "show", "history", "cancel", "kill", "retry"),
    *("unpark", "pause", "resume", "limits", "rebuild", "repair", "doctor", "simulate", "bench"),
}

FLAGS = {"--lax", "--pending", "--until-settled", "--no-wait"}


class Terminal:
    """Types commands, in this process, at a database of its own with one job that waits."""

    def __init__(self, dsn: str) -> None:
        """Enqueue the job."""
        self.dsn = dsn
        self.sql = psycopg.connect(dsn, autocommit=True)
        row = self.sql.execute("select jobledger.enqueue('k')::text").fetchone()
        assert row is not None
        self.names = {"job": row[0], "swf": str(DATA / "small.swf"), "bad_swf": str(DATA / "bad_line.swf")}
        self.tables = [row[0] for row in self.sql.execute(TABLES).fetchall()]

    def counts(self) -> dict[str, int]:
        """Return the number of rows of every table."""
        parts = " union all ".join(f"select '{name}', count(*) from jobledger.{name}" for name in self.tables)  # noqa: S608
        return dict(self.sql.execute(parts).fetchall())

    def words(self, name: str, parts: Mapping[str, str], mark: str, *, as_json: bool) -> list[str]:
        """Return the words of a command."""
        filled = dict(parts)
        for word, meant in {**self.names, "mark": mark}.items():
            filled = {option: value.replace("{" + word + "}", meant) for option, value in filled.items()}
        places = [filled[place] for place in sorted(filled) if place.isdigit()]
        words = [*name.split(), *(["--json"] if as_json else [])]
        for option, value in ({"--dsn": self.dsn} | filled).items():
            if not option.isdigit():
                words += [option] if option in FLAGS else [option, value]
        return [*words, *(["--", *places] if places else [])]

    def refused(self, name: str, parts: Mapping[str, str], mark: str, *, as_json: bool) -> str | None:
        """Return what is wrong with the answer to malformed words: null where it is as it should be."""
        out, err = io.StringIO(), io.StringIO()
        words = self.words(name, parts, mark, as_json=as_json)
        # What is taken for sound by mistake may run for ever.
        signal.setitimer(signal.ITIMER_REAL, 5)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = run(words)
        except BaseException as error:  # noqa: BLE001 - what a person would see as a traceback
            return f"{type(error).__name__}: {error!s:.160}"
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        said = out.getvalue() + err.getvalue()
        if status in {OK, INTERNAL} or "Traceback" in said:
            return f"status {status}: {said:.200}"
        if mark in said:
            return f"echoes the value: {said:.300}"
        if as_json:
            told = json.loads(err.getvalue().strip().splitlines()[-1])
            expected = USAGE if told["code"] == "usage" else BY_CODE[told["code"]].exit_status
            if not told["exit_status"] == status == expected:
                return f"status {status} for {told}"
        return None


def _too_long(*_: object) -> None:
    raise TimeoutError("it was accepted, and runs")


@pytest.fixture
def terminal(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Terminal]:
    """Give the terminal, in an empty folder, without any setting of the environment."""
    for name in [name for name in os.environ if name.startswith("JOBLEDGER_") or name == "DATABASE_URL"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGALRM, _too_long)
    made = Terminal(database)
    yield made
    made.sql.close()
    signal.signal(signal.SIGALRM, before)


def leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield every command that does something by itself."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from leaves(inner, (*path, name))
    if path and (not hasattr(command, "commands") or command.invoke_without_command):
        yield " ".join(path)


def spoilt_of(command: Command) -> dict[str, tuple[str, ...]]:
    """Return what is malformed, also what every command refuses."""
    return {option: tuple(values) for option, values in {**EVERYWHERE, **command.spoilt}.items()}


def test_every_command_is_attacked() -> None:
    """A new command without malformed words fails here; and those that there must be are there."""
    found = set(leaves(typer.main.get_command(application)))
    assert found == set(COMMANDS)
    assert {name.partition(" ")[0] for name in found} >= NEEDED


@pytest.mark.parametrize("most", [1, pytest.param(100, marks=pytest.mark.slow)])
def test_each_malformed_word_has_its_exit_status(terminal: Terminal, most: int) -> None:
    """One malformed word at a time: every command, every option; quickly with two drawn for each, slowly with all."""
    draw = random.Random(20260304)  # noqa: S311 - not for secrets
    before, faults, turn = terminal.counts(), [], 0
    for name, command in COMMANDS.items():
        for option, values in spoilt_of(command).items():
            for value in draw.sample(values, min(most, len(values))):
                turn += 1
                parts = {**command.sound, option: value}
                fault = terminal.refused(name, parts, "Cn4ry", as_json=command.as_json and turn % 3 > 0)
                if fault is not None:
                    faults.append(f"{name} {option} {value!r:.60}: {fault}")
        if terminal.counts() != before:
            faults.append(f"{name}: rows were written")
            before = terminal.counts()
    assert not faults, "\n".join([f"{len(faults)} faults of {turn}", *faults])


@pytest.mark.slow
def test_thousands_of_random_malformed_words_write_nothing(terminal: Terminal) -> None:
    """Two or three malformed words together, drawn from a fixed seed."""
    draw = random.Random(20260303)  # noqa: S311 - not for secrets
    before, faults = terminal.counts(), []
    for turn in range(CASES):
        name = draw.choice(sorted(COMMANDS))
        options = spoilt_of(COMMANDS[name])
        chosen = draw.sample(sorted(options), min(len(options), draw.choice((2, 3))))
        parts = dict(COMMANDS[name].sound) | {option: draw.choice(options[option]) for option in chosen}
        fault = terminal.refused(name, parts, f"Cn4ry{turn:06}", as_json=COMMANDS[name].as_json and turn % 2 > 0)
        if fault is not None:
            faults.append(f"{name} { ({option: parts[option][:40] for option in chosen}) }: {fault}")
    assert not faults, "\n".join([f"{len(faults)} faults", *faults])
    assert terminal.counts() == before


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["enqueue", "k", "--priority", "many"], 2),
        (["enqueue", "a b", "--lax"], 2),
        (["show", "019aa0b1-7c00-7000-8000-000000000000"], 3),
        (["jobs", "--dsn", "postgresql://127.0.0.1:1/x"], 6),
    ],
)
def test_a_process_of_its_own_ends_with_the_status_of_the_error(
    terminal: Terminal, words: list[str], status: int
) -> None:
    """What is true in this process is true of the program: status, message on stderr, nothing on stdout."""
    told = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "jobledger", *words],
        env={**os.environ, "JOBLEDGER_DSN": terminal.dsn},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (told.returncode, told.stdout) == (status, "")
    assert told.stderr.strip()
    assert "Traceback" not in told.stderr
