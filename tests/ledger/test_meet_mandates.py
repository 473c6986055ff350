"""Which mandates may be charged: their settings are opened at the first usage, or their events are parked."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from zoneinfo import available_timezones

import pytest

from core.config import Configuration
from core.events.outcome import Outcome
from tests.conftest import Record, Rows
from tests.sample_events import event
from tests.scene import PutMandate, PutSettings


@dataclass(frozen=True)
class Scene:
    """The fixtures that these tests share."""

    put_mandate: PutMandate
    record: Record
    rows: Rows
    make_config: Callable[..., Configuration]


@pytest.fixture
def scene(put_mandate: PutMandate, record: Record, rows: Rows, make_config: Callable[..., Configuration]) -> Scene:
    """The fixtures that these tests share."""
    return Scene(put_mandate, record, rows, make_config)


SETTINGS = "SELECT * FROM billing_settings ORDER BY mandate_id"


def test_a_mandate_that_the_directory_knows_gets_the_default_settings(record: Record, rows: Rows, put_mandate: PutMandate) -> None:
    """PREPAY_USER, 10 CHF, 10 %, block, notify, in the transaction that records the first usage; the history begins with it."""
    put_mandate(users=["ada"])
    assert record(event(), event()).counts()[Outcome.RECORDED] == 2
    (settings,) = rows(SETTINGS)
    columns = (
        "billing_model",
        "default_user_credit",
        "warning_threshold_percent",
        "block_on_zero_balance",
        "notify_on_warning",
        "time_zone",
        "version",
    )
    expected = ("PREPAY_USER", Decimal(10), Decimal(10), True, True, "UTC", 1)
    assert tuple(settings[name] for name in columns) == expected
    assert (settings["notification_emails"], settings["billing_address"]) == ([], {})
    (history,) = rows("SELECT * FROM billing_settings_history")
    assert tuple(history[name] for name in columns) == expected
    assert history["changed_by"] == "usage"


@pytest.mark.parametrize(
    ("named", "expected"), [("Europe/Zurich", "Europe/Zurich"), (None, "Asia/Tokyo"), ("Mars/Olympus", "Asia/Tokyo"), ("", "Asia/Tokyo")]
)
def test_the_zone_is_the_directorys_if_it_is_one(named: str | None, expected: str, scene: Scene) -> None:
    """A known IANA zone of the directory is taken, anything else gives the configured default."""
    scene.put_mandate(users=["ada"], time_zone=named)
    assert scene.record(event(), config=scene.make_config(default_time_zone="Asia/Tokyo")).outcomes == [Outcome.RECORDED]
    assert [row["time_zone"] for row in scene.rows(SETTINGS)] == [expected]


def test_no_zone_that_is_accepted_is_unknown_to_the_database(record: Record, put_mandate: PutMandate) -> None:
    """Whatever zone the directory names, the usage of its mandate is recorded: local days are computed by PostgreSQL."""
    zones = sorted(available_timezones())
    for number, zone in enumerate(zones):
        put_mandate(f"m{number}", time_zone=zone)
    result = record(*[event(mandate_id=f"m{number}") for number in range(len(zones))])
    refused = [zone for zone, outcome in zip(zones, result.outcomes, strict=True) if outcome is not Outcome.RECORDED]
    assert refused == []


def test_settings_that_stand_are_never_touched(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """Usage opens settings, it doesn't change them."""
    put_settings(users=["ada"], default_user_credit=3, version=4)
    before = rows(SETTINGS)
    record(event())
    assert rows(SETTINGS) == before


@pytest.mark.parametrize(("known", "reason"), [(False, "unknown_mandate"), (True, "disabled_mandate")])
def test_usage_of_an_unknown_or_disabled_mandate_is_parked_with_its_reason(
    known: bool, reason: str, record: Record, rows: Rows, put_mandate: PutMandate
) -> None:
    """Nothing but the parked event is written: no settings, no account, no key, no transaction."""
    if known:
        put_mandate(users=["ada"], enabled=False)
    assert record(event()).outcomes == [Outcome.PARKED]
    assert [row["reason"] for row in rows("SELECT reason FROM parked_events")] == [reason]
    for table in ("billing_settings", "accounts", "event_keys", "transactions", "dead_letters"):
        assert rows(f"SELECT * FROM {table}") == []


def test_a_disabled_mandate_with_settings_is_still_charged(record: Record, put_settings: PutSettings, rows: Rows) -> None:
    """What has happened is recorded: parking is for mandates without settings."""
    put_settings(users=["ada"])
    rows("UPDATE directory_mandates SET enabled = false")
    assert record(event()).outcomes == [Outcome.RECORDED]


@pytest.mark.parametrize("zone", [None, "Europe/Zurich"])
def test_without_a_directory_settings_are_made_at_the_first_usage(zone: str | None, scene: Scene) -> None:
    """`unknown_mandates=create`: an unknown mandate gets the defaults in the default zone, a known one in its own."""
    if zone:
        scene.put_mandate(time_zone=zone)
    config = scene.make_config(unknown_mandates="create", default_time_zone="Asia/Tokyo")
    assert scene.record(event(), config=config).outcomes == [Outcome.RECORDED]
    assert [(row["billing_model"], row["time_zone"]) for row in scene.rows(SETTINGS)] == [("PREPAY_USER", zone or "Asia/Tokyo")]


def test_a_disabled_mandate_is_parked_even_without_a_directory(
    record: Record, put_mandate: PutMandate, make_config: Callable[..., Configuration]
) -> None:
    """Who is disabled by name is not unknown."""
    put_mandate(enabled=False)
    assert record(event(), config=make_config(unknown_mandates="create")).outcomes == [Outcome.PARKED]


def test_known_and_unknown_mandates_in_one_batch(record: Record, put_mandate: PutMandate) -> None:
    """Each event goes its own way."""
    put_mandate("known", users=["ada"])
    put_mandate("disabled", enabled=False)
    names = ["unknown", "known", "disabled", "known", "unknown"]
    expected = [Outcome.RECORDED if name == "known" else Outcome.PARKED for name in names]
    assert record(*[event(mandate_id=name) for name in names]).outcomes == expected


def _settings_of(record: Record, rows: Rows) -> tuple[int, str, object]:
    """The settings that the next event of acme is recorded under: version, local day, and whose balance moves."""
    number = len(rows("SELECT FROM transactions"))
    assert record(event(occurred_at="2026-01-31T23:30:00Z")).outcomes == [Outcome.RECORDED]
    found = rows("SELECT settings_version, local_date, balance_account_id FROM transactions WHERE event_id IS NOT NULL ORDER BY id DESC LIMIT 1")[0]
    assert len(rows("SELECT FROM transactions")) > number
    return found["settings_version"], str(found["local_date"]), found["balance_account_id"]


def test_a_process_that_has_met_a_mandate_sees_each_change_of_its_settings(record: Record, rows: Rows, put_settings: PutSettings) -> None:
    """A new version, an edit by hand that leaves version and time alone, settings that went with a restore and came anew."""
    put_settings(users=["ada"])
    version, day, payer = _settings_of(record, rows)
    assert (version, day) == (1, "2026-01-31")
    assert payer is not None
    rows("UPDATE billing_settings SET time_zone = 'Asia/Tokyo'")
    assert _settings_of(record, rows)[:2] == (1, "2026-02-01")
    rows("UPDATE billing_settings SET billing_model = 'UNLIMITED', version = 2, updated_at = now()")
    assert _settings_of(record, rows) == (2, "2026-02-01", None)
    rows("DELETE FROM billing_settings")
    rows("DELETE FROM billing_settings_history")
    version, day, payer = _settings_of(record, rows)
    assert (version, day) == (1, "2026-01-31")
    assert payer is not None
