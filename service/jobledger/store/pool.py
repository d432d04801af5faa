"""The store: where connections come from, the service's own pool or the caller's.

Behind a transaction pooler (`pooler="transaction"`) a session does not outlive a transaction: no statement is kept
prepared, no session state is set or reset. Names are schema-qualified everywhere and json travels as text, so the
caller's pool may have any search_path and any codec.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import socket
from contextlib import ExitStack, asynccontextmanager, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar, cast

import asyncpg

from jobledger.errors import InvalidArgument, Unavailable
from jobledger.store.failures import place_of, translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from types import TracebackType

    from asyncpg.pool import PoolConnectionProxy

    from jobledger.settings import Settings

    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
    Isolation: TypeAlias = Literal["read_committed", "repeatable_read", "serializable"]
    _Driver = asyncpg.Connection[asyncpg.Record]
else:
    _Driver = asyncpg.Connection
    Connection = Any
    Pool = Any

T = TypeVar("T")

Pooler = Literal["none", "transaction"]
COLLISIONS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_ATTEMPTS = 5
_PATIENCE_S = 10.0
# When a client's machine or the network between is gone, the server may never hear of it; a transaction that was open
# keeps its locks until the server looks, by default after two hours. Without effect on a local socket.
_KEEPALIVES = {"tcp_keepalives_idle": "20", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "4"}
# The same from this side: whoever waits for a long statement hears that the server's machine is gone.
_SOCKET = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 40_000}
_BACKOFF_S = 0.02
_CLOSING_S = 2.0
ANSWER_S = 30.0
"""Seconds after which a line that does not answer what takes no time is closed."""
_LENT_S = 30.0
_ours: ContextVar[bool] = ContextVar("ours", default=False)
"""Whether the connection that is given back here was only used by the package. The pool's task has it of its caller."""


class _Floor(logging.Filter):
    """Leaves out what the driver's pool says, with its traceback, at each attempt to refill itself in an outage.

    Whoever asks for a connection meanwhile is told by an error or an observation, once for each call.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Let everything else through."""
        return "pool connection floor" not in str(record.msg)


logging.getLogger("asyncpg.pool").addFilter(_Floor())


class _Connection(_Driver):
    """One whose closing has an end: on a line that is dead nobody answers the goodbye, and a pool would wait for it."""

    def __init__(self, protocol: Any, transport: asyncio.BaseTransport, *more: Any) -> None:
        """Let the system look now and then whether the other machine is there."""
        super().__init__(protocol, transport, *more)
        line = transport.get_extra_info("socket")
        if line is not None and line.family in (socket.AF_INET, socket.AF_INET6):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, number in _SOCKET.items():
                if hasattr(socket, name):
                    line.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), number)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the driver's own signature
        """Say goodbye; where that takes long, hang up."""
        with suppress(TimeoutError):
            await super().close(timeout=_CLOSING_S if timeout is None else timeout)


class GivenUp(Exception):  # noqa: N818 - says what happened
    """An answer did not come in time, and the server was asked to give it up. The package's own, never its caller's."""


class hung_up_after:  # noqa: N801 - read as a word: `with hung_up_after(connection, 30):`
    """Close a connection that is still being used after so many seconds: its answer may never come.

    Who waits for it gets `Unreachable`. Cancelling would wait for the server's answer to the cancellation, on a line
    that may be dead; and this costs next to nothing.
    """

    __slots__ = ("_connection", "_handle", "_seconds")

    def __init__(self, connection: Connection, seconds: float) -> None:
        """Keep what to close, and when."""
        self._connection = connection
        self._seconds = seconds

    def __enter__(self) -> Self:
        """Begin to count."""
        self._handle = asyncio.get_running_loop().call_later(self._seconds, self._connection.terminate)
        return self

    def again(self) -> None:
        """Begin to count anew: it has answered, and is asked for more."""
        self._handle.cancel()
        self.__enter__()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Do not count inside a block, in which it is asked for nothing."""
        self._handle.cancel()
        try:
            yield
        finally:
            self.again()

    def __exit__(self, *_: object) -> None:
        """Leave the connection alone."""
        self._handle.cancel()


class Store:
    """The one door to Postgres: hands out connections to the rest of the package.

    Made by `Store.connect(dsn)` with a pool of its own, or around the caller's pool or connection, which it never
    closes. A caller's connection may be inside a transaction: all work is then part of it, one call at a time.
    """

    def __init__(
        self,
        pool: Pool | None = None,
        *,
        connection: Connection | None = None,
        shard: int = 0,
        pooler: Pooler = "none",
        dsn: str | None = None,
    ) -> None:
        """Wrap the caller's pool or connection; `dsn` is only kept for whoever needs a connection of its own."""
        if (pool is None) == (connection is None):
            raise InvalidArgument("A store takes either a pool or a connection.")
        self._pool = pool
        self._connection = connection
        self._owned = False
        self._patience_s = _PATIENCE_S
        self.shard = shard
        self.pooler: Pooler = pooler
        self.dsn = dsn
        self._where = place_of(dsn) if dsn else None

    @classmethod
    async def connect(
        cls,
        dsn: str | None = None,
        *,
        settings: Settings | None = None,
        shard: int | None = None,
        pooler: Pooler | None = None,
        pool_min: int | None = None,
        pool_max: int | None = None,
        application_name: str = "jobledger",
    ) -> Store:
        """Open a pool of connections to `dsn` (default: the settings' one); what is given comes before `settings`.

        Raises:
            Unreachable: the server does not answer, or refuses the user, password or database.
            InvalidArgument: no address is known, or it cannot be read.
        """
        from jobledger.settings import Settings  # noqa: PLC0415 - the settings read the environment, only when asked

        settings = settings or Settings()
        dsn = dsn or settings.address()
        if not isinstance(dsn, str):
            raise InvalidArgument("No database address is known.", hint="Set JOBLEDGER_DSN, or pass one.")
        pooler = pooler or settings.pooler
        limit = pool_max or settings.pool_max
        least = min(settings.pool_min if pool_min is None else pool_min, limit)
        where = place_of(dsn)
        with translated(where, connecting=True):
            pool = await asyncpg.create_pool(
                dsn, min_size=least, max_size=limit, **_options(pooler, settings.connect_timeout_s, application_name)
            )
        store = cls(pool, shard=settings.shard if shard is None else shard, pooler=pooler, dsn=dsn)
        store._owned = True
        store._patience_s = settings.connect_timeout_s
        return store

    @property
    def pool(self) -> Pool:
        """The pool, its own or the caller's.

        Raises:
            InvalidArgument: the store was made around a single connection.
        """
        if self._pool is None:
            raise InvalidArgument("This store was made around a single connection and has no pool.")
        return self._pool

    @property
    def pooled(self) -> bool:
        """Whether connections come from a pool; else there is one, the caller's, perhaps inside a transaction."""
        return self._pool is not None

    @property
    def lone(self) -> Connection | None:
        """The caller's connection, where the store was made around one."""
        return self._connection

    @property
    def closed(self) -> bool:
        """Whether its pool was closed, or is about to be: it lends no more connections."""
        return self._pool is not None and self._pool.is_closing()

    @property
    def where(self) -> str | None:
        """Host, port and database, as far as known; fit to be shown."""
        return self._where

    @asynccontextmanager
    async def connection(
        self, *, ours: bool = False, prompt: bool = False, answer_s: float | None = None
    ) -> AsyncIterator[Connection]:
        """Lend a connection; lost connections and jobledger's SQLSTATEs come out as its errors.

        `prompt`: what is done with it takes no time to speak of, and nobody bounds it; a connection of a pool that is
        not given back within `ANSWER_S` is taken for dead, and closed: whoever waits gets `Unreachable`. `answer_s` is
        another number of seconds for it.
        `ours`: only this package's own statements are sent, which leave nothing behind in the session. A pool of the
        store's own then saves the round trip that would reset it.
        """
        with translated(self._where, own=False):
            if self._connection is not None:
                yield self._connection
                return
            async with self._acquired(ours) as connection:
                if prompt or answer_s is not None:
                    with hung_up_after(connection, ANSWER_S if answer_s is None else answer_s):
                        yield connection
                else:
                    yield connection

    @asynccontextmanager
    async def transaction(self, *, isolation: Isolation | None = None) -> AsyncIterator[Connection]:
        """Lend a connection inside a transaction (a savepoint, where the caller's own is open)."""
        async with self.connection() as connection, self._block(connection, isolation):
            yield connection

    @asynccontextmanager
    async def attended(
        self, silence_s: float, *, ours: bool = False, isolation: Isolation | None = None, readonly: bool = False
    ) -> AsyncIterator[tuple[Connection, hung_up_after]]:
        """Lend a connection inside a transaction that may be long; one of a pool is closed after so long a silence.

        With it comes what counts: whoever has had an answer begins the count anew, and rests it while nothing is asked.
        """
        async with self.connection(ours=ours) as connection:
            # The caller's own is the caller's to close.
            with hung_up_after(connection, silence_s if self.pooled else math.inf) as silence:
                async with connection.transaction(isolation=isolation, readonly=readonly):
                    yield connection, silence
                    silence.again()

    async def repeated(
        self, work: Callable[[Connection], Awaitable[T]], *, attempts: int = _ATTEMPTS, alone: bool = False
    ) -> T:
        """Run `work` in a transaction of its own, again after a deadlock or serialization failure.

        Safe only for work whose effects are all in that transaction. On a caller's connection that is inside a
        transaction nothing is repeated: the whole of it has failed, and only the caller can begin it anew. Work that is
        `alone`, one statement, is sent without a block around it: a line that dies leaves no transaction open.

        Raises:
            Unavailable: it collided `attempts` times.
        """
        for attempt in range(1, attempts + 1):
            async with self.connection() as connection:
                theirs = connection.is_in_transaction()
                try:
                    async with nullcontext() if alone else self._block(connection):
                        return await work(connection)
                except COLLISIONS:
                    if theirs:
                        raise
            if attempt < attempts:
                await asyncio.sleep(random.uniform(0, _BACKOFF_S * 2**attempt))  # noqa: S311 - jitter, no secret
        raise Unavailable(f"The transaction collided with others {attempts} times.", hint="Try again later.")

    async def close(self) -> None:
        """Close the pool if it is the store's own; closing twice does nothing."""
        if self._owned and self._pool is not None:
            self._owned = False
            # It waits for whoever still has a connection; one that nobody gives back must not hold up who ends.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LENT_S):
                    await self._pool.close()

    async def __aenter__(self) -> Self:
        """Return the store."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def borrow(self) -> Connection:
        """Take a connection for as long as the caller likes; who takes one ends with `give_back`. See `connection`."""
        if self._connection is not None:
            return self._connection
        # It may have to be opened: there every OSError is the server's.
        with translated(self._where, connecting=True):
            return await self.pool.acquire()

    async def give_back(
        self, connection: Connection, *, ours: bool = False, error: BaseException | None = None
    ) -> None:
        """Give back what was borrowed, and say what `error` ended its use."""
        if self._connection is not None:
            return
        pool, patience_s = self.pool, self._patience_s
        if isinstance(error, asyncio.CancelledError | GivenUp):
            # Who was given up because nobody answered shall not have to wait for that once more.
            patience_s = min(patience_s, _CLOSING_S)
        elif isinstance(error, Exception) and self._owned and is_lost(connection):
            # Those beside it may have gone with it, and say nothing: they are closed when they are next lent.
            await pool.expire_connections()
        # One that breaks while it is given back is closed by the pool. What was done on it is done: an error here
        # would tell that it was not.
        # One that does not answer is closed, too: a line may be dead, and say nothing for ever.
        mark = _ours.set(ours)
        try:
            await pool.release(cast("PoolConnectionProxy[asyncpg.Record]", connection), timeout=patience_s)
        except TimeoutError:
            # The line is dead, and those beside it may be.
            if self._owned:
                await pool.expire_connections()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            pass
        finally:
            _ours.reset(mark)

    @asynccontextmanager
    async def _block(self, connection: Connection, isolation: Isolation | None = None) -> AsyncIterator[None]:
        """Open a transaction. Who is given up in it does not wait for an answer to its end on a line that is dead."""
        given_up: asyncio.CancelledError | None = None
        try:
            with ExitStack() as ending:
                async with connection.transaction(isolation=isolation):
                    try:
                        yield
                    except asyncio.CancelledError as error:
                        given_up = error
                        # The caller's own is the caller's to close.
                        if self.pooled:
                            ending.enter_context(hung_up_after(connection, _CLOSING_S))
                        raise
        except Exception:
            # The line was closed, and the server rolls back.
            if given_up is not None:
                raise given_up from None
            raise

    @asynccontextmanager
    async def _acquired(self, ours: bool) -> AsyncIterator[Connection]:
        connection = await self.borrow()
        fault: BaseException | None = None
        try:
            yield connection
        except BaseException as error:
            fault = error
            raise
        finally:
            await self.give_back(connection, ours=ours, error=fault)


def is_lost(connection: Connection) -> bool:
    """Whether the connection is closed: one that the server ended goes back to its pool by itself."""
    try:
        return connection.is_closed()
    except asyncpg.InterfaceError:
        return True


async def connect(
    dsn: str,
    *,
    pooler: Pooler = "none",
    timeout_s: float = 10.0,
    application_name: str = "jobledger",
    database: str | None = None,
) -> asyncpg.Connection[asyncpg.Record]:
    """Open one connection under the same rules as a store's pool; the caller closes it.

    `database` is one of the same server in place of the address's own.

    Raises:
        Unreachable: the server does not answer, or refuses the user, password or database.
    """
    options = _options(pooler, timeout_s, application_name)
    options.pop("reset", None)
    with translated(place_of(dsn), connecting=True):
        return await asyncpg.connect(dsn, database=database, **options)


def _options(pooler: Pooler, timeout_s: float, application_name: str) -> dict[str, Any]:
    options: dict[str, Any] = {"timeout": timeout_s, "server_settings": {"application_name": application_name}}
    options["connection_class"] = _Connection
    if pooler == "transaction":
        # A statement prepared on one server connection is not there on the next; a startup parameter that the pooler
        # does not know is refused; a reset query would only reset whichever connection came by.
        options |= {"statement_cache_size": 0, "reset": _no_reset}
    else:
        # Compiling costs more than any of these short statements runs.
        options["server_settings"]["jit"] = "off"
        options["server_settings"] |= _KEEPALIVES
        options["reset"] = _reset
    return options


async def _reset(connection: Connection) -> None:
    """Put the session back as it was opened, unless nothing can have changed it."""
    query = "" if _ours.get() else connection.get_reset_query()
    if query:
        await connection.execute(query)


async def _no_reset(_: Connection) -> None:
    """Leave the session as it is: it has no state."""
