"""The token of a pushed job: who has it may report this attempt, and nothing else. Nothing of it is stored."""

from __future__ import annotations

import math
import struct
import time
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import UUID

from jobledger.errors import Unauthenticated

if TYPE_CHECKING:
    from jobledger.store.service_key import ServiceKey

LABEL: Final = "push"
KEPT_S: Final = 3600
"""How long after the end of its attempt a token is still known, so that a repeated report is told what became of it."""

_FORM: Final = struct.Struct(">B16s16siqd")
_VERSION: Final = 1


class PushToken(NamedTuple):
    """What a token says: whose claim of which job, until when (seconds), and what follows a failure.

    `retry_in` is drawn when the job is sent: seconds until the next attempt, None where there is none.
    """

    worker: UUID
    job: UUID
    claim: int
    expires: int
    retry_in: float | None

    def sign(self, key: ServiceKey) -> str:
        """Return the token as text, of characters that a URL takes."""
        retry_in = math.nan if self.retry_in is None else self.retry_in
        said = _FORM.pack(_VERSION, self.worker.bytes, self.job.bytes, self.claim, self.expires, retry_in)
        return key.sign(LABEL, said)

    @classmethod
    def read(cls, key: ServiceKey, text: str) -> PushToken:
        """Return what a token says.

        Raises:
            Unauthenticated: it is none of this service's, or its time is over.
        """
        said = key.verify(LABEL, text)
        if len(said) != _FORM.size or said[0] != _VERSION:
            raise Unauthenticated("The token is none of this service's.")
        _, worker, job, claim, expires, retry_in = _FORM.unpack(said)
        if time.time() > expires:
            raise Unauthenticated("The token's time is over.")
        return cls(UUID(bytes=worker), UUID(bytes=job), claim, expires, None if math.isnan(retry_in) else retry_in)
