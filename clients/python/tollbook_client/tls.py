"""TLS to the broker: whom this process believes and as whom it comes. By default whoever answers must have a certificate for its host."""

import os
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import redis
from kombu.transport import redis as kombu_redis

_OFF = ("0", "false", "no", "off")


@dataclass(frozen=True)
class Tls:
    """What is asked of the broker's certificate, and what is shown of our own. The files are read at each connection.

    Args:
        ca: PEM file of the authorities that are believed; None: those of the system.
        certificate: PEM file of our own certificate, where the broker asks for one.
        key: PEM file of its key, without a passphrase; None: it stands in the file of the certificate.
        verify: False believes whoever answers. For tests.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Tls":
        """What TOLLBOOK_BROKER_CA, …_CERTIFICATE, …_KEY and …_VERIFY say, as for the worker."""
        named = {name: environment.get(f"TOLLBOOK_BROKER_{name.upper()}") or None for name in ("ca", "certificate", "key")}
        return cls(**named, verify=environment.get("TOLLBOOK_BROKER_VERIFY", "true").lower() not in _OFF)

    def context(self) -> ssl.SSLContext:
        """A context that does as these fields say.

        Raises:
            OSError: a file can't be used.
        """
        context = ssl.create_default_context(cafile=self.ca)
        if self.certificate:  # without an empty passphrase OpenSSL would ask the terminal for one
            context.load_cert_chain(self.certificate, self.key, password="")
        if not self.verify:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def options(self, url: str) -> dict[str, Any] | bool:
        """The argument `ssl` of a `kombu.Connection`; False where the URL asks for no TLS."""
        if url.startswith("rediss://"):
            return {"tls": self}
        if not url.startswith("amqps://"):
            return False
        named = {"ca_certs": self.ca, "certfile": self.certificate, "keyfile": self.key}
        checked = {"server_hostname": urlsplit(url).hostname} if self.verify else {}  # kombu makes 127.0.0.1 of `localhost`
        return {"cert_reqs": ssl.CERT_REQUIRED if self.verify else ssl.CERT_NONE, **checked, **{k: v for k, v in named.items() if v}}


class _TlsConnection(redis.SSLConnection):
    """redis-py's connection, which by itself would believe the system's authorities beside the one that is named."""

    def __init__(self, *, tls: Tls, **options: Any) -> None:
        super().__init__(**options)
        self._tls = tls

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        return self._tls.context().wrap_socket(sock, server_hostname=self.host)


class _Channel(kombu_redis.Channel):
    connection_class_ssl = _TlsConnection


class RedisTransport(kombu_redis.Transport):
    """kombu's transport for Redis and Valkey, with TLS as `Tls` says."""

    Channel = _Channel
