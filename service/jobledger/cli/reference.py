"""The reference page of the commands, made from the tree of commands and the tree of errors: docs/cli.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from jobledger.cli.application import application
from jobledger.cli.failures import OTHER_STATUSES
from jobledger.errors import BY_CODE, JobledgerError

if TYPE_CHECKING:
    from collections.abc import Iterator


def page() -> str:
    """Return the generated part of the page: exit statuses, then every command with its arguments and options."""
    root: Any = typer.main.get_command(application)
    return "\n".join([*_statuses(), *_commands(root, "jobledger")])


def _statuses() -> Iterator[str]:
    yield "## Exit statuses"
    yield ""
    yield "| status | means |"
    yield "|---|---|"
    told = dict(OTHER_STATUSES)
    for error in BY_CODE.values():
        if error is not JobledgerError and error.exit_status not in told:
            told[error.exit_status] = _told_by(error.exit_status)
    for status, meaning in sorted(told.items()):
        codes = sorted(e.code for e in BY_CODE.values() if e.exit_status == status and e is not JobledgerError)
        listed = f" ({', '.join(f'`{code}`' for code in codes)})" if codes else ""
        yield f"| {status} | {meaning}{listed} |"
    yield ""


def _told_by(status: int) -> str:
    """Return the sentence of the most general error of a status."""
    kinds = [kind for kind in BY_CODE.values() if kind.exit_status == status]
    return (min(kinds, key=lambda kind: len(kind.__mro__)).__doc__ or "").strip().splitlines()[0].rstrip(".")


def _commands(group: Any, path: str) -> Iterator[str]:
    for name, command in group.commands.items():
        yield f"## {path} {name}"
        yield ""
        yield from _described(command, f"{path} {name}")
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")


def _described(command: Any, path: str) -> Iterator[str]:
    help_text = (command.help or command.callback.__doc__ or "").strip()
    yield "\n".join(line.strip() for line in help_text.splitlines())
    yield ""
    shown = [one for one in command.params if not getattr(one, "hidden", False) and one.name != "help"]
    usage = [_usage(one) for one in shown if one.param_type_name == "argument"]
    nested = [" COMMAND"] if hasattr(command, "commands") else []
    yield f"`{path}{''.join(f' {word}' for word in usage)} [OPTIONS]{''.join(nested)}`"
    yield ""
    if shown:
        yield "| | |"
        yield "|---|---|"
        for one in shown:
            yield f"| {_names(one)} | {_help(one)} |"
        yield ""


def _usage(argument: Any) -> str:
    word = (argument.metavar or argument.name).strip("[]").upper()
    if argument.nargs == -1:
        return f"[{word}…]"
    return word if argument.required else f"[{word}]"


def _names(one: Any) -> str:
    if one.param_type_name == "argument":
        return f"`{_usage(one)}`"
    return ", ".join(f"`{name}`" for name in [*one.opts, *one.secondary_opts])


def _help(one: Any) -> str:
    text = str(one.help or "").replace("|", "\\|")
    if one.required:
        return f"{text} Required."
    default = one.default
    if default in (None, False, (), []) or default is True or not getattr(one, "show_default", True):
        return text
    return f"{text} Default: `{getattr(default, 'value', default)}`."
