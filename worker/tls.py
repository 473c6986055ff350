"""TLS to the broker: the one place that says, for every client in this process, whom it believes and as whom it comes.

The libraries below each decide for themselves, and differently: kombu believes anybody on `rediss://`, py-amqp asks for no host name,
redis-py adds a named authority to the system's. So none of them decides: each is given the context that is made here. The files are
read at each connection: one that was renewed needs no restart.
"""

import socket
import ssl
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import redis

from core.config import Configuration, configuration
from core.errors import Misconfigured

_WITHOUT_TLS = {"redis": "rediss", "amqp": "amqps"}
_SAID_ANYWAY = frozenset({("ssl_cert_reqs", "required"), ("ssl_check_hostname", "true")})
_SETTING_OF = {
    "ssl_ca_certs": "TOLLBOOK_BROKER_CA",
    "ssl_certfile": "TOLLBOOK_BROKER_CERTIFICATE",
    "ssl_keyfile": "TOLLBOOK_BROKER_KEY",
    "ssl_cert_reqs": "TOLLBOOK_BROKER_VERIFY",
    "ssl_check_hostname": "TOLLBOOK_BROKER_VERIFY",
}
_WRONG_NAME = frozenset({62, 64})  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_LOST = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)  # cut off, as any connection may be
UNVERIFIED = "TOLLBOOK_BROKER_VERIFY is off: whoever answers at the broker's address is believed, and can have anything booked"


def uses_tls(url: str) -> bool:
    """Whether a broker URL asks for TLS."""
    return url.startswith(("rediss://", "amqps://"))


def is_unverified(url: str) -> bool:
    """Whether the broker's certificate is not checked although it has one: every process says so at its start."""
    return uses_tls(url) and not configuration().broker_verify


def tls_context() -> ssl.SSLContext:
    """To whom this process talks as its broker: by default only to whom an authority of the system, or the one named, vouches for by host.

    Raises:
        OSError: a configured file can't be used (any more); `check_tls` names it at the start.
    """
    config = configuration()
    context = ssl.create_default_context(cafile=config.broker_ca or None)
    _show_certificate(context, config)
    if not config.broker_verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def tls_options(url: str) -> dict[str, Any]:
    """Celery's `broker_use_ssl` for a broker URL; empty where it asks for no TLS.

    What holds is `tls_context`; these say the same to whatever makes a context of its own, such as Flower's client of RabbitMQ's
    management interface.
    """
    config = configuration()
    if not uses_tls(url):
        return {}
    files = {"ssl_ca_certs": config.broker_ca, "ssl_certfile": config.broker_certificate, "ssl_keyfile": config.broker_key}
    options = {
        "ssl_cert_reqs": ssl.CERT_REQUIRED if config.broker_verify else ssl.CERT_NONE,
        "ssl_check_hostname": config.broker_verify,
        **{name: path for name, path in files.items() if path},
    }
    return options | ({"server_hostname": urlsplit(url).hostname} if url.startswith("amqps://") else {})


class TlsConnection(redis.SSLConnection):
    """redis-py's connection with TLS, as `tls_context` has it whatever its own options say; kombu's too."""

    def _wrap_socket_with_ssl(self, sock: socket.socket) -> ssl.SSLSocket:
        return tls_context().wrap_socket(sock, server_hostname=self.host)


def amqp_socket(transport: Any, sock: socket.socket, *, server_hostname: str | None = None, **_options: Any) -> ssl.SSLSocket:
    """py-amqp's `SSLTransport._wrap_socket`, as `tls_context` has it whatever the transport's options say.

    The host is named among them because kombu makes 127.0.0.1 of `localhost`; where they don't, it is the one that is connected to.
    """
    return tls_context().wrap_socket(sock, server_hostname=server_hostname or transport.host, do_handshake_on_connect=False)


def check_tls(url: str) -> str:
    """`url` without options that say only what is done anyway, if everything about TLS fits together; nothing is connected.

    Raises:
        Misconfigured: an option of the URL says something else, a file can't be used, or there are files and no TLS.
    """
    config, scheme = configuration(), url.split(":", 1)[0]
    files = {"CA": config.broker_ca, "CERTIFICATE": config.broker_certificate, "KEY": config.broker_key}
    named = [f"TOLLBOOK_BROKER_{name}" for name, path in files.items() if path]
    if not uses_tls(url):
        if named:
            cure = f"use {_WITHOUT_TLS[scheme]}://, or leave it out" if scheme in _WITHOUT_TLS else "leave it out"
            raise Misconfigured(f"{', '.join(named)}: CELERY_BROKER_URL is {scheme}://, which has no TLS; {cure}")
        return url
    _check_files(config)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Misconfigured(f"CELERY_BROKER_URL can't be used: {error}") from None
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if (name, value.lower().removeprefix("cert_")) not in _SAID_ANYWAY:
            cure = f"; set {_SETTING_OF[name]} instead" if name in _SETTING_OF else ""
            raise Misconfigured(f"CELERY_BROKER_URL: {scheme}:// takes no option {name} after the question mark{cure}")
    return url.partition("?")[0] if parts.query else url


def certificate_refusal(error: BaseException | None) -> Misconfigured | None:
    """What an operator must do where TLS is why there is no connection to the broker; none if it is nothing but an outage."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    if error is None or isinstance(error, _LOST):
        return None
    if not isinstance(error, ssl.SSLCertVerificationError):
        return Misconfigured(
            f"the broker and this process find no common TLS: {_reason(error)}; check the port in CELERY_BROKER_URL, and"
            " TOLLBOOK_BROKER_CERTIFICATE where the broker asks for one"
        )
    cure = (
        "name the host for which it was made in CELERY_BROKER_URL"
        if error.verify_code in _WRONG_NAME
        else "name the file of the authority that made it in TOLLBOOK_BROKER_CA"
    )
    return Misconfigured(f"the broker's certificate is refused: {error.verify_message.rstrip('.')}; {cure} (docs/operations.md#tls)")


def _show_certificate(context: ssl.SSLContext, config: Configuration) -> None:
    if config.broker_certificate:  # without an empty passphrase OpenSSL would ask the terminal for one
        context.load_cert_chain(config.broker_certificate, config.broker_key or None, password="")


def _check_files(config: Configuration) -> None:
    if config.broker_key and not config.broker_certificate:
        raise Misconfigured("TOLLBOOK_BROKER_KEY is set, but not TOLLBOOK_BROKER_CERTIFICATE, whose key it is")
    try:
        context = ssl.create_default_context(cafile=config.broker_ca or None)
    except OSError as error:
        raise Misconfigured(f"TOLLBOOK_BROKER_CA: {config.broker_ca} holds no certificates that can be read ({_reason(error)})") from None
    try:
        _show_certificate(context, config)
    except OSError as error:
        paths = " and ".join(path for path in (config.broker_certificate, config.broker_key) if path)
        raise Misconfigured(
            f"TOLLBOOK_BROKER_CERTIFICATE, TOLLBOOK_BROKER_KEY: {paths} hold no certificate with its key, in PEM and without a passphrase"
            f" ({_reason(error)})"
        ) from None


def _reason(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)  # OpenSSL's word for it, or the system's
