"""A TCP proxy that misbehaves on demand, to stand between a worker and its database or broker."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Self
from urllib.parse import urlsplit

START_SECONDS = 10.0
_CHUNK_BYTES = 64 * 1024
_Way = Literal["neither", "requests", "replies"]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST, and what was not sent is gone


@dataclass(eq=False)
class _Link:
    """One client's connection and the server's connection made for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    silent: bool = False
    has_hole: bool = False  # something was swallowed, so that what would follow makes no sense

    def reset(self) -> None:
        """Both sides see `connection reset by peer`."""
        _reset(self.client)
        _reset(self.server)

    def silence(self) -> None:
        """Neither side sees anything any more."""
        self.silent = self.has_hole = True


class Proxy:
    """Forwards a port of 127.0.0.1 to the server of a URL, in a thread of its own, as long as the `with` block lasts.

    Every method may be called from any thread and holds from its return on.

    Args:
        url: where the server is.
        tls: where given, clients must speak TLS to the proxy, which shows them this context's certificate; it speaks plainly to the server.
            A chain that is loaded into the context later is shown to later connections.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        self._target, self._tls = _address(url), tls
        self.port, self._links = 0, set[_Link]()
        self._refusing, self._delay_seconds = False, 0.0
        self._silenced: _Way = "neither"
        self._unwanted: Callable[[bytes], bool] | None = None
        self._swallowed, self._ready = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(START_SECONDS), "the proxy does not listen"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()

    def url(self, url: str) -> str:
        """The URL of the server, led through this proxy."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}").geturl()

    def cut(self) -> int:
        """Resets every connection there is, and returns how many; new ones go through."""
        return self._each(_Link.reset)

    def refuse(self, refusing: bool = True) -> None:
        """Resets every connection and, until `refuse(False)`, every new one: the server can't be reached."""
        self._refusing = refusing
        self._each(lambda link: link.reset() if refusing else None)

    def half_open(self) -> int:
        """Keeps every connection open but carries nothing on it any more, and returns how many; new ones go through."""
        return self._each(_Link.silence)

    def silence_requests(self) -> None:
        """Swallows, until `heal`, what clients send, on connections old and new: they stay open and the server's own words go through."""
        self._silence("requests")

    def silence_replies(self) -> None:
        """Swallows, until `heal`, what the server sends, on connections old and new: they stay open and the clients' words go through."""
        self._silence("replies")

    def lead_to(self, url: str) -> int:
        """Resets every connection and leads new ones to the server of this URL; returns how many it reset."""
        self._target = _address(url)
        return self.cut()

    def heal(self) -> int:
        """Ends every fault there is and resets the connections on which something was swallowed; returns how many those were."""
        self._refusing, self._delay_seconds, self._silenced, self._unwanted = False, 0.0, "neither", None
        broken = [0]

        def mend(link: _Link) -> None:
            if link.has_hole:
                broken[0] += 1
                link.reset()

        self._each(mend)
        return broken[0]

    def delay(self, seconds: float) -> None:
        """Carries everything so many seconds late, in either direction; 0 ends it."""
        self._delay_seconds = seconds

    def swallow(self, unwanted: Callable[[bytes], bool]) -> threading.Event:
        """Swallows the next piece of a reply for which `unwanted` is true and resets its connection.

        `unwanted` sees what one read of the server's socket returned, so look for short replies only. The event is set then.
        """
        self._swallowed, self._unwanted = threading.Event(), unwanted
        return self._swallowed

    def _silence(self, way: _Way) -> None:
        self._silenced = way
        self._each(lambda _: None)  # returns when what was being carried has been

    def _each(self, change: Callable[[_Link], None]) -> int:
        return asyncio.run_coroutine_threadsafe(self._changed(change), self._loop).result(START_SECONDS)

    async def _changed(self, change: Callable[[_Link], None]) -> int:
        for link in self._links:
            change(link)
        return len(self._links)

    async def _main(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopped.wait()
        server.close()
        await self._changed(_Link.reset)
        await asyncio.sleep(0.01)  # the connections' tasks see it

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        target = self._target
        try:
            if self._refusing:
                raise ConnectionRefusedError
            server_reader, server_writer = await asyncio.open_connection(*target)
        except (OSError, asyncio.CancelledError):  # refused, or the proxy ends meanwhile
            _reset(writer)
            return
        link = _Link(writer, server_writer)
        if self._refusing or target != self._target:  # meanwhile
            link.reset()
            return
        self._links.add(link)
        ways = (self._carry(link, reader, server_writer), self._carry(link, server_reader, writer, replies=True))
        tasks = [asyncio.create_task(way) for way in ways]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._links.discard(link)
            writer.close()
            server_writer.close()

    async def _carry(self, link: _Link, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, replies: bool = False) -> None:
        way: _Way = "replies" if replies else "requests"
        while data := await source.read(_CHUNK_BYTES):
            await asyncio.sleep(self._delay_seconds)
            if replies and self._unwanted is not None and self._unwanted(data):
                self._unwanted = None
                link.reset()
                self._swallowed.set()
                return
            if link.silent or self._silenced == way:
                link.has_hole = True
            else:
                target.write(data)
                await target.drain()
        while link.silent or self._silenced == way:  # the other side does not learn that this one has gone
            await asyncio.sleep(0.05)
            if target.is_closing():
                return


def _address(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port


def _reset(writer: asyncio.StreamWriter) -> None:
    if not writer.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        writer.transport.abort()
