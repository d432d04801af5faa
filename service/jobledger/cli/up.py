"""`up`: everything at once, for a first look and for one machine."""
# ruff: noqa: PLC0415 - the service is imported when the command runs, so that --help answers at once

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from jobledger.cli.options import Data, Dsn  # noqa: TC001 - typer reads the annotations
from jobledger.cli.serve import Host, Port  # noqa: TC001 - typer reads the annotations
from jobledger.cli.worker import AppName, AppOption, Concurrency  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from pathlib import Path

    from jobledger.cli.connect import Place
    from jobledger.jobs.app import App
    from jobledger.store.pool import Store

KEY_FILE: Final = "api-key"
_ROLES: Final = ("admin",)


def up(
    app: AppName = None,
    app_option: AppOption = None,
    concurrency: Concurrency = None,
    host: Host = None,
    port: Port = None,
    dsn: Dsn = None,
    data: Data = None,
) -> None:
    """Bring everything up until ctrl-c: the embedded Postgres, the schema, the API, and a worker for an application.

    The embedded Postgres gets an API key of its own, kept in its folder. A port that is taken is told, and another one
    found, unless it was named.
    """
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.loading import load_app
    from jobledger.telemetry import configure
    from jobledger.worker import loops

    settings = settings_of(dsn, data, app=app_option if app is None else app, http_host=host, http_port=port)
    application = load_app(settings.app) if settings.app is not None else None
    with located(settings) as place:
        # Before there is a log: what brings things up by itself tells only what goes wrong.
        key = loops.run(_prepared(place))
        end = configure(settings)
        try:
            loops.run(_up(place, application, concurrency, key))
        finally:
            end()


async def _prepared(place: Place) -> Path | None:
    """Migrate and open the database; return the file with the key of an embedded one's folder."""
    from jobledger.cli.connect import prepared

    async with prepared(place) as store:
        return None if place.attachment is None else await _key_file(place.attachment.folder, store)


async def _up(place: Place, application: App | None, concurrency: int | None, key: Path | None) -> None:
    from jobledger.cli.serve import ending, served
    from jobledger.worker.worker import Worker

    named = {"http_port", "http_socket"} & place.settings.model_fields_set
    with ending() as stopping:
        async with served(place, application, keep=application is None, any_port=not named, stopping=stopping) as url:
            _greet(place, application, url, key)
            if application is None:
                await stopping.asked.wait()
                return
            worker = Worker(application, place.dsn, settings=place.settings, concurrency=concurrency)
            worker.stopping = stopping
            await worker.run(signals=False)


async def _key_file(folder: Path, store: Store) -> Path:
    """Return the file with the folder's own key, which may do everything; a new one where it counts no more."""
    from jobledger.store.keys import create_key, find_key, hashed, new_key
    from jobledger.store.service_key import ServiceKey

    path = folder / KEY_FILE
    async with store.connection() as connection:
        if path.is_file():
            found = await find_key(connection, store.shard, hash_=hashed(path.read_text().strip()))
            if found.key is not None:
                return path
        key = new_key(await ServiceKey.load(connection))
        await create_key(connection, store.shard, key, "up", roles=_ROLES, reason="made by `jobledger up`")
    fresh = folder / f"{KEY_FILE}.new"
    fresh.unlink(missing_ok=True)
    fresh.touch(mode=0o600, exist_ok=False)
    fresh.write_text(f"{key}\n")
    fresh.replace(path)
    return path


def _greet(place: Place, application: App | None, url: str, key: Path | None) -> None:
    from jobledger.cli import output

    output.say(f"jobledger is up at {place.shown()}")
    asked = "curl"
    if url.startswith("unix:"):
        path = url.removeprefix("unix:")
        url = f"http{'s' if place.settings.http_tls_cert else ''}://localhost"
        asked = f"curl --unix-socket {shlex.quote(path)}"
        output.say(f"The API is at the socket {path}, its reference at {url}/docs there")
    else:
        output.say(f"The API is at {url}, its reference at {url}/docs")
    output.say("In another terminal:")
    if application is None:
        output.say("  jobledger worker shop:app        run the jobs of an application of yours")
        output.say("  jobledger simulate FILE.swf      replay a workload log")
    else:
        kinds = ", ".join(sorted(application.jobs))
        output.say(f"  jobledger enqueue KIND '{{…}}'     {kinds}")
    output.say("  jobledger jobs                   list jobs")
    output.say("  jobledger doctor                 compare the live tables with the log")
    if key is not None:
        output.say(f'  {asked} -H "Authorization: Bearer $(cat {shlex.quote(str(key))})" {url}/v1/jobs')
    output.say("Ctrl-c ends it.")
