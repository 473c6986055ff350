"""The proxy's faults, seen from a client and a server that say what reached them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Self

import pytest

from lab.proxy import Proxy

PATIENCE_SECONDS = 10.0
SOON_SECONDS = 0.3


class Server:
    """Answers each piece with its own name before it, and keeps what it got."""

    def __init__(self, name: bytes) -> None:
        self.name, self.got = name, b""
        self.arrived = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.links: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self.links:
            link.close()

    def has(self, content: bytes) -> bool:
        """Whether it gets to have got this."""
        with self.arrived:
            return self.arrived.wait_for(lambda: content in self.got, PATIENCE_SECONDS)

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.links.append(link)
            threading.Thread(target=self._answer, args=[link], daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        try:
            while data := link.recv(1024):
                with self.arrived:
                    self.got += data
                    self.arrived.notify_all()
                link.sendall(self.name + data)
        except OSError:
            return


@pytest.fixture
def servers() -> Iterator[Callable[[bytes], Server]]:
    """Makes servers, which are ended after the test."""
    with ExitStack() as stack:
        yield lambda name: stack.enter_context(Server(name))


@pytest.fixture
def clients() -> Iterator[Callable[[Proxy], socket.socket]]:
    """Connects clients to a proxy; they are closed after the test."""
    with ExitStack() as stack:

        def connect(proxy: Proxy) -> socket.socket:
            return stack.enter_context(socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_SECONDS))

        yield connect


def ask(client: socket.socket, question: bytes) -> bytes:
    """What is answered; empty where the connection was ended."""
    try:
        client.sendall(question)
        return client.recv(1024)
    except ConnectionResetError:
        return b""


def hears_nothing(client: socket.socket) -> bool:
    """Whether for a while neither an answer nor the connection's end reaches the client."""
    client.settimeout(SOON_SECONDS)
    try:
        client.recv(1024)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE_SECONDS)
    return False


def test_requests_alone_are_swallowed(servers: Callable[[bytes], Server], clients: Callable[[Proxy], socket.socket]) -> None:
    """While requests are silenced what clients send arrives nowhere, old connections or new, and what the server sends arrives."""
    server = servers(b"A")
    with Proxy(server.url) as proxy:
        old = clients(proxy)
        assert ask(old, b"1") == b"A1"
        proxy.silence_requests()
        new = clients(proxy)
        old.sendall(b"lost")
        new.sendall(b"lost")
        server.links[0].sendall(b"news")
        assert old.recv(1024) == b"news"
        assert hears_nothing(old)
        assert hears_nothing(new)
        assert server.got == b"1"


def test_replies_alone_are_swallowed(servers: Callable[[bytes], Server], clients: Callable[[Proxy], socket.socket]) -> None:
    """While replies are silenced what clients send arrives, old connections or new, and they hear nothing: neither no nor yes."""
    server = servers(b"A")
    with Proxy(server.url) as proxy:
        old = clients(proxy)
        assert ask(old, b"1") == b"A1"
        proxy.silence_replies()
        new = clients(proxy)
        old.sendall(b"from old")
        new.sendall(b"from new")
        assert server.has(b"from old")
        assert server.has(b"from new")
        assert hears_nothing(old)
        assert hears_nothing(new)


@pytest.mark.parametrize("fault", [Proxy.silence_requests, Proxy.silence_replies])
def test_a_stream_with_a_hole_is_not_carried_on(
    fault: Callable[[Proxy], None], servers: Callable[[bytes], Server], clients: Callable[[Proxy], socket.socket]
) -> None:
    """Healed, a connection on which something was swallowed is reset; one on which nothing was lives on, and new ones do."""
    server = servers(b"A")
    with Proxy(server.url) as proxy:
        spoilt, idle = clients(proxy), clients(proxy)
        assert (ask(spoilt, b"1"), ask(idle, b"2")) == (b"A1", b"A2")
        fault(proxy)
        spoilt.sendall(b"lost")
        assert hears_nothing(spoilt)
        assert proxy.heal() == 1
        assert ask(spoilt, b"more") == b""
        assert ask(idle, b"3") == b"A3"
        assert ask(clients(proxy), b"4") == b"A4"


def test_one_call_ends_every_fault(servers: Callable[[bytes], Server], clients: Callable[[Proxy], socket.socket]) -> None:
    """After refusing, delaying, swallowing and going half-open at once, `heal` leaves a proxy that forwards."""
    server = servers(b"A")
    with Proxy(server.url) as proxy:
        half_open = clients(proxy)
        assert ask(half_open, b"1") == b"A1"
        assert proxy.half_open() == 1
        half_open.sendall(b"lost")
        proxy.delay(3600)
        never = proxy.swallow(lambda reply: True)
        proxy.heal()
        assert ask(half_open, b"more") == b""
        proxy.refuse()
        proxy.heal()
        assert ask(clients(proxy), b"2") == b"A2"
        assert not never.is_set()


def test_led_elsewhere_clients_meet_the_other_server_alone(servers: Callable[[bytes], Server], clients: Callable[[Proxy], socket.socket]) -> None:
    """Once `lead_to` returns, every earlier connection is reset and every later one is the other server's."""
    first, second = servers(b"A"), servers(b"B")
    with Proxy(first.url) as proxy:
        old = [clients(proxy) for _ in range(3)]
        assert [ask(client, b"1") for client in old] == [b"A1"] * 3
        assert proxy.lead_to(second.url) == 3
        assert [ask(client, b"2") for client in old] == [b""] * 3
        assert ask(clients(proxy), b"3") == b"B3"
        assert proxy.lead_to(first.url) == 1
        assert ask(clients(proxy), b"4") == b"A4"
    assert (first.got, second.got) == (b"1114", b"3")


def test_a_server_that_is_gone_can_be_led_away_from(servers: Callable[[bytes], Server], clients: Callable[[Proxy], socket.socket]) -> None:
    """With its server gone the proxy resets whoever comes, until it is led to another server."""
    second = servers(b"B")
    with Server(b"A") as first:
        gone = first.url
    with Proxy(gone) as proxy:
        assert ask(clients(proxy), b"1") == b""
        proxy.lead_to(second.url)
        assert ask(clients(proxy), b"2") == b"B2"
