"""The wire form of the core's own tuples: objects with the same field names, and the documents that describe them."""

from __future__ import annotations

import functools
import types
from datetime import datetime
from typing import Any, Final, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson
from pydantic import BaseModel, create_model

from jobledger.http.route import Document


def json_of(value: Any) -> bytes:
    """Return the JSON of a tuple with names, a model, or a dictionary of such; times are RFC 3339, ids text."""
    return orjson.dumps(value, default=_plain)


_KNOWN: Final = {"datetime": datetime, "UUID": UUID}
"""Names that some modules of the core import for type checkers only."""


@functools.cache
def document_of(tuple_: type) -> type[BaseModel]:
    """Return the document that describes a tuple with names on the wire: its fields, defaults and docstring."""
    hints = get_type_hints(tuple_, localns=_KNOWN)
    defaults: dict[str, Any] = getattr(tuple_, "_field_defaults", {})
    fields: dict[str, Any] = {name: (_shown(hint), defaults.get(name, ...)) for name, hint in hints.items()}
    return create_model(tuple_.__name__, __base__=Document, __doc__=tuple_.__doc__, __module__=__name__, **fields)


def _shown(hint: Any) -> Any:
    """Return a type in which documents have taken the place of tuples with names."""
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        return document_of(hint)
    origin, given = get_origin(hint), get_args(hint)
    if not given or origin is None:
        return hint
    inner = tuple(_shown(one) for one in given)
    return Union[inner] if origin in (types.UnionType, Union) else origin[inner]  # noqa: UP007 - put together at run time


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        # The driver's ids are of a class of its own.
        return str(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError
