"""The account that Postgres runs as: it refuses root, so root hands it to an account that exists already."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobledger.errors import DataDirectoryUnusable, PostgresFailed
from jobledger.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

USER_VARIABLE = "JOBLEDGER_PG_USER"
_NO_DROP = "start as another user, or point JOBLEDGER_DSN to a server."


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged account of this machine."""

    name: str
    uid: int
    gid: int


def choose_account(cluster: Path, pg_user: str | None = None) -> Account | None:
    """Return the account to run as, None for this process's own.

    Only root changes: to the owner of the data if there is some, else to `pg_user` (or $JOBLEDGER_PG_USER), else to
    `postgres`, else to `nobody`. No account is ever added. Raises PostgresFailed if there is none to change to,
    DataDirectoryUnusable if the data belongs to another account than the one asked for.
    """
    if os.geteuid() != 0:
        return None
    asked = pg_user or Settings().pg_user
    wanted = _named(asked) if asked else None
    if asked and (wanted is None or wanted.uid == 0):
        raise PostgresFailed(
            f"Postgres cannot run as the account {asked!r}: it does not exist or is root.",
            hint=f"Name an existing unprivileged account in {USER_VARIABLE}, or leave it empty.",
        )
    owner = _owner(cluster)
    if owner is not None:
        if wanted is not None and wanted.uid != owner.uid:
            raise DataDirectoryUnusable(
                f"The data in {cluster} belongs to the account {owner.name}, not to {wanted.name}.",
                hint=f"Leave {USER_VARIABLE} empty, or name another folder by --data.",
            )
        return owner
    found = wanted or _named("postgres") or _named("nobody")
    if found is None:
        raise PostgresFailed(
            "Postgres does not run as root, and there is no account postgres or nobody to run it as.",
            hint=f"Name an existing account in {USER_VARIABLE}, {_NO_DROP}",
        )
    return found


def may_reach(folder: Path, account: Account | None) -> bool:
    """Tell whether the account may pass through `folder` and all its parents, going by owner, group and mode."""
    if account is None:
        return True
    place = folder.resolve()
    return all(_may_pass(step, account) for step in (place, *place.parents))


def _may_pass(folder: Path, account: Account) -> bool:
    try:
        facts = folder.stat()
    except OSError:
        return False
    if facts.st_uid == account.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == account.gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)


def _named(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _owner(cluster: Path) -> Account | None:
    try:
        facts = cluster.stat()
    except OSError:
        return None
    if facts.st_uid == 0:
        raise DataDirectoryUnusable(
            f"The data in {cluster} belongs to root, as whom Postgres does not run.",
            hint="Give that folder back to the account that made it, or name another folder by --data.",
        )
    try:
        name = pwd.getpwuid(facts.st_uid).pw_name
    except KeyError:
        name = f"uid {facts.st_uid}"
    return Account(name, facts.st_uid, facts.st_gid)
