"""Taking a request in: its query and body, checked against their models. Faults name the field, never the value."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Final, get_args, get_origin

import orjson
from aiohttp import web
from pydantic import BaseModel, ValidationError

from jobledger.errors import BadInput, InvalidArgument, InvalidFields, TooLarge, UnsupportedMedia
from jobledger.http.authentication import is_in_address
from jobledger.store.enqueue import has_no_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails

_FAULTS_MOST: Final = 20
BODY_S: Final = 60.0
"""Seconds that a body may take."""


def read_query(model: type[BaseModel], request: web.Request) -> BaseModel:
    """Return the query as its model; a name that is given several times is a list where the model wants one.

    Raises:
        InvalidFields: it does not fit.
    """
    given: dict[str, Any] = {}
    listed = _listed(model)
    for name, value in request.query.items():
        if is_in_address(name, value):
            continue
        if name in listed:
            given.setdefault(name, []).append(value)
        elif name in given:
            before = given[name]
            given[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            given[name] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise InvalidFields(detail={"fields": faults(error.errors(include_url=False, include_input=False))}) from None


@functools.cache
def _listed(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of the fields that are lists, perhaps of a length of their own, or none."""

    def is_list(hint: Any) -> bool:
        return hint is list or get_origin(hint) is list or any(is_list(one) for one in get_args(hint))

    return frozenset(name for name, field in model.model_fields.items() if is_list(field.annotation))


async def read_body(model: type[BaseModel], request: web.Request, takes: str) -> BaseModel:
    """Return the body as its model.

    Raises:
        UnsupportedMedia: it is of another media type.
        TooLarge: it is longer than the service takes, as sent or decompressed.
        InvalidArgument: it is no JSON.
        InvalidFields: it does not fit.
    """
    raw = await raw_body(request, takes)
    try:
        return model.model_validate_json(raw or b"{}")
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        if any(one["type"] == "json_invalid" for one in found):
            raise InvalidArgument("The body is not JSON.", hint="Send one JSON document, in UTF-8.") from None
        raise InvalidFields(detail={"fields": faults(found)}) from None


async def raw_body(request: web.Request, takes: str) -> bytes:
    """Return the body's bytes. Raises `UnsupportedMedia`, `TooLarge`, `BadInput`."""
    if request.can_read_body and request.headers.get("Content-Type") != takes and request.content_type != takes:
        raise UnsupportedMedia(f"The body is not {takes}.", hint=f"Send it with Content-Type: {takes}.")
    limit = request.client_max_size
    try:
        if request.content.is_eof():
            # Most bodies come with their head, and are whole: reading them step by step costs more than parsing them.
            raw = request.content.read_nowait()
            if len(raw) <= limit:
                return raw
            raise web.HTTPRequestEntityTooLarge(limit)
        async with asyncio.timeout(BODY_S):
            return await request.read()
    except TimeoutError:
        raise BadInput(f"The body has not come within {BODY_S:g} seconds.") from None
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"The body has more than {limit} bytes.", detail={"limit": limit}) from None
    except web.HTTPException:
        raise
    except (ValueError, web.RequestPayloadError):
        raise BadInput("The body cannot be read: it ends early, or is not encoded as it says.") from None


def json_text(value: Any, field: str) -> bytes:
    """Return a field of a body as JSON again. Raises `InvalidFields`: it has a number that is stored nowhere."""
    try:
        text = orjson.dumps(value)
        # The serializer writes null for what is too large for a number, or none.
        if b"null" in text and has_no_number(value):
            raise ValueError
    except (TypeError, ValueError, RecursionError):
        rule = "numbers are finite, whole ones have at most 64 bits, texts no half characters"
        raise InvalidFields(detail={"fields": [{"field": field, "rule": rule}]}) from None
    return text


def faults(found: Sequence[ErrorDetails]) -> list[dict[str, str]]:
    """Return field and rule of each fault, at most 20 of them; no value that was given is among them."""
    return [
        {"field": ".".join(str(part) for part in one["loc"]), "rule": one["msg"].removeprefix("Value error, ")}
        for one in found[:_FAULTS_MOST]
    ]
