"""Each command line that the documentation shows is one that jobledger takes: its command, options and values exist."""

from __future__ import annotations

import functools
import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

from jobledger.cli.application import application

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "docs" / "benchmarks.md"
MADE = ROOT / "docs" / "cli.md"
"""Made from the commands themselves, with what stands for a command or an argument."""
PAGES = sorted({ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")} - {MADE})
BLOCK = re.compile(r"^ *```(?:sh|bash|console|shell)\n(.*?)^ *```", re.M | re.S)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
ENDS = {"|", "||", "&&", "&", ";", ">", ">>", "<", "2>", "#"}
"""Where a command's own words end."""
UNSAID = ("MissingParameter", "BadOptionUsage")
"""What a command may lack where it is only spoken of: arguments, and the value of an option."""
CONNECTIONS = {"listener", "reader"}
"""No commands: so connections are named at the server."""


def _words(line: str) -> list[str]:
    """Return the words after `jobledger` of a line; none where there is none. A number may stand as `N`."""
    try:
        parts = shlex.split(line, comments=True)
    except ValueError:
        return []
    if "jobledger" not in parts:
        return []
    rest = parts[parts.index("jobledger") + 1 :]
    if rest and rest[0].startswith("-"):
        return []  # what jobledger itself answers at once, or does, such as --install-completion
    said = (word.rstrip(";") for word in takewhile(lambda word: word not in ENDS, rest))
    return ["1" if word == "N" else word for word in said]


def _typed(page: Path) -> Iterator[list[str]]:
    """The commands of the page's shell blocks, the first of each line."""
    for block in BLOCK.findall(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            if words := _words(line.removeprefix("$ ")):
                yield words


def _spoken(page: Path) -> Iterator[list[str]]:
    """The commands that its sentences name."""
    for span in SPAN.findall(BLOCK.sub("", page.read_text())):
        if span.startswith("jobledger ") and (words := _words(span)) and words[0] not in CONNECTIONS:
            yield words


def _varied(page: Path) -> Iterator[list[str]]:
    """In a table: a command, and the same with each of the options that stand alone behind it."""
    for row in page.read_text().splitlines():
        plain: list[str] = []
        for span in SPAN.findall(row) if row.startswith("|") else ():
            if span.startswith("jobledger "):
                plain = _words(span)
            elif span.startswith("--") and plain:
                yield [*plain, *shlex.split(span)]


@functools.cache
def _tree() -> Any:
    return typer.main.get_command(application)


def _wrong(words: Sequence[str], *, whole: bool) -> str | None:
    """Say why the command line is refused before anything runs, or nothing; `whole`: nothing may be left out."""
    command = _tree()
    context: Any = None
    name, rest = "jobledger", list(words)
    try:
        while True:
            is_group = hasattr(command, "resolve_command")
            if is_group and not rest and command.no_args_is_help:
                return "A command of the group is missing." if whole else None
            context = command.make_context(name, rest, parent=context)
            rest = [*context._protected_args, *context.args] if is_group else []
            if not rest:
                return None
            name, command, rest = command.resolve_command(context, rest)
    except typer._click.exceptions.ClickException as error:
        told: str = error.format_message()
        return None if type(error).__name__ in UNSAID and not whole else told
    except typer.Exit:
        return None  # --help is answered at once


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_command_lines_of_a_page_are_taken(page: Path) -> None:
    """What is shown can be typed in; what is named in a sentence may lack what its command asks for."""
    wrong = [(words, told) for words in _typed(page) if (told := _wrong(words, whole=True))]
    wrong += [(words, told) for words in _spoken(page) if (told := _wrong(words, whole=False))]
    assert not wrong


def test_each_figure_of_the_benchmarks_has_a_command_that_prints_it() -> None:
    """Its options are those of the measurement, also where only an option tells the second figure from the first."""
    spoken, varied = list(_spoken(BENCHMARKS)), list(_varied(BENCHMARKS))
    assert len(spoken) > 20
    assert len(varied) > 4
    measured = [words for words in [*spoken, *varied] if words != ["bench"]]
    assert [(words, told) for words in measured if (told := _wrong(words, whole=True))] == []


@pytest.mark.parametrize(
    "line",
    ["bench", "bench nothing", "bench drain --no-such", "bench drain --jobs many", "bench pickup --notify x"],
)
def test_what_does_not_exist_would_be_found(line: str) -> None:
    """The reading of this module refuses what the command line refuses."""
    assert _wrong(line.split(), whole=True)
