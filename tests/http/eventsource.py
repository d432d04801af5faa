"""An EventSource as the standard describes it: parses the stream, keeps the last id, and comes again by itself.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import codecs
import re
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import aiohttp
import orjson
from tests.faults.conftest import until

from jobledger.store.tasks import end

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = re.compile("\r\n|\n|\r")


class Message(NamedTuple):
    """What a page's listener gets."""

    type: str
    data: str
    last_id: str

    @property
    def document(self) -> dict[str, Any]:
        """The data, which are JSON."""
        found: dict[str, Any] = orjson.loads(self.data)
        return found


class Parser:
    """Takes in text as it comes, and gives what is dispatched."""

    def __init__(self) -> None:
        """Begin with empty buffers."""
        self._rest = ""
        self._type = ""
        self._data: list[str] = []
        self._id = ""
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments = 0

    def feed(self, text: str) -> list[Message]:
        """Return the messages that are complete now."""
        found = []
        *lines, self._rest = _LINE.split(self._rest + text)
        for line in lines:
            if line:
                self._take(line)
                continue
            self.last_id = self._id
            if self._data:
                found.append(Message(self._type or "message", "\n".join(self._data), self.last_id))
            self._type, self._data = "", []
        return found

    def cut(self) -> None:
        """Forget what was not complete."""
        self._rest, self._type, self._data, self._id = "", "", [], self.last_id

    def _take(self, line: str) -> None:
        if line.startswith(":"):
            self.comments += 1
            return
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._type = value
        elif field == "data":
            self._data.append(value)
        elif field == "id" and "\0" not in value:
            self._id = value
        elif field == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)


class EventSource:
    """Follows a URL inside `async with`; a lost connection is opened again, sooner than `retry` says."""

    def __init__(self, session: aiohttp.ClientSession, url: str, params: Mapping[str, Any] | None = None) -> None:
        """Prepare."""
        self.session = session
        self.url = url
        self.params = params
        self.parser = Parser()
        self.messages: list[Message] = []
        self.opened = 0
        self.fatal: int | None = None
        self.wait_s = 0.01
        self.response: aiohttp.ClientResponse | None = None
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Open it: what comes is kept in `messages`."""
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        assert self.task is not None
        await end([self.task])

    async def cut_off(self) -> None:
        """Lose the connection, once there is one."""
        await until(lambda: self.response is not None and self.response.connection is not None)
        assert self.response is not None
        assert self.response.connection is not None
        transport = self.response.connection.transport
        assert transport is not None
        transport.abort()

    def has(self, count: int) -> bool:
        """Say whether so many messages have come."""
        return len(self.messages) >= count

    async def _run(self) -> None:
        while True:
            headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
            if self.parser.last_id:
                headers["Last-Event-ID"] = self.parser.last_id
            try:
                async with self.session.get(self.url, params=self.params, headers=headers) as response:
                    if response.status != 200 or response.content_type != "text/event-stream":
                        self.fatal = response.status
                        return
                    self.opened += 1
                    self.response = response
                    decoder = codecs.getincrementaldecoder("utf-8")()
                    async for piece in response.content.iter_any():
                        self.messages += self.parser.feed(decoder.decode(piece))
            except (aiohttp.ClientError, OSError):
                pass
            self.parser.cut()
            await asyncio.sleep(self.wait_s)


def facts(messages: list[Message]) -> list[tuple[str, str]]:
    """Return which events came."""
    return [(one.document["id"], one.document["type"]) for one in messages if one.type == "message"]
