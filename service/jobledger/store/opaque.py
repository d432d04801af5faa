"""Opaque texts: bytes as the characters of URLs, without padding; one spelling each."""

from __future__ import annotations

import base64
import binascii


def written(packed: bytes) -> str:
    """Return the text of bytes."""
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def read(text: str) -> bytes:
    """Return the bytes of a text.

    Raises:
        ValueError: it is none, or another spelling of the same bytes.
    """
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        raise ValueError("it is no opaque text") from None
    if written(packed) != text:
        raise ValueError("it is another spelling")
    return packed
