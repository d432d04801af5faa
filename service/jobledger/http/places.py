"""Places for what stays open, streams and waiting requests: so many in a process, and of them half for one tenant."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobledger.errors import Busy, RateLimited
from jobledger.observations import LimitMet, emit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.http.access import Access


class Places:
    """The places of one process. Who is of every tenant may have all of them; the bearers of a tenant, together, half.

    What is made with a tenant's keys counts as the tenant's: it could make as many keys and tokens as it likes.
    """

    def __init__(self, most: int) -> None:
        """Begin with all of them free."""
        self.most = most
        self.share = max(1, most // 2)
        self.taken = 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def held(self, access: Access | None) -> Iterator[None]:
        """Take one for a block.

        Raises:
            Busy: none is left.
            RateLimited: a tenant of this bearer has its share.
        """
        if self.taken >= self.most:
            emit(LimitMet("http_streams", self.taken, self.most))
            raise Busy(detail={"limit": self.most})
        tenants = () if access is None else access.tenants or ()
        if any(self._of[tenant] >= self.share for tenant in tenants):
            emit(LimitMet("tenant_streams", self.share, self.share))
            raise RateLimited(
                "The tenant has as many open streams and waiting requests as one may have.",
                hint="Close some, or wait until they end.",
                detail={"limit": self.share},
            )
        self.taken += 1
        self._of.update(tenants)
        try:
            yield
        finally:
            self.taken -= 1
            self._of.subtract(tenants)
            self._of = +self._of
