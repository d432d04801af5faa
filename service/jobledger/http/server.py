"""Listening: a port or a unix socket, plain or with TLS, until asked to stop; then what is open gets time to end."""

from __future__ import annotations

import asyncio
import errno
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from jobledger.errors import InvalidArgument
from jobledger.http.line import Runner
from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jobledger.http.service import Service
    from jobledger.settings import Settings

BACKLOG: Final = 4096
"""Connections that may wait to be taken: after a restart the readers of all streams come back in one moment."""


@asynccontextmanager
async def listening(service: Service, *, any_port: bool = False) -> AsyncIterator[str]:
    """Serve for a block, and give the service's URL. At its end streams are told, and requests get time to end.

    They get none once `service.hurry` is set.

    `any_port`: where the port is taken, any free one will do.

    Raises:
        InvalidArgument: the address cannot be listened on, or the certificate cannot be read.
    """
    settings = service.settings
    runner = Runner(
        service.application,
        handle_signals=False,
        access_log=None,
        handler_cancellation=True,
        shutdown_timeout=settings.http_drain_s,
    )
    await runner.setup()
    try:
        yield await _bound(runner, settings, any_port)
    finally:
        service.draining.set()
        hurrying = asyncio.create_task(_cut(runner, service.hurry))
        try:
            await runner.cleanup()
        finally:
            await end([hurrying])


async def _cut(runner: web.AppRunner, hurry: asyncio.Event) -> None:
    """Wait until there is no more time; then end every connection, and with it the request that it is for."""
    await hurry.wait()
    for line in tuple(runner.server.connections) if runner.server is not None else ():
        if line.transport is not None:
            line.transport.abort()


async def _bound(runner: web.AppRunner, settings: Settings, any_port: bool) -> str:
    secure = _tls(settings)
    scheme = "http" if secure is None else "https"
    try:
        if settings.http_socket is not None:
            await web.UnixSite(runner, str(settings.http_socket), ssl_context=secure, backlog=BACKLOG).start()
            return f"unix:{settings.http_socket}"
        try:
            await web.TCPSite(
                runner, settings.http_host, settings.http_port, ssl_context=secure, backlog=BACKLOG
            ).start()
        except OSError as error:
            if not any_port or error.errno != errno.EADDRINUSE:
                raise
            await web.TCPSite(runner, settings.http_host, 0, ssl_context=secure, backlog=BACKLOG).start()
    except OSError as error:
        raise InvalidArgument(
            f"The service cannot listen there: {error.strerror or error}.",
            hint="Set JOBLEDGER_HTTP_PORT (0: any free one), JOBLEDGER_HTTP_HOST or JOBLEDGER_HTTP_SOCKET.",
        ) from None
    host, port = runner.addresses[0][:2]
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.http_tls_cert is None or settings.http_tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.http_tls_cert, settings.http_tls_key)
    except (OSError, ssl.SSLError):
        raise InvalidArgument("The certificate or its key cannot be read.", hint="Both are PEM files.") from None
    return context
