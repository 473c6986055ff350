"""The client for asyncio: what may wait does so in threads of its own, and the loop goes on."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar

from tollbook_client.answers import CheckAnswer, HoldAnswer, HoldChange, Outcome
from tollbook_client.client import Client
from tollbook_client.ending import EXIT_SECONDS
from tollbook_client.errors import QueueFull

Self = TypeVar("Self", bound="AsyncClient")  # typing has it from Python 3.11 on
T = TypeVar("T")


class AsyncClient:
    """`Client` to be awaited; takes the same arguments.

    Args:
        broker_url: as of `Client`.
        waiting_max: how many calls may wait at once, for answers or for room; further ones wait for these.
        options: of `Client`. `on_error` is called in another thread than the loop's.
    """

    def __init__(self, broker_url: str | None = None, *, waiting_max: int = 32, **options: Any) -> None:
        self._client = Client(broker_url, **options)
        self._threads = ThreadPoolExecutor(waiting_max, thread_name_prefix="tollbook-client")

    async def record(self, **event: Any) -> str:
        """As `Client.record`; waits only where there is no room. One that is cancelled meanwhile may have been taken over."""
        return (await self.record_many([event]))[0]

    async def record_many(self, events: Iterable[Mapping[str, Any]]) -> list[str]:
        """As `Client.record_many`; waits as `record` does."""
        given = list(events)
        try:
            return self._client._record_many(given, 0)  # noqa: SLF001 - of this package
        except QueueFull:
            return await self._run(self._client.record_many, given)

    async def check(self, mandate_id: str, user_id: str, **fields: Any) -> CheckAnswer:
        """As `Client.check`."""
        return await self._run(self._client.check, mandate_id, user_id, **fields)

    async def authorise(self, mandate_id: str, user_id: str, **fields: Any) -> HoldAnswer:
        """As `Client.authorise`."""
        return await self._run(self._client.authorise, mandate_id, user_id, **fields)

    async def release(self, mandate_id: str, *, key: str) -> None:
        """As `Client.release`."""
        await self._run(self._client.release, mandate_id, key=key)

    async def renew(self, mandate_id: str, *, key: str, ttl_seconds: int | None = None) -> HoldChange:
        """As `Client.renew`."""
        return await self._run(self._client.renew, mandate_id, key=key, ttl_seconds=ttl_seconds)

    async def outcomes(self, wait_seconds: float = 1.0) -> AsyncIterator[Outcome]:
        """As `Client.outcomes`."""
        found = self._client.outcomes(wait_seconds)
        while (outcome := await self._run(lambda: next(found, None))) is not None:
            yield outcome

    async def flush(self, timeout_seconds: float | None = None) -> bool:
        """As `Client.flush`."""
        return await self._run(self._client.flush, timeout_seconds)

    async def close(self, timeout_seconds: float = EXIT_SECONDS) -> None:
        """As `Client.close`."""
        await self._run(self._client.close, timeout_seconds)
        self._threads.shutdown(wait=False)

    async def __aenter__(self: Self) -> Self:  # noqa: PYI019 - as above
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def _run(self, call: Callable[..., T], *arguments: Any, **named: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(*arguments, **named))
