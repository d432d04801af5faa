"""The API's description, OpenAPI 3.1: made from the routes and their models, so that it says what is served."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from jobledger import __version__, errors
from jobledger.errors import (
    PROBLEM_TYPES,
    BadInput,
    Busy,
    Forbidden,
    InvalidArgument,
    InvalidFields,
    InvalidTenant,
    JobledgerError,
    NotFound,
    NotOpen,
    RateLimited,
    SchemaError,
    TooLarge,
    Unauthenticated,
    Unavailable,
    Unreachable,
    UnsupportedMedia,
)
from jobledger.http import problem
from jobledger.http.authentication import IN_ADDRESS
from jobledger.http.examples import example
from jobledger.http.route import IDS, JSON, NDJSON, SSE
from jobledger.http.schemas import Schemas

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jobledger.http.route import Route

ABOUT: Final = """
Every transition of a job is one row of a log; this is the log, and the jobs, over HTTP.

Send a key as `Authorization: Bearer jl_…`. What is not the key's own answers as if it did not exist. Errors are
problems (RFC 9457) with the same `code` as in Python, SQL and on the command line. Times are RFC 3339, ids are uuids.
""".strip()

_PART: Final = re.compile(r"\{(\w+)(?::[^}]*)?\}")
_ALWAYS: Final = (BadInput, JobledgerError)
_OF_KEYS: Final = (Unauthenticated, Forbidden, RateLimited, NotFound, Unavailable, NotOpen, Unreachable, Busy)
_OF_BODIES: Final = (InvalidArgument, InvalidTenant, TooLarge, UnsupportedMedia, InvalidFields)
_OF_QUERIES: Final = (InvalidArgument, InvalidTenant, InvalidFields)
_SAID: Final = {
    200: "Done.",
    201: "Made.",
    202: "Taken; it is not over yet.",
    204: "Done; there is nothing to say.",
    304: "Nothing changed since the answer of that ETag.",
}
_STREAMED: Final = {
    SSE: "One server-sent event: its `id` is the cursor to go on from, its `data` a JSON document.",
    NDJSON: "One JSON document a line.",
}


class Problems:
    """What is under `components/responses`: each status with the same codes once."""

    def __init__(self) -> None:
        """Begin without any."""
        self.found: dict[str, dict[str, Any]] = {}

    def of(self, status: int, kinds: Sequence[type[JobledgerError]]) -> dict[str, Any]:
        """Return a reference to the answer of these errors."""
        told = _failure(status, kinds)
        count, name = 1, f"Problem{status}"
        while self.found.setdefault(name, told) != told:
            count += 1
            name = f"Problem{status}.{count}"
        return {"$ref": f"#/components/responses/{name}"}


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the description of these routes as a JSON document."""
    schemas, problems = Schemas(), Problems()
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, None] = {}
    for route in routes:
        tags.setdefault(route.tag)
        path = paths.setdefault(_PART.sub(r"{\1}", route.path), {})
        path[route.method.lower()] = _operation(route, schemas, problems)
    return {
        "openapi": "3.1.0",
        "info": {"title": "jobledger", "version": __version__, "description": ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in tags],
        "paths": paths,
        "components": {
            "schemas": {**schemas.found, "Problem": _PROBLEM},
            "responses": problems.found,
            "headers": _HEADERS,
            "securitySchemes": _SECURITY,
        },
    }


def _operation(route: Route, schemas: Schemas, problems: Problems) -> dict[str, Any]:
    found: dict[str, Any] = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "security": [] if route.public else [{"key": []}, *([{"token": []}] if route.method == "GET" else [])],
    }
    if route.description:
        found["description"] = route.description
    if route.needs:
        found["x-roles"] = [role.value for role in route.needs]
    if parameters := _parameters(route, schemas):
        found["parameters"] = parameters
    if route.body is not None:
        schema = schemas.of(route.body, "validation")
        content = {"schema": schema, "example": example(schema, schemas.found)}
        found["requestBody"] = {
            "required": schemas.must_be_given(route.body),
            "content": {route.takes: content},
        }
    found["responses"] = _responses(route, schemas, problems)
    return found


def _parameters(route: Route, schemas: Schemas) -> list[dict[str, Any]]:
    found = []
    for name in _PART.findall(route.path):
        schema = {"type": "string", "format": "uuid"} if name in IDS else {"type": "string"}
        found.append({"name": name, "in": "path", "required": True, "schema": schema})
    if route.query is not None:
        for name, schema, must in schemas.parameters(route.query):
            said = schema.pop("description", None)
            one = {"name": name, "in": "query", "required": must, "schema": schema}
            found.append(one | ({"description": said} if said else {}))
    for name, said in route.headers.items():
        found.append({"name": name, "in": "header", "description": said, "schema": {"type": "string"}})
    return found


def _responses(route: Route, schemas: Schemas, problems: Problems) -> dict[str, Any]:
    found: dict[str, Any] = {}
    empty = route.answer is None and route.media == (JSON,)
    for status in (204 if empty and route.status == 200 else route.status, *route.also):
        found[str(status)] = _success(route, status, schemas)
    if route.cached:
        found["304"] = {"description": _SAID[304], "headers": {"ETag": _header("ETag")}}
    for status, kinds in sorted(_errors(route).items()):
        found[str(status)] = problems.of(status, kinds)
    return found


def _success(route: Route, status: int, schemas: Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {"description": _SAID.get(status, "Done.")}
    names = ["Location"] if status == 201 else []
    names += ["ETag"] if route.cached else []
    names += [] if route.public else ["RateLimit", "RateLimit-Policy"]
    if names:
        found["headers"] = {name: _header(name) for name in names}
    if status == 204:
        return found
    content: dict[str, Any] = {}
    for media in route.media:
        if media == JSON and route.answer is not None:
            content[media] = {"schema": schemas.of(route.answer, "serialization")}
        elif media != JSON:
            content[media] = {"schema": _streamed(media, route, schemas)}
    return found | ({"content": content} if content else {})


def _streamed(media: str, route: Route, schemas: Schemas) -> dict[str, Any]:
    """Return the schema of one event of a stream, which is how OpenAPI before 3.2 is read; else that of a text."""
    data: dict[str, Any] = {"type": "string"}
    if route.answer is not None and media in (SSE, NDJSON):
        data |= {"contentMediaType": JSON, "contentSchema": schemas.of(route.answer, "serialization")}
    if media == SSE:
        fields = {"id": {**_TEXT, "description": "The cursor."}, "event": _TEXT, "data": data}
        return {"type": "object", "description": _STREAMED[SSE], "required": ["data"], "properties": fields}
    return data | ({"description": _STREAMED[media]} if media in _STREAMED else {})


def _errors(route: Route) -> dict[int, list[type[JobledgerError]]]:
    kinds: list[type[JobledgerError]] = [*_ALWAYS, *route.errors]
    kinds += () if route.public else _OF_KEYS
    kinds += _OF_BODIES if route.body is not None else ()
    kinds += _OF_QUERIES if route.query is not None else ()
    kinds += (SchemaError,) if route.needs else ()
    by_status: dict[int, list[type[JobledgerError]]] = {}
    for kind in dict.fromkeys(kinds):
        by_status.setdefault(kind.http_status, []).append(kind)
    return by_status


def _failure(status: int, kinds: Sequence[type[JobledgerError]]) -> dict[str, Any]:
    said = [f"- `{kind.code}`: {(kind.__doc__ or '').strip().splitlines()[0]}" for kind in kinds]
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}], "properties": {"status": {"const": status}}}
    found: dict[str, Any] = {"description": "\n".join(said), "content": {problem.MEDIA: {"schema": schema}}}
    names = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}.get(status, [])
    return found | ({"headers": {name: _header(name) for name in names}} if names else {})


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


def _codes() -> list[str]:
    return sorted({kind.code for kind in errors.BY_SQLSTATE.values()})


_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "What went wrong, as RFC 9457 has it. It never holds a value that was given.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "A name of the kind of problem, by its code."},
        "title": {"type": "string", "description": "What every problem of this code says."},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What this one says."},
        "code": {"type": "string", "enum": _codes()},
        "hint": {"type": "string", "description": "The way out."},
        "facts": {"type": "object", "description": "Facts for programs, such as the fields that do not fit."},
    },
    "examples": [
        {
            "type": PROBLEM_TYPES + "invalid_fields",
            "title": (InvalidFields.__doc__ or "").strip(),
            "status": 422,
            "detail": "Fields of the request do not fit.",
            "code": "invalid_fields",
            "facts": {"fields": [{"field": "priority", "rule": "Input should be a valid integer"}]},
        }
    ],
}
_TEXT: Final = {"type": "string"}
_HEADERS: Final[dict[str, Any]] = {
    "Location": {"description": "Where what was made is shown.", "schema": _TEXT},
    "ETag": {"description": "Send it back in If-None-Match: 304 where nothing changed.", "schema": _TEXT},
    "RateLimit": {"description": "What is left of the key's requests.", "schema": _TEXT},
    "RateLimit-Policy": {"description": "How many requests a second the key may make.", "schema": _TEXT},
    "Retry-After": {"description": "Seconds after which to try again.", "schema": _TEXT},
    "WWW-Authenticate": {"description": "How to say who one is.", "schema": _TEXT},
}
_SECURITY: Final[dict[str, Any]] = {
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key (`jl_…`), a token for a browser, or a JWT of the issuer that the service is set to.",
    },
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": IN_ADDRESS,
        "description": "A token for a browser, for its EventSource, which sends no header. It only reads.",
    },
}
