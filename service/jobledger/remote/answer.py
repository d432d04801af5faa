"""What a service answers, back as the core's own tuples; what a newer service says beside is left out."""

from __future__ import annotations

import functools
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

from jobledger.errors import Unavailable

T = TypeVar("T")


def read(form: type[T], document: Any) -> T:
    """Return a decoded document as a tuple with names, a model, or a list of such.

    Raises:
        Unavailable: it is none: what answered is no service of jobledger, or one that differs too much.
    """
    try:
        found: T = _adapter(cast("Any", form)).validate_python(_known(form, document))
    except ValidationError as error:
        names = sorted({str(fault["loc"][0]) for fault in error.errors(include_input=False) if fault["loc"]})
        raise Unavailable(
            "The service's answer is of another form than this version knows.",
            hint="Is it a service of jobledger, of about the same version?",
            detail={"form": getattr(form, "__name__", "list"), "fields": names},
        ) from None
    return found


@functools.cache
def _adapter(form: Any) -> TypeAdapter[Any]:
    return TypeAdapter(form)


@functools.cache
def _fields(form: Any) -> dict[str, Any] | None:
    """Return the types of a tuple's fields by name; None for what is no such tuple."""
    if not (isinstance(form, type) and issubclass(form, tuple) and hasattr(form, "_fields")):
        return None
    return get_type_hints(form)


def _known(form: Any, document: Any) -> Any:
    """Return a document with only those members that the tuples in it have fields for."""
    if isinstance(form, type) and issubclass(form, BaseModel):
        return document
    fields = _fields(form)
    if fields is not None and isinstance(document, dict):
        return {name: _known(hint, document[name]) for name, hint in fields.items() if name in document}
    inner = get_args(form)
    if isinstance(document, list) and inner and get_origin(form) in (list, tuple):
        return [_known(inner[0], one) for one in document]
    if isinstance(document, dict):
        return next((_known(one, document) for one in inner if _fields(one) is not None), document)
    return document
