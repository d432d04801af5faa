"""The tree of commands: which there are, in which order and under which heading `--help` shows them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated

import typer

from jobledger import __version__
from jobledger.cli import (
    controls,
    database,
    enqueue,
    feed,
    jobs,
    keys,
    migrate,
    operate,
    partitions,
    projections,
    push,
    replay,
    serve,
    serving,
    simulate,
    subscriptions,
    tenants,
    up,
    verify,
    webhooks,
    worker,
)

if TYPE_CHECKING:
    from collections.abc import Callable

application = typer.Typer(
    name="jobledger",
    help="An event-sourced job queue on Postgres: every transition of a job is one row of a log.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"jobledger {__version__}")
        raise typer.Exit


@application.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """An event-sourced job queue on Postgres: every transition of a job is one row of a log."""


_COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {
    "Run": (up.up, serve.serve, worker.worker, simulate.simulate, worker.tick, feed.seal),
    "Jobs": (enqueue.enqueue, jobs.jobs, jobs.show, replay.history, replay.replay, feed.follow, tenants.tenants),
    "Act on jobs": (
        operate.cancel,
        operate.kill,
        operate.retry,
        operate.unpark,
        operate.reschedule,
        operate.reprioritise,
        operate.move,
    ),
    "Control": (controls.pause, controls.resume, controls.limits),
    "Database": (database.open_, database.doctor, verify.verify, database.rebuild, database.repair, database.live),
}

for _panel, _functions in _COMMANDS.items():
    for _function in _functions:
        application.command(_function.__name__.rstrip("_"), rich_help_panel=_panel)(_function)
application.add_typer(migrate.application, name="migrate", rich_help_panel="Database")
application.add_typer(projections.application, name="projections", rich_help_panel="Database")
application.add_typer(partitions.application, name="partitions", rich_help_panel="Database")
application.add_typer(subscriptions.application, name="subscriptions", rich_help_panel="Control")
application.add_typer(webhooks.application, name="webhooks", rich_help_panel="Control")
application.add_typer(push.application, name="push", rich_help_panel="Control")
application.add_typer(keys.application, name="keys", rich_help_panel="Control")
application.add_typer(serving.application, name="bench", rich_help_panel="Run")


def _flow(commands: typer.Typer) -> None:
    """Let the paragraphs of each help text flow: the lines of a docstring are not those of a terminal."""
    for command in commands.registered_commands:
        paragraphs = (inspect.getdoc(command.callback) or "").split("\n\n")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            _flow(group.typer_instance)


_flow(application)
