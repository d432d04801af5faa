"""A route: one method of one path, said once. The service serves it, the reference documents it, the tests walk it.

A handler gets a `Call`, whose access, query and body were checked, and returns what `Answer` takes, or a stream.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from jobledger.errors import JobledgerError, NotFound

if TYPE_CHECKING:
    from aiohttp import web

    from jobledger.http.access import Access
    from jobledger.http.service import Service
    from jobledger.store.roles import Role

Q = TypeVar("Q")
B = TypeVar("B")

JSON: Final = "application/json"
SSE: Final = "text/event-stream"
NDJSON: Final = "application/x-ndjson"
HTML: Final = "text/html"

IDS: Final = frozenset({"job", "worker", "key", "webhook", "consumer"})
"""The parts of paths that are ids; one that is none, does not exist."""


class Document(BaseModel):
    """What goes over the wire: fields that are not known are refused."""

    # Built when it is first used: a service of sixty such documents would start a second later.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, defer_build=True)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers: a document or JSON text (None: nothing), the status where it is not the route's.

    `same`: what the ETag of a cached route is made of, in the place of a body that has the clock of the answer in it.
    """

    body: BaseModel | bytes | None = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    same: bytes | None = None


class Call(Generic[Q, B]):
    """One request, checked: who asks, the query, the body."""

    __slots__ = ("access", "body", "query", "request", "service")

    def __init__(self, service: Service, request: web.Request, access: Access, query: Q, body: B) -> None:
        """Keep what was checked."""
        self.service = service
        self.request = request
        self.access = access
        self.query = query
        self.body = body

    def name(self, part: str) -> str:
        """Return a part of the path that is a name."""
        return self.request.match_info[part]

    def id(self, part: str) -> UUID:
        """Return a part of the path that is an id. Raises `NotFound` where it is none."""
        try:
            return UUID(self.request.match_info[part])
        except ValueError:
            raise NotFound(f"There is no such {part}.") from None


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]
H = TypeVar("H", bound=Callable[..., Awaitable[Any]])


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    `needs`: any of these roles (none: any key; `public`: no key at all). `answer` is the model or type of the body,
    `media` what it is sent as, `status` that of success, `also` other ones; `errors` those of this package that it may
    answer with beside those that every route may. `cached`: answers carry an ETag and may be compressed. `headers`:
    those of the request that it looks at, by name, with what they mean. `first`: what a public route asks before the
    body is taken in.
    """

    method: str
    path: str
    handler: Handler
    tag: str
    needs: tuple[Role, ...] = ()
    public: bool = False
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: Any = None
    media: tuple[str, ...] = (JSON,)
    status: int = 200
    errors: tuple[type[JobledgerError], ...] = ()
    cached: bool = False
    takes: str = JSON
    also: tuple[int, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    first: Callable[[Service, web.Request], Awaitable[None]] | None = None

    @property
    def name(self) -> str:
        """The operation's id: the handler's name."""
        return self.handler.__name__

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return self._told()[0]

    @property
    def description(self) -> str:
        """The rest of the handler's docstring, as Markdown."""
        return self._told()[1]

    def _told(self) -> tuple[str, str]:
        first, _, rest = (inspect.getdoc(self.handler) or "").partition("\n\n")
        return " ".join(first.split()), rest.strip()


class Routes:
    """The routes of one part of the service, under one heading of its reference."""

    def __init__(self, tag: str) -> None:
        """Begin without any."""
        self.tag = tag
        self.all: list[Route] = []

    def get(self, path: str, **stated: Any) -> Callable[[H], H]:
        """Add a route that reads. What is stated are the fields of `Route`."""
        return self._add("GET", path, stated)

    def post(self, path: str, **stated: Any) -> Callable[[H], H]:
        """Add a route that makes or does something."""
        return self._add("POST", path, stated)

    def put(self, path: str, **stated: Any) -> Callable[[H], H]:
        """Add a route that sets something."""
        return self._add("PUT", path, stated)

    def delete(self, path: str, **stated: Any) -> Callable[[H], H]:
        """Add a route that takes something away."""
        return self._add("DELETE", path, stated)

    def _add(self, method: str, path: str, stated: Mapping[str, Any]) -> Callable[[H], H]:
        def add(handler: H) -> H:
            self.all.append(Route(method, path, handler, self.tag, **stated))
            return handler

        return add
