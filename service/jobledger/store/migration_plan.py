"""What a database lacks: the pure comparison of the SQL files with what was applied.

A changed file of a projection brings along every file of its folder and of the folders after it: dropping a type or a
view takes with it what hangs on it, and all of them may be applied again at any time. Files that make tables are the
exception: they are applied when new, and a changed one means that the folder's tables are dropped and rebuilt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobledger.errors import SchemaChanged, SchemaNewer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.migration_files import MigrationFile, ProjectionFile, SqlFiles


@dataclass(frozen=True, slots=True)
class Applied:
    """What a database says it has had: migrations by number, projection files by path."""

    migrations: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Number -> name, checksum."""
    projections: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Path -> checksum, version of the code that applied it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done, in this order."""

    migrations: tuple[MigrationFile, ...] = ()
    drops: tuple[str, ...] = ()
    """Tables of projections that are made anew."""
    projections: tuple[ProjectionFile, ...] = ()
    rebuilds: tuple[str, ...] = ()
    """Projections to fill from the log once their tables are new."""
    forgotten: tuple[str, ...] = ()
    """Projection files that the code no longer has."""
    changed: frozenset[str] = frozenset()
    """The paths among `projections` that are new or changed; the others only come along."""

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.migrations or self.projections or self.forgotten)

    def lines(self) -> list[str]:
        """Say it for a person, one line a thing."""
        said = [f"migration   {migration.name}" for migration in self.migrations]
        said += [f"drop        table jobledger.{table}, made anew from the log" for table in self.drops]
        said += [f"projection  {file.path}" for file in self.projections if file.path in self.changed]
        along = sum(file.path not in self.changed for file in self.projections)
        said += [f"projection  {along} unchanged files that may hang on these, again"] if along else []
        said += [f"rebuild     {name} from the log" for name in self.rebuilds]
        said += [f"forget      {path}, which is no longer part of jobledger" for path in self.forgotten]
        return said


def plan(files: SqlFiles, applied: Applied, version: str) -> Plan:
    """Compare; `version` is that of this code.

    Raises:
        SchemaNewer: the database has had a migration or projection that this code does not know.
        SchemaChanged: the text of an applied migration is not the one that was applied, or one was left out.
    """
    _refuse_newer(files, applied, version)
    _refuse_changed(files, applied)
    migrations = tuple(file for file in files.migrations if file.number not in applied.migrations)
    return _with_projections(migrations, files.projections, applied.projections)


def _with_projections(
    migrations: tuple[MigrationFile, ...],
    files: tuple[ProjectionFile, ...],
    applied: Mapping[str, tuple[str, str]],
) -> Plan:
    forgotten = tuple(sorted(applied.keys() - {file.path for file in files}))
    changed = frozenset(file.path for file in files if applied.get(file.path, ("",))[0] != file.checksum)
    folders = list(dict.fromkeys(file.projection for file in files))
    remade = {file.projection for file in files if file.tables and file.path in changed and file.path in applied}
    # On a database that has had no projection yet the log is empty or older than all of them: `open` rebuilds.
    filled = {file.projection for file in files if file.tables and file.path in changed} if applied else set()
    touched = [folders.index(file.projection) for file in files if file.path in changed]
    touched += [0] if remade or forgotten or (migrations and applied) else []
    first = min(touched, default=len(folders))
    again = [
        file
        for file in files
        if folders.index(file.projection) >= first
        and (not file.tables or file.path in changed or file.projection in remade)
    ]
    drops = [table for file in files if file.projection in remade for table in file.tables]
    return Plan(
        migrations=migrations,
        drops=tuple(drops),
        projections=tuple(again),
        rebuilds=tuple(name for name in folders if name in filled),
        forgotten=forgotten,
        changed=changed,
    )


def _refuse_newer(files: SqlFiles, applied: Applied, version: str) -> None:
    known = {file.number for file in files.migrations}
    beyond = sorted(applied.migrations.keys() - known)
    if beyond:
        name = applied.migrations[beyond[-1]][0]
        raise SchemaNewer(
            f"The database has had the migration {name}, which jobledger {version} does not know.",
            hint="Install the version of jobledger that migrated it, or a newer one.",
            detail={"unknown": [applied.migrations[number][0] for number in beyond], "version": version},
        )
    newest = max((by for _, by in applied.projections.values()), key=_ordinal, default=version)
    if _ordinal(newest) > _ordinal(version):
        raise SchemaNewer(
            f"The database's functions are those of jobledger {newest}; this is {version}.",
            hint="Install that version of jobledger, or a newer one.",
            detail={"database": newest, "version": version},
        )


def _refuse_changed(files: SqlFiles, applied: Applied) -> None:
    last = max(applied.migrations, default=0)
    for file in files.migrations:
        if file.number not in applied.migrations:
            if file.number < last:
                raise SchemaChanged(
                    f"The migration {file.name} was never applied, yet a later one was.",
                    hint="Give it a number after the last released one.",
                    detail={"migration": file.name},
                )
            continue
        name, checksum = applied.migrations[file.number]
        if (name, checksum) != (file.name, file.checksum):
            raise SchemaChanged(
                f"The migration {file.name} was changed after it was applied (as {name}).",
                hint="Put its text back as it was released; a change is a new migration.",
                detail={"migration": file.name, "applied": checksum, "now": file.checksum},
            )


def _ordinal(version: str) -> tuple[int, ...]:
    """1.10.0 comes after 1.9.0; what follows the numbers (rc1, dev) does not count."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
