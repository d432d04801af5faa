"""What is no request that can be understood: a problem for who sent it, and no fault of the service."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from jobledger.errors import BadInput, JobledgerError
from jobledger.http.problem import problem

if TYPE_CHECKING:
    from aiohttp.web_request import BaseRequest

LINE_BYTES: Final = 32 * 1024
"""Bytes of a request's first line: room for the token of a moment that saw thousands of transactions in progress."""
_FIELD_BYTES: Final = 8_190
_log = logging.getLogger("jobledger.http")


class Line(web.RequestHandler):
    """One connection; aiohttp answers with plain text, and writes a traceback for every stray byte of a stranger."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - it has what was sent in it
    ) -> web.StreamResponse:
        """Return the problem, after which the connection ends."""
        if isinstance(exc, ConnectionError):
            raise exc
        if status >= 500:
            _log.error("a request failed outside its route", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("an answer had begun")
        error = BadInput("That is no request of HTTP.") if status < 500 else JobledgerError("Something went wrong.")
        if isinstance(exc, LineTooLong):
            error = BadInput(
                f"A line of the head is too long: the first has at most {LINE_BYTES} bytes, others {_FIELD_BYTES}.",
                hint="Ask for less in the address; a moment may be named by a time or a cursor, too.",
            )
        response = problem(error)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **given: Any) -> None:
        """Say what went wrong, unless it is what the other side sent or did: it left, or its body was none."""
        if not isinstance(given.get("exc_info"), (web.RequestPayloadError, ConnectionError)):
            super().log_exception(*args, **given)


class Server(web.Server):
    """Makes a `Line` for each connection."""

    def __call__(self) -> web.RequestHandler:
        """Return the line of a new connection."""
        return Line(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """Runs the application with such lines."""

    async def _make_server(self) -> Any:
        server = await super()._make_server()
        server.__class__ = Server
        return server
