"""From an error to what a person or a program sees: a message and the way out on stderr, and an exit status.

Expected errors (`JobledgerError`, wrong usage, ctrl-c, a closed pipe) never show a traceback. With `--json` an error is
one JSON object in the form of RFC 9457 on stderr, so that stdout holds results alone.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

import orjson
import typer

from jobledger.errors import PROBLEM_TYPES, JobledgerError, problem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

OK = 0
INTERNAL = 1
USAGE = 2
INTERRUPTED = 130
PIPE_CLOSED = 141

OTHER_STATUSES = {
    OK: "all is done as asked",
    INTERNAL: "a fault of jobledger's own; the traceback is on stderr",
    USAGE: "wrong usage: an unknown command or option, a missing or malformed value",
    INTERRUPTED: "interrupted by ctrl-c",
    PIPE_CLOSED: "who read the output closed the pipe",
}


class _Output:
    """Stdout, whose reader may close the pipe: that ends the command by the status that says so.

    Told by an exit: of a broken pipe typer and rich would make status 1, each by itself.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._end()

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._end()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _end(self) -> NoReturn:
        # What is still buffered would raise again when the interpreter flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        raise SystemExit(PIPE_CLOSED) from None


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status."""
    stdout, sys.stdout = sys.stdout, cast("TextIO", _Output(sys.stdout))
    try:
        status = _run(arguments)
        sys.stdout.flush()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else OK
    else:
        return status
    finally:
        sys.stdout = stdout


def _run(arguments: Sequence[str]) -> int:
    as_json = "--json" in arguments
    try:
        # For people typer shows wrong usage itself, with the usage line; for programs it is told as JSON below.
        status = _tree().main(args=list(arguments), prog_name="jobledger", standalone_mode=not as_json)
    except SystemExit as leaving:
        status = leaving.code
    except typer._click.exceptions.ClickException as error:  # noqa: SLF001 - the one base of all usage errors
        _write(_problem("usage", "Wrong usage.", error.format_message(), USAGE, 400))
        return error.exit_code
    except JobledgerError as error:
        tell(error, as_json=as_json)
        return error.exit_status
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    return status if isinstance(status, int) else OK


@functools.cache
def _tree() -> Any:
    """Return the tree of all commands: reading their signatures takes longer than most of them run."""
    from jobledger.cli.application import application  # noqa: PLC0415 - the tree of commands imports this module

    return typer.main.get_command(application)


def tell(error: JobledgerError, *, as_json: bool) -> None:
    """Write an expected error to stderr."""
    if as_json:
        _write(problem(error))
        return
    from rich.console import Console  # noqa: PLC0415 - only needed when something went wrong

    console = Console(stderr=True, soft_wrap=True, highlight=False)
    console.print("error:", style="bold red", end=" ")
    console.print(error.message, markup=False)
    if error.hint:
        console.print("hint:", style="bold", end=" ")
        console.print(error.hint, markup=False)


def problem(error: JobledgerError) -> dict[str, Any]:
    """Return an error in the form of RFC 9457, with the code, the way out and the facts beside the standard members."""
    return {**problem_of(error), "exit_status": error.exit_status}


def _problem(code: str, title: str, detail: str, exit_status: int, status: int) -> dict[str, Any]:
    return {
        "type": PROBLEM_TYPES + code,
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "exit_status": exit_status,
    }


def _write(document: dict[str, Any]) -> None:
    try:
        text = orjson.dumps(document, default=str).decode()
    except TypeError:
        # A file's name may hold bytes that are no text; escaped it can be said.
        text = json.dumps(document, default=str)
    sys.stderr.write(text + "\n")
