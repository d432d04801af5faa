"""The SQL files of `migrations` and `projections`, read and checked.

A migration is `NNNN_name.sql`, numbered 1, 2, 3 … without a gap. A projection is a folder; its files apply in the order
of their names, the folders in the order of `projections/order.txt`. A folder with a `fold.sql` is folded from the
sealed log instead, in a schema of its own, and nothing of it is applied here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from jobledger.errors import SchemaError
from jobledger.store.statements import sql_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable

FOLD = "fold.sql"
"""The file that makes a folder of SQL a projection that runners fold from the sealed log."""

OUTSIDE = "-- jobledger: no-transaction"
"""First line of a migration that must run outside a transaction (`create index concurrently`). If it is cut off it is
run again from its start, so each statement of it must bear that."""

_NAME = re.compile(r"^(\d{4})_[a-z0-9_]+\.sql$")
_TABLE = re.compile(r"^create\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?jobledger\.(\w+)", re.I | re.M)
_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | '(?:[^']|'')*' | "(?:[^"]|"")*" | \$(?P<tag>(?:[a-z_]\w*)?)\$.*?\$(?P=tag)\$ | ;""",
    re.I | re.S | re.X,
)


@dataclass(frozen=True, slots=True)
class MigrationFile:
    """One numbered migration."""

    number: int
    name: str
    text: str = field(repr=False)

    @property
    def checksum(self) -> str:
        """SHA-256 of the normalised text, in hex."""
        return checksum(self.text)

    @property
    def in_transaction(self) -> bool:
        """Whether the whole file is one transaction, which is the rule."""
        return not self.text.startswith(OUTSIDE)


@dataclass(frozen=True, slots=True)
class ProjectionFile:
    """One object of a projection; `path` is `folder/file.sql`."""

    projection: str
    path: str
    text: str = field(repr=False)

    @property
    def checksum(self) -> str:
        """SHA-256 of the normalised text, in hex."""
        return checksum(self.text)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that the file makes; a change of such a file is a deliberate rebuild of the projection."""
        return tuple(_TABLE.findall(self.text))


@dataclass(frozen=True, slots=True)
class SqlFiles:
    """Everything that makes up the schema, in the order in which it is applied."""

    migrations: tuple[MigrationFile, ...]
    projections: tuple[ProjectionFile, ...]


def read_sql_files(migrations: Traversable | None = None, projections: Traversable | None = None) -> SqlFiles:
    """Read both folders (default: the package's own, as they were when this process first read them).

    Raises:
        SchemaError: a name is out of rule, a number is missing or there twice, or `order.txt` names no folder.
    """
    if migrations is None and projections is None:
        return _own_files()
    return _read(migrations or sql_folder("migrations"), projections or sql_folder("projections"))


@cache
def _own_files() -> SqlFiles:
    # Once: it takes 7 ms, and a process goes on with the code that it has loaded, whatever is installed meanwhile.
    return _read(sql_folder("migrations"), sql_folder("projections"))


def _read(migrations: Traversable, projections: Traversable) -> SqlFiles:
    return SqlFiles(tuple(_migrations(migrations)), tuple(_projections(projections)))


def checksum(text: str) -> str:
    """Return the checksum of a text; line ends and white space at the end of lines do not count."""
    lines = [line.rstrip() for line in text.splitlines()]
    return hashlib.sha256("\n".join(lines).strip("\n").encode()).hexdigest()


def split_statements(text: str) -> list[str]:
    """Cut a script at its semicolons, outside of strings, comments and dollar quotes (`begin atomic` is not known)."""
    pieces: list[str] = []
    start = 0
    for token in _TOKEN.finditer(text):
        if token.group() == ";":
            pieces.append(text[start : token.start()])
            start = token.end()
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if _has_code(piece)]


def _has_code(piece: str) -> bool:
    return bool(re.sub(r"--[^\n]*|/\*.*?\*/", "", piece, flags=re.S).strip())


def _migrations(folder: Traversable) -> Iterator[MigrationFile]:
    names = sorted(place.name for place in folder.iterdir() if place.name.endswith(".sql"))
    for expected, name in enumerate(names, start=1):
        matched = _NAME.match(name)
        if matched is None:
            raise SchemaError(f"The migration {name} is not named NNNN_name.sql.")
        number = int(matched.group(1))
        if number != expected:
            raise SchemaError(
                f"The migration {name} should have the number {expected:04}: none may be missing or twice."
            )
        yield MigrationFile(number, name, (folder / name).read_text(encoding="utf-8"))


def _projections(root: Traversable) -> Iterator[ProjectionFile]:
    folders = {
        place.name: place
        for place in root.iterdir()
        if place.is_dir() and not place.name.startswith((".", "_")) and not (place / FOLD).is_file()
    }
    ordered = _order(root, folders)
    for name in [*ordered, *sorted(folders.keys() - set(ordered))]:
        for place in sorted(folders[name].iterdir(), key=lambda place: place.name):
            if place.name.endswith(".sql"):
                yield ProjectionFile(name, f"{name}/{place.name}", place.read_text(encoding="utf-8"))


def _order(root: Traversable, folders: dict[str, Traversable]) -> list[str]:
    listed = root / "order.txt"
    if not listed.is_file():
        return [name for name in ("queue", "status") if name in folders]
    names = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines()]
    names = [name for name in names if name and not name.startswith("#")]
    unknown = [name for name in names if name not in folders]
    if unknown or len(set(names)) != len(names):
        raise SchemaError(
            f"projections/order.txt names folders that are not there, or twice: {', '.join(unknown or names)}."
        )
    return names
