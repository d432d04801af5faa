"""Reference pages that are made from the code. After a change there: python tests/docs/test_reference_pages.py"""

from __future__ import annotations

import inspect
import logging
from pathlib import Path

import pytest

from jobledger import errors, observations
from jobledger.errors import BY_SQLSTATE, JobledgerError
from jobledger.observations import VOCABULARY
from jobledger.settings import Settings, variable
from jobledger.telemetry.logs import level_of

DOCS = Path(__file__).resolve().parents[2] / "docs"

ERRORS = """
Every error that jobledger raises is one of these: in Python, in SQL (by its SQLSTATE), in the JSON that the commands
print with `--json`, and by the exit status of a command. The message states the rule and the way out, and never the
value that was given. Catch `JobledgerError`, or the group you can do something about.
"""
STATUSES = """
Exit statuses that are not an error's: 0 all is done as asked, 130 interrupted by ctrl-c, 141 the reader of the output
closed the pipe. Wrong usage of a command is 2, like bad input.
"""
SETTINGS = """
Read from the environment; what is given on the command line or in code comes first. An empty variable is an unset one.
A value out of its range stops the command with `invalid_argument` (exit status 2), which names the variable and the
rule, never the value.
"""
OBSERVATIONS = """
One record for each thing that happens. The commands write them to the log at the level given here; each is counted in
the metric `jobledger.observations` by its topic. In Python: `jobledger.observations.subscribe(listener)`, and in tests
`with observing(JobKilled) as seen:`. With nobody listening they cost nothing. More: [telemetry](howto/telemetry.md).
"""


def _table(columns: list[str], rows: list[list[str]]) -> str:
    ruled = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in ruled)


def errors_page() -> str:
    """Return the tree, then one row a class; groups are set in bold."""
    rows = []
    for sqlstate in sorted(BY_SQLSTATE):
        kind = BY_SQLSTATE[sqlstate]
        mark = "**" if kind.__subclasses__() else ""
        says = (kind.__doc__ or "").strip().splitlines()[0]
        status = [str(kind.http_status), str(kind.exit_status)]
        rows.append([f"{mark}`{kind.__name__}`{mark}", f"`{kind.code}`", f"`{sqlstate}`", *status, says])
    table = _table(["class", "code", "SQLSTATE", "HTTP", "exit", "says"], rows)
    tree = inspect.cleandoc(inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1])
    return f"# Errors\n{ERRORS}\n```text\n{tree}\n```\n\n{table}\n{STATUSES}"


def settings_page() -> str:
    """Return one row a setting."""
    rows = [
        [f"`{variable(name)}`", "-" if field.default is None else f"`{field.default}`", field.description or ""]
        for name, field in Settings.model_fields.items()
    ]
    return f"# Settings\n{SETTINGS}\n{_table(['variable', 'default', 'is'], rows)}\n"


def observations_page() -> str:
    """Return one row a record, in the order of the module."""
    rows = []
    for topic, kind in VOCABULARY.items():
        fields = ", ".join(inspect.signature(kind).parameters)
        rows.append([f"`{topic}`", logging.getLevelName(level_of(kind)).lower(), fields, inspect.getdoc(kind) or ""])
    return f"# Observations\n{OBSERVATIONS}\n{_table(['topic', 'level', 'fields', 'happened'], rows)}\n"


PAGES = {"errors.md": errors_page, "settings.md": settings_page, "observations.md": observations_page}


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_is_the_one_made_from_the_code(name: str) -> None:
    """What one looks up is what the code does."""
    assert (DOCS / name).read_text() == PAGES[name]()


def test_every_error_is_in_the_tree_of_the_module_docstring() -> None:
    """The drawing at the head of the module names each class once."""
    tree = errors.__doc__ or ""
    drawn = [line.split("─ ")[1].split()[0] for line in tree.splitlines() if "─ " in line]
    known = [kind.__name__ for kind in BY_SQLSTATE.values() if kind is not JobledgerError]
    assert sorted(drawn) == sorted(known)


_WORDS = {"telemetry", "jobledger", "observations"}


def test_every_observation_is_emitted_somewhere() -> None:
    """A word that nobody says is taken out of the vocabulary."""
    package = Path(observations.__file__).parent.parent
    texts = [path.read_text() for path in package.rglob("*.py") if path.parent.name not in _WORDS]
    silent = [kind.__name__ for kind in VOCABULARY.values() if not any(f"{kind.__name__}(" in text for text in texts)]
    assert not silent


if __name__ == "__main__":
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
