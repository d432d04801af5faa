"""From a request to its route's answer: who asks, how often, what; and every error as a problem."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from aiohttp import web
from pydantic import BaseModel

from jobledger.errors import BadInput, JobledgerError, MethodNotAllowed, NotFound, Unavailable
from jobledger.http import intake
from jobledger.http.key_book import ASKS, asking
from jobledger.http.problem import outward, problem
from jobledger.http.route import JSON, Answer, Call
from jobledger.observations import RequestFailed, RequestServed, emit, listeners
from jobledger.store.pool import COLLISIONS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from jobledger.http.route import Route
    from jobledger.http.service import Service

_log = logging.getLogger("jobledger.http")

COMPRESS_FROM: Final = 1024
COMPRESS_BESIDE_FROM: Final = 32 * 1024
_HEADERS: Final = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}


def serving(service: Service, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return the handler that aiohttp calls for a route."""

    running, until = service.running, service.running.until

    async def serve(request: web.Request) -> web.StreamResponse:
        began = time.perf_counter()
        status = 500
        task = asyncio.current_task()
        until[task] = began + running.limit_s
        try:
            response = await _answered(service, route, request)
            status = response.status
            return response
        except JobledgerError as error:
            status = error.http_status
            if status >= 500 and not isinstance(error, Unavailable):
                emit(RequestFailed(route.path, type(error).__name__))
            return problem(outward(error))
        except COLLISIONS:
            status = 503
            return problem(Unavailable("The transaction collided with others.", hint="Try again."))
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            status = 503
            return problem(Unavailable("The database was lost meanwhile.", hint="Try again."))
        except asyncio.CancelledError as cancelled:
            status = 499
            late = running.end(task, cancelled)
            status = late.http_status
            return problem(late)
        except web.HTTPException as error:
            status = error.status
            raise
        except Exception as error:  # noqa: BLE001 - nothing that goes wrong here may end the service, or tell its insides
            _log.exception("%s %s failed", route.method, route.path)
            emit(RequestFailed(route.path, type(error).__name__))
            return problem(JobledgerError("Something went wrong in the service; its log has the details."))
        finally:
            until.pop(task, None)
            if listeners:
                emit(RequestServed(route.method, route.path, status, time.perf_counter() - began))

    return serve


async def _answered(service: Service, route: Route, request: web.Request) -> web.StreamResponse:
    access = service.nobody if route.public else await service.authenticate(request)
    if not route.public:
        asking.set(access)
        request[ASKS] = access
        service.count(access)
        access.require(*route.needs)
    elif route.first is not None:
        await route.first(service, request)
    if not request.content.is_eof():
        service.running.longer(intake.BODY_S)
    query: Any = None if route.query is None else intake.read_query(route.query, request)
    body: Any = None if route.body is None else await intake.read_body(route.body, request, route.takes)
    given = await route.handler(Call(service, request, access, query, body))
    if isinstance(given, web.StreamResponse):
        return given
    answer = given if isinstance(given, Answer) else Answer(given)
    return _response(route, request, answer)


def _response(route: Route, request: web.Request, answer: Answer) -> web.Response:
    status = answer.status or (route.status if answer.body is not None else 204)
    headers = {**_HEADERS, **answer.headers}
    body = answer.body
    if isinstance(body, BaseModel):
        body = body.__pydantic_serializer__.to_json(body, by_alias=True)
    if route.cached and body is not None and status == 200:
        same = body if answer.same is None else answer.same
        tag = f'W/"{hashlib.blake2b(same, digest_size=12).hexdigest()}"'
        headers |= {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization, Accept-Encoding"}
        known = {part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")}
        if "*" in known or tag.removeprefix("W/") in known:
            return web.Response(status=304, headers=headers)
    response = web.Response(
        body=body,
        status=status,
        headers=headers,
        content_type=JSON if body is not None else None,
        # What is long is compressed beside the loop.
        zlib_executor_size=COMPRESS_BESIDE_FROM,
    )
    if body is not None and len(body) >= COMPRESS_FROM:
        response.enable_compression()
    return response


async def expecting(request: web.Request) -> web.StreamResponse | None:
    """Answer the header `Expect`: go on with the body, or a problem; aiohttp itself repeats what was sent."""
    if [value.lower() for value in request.headers.getall("Expect", [])] != ["100-continue"]:
        return problem(BadInput("What is expected of the service is nothing that it knows."))
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # The answer itself has not begun.
    request.writer.output_size = 0
    return None


def unmatched(router: web.UrlDispatcher) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return what answers whatever no route takes: the path, or only its method, is not there."""

    async def answer(request: web.Request) -> web.StreamResponse:
        allowed: set[str] = set()
        for resource in router.resources():
            found, methods = await resource.resolve(request)
            if found is None:
                allowed |= methods
        return _refused(allowed) if allowed else problem(NotFound("There is no such path."))

    return answer


def shadowed(routes: Sequence[Route]) -> dict[str, set[str]]:
    """Return the methods of each plain path that another route's path, with a part for an id, would answer for too."""
    patterns = [re.compile(re.sub(r"\{\w+\}", "[^/]+", route.path) + r"\Z") for route in routes if "{" in route.path]
    found: dict[str, set[str]] = {}
    for route in routes:
        if "{" not in route.path and any(pattern.match(route.path) for pattern in patterns):
            found.setdefault(route.path, set()).add(route.method)
    return found


def refusing(allowed: Collection[str]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Return what answers every other method of a path."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return _refused(allowed)

    return answer


def _refused(allowed: Collection[str]) -> web.Response:
    return problem(MethodNotAllowed(detail={"allowed": sorted(allowed)}), {"Allow": ", ".join(sorted(allowed))})
