"""A problem (RFC 9457) that a service answered, back as the error that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from jobledger.errors import (
    BY_CODE,
    BadInput,
    Conflict,
    Forbidden,
    JobledgerError,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_STATUS: Final[Mapping[int, type[JobledgerError]]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: RateLimited,
    500: JobledgerError,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""For what answers without a code that this version knows: a newer service, or a proxy in front of it."""


def error_of(status: int, body: bytes) -> JobledgerError:
    """Return the error that an answer tells of: its class by the code, its sentence, way out and facts."""
    found = _document(body)
    kind = BY_CODE.get(str(found.get("code")))
    if kind is None:
        kind = _BY_STATUS.get(status, BadInput if 400 <= status < 500 else JobledgerError)
    facts, hint, sentence = found.get("facts"), found.get("hint"), found.get("detail")
    if not isinstance(sentence, str):
        sentence = f"The service answered with the status {status} and did not say why."
    return kind(
        sentence,
        hint=hint if isinstance(hint, str) else None,
        detail=facts if isinstance(facts, dict) else None,
    )


def _document(body: bytes) -> Mapping[str, Any]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
