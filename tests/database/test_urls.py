"""URLs: what libpq and the clients of brokers take is passed on, everything else is refused in one line that shows nothing of a password."""

import pytest

from core.database.logins import has_raw_password
from core.database.sessions import Way
from core.database.urls import connection_parameters, settings_in, startup_options
from core.errors import Misconfigured
from worker.preflight import served_broker

VARIABLES = ("DATABASE_URL", "DATABASE_OWNER_URL", "DIRECTORY_URL")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:5/d", {"user": "u", "password": "p", "host": "h", "port": "5", "dbname": "d"}),
        ("postgresql://u@a:1,b:2/d?target_session_attrs=read-write", {"host": "a,b", "port": "1,2", "target_session_attrs": "read-write"}),
        ("postgresql://u:p@a,b/d", {"host": "a,b"}),
        ("postgresql:///d?host=/run/postgresql", {"host": "/run/postgresql", "dbname": "d"}),
        ("postgresql://%2Frun%2Fpostgresql/d", {"host": "/run/postgresql"}),
        ("postgresql://u@/d", {"user": "u", "dbname": "d"}),
        ("postgresql://role.project:p@h/d", {"user": "role.project"}),
        ("postgresql://u:p@[::1]:5/d", {"host": "::1", "port": "5"}),
        ("postgresql://u:p@h/d?application_name=billing%20x&sslmode=require", {"application_name": "billing x", "sslmode": "require"}),
        ("postgresql://u:p@h/d?application_name=a@b", {"host": "h", "application_name": "a@b"}),
        ("postgresql://u:a%2Fb%40c@h/d", {"password": "a/b@c", "host": "h"}),
        ("postgresql://u:a/b@h/d", {"password": "a/b", "host": "h"}),
        ("postgresql://u:12/34@h/d", {"password": "12/34", "host": "h"}),
        ("postgresql://u:a#b?c=1@h/d", {"password": "a#b?c=1", "host": "h"}),
        ("postgresql://u:a:b%zz@h/d", {"password": "a:b%zz", "host": "h"}),
        ("host=h dbname=d password='x y'", {"host": "h", "dbname": "d", "password": "x y"}),
    ],
)
def test_whatever_libpq_takes_is_passed_on(url: str, expected: dict[str, str]) -> None:
    """Lists of hosts, sockets, pooler names, options, and passwords that were pasted as they are wherever that has one meaning."""
    parameters = connection_parameters(url, "DATABASE_URL")
    assert expected.items() <= parameters.items()


@pytest.mark.parametrize("variable", VARIABLES)
@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("nonsense", "is not a database URL such as postgresql://"),
        ("mysql://u:hunter2@h/d", "names mysql"),
        ("postgresql//u:hunter2@h/d", "is not a database URL"),
        ("postgresql://u:hunter2@h:54a/d", "the port"),
        ("postgresql://u:hunter2@h:99999/d", "the port"),
        ("postgresql://u:hunter2@h:0/d", "the port"),
        ("postgresql://u:hunter2/d", "the port"),
        ("postgresql://u:hunter2@[::1/d", "IPv6 address in brackets"),
        ("postgresql://u:hun@ter2@h/d", "percent-encode"),
        ("postgresql://u:hun@ter/2@h/d", "percent-encode"),
        ("postgresql://u:hun@ter?hunter2=2@h/d", "percent-encode"),
        ("postgresql://u:hunter2@h/d?sslmode=required", 'sslmode value: "required"; use disable, allow, prefer, require'),
        ("postgresql://u:hunter2@h/d?target_session_attrs=master", "use any, read-write"),
        ("postgresql://u:hunter2@h/d?channel_binding=on", "use disable, prefer or require"),
        ("postgresql://u:hunter2@h/d?sslrootcert=system&sslmode=prefer", "sslmode"),
        ("postgresql://u:hunter2@h/d?sslmod=require", "knows no option sslmod"),
        ("postgresql://u:hunter2@h/d?connect_timeout=soon", "connect_timeout is no whole number"),
        ("postgresql://u:hunter2@h/d?keepalives_idle=x", "keepalives_idle is no whole number"),
        ("postgresql://u:hunter2@/d?host=a:1&host=b:2", "host stands there twice; several hosts are written host1:5432,host2:5432"),
        ("postgresql://u:hunter2@h/d?client_encoding=LATIN1", "client_encoding must be UTF8"),
    ],
)
def test_what_can_never_work_is_refused_at_once(url: str, cure: str, variable: str) -> None:
    """One line with the variable and the cure, and nothing of the password, instead of attempts for ever."""
    with pytest.raises(Misconfigured) as caught:
        connection_parameters(url, variable)
    message = str(caught.value)
    assert message.startswith(variable)
    assert cure in message
    assert len(message.splitlines()) == 1
    assert not any(part in message for part in ("hun", "ter2", "hunter2"))


def test_settings_of_a_url_hold_or_are_refused_by_name() -> None:
    """`options` is a list of settings; those that the books rest on are not the URL's to change."""
    url = r"postgresql://h/d?options=-c%20work_mem%3D64MB%20--jit=off%20-capplication_name=a\%20b"
    settings = settings_in(connection_parameters(url, "DATABASE_URL"), "DATABASE_URL")
    assert settings == {"work_mem": "64MB", "jit": "off", "application_name": "a b"}
    assert startup_options(settings) == r"-c work_mem=64MB -c jit=off -c application_name=a\ b"
    Way("postgresql://h/d?options=-csearch_path%3Dpublic", "DATABASE_URL", {"search_path": "public"})
    for options in ("-csearch_path%3Dbilling", "-c%20Search_Path%3Dbilling", "--search-path%3Dbilling"):
        with pytest.raises(Misconfigured, match=r"^DATABASE_URL: the option search_path can't be set there, it is 'public' always"):
            Way(f"postgresql://h/d?options={options}", "DATABASE_URL", {"search_path": "public"})
    with pytest.raises(Misconfigured, match="DATABASE_URL: options takes settings alone"):
        Way("postgresql://h/d?options=-E", "DATABASE_URL", {})


BROKER_URLS = {
    "redis://default:hunter2@h:63a/0": "a port from 1 to 65535",
    "redis://default:hunter2@h:0/0": "a port from 1 to 65535",
    "redis://default:hunter2@[::1/0": "an IPv6 address has brackets",
    "redis://default:hun/ter2@h:6379/0": "percent-encode",
    "redis://default:hun?ter2@h:6379/0": "percent-encode",
    "redis://default:hun#ter2@h:6379/0": "percent-encode",
    "amqp://u:hun/ter2@h:5672/v": "percent-encode",
    "amqp://u:hunter2@h:56b/v": "a port from 1 to 65535",
    "redis://default:hunter2@h:6379/mine": "the database after the host is a number",
    "redis://default:hunter2@h:6379/0?db=1": "takes no options",
    "redis://default:hunter2@h:6379,i:6379/0": "percent-encode",
    "redis://:hunter2@h:6379/0;redis://:hunter2@i:6379/0": "redis:// names one host",
    "amqp://u:hunter2@h:5672/v;amqp://u:hunter2@i:5672/v": "amqp:// names one host",
    "redis+socket://?virtual_host=0": "names the socket's file",
    "sentinel://h:26379;sentinel://i:26379": "sentinel:// is not served; use redis://",
    "redis+cluster://default:hunter2@h:6379": "redis+cluster:// is not served",
    "hunter2": "is not served",
}


@pytest.mark.parametrize(("url", "cure"), BROKER_URLS.items())
def test_each_kind_of_unusable_broker_url(url: str, cure: str) -> None:
    """One line with the variable and the cure, and nothing of the password; nothing is connected."""
    with pytest.raises(Misconfigured) as caught:
        served_broker(url)
    message = str(caught.value)
    assert message.startswith("CELERY_BROKER_URL")
    assert cure in message
    assert not any(part in message for part in ("hun", "ter2"))


@pytest.mark.parametrize(
    ("url", "raw"),
    [
        ("redis://default:p@h:6379/0", False),
        ("redis://default:a@b@h:6379/0", False),
        ("redis://default:a%2Fb@h:6379/0", False),
        ("amqp://u:p@h//", False),
        ("redis://default:a/b@h:6379/0", True),
        ("redis://default:a?b@h:6379/0", True),
        ("redis://default:a#b@h:6379/0", True),
        ("amqp://u:12/34@h/v", True),
    ],
)
def test_a_password_that_ends_its_url_is_seen(url: str, raw: bool) -> None:
    """Where the clients of brokers would read another host, and tell a part of the password in their errors."""
    assert has_raw_password(url) is raw
