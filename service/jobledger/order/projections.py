"""What is folded from the sealed log: projections in SQL, a folder of files, and in Python, an async function.

Each lies in a schema of its own, `jobledger_NAME`; a new version is made beside it in `jobledger_NAME_next`, which then
takes the name.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from jobledger.errors import InvalidArgument
from jobledger.store.failures import translated
from jobledger.store.migration_files import FOLD, checksum
from jobledger.store.statements import sql_folder, statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from datetime import datetime
    from importlib.resources.abc import Traversable

    from jobledger.store.pool import Connection

    Fold: TypeAlias = Callable[..., Awaitable[None]]
else:
    Fold = Any

VERSION: Final = "version.txt"
NAME_MAX: Final = 40
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_VERSION_MAX: Final = 2**31 - 1
_DIGITS_MAX: Final = 12


@dataclass(frozen=True, slots=True)
class Projection:
    """One version of a projection: the SQL that makes its tables, and its fold; `fold` is None where that is SQL.

    With `effects` the fold does more than write its tables, such as sending mail: it begins at the log's end, is never
    run over what it has seen, and a higher version takes over where the lower one stands. `owners`: its tables are
    those of the role that owns the log, and only a member of that makes and folds them.
    """

    name: str
    version: int
    tables: tuple[str, ...] = field(default=(), repr=False)
    fold: Fold | None = field(default=None, repr=False)
    effects: bool = False
    owners: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be one."""
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name) or self.name.endswith("_next"):
            raise InvalidArgument(
                "A projection's name is a to z, 0 to 9 and _, begins with a letter, has at most "
                f"{NAME_MAX} characters and does not end in _next."
            )
        if type(self.version) is not int or not 1 <= self.version <= _VERSION_MAX:
            raise InvalidArgument("A projection's version is a whole number from 1 on.")
        if type(self.effects) is not bool:
            raise InvalidArgument("Whether a fold has effects is true or false.")
        if self.fold is not None and not inspect.iscoroutinefunction(self.fold):
            raise InvalidArgument("A fold is an async function of events and connection.")

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL that makes it, in hex; line ends do not count."""
        return hashlib.sha256("\n".join(checksum(text) for text in self.tables).encode()).hexdigest()

    @property
    def wants_rebuilding(self) -> bool:
        """Whether the fold takes a third argument, `rebuilding`."""
        return self.fold is not None and "rebuilding" in inspect.signature(self.fold).parameters


class Due(NamedTuple):
    """A projection's row in the register: its checkpoint, and the end of what is sealed."""

    name: str
    shadow: bool
    version: int
    state: str
    effects: bool
    made: bool
    checksum: str | None
    block: int
    last_block: int


class Standing(NamedTuple):
    """Where a projection stands.

    state: `running`, `rebuilding` (not at the log's end yet since it began or was resumed; a shadow until it takes the
    projection's place), or `stopped`, with the `error` of its fold or by an operator
    as_of: when the last block that it took in was sealed; events: how many it took in
    behind, behind_s: events that wait for it (about, above 10,000 blocks), and the age of the oldest block of them
    """

    name: str
    shadow: bool
    version: int
    state: str
    effects: bool
    epoch: int
    block: int
    as_of: datetime | None
    events: int
    behind: int
    behind_s: float
    error: str | None
    failed_at: datetime | None
    made_at: datetime
    updated_at: datetime


def schema_of(name: str, *, shadow: bool = False) -> str:
    """Return the schema of a projection's tables; its name needs no quotes."""
    return f"jobledger_{name}{'_next' if shadow else ''}"


def from_folder(folder: Traversable | str, name: str | None = None) -> Projection:
    """Return the projection in SQL that a folder holds: `version.txt`, `fold.sql`, and the files that make its tables.

    `name` is the folder's own by default.

    Raises:
        InvalidArgument: the folder is not there or lacks one of them, or the version is no number.
    """
    place = Path(folder) if isinstance(folder, str) else folder
    if not hasattr(place, "is_dir") or not _is_there(place):
        raise InvalidArgument(f"A projection in SQL is a folder with {FOLD} and {VERSION}.")
    number = _read(place / VERSION).strip()
    if not (number.isascii() and number.isdigit() and len(number) < _DIGITS_MAX):
        raise InvalidArgument(f"{VERSION} holds a whole number and nothing else.")
    return Projection(place.name if name is None else name, int(number), (*_texts(place), _read(place / FOLD)))


def table_texts(tables: str | Path | Sequence[str] | None) -> tuple[str, ...]:
    """Return the SQL that makes a Python projection's tables: given as text, or as a file or folder of files."""
    if tables is None:
        return ()
    if isinstance(tables, Path):
        if not tables.exists():
            raise InvalidArgument("The file or folder of the projection's tables is not there.")
        return tuple(_texts(tables)) if tables.is_dir() else (_read(tables),)
    texts = (tables,) if isinstance(tables, str) else tables
    if not (isinstance(texts, (list, tuple)) and all(isinstance(text, str) for text in texts)):
        raise InvalidArgument("tables is SQL, or the Path of a file or folder of it.")
    return tuple(texts)


def built_in() -> list[Projection]:
    """Return the projections that come with the package."""
    folders = sql_folder("projections").iterdir()
    places = [place for place in sorted(folders, key=lambda one: one.name) if (place / FOLD).is_file()]
    return [replace(from_folder(place), owners=True) for place in places]


async def due(connection: Connection, shard: int) -> list[Due]:
    """Return the register, as a runner looks at it a few times a second."""
    with translated():
        return [Due(*row.values()) for row in await connection.fetch(statement("order/projections_due"), shard)]


async def standings(connection: Connection, shard: int) -> list[Standing]:
    """Return where each projection stands, its shadow after it.

    Raises:
        Forbidden: the role is bound to tenants.
    """
    with translated():
        return [Standing(*row.values()) for row in await connection.fetch(statement("order/projection_list"), shard)]


async def begin(
    connection: Connection, shard: int, name: str, version: int | None, *, shadow: bool = False, effects: bool = False
) -> bool:
    """Enter a projection; with `shadow` a rebuild of one that is there (default: of its version). False: it is there.

    Raises:
        NotFound: there is no projection to rebuild.
        InvalidArgument: its fold has effects, and is never run over what it has seen.
    """
    with translated():
        return bool(
            await connection.fetchval(statement("order/projection_begin"), shard, name, version, shadow, effects)
        )


async def stop(
    connection: Connection,
    shard: int,
    name: str,
    *,
    error: str | None = None,
    shadow: bool | None = None,
    block: int | None = None,
) -> int:
    """Stop a projection and its shadow where they stand (or one of them, at one block); returns how many were."""
    with translated():
        return int(
            await connection.fetchval(statement("order/projection_stop"), shard, name, error, shadow, block) or 0
        )


async def resume(connection: Connection, shard: int, name: str, *, skip: bool = False) -> int:
    """Let a stopped projection and its shadow go on; returns how many were.

    `skip`: also where the log does not have what comes next: without what retention dropped.
    """
    with translated():
        return int(await connection.fetchval(statement("order/projection_resume"), shard, name, skip) or 0)


async def drop(connection: Connection, shard: int, name: str, *, shadow_only: bool = False) -> int:
    """Drop a projection, its tables and its shadow, or the shadow alone; returns how many there were.

    Views of others over its tables go with them. An app that still declares it begins it anew.
    """
    with translated():
        async with connection.transaction():
            count = int(await connection.fetchval(statement("order/projection_forget"), shard, name, shadow_only) or 0)
            for shadow in (True,) if shadow_only else (True, False):
                await connection.execute(named("projection_schema_drop", schema_of(name, shadow=shadow)))
    return count


def named(what: str, *schemas: str) -> str:
    """Return a statement with the names of schemas written in as $1, $2; those of `schema_of` need no quotes."""
    text = statement(f"order/{what}")
    for number, schema in enumerate(schemas, start=1):
        text = text.replace(f"${number}", schema)
    return text


def _is_there(folder: Traversable) -> bool:
    try:
        return folder.is_dir() and (folder / FOLD).is_file() and (folder / VERSION).is_file()
    except (OSError, ValueError):
        return False


def _texts(folder: Traversable) -> Iterator[str]:
    for place in sorted(folder.iterdir(), key=lambda one: one.name):
        if place.name.endswith(".sql") and place.name != FOLD:
            yield _read(place)


def _read(place: Traversable) -> str:
    return place.read_text(encoding="utf-8")
