"""Whose rules apply: the settings of the mandates in a batch, opened where they may be."""

from collections.abc import Iterable
from dataclasses import dataclass

from core.domain.settings import BillingSettings
from core.operations.recording.work import Opening
from core.storage.billing_settings import load_settings, open_settings
from core.storage.directory.mirror import mandate_states
from core.storage.locks import share_mandates

OPENED_BY_USAGE = "usage"


@dataclass(frozen=True, slots=True)
class Mandates:
    """The mandates of a batch: settings of those that can be charged, and why the others can't yet."""

    settings: dict[str, BillingSettings]
    with_parked: set[str]
    unknown: dict[str, str]  # mandate id -> why its events are parked


def admit(work: Opening, mandate_ids: Iterable[str]) -> Mandates:
    """The settings of every mandate that has some or may get them now; none can change before the transaction ends."""
    wanted = sorted(set(mandate_ids))
    if not wanted:
        return Mandates({}, set(), {})
    share_mandates(work.connection, wanted)
    settings, with_parked = load_settings(work.connection, wanted)
    missing = [mandate_id for mandate_id in wanted if mandate_id not in settings]
    if not missing:
        return Mandates(settings, with_parked, {})
    zones, unknown = _openable(work, missing)
    if zones:
        open_settings(work.connection, zones, OPENED_BY_USAGE, default_time_zone=work.config.default_time_zone)
        opened, opened_with_parked = load_settings(work.connection, zones)
        settings, with_parked = settings | opened, with_parked | opened_with_parked
    return Mandates(settings, with_parked, unknown)


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
