"""Whose rules apply: the settings of the mandates in a batch, opened where they may be."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.database.locks import share_mandates
from core.directory.sql.mirror import mandate_states
from core.ledger.opening import Opening
from core.settings.model import BillingSettings
from core.settings.sql.settings import load_changed_settings, load_settings, open_settings

OPENED_BY_USAGE = "usage"


@dataclass(frozen=True, slots=True)
class Mandates:
    """The mandates of a batch: settings of those that have some, time zones of those that may get some, and why the others may not."""

    settings: dict[str, BillingSettings]
    with_parked: set[str]  # of those with settings
    zones: dict[str, str | None]  # none: the directory names none
    unknown: dict[str, str]  # mandate id -> why its events are parked


def meet(work: Opening, mandate_ids: Iterable[str]) -> Mandates:
    """What holds for every mandate until the transaction ends; nothing is opened yet."""
    wanted = sorted(set(mandate_ids))
    if not wanted:
        return Mandates({}, set(), {}, {})
    share_mandates(work.connection, wanted)
    settings, with_parked = load_changed_settings(work.connection, wanted, work.known_accounts.settings)
    missing = [mandate_id for mandate_id in wanted if mandate_id not in settings]
    if not missing:
        return Mandates(settings, with_parked, {}, {})
    return Mandates(settings, with_parked, *_openable(work, missing))


def settings_of(work: Opening, mandates: Mandates, mandate_ids: Iterable[str]) -> dict[str, BillingSettings]:
    """The settings of these mandates, none of them unknown, opened where there are none; with those of all others that have some."""
    zones = {mandate_id: mandates.zones[mandate_id] for mandate_id in mandate_ids if mandate_id not in mandates.settings}
    if not zones:
        return mandates.settings
    open_settings(work.connection, zones, OPENED_BY_USAGE, default_time_zone=work.config.default_time_zone)
    return mandates.settings | load_settings(work.connection, zones)[0]


def admit(work: Opening, mandate_id: str) -> BillingSettings | None:
    """The settings of the mandate, opened if it may have some; none otherwise. They can't change before the transaction ends."""
    mandates = meet(work, [mandate_id])
    return None if mandates.unknown else settings_of(work, mandates, [mandate_id])[mandate_id]


def _openable(work: Opening, mandate_ids: list[str]) -> tuple[dict[str, str | None], dict[str, str]]:
    """Time zones of the mandates that may get settings, and why the others may not."""
    states = mandate_states(work.connection, mandate_ids)
    zones: dict[str, str | None] = {}
    unknown: dict[str, str] = {}
    for mandate_id in mandate_ids:
        state = states.get(mandate_id)
        if state is not None and not state.enabled:
            unknown[mandate_id] = "disabled_mandate"
        elif state is None and work.config.unknown_mandates == "park":
            unknown[mandate_id] = "unknown_mandate"
        else:
            zones[mandate_id] = state.time_zone if state else None
    return zones, unknown
