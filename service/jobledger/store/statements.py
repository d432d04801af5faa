"""SQL by name: every statement that Python sends is a file of its own, read once.

`statement("claim")` is `store/sql/claim.sql`; `statement("bench/floor")` is `bench/sql/floor.sql`. The folders
`migrations` and `projections` lie inside the package in a wheel, and at the repository's root in an editable install.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from jobledger.errors import SchemaError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_ROOM = "store"


@cache
def statement(name: str) -> str:
    """Return the text of a statement without its header comment; `room/name` looks in another room's folder.

    Raises:
        SchemaError: the package holds no such file, so the installation is not whole.
    """
    room, _, rest = name.rpartition("/")
    place = files("jobledger").joinpath(*(room or _ROOM).split("/"), "sql", f"{rest}.sql")
    try:
        text = place.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SchemaError(f"The statement {name} is missing from this installation; install it again.") from None
    return without_header(text)


def sql_folder(name: str) -> Traversable:
    """Return the folder `migrations` or `projections`.

    Raises:
        SchemaError: it is neither in the package nor at the repository's root.
    """
    shipped = files("jobledger") / name
    if shipped.is_dir():
        return shipped
    at_root = Path(__file__).resolve().parents[3] / name
    if at_root.is_dir():
        return at_root
    raise SchemaError(f"The SQL folder {name} is missing from this installation; install it again.")


def without_header(text: str) -> str:
    """Return the SQL after the comment lines at its top: the server need not be sent them with each call."""
    lines = text.splitlines()
    start = 0
    while start < len(lines) and (not lines[start].strip() or lines[start].lstrip().startswith("--")):
        start += 1
    return "\n".join(lines[start:]).strip()
