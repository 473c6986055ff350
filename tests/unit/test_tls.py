"""What is said about TLS to the broker before anything is connected."""

import ssl
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import Misconfigured
from tests.certificates import Authority
from tests.conftest import IsolatedConfiguration
from worker import tls
from worker.flower_cures import cure_flower
from worker.preflight import served_broker

REDIS, RABBIT = "rediss://default:secret@broker.example:6380/0", "amqps://user:secret@broker.example:5671/tollbook"
both_urls = pytest.mark.parametrize("url", [REDIS, RABBIT])


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the process a configuration; without a call it is the default one."""

    def configure(**fields: object) -> None:
        monkeypatch.setattr(tls, "configuration", lambda: IsolatedConfiguration(**fields))  # type: ignore[arg-type]

    configure()
    return configure


@both_urls
@pytest.mark.parametrize("option", ["ssl_cert_reqs=required", "ssl_cert_reqs=CERT_REQUIRED", "ssl_check_hostname=true"])
def test_an_option_that_says_what_is_done_anyway_is_left_out(url: str, option: str, configured: Any) -> None:
    """Hosting providers give such URLs."""
    assert served_broker(f"{url}?{option}") == url


@both_urls
@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ("ssl_cert_reqs=none", "TOLLBOOK_BROKER_VERIFY"),
        ("ssl_cert_reqs=CERT_NONE", "TOLLBOOK_BROKER_VERIFY"),
        ("ssl_cert_reqs=optional", "TOLLBOOK_BROKER_VERIFY"),
        ("ssl_cert_reqs=", "TOLLBOOK_BROKER_VERIFY"),
        ("ssl_check_hostname=false", "TOLLBOOK_BROKER_VERIFY"),
        ("ssl_cert_reqs=required&ssl_ca_certs=/etc/ca.pem", "TOLLBOOK_BROKER_CA"),
        ("ssl_certfile=/etc/own.pem", "TOLLBOOK_BROKER_CERTIFICATE"),
        ("ssl_keyfile=/etc/own.key", "TOLLBOOK_BROKER_KEY"),
        ("ssl_ciphers=NULL", ""),
        ("health_check_interval=1", ""),
    ],
)
def test_any_other_option_of_the_url_is_refused_by_name(url: str, option: str, setting: str, configured: Any) -> None:
    """One half of the worker would read it and the other not, so it is said which setting does it; the password stays out."""
    with pytest.raises(Misconfigured, match=rf"takes no option \w+ .*{setting}") as refused:
        served_broker(f"{url}?{option}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["rediss://[broker.example/0", "amqps://[broker.example//", "amqps://broker.example:port//"])
def test_what_is_no_url_is_refused_by_the_variables_name(url: str, configured: Any) -> None:
    """By one line, not by a traceback."""
    with pytest.raises(Misconfigured, match="CELERY_BROKER_URL can't be used"):
        served_broker(url)


@pytest.mark.parametrize("url", ["redis://broker.example/0", "amqp://broker.example//", "redis+socket:///run/valkey.sock"])
@pytest.mark.parametrize("field", ["broker_ca", "broker_certificate", "broker_key"])
def test_files_without_tls_are_a_mistake(url: str, field: str, configured: Any, tmp_path: Path) -> None:
    """Who names an authority believes that the connection is encrypted."""
    configured(**{field: str(tmp_path / "some.pem")})
    with pytest.raises(Misconfigured, match=f"TOLLBOOK_{field.upper()}: .* has no TLS"):
        served_broker(url)


@both_urls
def test_a_file_that_cannot_be_used_is_named(url: str, configured: Any, tmp_path: Path) -> None:
    """One that is missing, holds something else, lacks its key, belongs to another key or needs a passphrase."""
    authority = Authority(tmp_path, "ours")
    certificate, key = authority.issue_apart()
    other_key = authority.issue_apart("other.example")[1]
    locked = tmp_path / "locked.key"
    locked.write_text(
        key.read_text().replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00112233445566778899AABBCCDDEEFF\n\n", 1)
    )
    missing, nonsense = tmp_path / "missing.pem", tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    ca, pair = "TOLLBOOK_BROKER_CA: .*", "TOLLBOOK_BROKER_CERTIFICATE, TOLLBOOK_BROKER_KEY: .*"
    cases: list[tuple[dict[str, Path], str]] = [
        ({"broker_ca": missing}, ca + "No such file"),
        ({"broker_ca": nonsense}, ca + "NO_CERTIFICATE"),
        ({"broker_certificate": missing}, pair + "No such file"),
        ({"broker_certificate": certificate}, pair),
        ({"broker_certificate": certificate, "broker_key": other_key}, pair + "KEY_VALUES_MISMATCH"),
        ({"broker_certificate": certificate, "broker_key": locked}, pair),
        ({"broker_key": key}, "TOLLBOOK_BROKER_KEY is set, but not TOLLBOOK_BROKER_CERTIFICATE"),
    ]
    for fields, told in cases:
        configured(**{name: str(path) for name, path in fields.items()})
        with pytest.raises(Misconfigured, match=told):
            served_broker(url)
    configured(broker_ca=str(authority.file), broker_certificate=str(certificate), broker_key=str(key))
    assert served_broker(url) == url


def test_every_context_verifies_unless_it_is_turned_off(configured: Any) -> None:
    """By default, and with a named authority; only `TOLLBOOK_BROKER_VERIFY=false` ends it."""
    assert (tls.tls_context().verify_mode, tls.tls_context().check_hostname) == (ssl.CERT_REQUIRED, True)
    configured(broker_verify=False)
    assert (tls.tls_context().verify_mode, tls.tls_context().check_hostname) == (ssl.CERT_NONE, False)
    assert tls.tls_options("redis://broker.example") == {}


@pytest.mark.parametrize("lost", [ssl.SSLEOFError(8, "EOF"), ssl.SSLZeroReturnError(6, "closed"), ConnectionResetError(104, "reset"), TimeoutError()])
def test_a_lost_connection_is_no_refusal(lost: OSError) -> None:
    """A broker that restarts during the handshake is waited for."""
    assert tls.certificate_refusal(lost) is None


def test_a_broker_that_asks_for_a_certificate_is_a_matter_for_an_operator() -> None:
    """The refusal comes after the handshake, wrapped by the library in an error of its own."""
    error = RuntimeError("the library's")
    error.__context__ = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required")
    refused = tls.certificate_refusal(error)
    assert refused is not None
    assert "CERTIFICATE_REQUIRED" in str(refused)
    assert "TOLLBOOK_BROKER_CERTIFICATE" in str(refused)


def test_flowers_page_never_sends_the_brokers_password_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `amqps://` it asks RabbitMQ's management by TLS; an address that the operator named, and `amqp://`, stay."""
    made: list[str | None] = []

    class RabbitMQ:
        def __init__(self, broker_url: str, http_api: str | None, **_options: object) -> None:
            made.append(http_api)

    monkeypatch.setitem(sys.modules, "flower.utils.broker", SimpleNamespace(RabbitMQ=RabbitMQ))
    cure_flower()
    for url, named in ((RABBIT, None), (RABBIT, "http://other:15672/api/"), ("amqp://broker.example//", None)):
        RabbitMQ(url, named)
    assert made == ["https://broker.example:15671/api/", "http://other:15672/api/", None]
