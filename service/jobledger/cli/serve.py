"""`serve`: the service over HTTP."""
# ruff: noqa: PLC0415 - the service is imported when the command runs, so that --help answers at once

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from jobledger.cli.options import Data, Dsn  # noqa: TC001 - typer reads the annotations
from jobledger.cli.worker import AppName, AppOption  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from jobledger.cli.connect import Place
    from jobledger.jobs.app import App
    from jobledger.worker.stop import Stopping

Host = Annotated[str | None, typer.Option("--host", help="Address to listen on. Default: 127.0.0.1.")]
Port = Annotated[
    int | None,
    typer.Option("--port", "-p", help="Port to listen on; 0: any free one. Default: 8470.", min=0, max=65535),
]
Socket = Annotated[Path | None, typer.Option("--socket", help="Unix socket to listen on, in the place of a port.")]


def serve(
    app: AppName = None,
    app_option: AppOption = None,
    host: Host = None,
    port: Port = None,
    socket: Socket = None,
    dsn: Dsn = None,
    data: Data = None,
) -> None:
    """Serve the API over HTTP until ctrl-c or SIGTERM; also keeps the database going, as a worker does.

    An application is only needed for what it declares of its own: resources, masked arguments, projections.
    """
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.loading import load_app
    from jobledger.telemetry import configure
    from jobledger.worker import loops

    settings = settings_of(
        dsn, data, app=app_option if app is None else app, http_host=host, http_port=port, http_socket=socket
    )
    application = load_app(settings.app) if settings.app is not None else None
    with located(settings) as place:
        end = configure(settings)
        try:
            loops.run(_serve(place, application))
        finally:
            end()


async def _serve(place: Place, application: App | None) -> None:
    from jobledger.cli import output

    with ending() as stopping:
        async with served(place, application, stopping=stopping) as url:
            output.say(f"jobledger serves at {url}")
            await stopping.asked.wait()


@contextmanager
def ending() -> Iterator[Stopping]:
    """Hear of ctrl-c and SIGTERM for a block: the first says how to hurry, of the second nobody is waited for.

    Raises:
        KeyboardInterrupt: at the end of the block, where it was hurried.
    """
    from jobledger.cli import output
    from jobledger.worker.stop import Stopping

    class Telling(Stopping):
        def on_signal(self, number: int) -> None:
            if not self.asked.is_set():
                output.say("Ending, what is under way first. Ctrl-c again: at once.")
            super().on_signal(number)

    stopping = Telling()
    with stopping.listening():
        yield stopping
    if stopping.hurry.is_set():
        raise KeyboardInterrupt


@asynccontextmanager
async def served(
    place: Place,
    application: App | None,
    *,
    keep: bool = True,
    any_port: bool = False,
    stopping: Stopping | None = None,
) -> AsyncIterator[str]:
    """Serve for a block, with webhooks and pushed queues; give the URL.

    `keep`: do what a worker does on the side, too; `any_port`: where the port is taken, any free one will do. At the
    end nobody is waited for once `stopping` hurries. The database is asked before the port is bound: what listens,
    answers.
    """
    from jobledger.cli.connect import store_at
    from jobledger.http.push import pushing
    from jobledger.http.server import listening
    from jobledger.http.service import Service
    from jobledger.http.webhooks import delivering
    from jobledger.store.migrate import must_be_migrated
    from jobledger.worker.keeper import Keeper

    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(store_at(place))
        async with store.connection() as connection:
            await must_be_migrated(connection)
        service = Service(store, settings=place.settings, app=application)
        if stopping is not None:
            service.hurry = stopping.hurry
        await service.client.register()
        # It ends after the last request, but begins when the port is ours: one that is taken leaves nothing written.
        keeper = Keeper(store, place.settings, application.projections if application is not None else ())
        stack.push_async_exit(keeper)
        await stack.enter_async_context(delivering(service))
        url = await stack.enter_async_context(listening(service, any_port=any_port))
        if keep:
            await keeper.__aenter__()
        await stack.enter_async_context(pushing(service, url))
        try:
            yield url
        finally:
            service.ending = True
