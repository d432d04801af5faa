"""Resources of an application: made before the first job runs, closed after the last."""

from __future__ import annotations

import inspect
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from jobledger.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

T = TypeVar("T")


class Lifespan(Generic[T]):
    """One resource, made by `@app.lifespan` from an async generator that yields once; `value` is what it yielded."""

    def __init__(self, function: Callable[[], AsyncIterator[T]]) -> None:
        """Keep the generator function."""
        if not inspect.isasyncgenfunction(function):
            raise InvalidArgument("A lifespan is an async generator function that yields once.")
        self._function = function
        self._value: list[T] = []
        self.name = function.__name__

    @property
    def value(self) -> T:
        """What the generator yielded. Raises `InvalidArgument` while the app does not run."""
        if not self._value:
            raise InvalidArgument(f"{self.name} exists while the app runs only.")
        return self._value[-1]

    @asynccontextmanager
    async def entered(self) -> AsyncGenerator[T]:
        """Make the resource for a block; nested blocks have one each, the innermost is `value`."""
        async with asynccontextmanager(self._function)() as made:
            self._value.append(made)
            try:
                yield made
            finally:
                self._value.pop()


@asynccontextmanager
async def lifespans(declared: Iterable[Lifespan[Any]]) -> AsyncGenerator[None]:
    """Make all in the order declared, close them in the opposite one, also when one of them fails to start."""
    async with AsyncExitStack() as stack:
        for lifespan in declared:
            await stack.enter_async_context(lifespan.entered())
        yield
