"""Signatures of requests to endpoints of others, as Standard Webhooks says: https://www.standardwebhooks.com.

A request carries `webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature`: `v1,` and the base64 of the
HMAC-SHA256 over `id.timestamp.body`. While a secret is changed there are several signatures, apart by blanks; whoever
knows one of the secrets can check. Secrets are derived from the service's key, so none is stored.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from typing import TYPE_CHECKING, Final

from jobledger.errors import InvalidArgument, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobledger.store.service_key import ServiceKey

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
TOLERANCE_S: Final = 300
"""How far the sender's clock and the receiver's may be apart, and how late a request may be taken."""
_SIGNATURES_MOST: Final = 16


def secret(key: ServiceKey, label: str, generation: int = 1) -> str:
    """Return the secret of what `label` names (`webhook:<id>`, `push:<queue>`), as text that begins with `whsec_`.

    Each generation has another one: who has a secret knows nothing of the next.
    """
    return PREFIX + base64.b64encode(key.derive(f"signature:{label}:{generation}", SECRET_BYTES)).decode()


def secrets(key: ServiceKey, label: str, generation: int, *, kept: int = 0) -> list[str]:
    """Return the secret of a generation and those of the `kept` ones before it, while receivers change over."""
    return [secret(key, label, one) for one in range(generation, max(0, generation - kept - 1), -1)]


def sign(given: Sequence[str], message: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    """Return the three headers for a request, with one signature for each secret, the newest first.

    `message` is the same for every try of the same delivery; `at` is the time in seconds (default: now).

    Raises:
        InvalidArgument: a secret is none.
    """
    stamp = str(int(time.time() if at is None else at))
    made = " ".join(_signature(one, message, stamp, body) for one in given)
    return {ID: message, TIMESTAMP: stamp, SIGNATURE: made}


def verify(
    given: Sequence[str] | str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    tolerance_s: float = TOLERANCE_S,
    now: float | None = None,
) -> None:
    """Check what an endpoint was sent: one of its signatures is of one of the secrets, and it is not old.

    `headers` in any case, `body` as it came, before it is parsed.

    Raises:
        Unauthenticated: it is not signed, or not so, or its time is too far from now.
        InvalidArgument: a secret is none.
    """
    found = {name.lower(): value for name, value in headers.items()}
    message, stamp, signatures = found.get(ID), found.get(TIMESTAMP), found.get(SIGNATURE)
    if not message or not signatures or stamp is None or not (stamp.isascii() and stamp.isdigit()) or len(stamp) > 15:
        raise Unauthenticated("The request is not signed.")
    if abs((time.time() if now is None else now) - int(stamp)) > tolerance_s:
        raise Unauthenticated("The request's time is too far from now.", hint="Compare the clocks.")
    expected = [
        _signature(one, message, stamp, body).encode() for one in ([given] if isinstance(given, str) else given)
    ]
    sent = [one.encode() for one in signatures.split(" ")[:_SIGNATURES_MOST]]
    if not any(hmac.compare_digest(one, other) for one in expected for other in sent):
        raise Unauthenticated("The signature does not fit.")


def _signature(given: str, message: str, stamp: str, body: bytes) -> str:
    try:
        key = base64.b64decode(given.removeprefix(PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise InvalidArgument("A secret is whsec_ and base64.") from None
    if not key:
        raise InvalidArgument("A secret is whsec_ and base64.")
    digest = hmac.digest(key, f"{message}.{stamp}.".encode() + body, "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"
