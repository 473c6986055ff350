"""Caps of a mandate whose time zone changes."""

from datetime import UTC, datetime

import pytest

from core.config import Configuration
from core.database.database import Database
from tests.caps.scene import SetCap, put_cap
from tests.holds.asking import Holds
from tests.scene import Breaches, Change, PutSettings

__all__ = ["put_cap"]


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_a_cap_refuses_on_the_day_that_it_is_in_whatever_zone(
    database: Database, config: Configuration, put_settings: PutSettings, put_cap: SetCap, change: Change, breaches: Breaches, zone: str
) -> None:
    """Also where that was over, to the west, when the cap was set: its windows begin with the present one."""
    put_settings("acme", users=["ada"], time_zone="Pacific/Kiritimati")
    at = datetime.now(UTC)
    put_cap("0", "DAY")
    change(time_zone=zone)
    answer = Holds(database, config).authorise("a", "1", at=at)
    assert (answer.allowed, answer.reason) == (False, "CAP_EXCEEDED")
    assert not breaches()
