"""The service's own key, and what is derived from it: the secrets of webhooks and pushes, the signatures of tokens.

None of those is stored. Each has a label of its own: what is signed for one purpose is worth nothing for another.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from jobledger.errors import Forbidden, SchemaMissing, TooLarge, Unauthenticated
from jobledger.store import opaque
from jobledger.store.failures import translated
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from jobledger.store.pool import Connection

PAYLOAD_MOST: Final = 2048
"""Bytes that one signed text may hold."""
_MAC: Final = 32
_LEAST: Final = 32
_TEXT_MOST: Final = (PAYLOAD_MOST + _MAC + 2) // 3 * 4
_DERIVED_MOST: Final = 1000


class ServiceKey:
    """The key of one database's services: each process of them derives and signs the same."""

    def __init__(self, key: bytes) -> None:
        """Keep the key, of at least 32 bytes."""
        if len(key) < _LEAST:
            raise SchemaMissing
        self._key = key
        self._derived: dict[tuple[str, int], bytes] = {}

    def __repr__(self) -> str:
        """Tell nothing of it."""
        return "ServiceKey(**********)"

    @classmethod
    async def load(cls, connection: Connection) -> ServiceKey:
        """Return the key that the database keeps.

        Raises:
            Forbidden: the role is bound to tenants.
        """
        with translated():
            key = await connection.fetchval(statement("store/service_key"))
        if key is None:
            raise Forbidden("This role may not have the key of the service.", hint="Ask the service, which has it.")
        return cls(key)

    def derive(self, label: str, length: int = 32) -> bytes:
        """Return the secret of a label (HKDF-SHA256), 16 to 64 bytes; the same label gives the same secret.

        A label names the purpose, and what it is for: `webhook:<id>:<generation>`. A new generation is a new secret.
        """
        known = self._derived.get((label, length))
        if known is None:
            if not 16 <= length <= 64:
                raise ValueError("length is 16 to 64 bytes")
            known = HKDF(SHA256(), length, salt=b"jobledger", info=label.encode()).derive(self._key)
            if len(self._derived) >= _DERIVED_MOST:
                self._derived.clear()
            self._derived[label, length] = known
        return known

    def sign(self, label: str, payload: bytes) -> str:
        """Return a text that holds the payload, readable by anybody, and proves that this service wrote it.

        The characters are those of URLs. Raises `TooLarge` over 2,048 bytes.
        """
        if len(payload) > PAYLOAD_MOST:
            raise TooLarge(f"A signed text holds at most {PAYLOAD_MOST} bytes.", detail={"limit": PAYLOAD_MOST})
        return opaque.written(self._mac(label, payload) + payload)

    def verify(self, label: str, text: str) -> bytes:
        """Return the payload of a text that this service signed for this purpose; its own dates are not looked at.

        Raises:
            Unauthenticated: it is none, whatever is wrong with it.
        """
        try:
            if not isinstance(text, str) or len(text) > _TEXT_MOST:
                raise ValueError
            raw = opaque.read(text)
            mac, payload = raw[:_MAC], raw[_MAC:]
            if not hmac.compare_digest(mac, self._mac(label, payload)):
                raise ValueError
        except ValueError:
            raise Unauthenticated("The token is none of this service's.", hint="Ask for a new one.") from None
        return payload

    def _mac(self, label: str, payload: bytes) -> bytes:
        return hmac.digest(self.derive("sign:" + label), payload, "sha256")
