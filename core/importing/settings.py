"""The billing settings of an import: opened where a mandate has none, compared where it has."""

from typing import Any

from pydantic import TypeAdapter, ValidationError

from core.database.known_zones import zones_to_take
from core.database.locks import share_mandates
from core.directory.sql.mirror import mandate_states
from core.errors import RequestRefused
from core.events.contract import Id
from core.importing.files import BookFile
from core.importing.sql.accounts import settings_versions
from core.importing.work import Importing
from core.printable import shown
from core.problems import refusal
from core.settings.changes import checked_settings, merged_address, wrong_settings
from core.settings.sql.settings import default_settings, open_as_given

_ID: TypeAdapter[str] = TypeAdapter(Id)


def import_settings(work: Importing, file: BookFile) -> None:
    """Each mandate of the file has settings afterwards: as given where it had none.

    Where it has some, they are now, or were in an earlier version, what the file gives; else the line is wrong.
    """
    lines: dict[str, int] = {}
    for chunk in work.chunks(file):
        given: dict[str, dict[str, Any]] = {}
        for line, fields in chunk:
            try:
                mandate_id, settings = _read(fields)
            except RequestRefused as refused:
                work.wrong(file, line, str(refused))
                continue
            if mandate_id in lines:
                work.wrong(file, line, f"mandate_id: {shown(mandate_id)} stands in line {lines[mandate_id]} already")
                continue
            lines[mandate_id] = line
            given[mandate_id] = settings
        if given:
            _open(work, file, given, lines)


def _read(fields: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The mandate and the settings that are given for it, each as its column takes it."""
    given = {name: value for name, value in fields.items() if value is not None}
    if missing := [name for name in ("mandate_id", "billing_model") if name not in given]:
        raise RequestRefused("; ".join(f"{name}: is missing" for name in missing))
    mandate_id = given.pop("mandate_id")
    wrong = wrong_settings(given)
    try:
        _ID.validate_python(mandate_id)
    except ValidationError as error:
        wrong.insert(0, ("mandate_id", str(refusal(error, "is not a field of billing settings"))))
    if wrong:
        raise RequestRefused("; ".join(f"{field}: {problem}" for field, problem in wrong))
    settings = checked_settings(given, "")
    if "billing_address" in settings:
        settings["billing_address"] = merged_address({}, settings["billing_address"])
    return mandate_id, settings


def _open(work: Importing, file: BookFile, given: dict[str, dict[str, Any]], lines: dict[str, int]) -> None:
    work.settings_count.given += len(given)
    share_mandates(work.connection, given)
    zones = {mandate_id: state.time_zone for mandate_id, state in mandate_states(work.connection, given).items()}
    named = {mandate_id: settings.get("time_zone", zones.get(mandate_id)) for mandate_id, settings in given.items()}
    taken = zones_to_take(work.connection, named, work.config.default_time_zone)
    whole = {}
    for mandate_id, settings in given.items():
        zone = taken[mandate_id]
        if zone.missing is not None and "time_zone" in settings:
            work.wrong(file, lines[mandate_id], f"time_zone: {shown(zone.missing)} is not a time zone that the database knows")
            continue
        whole[mandate_id] = default_settings(zone) | settings
    opened = open_as_given(work.connection, whole, work.by)
    work.settings_count.new += len(opened)
    there = [mandate_id for mandate_id in given if mandate_id not in opened]
    for mandate_id, versions in settings_versions(work.connection, there).items():
        settings = given[mandate_id]
        if not any(all(version[name] == value for name, value in settings.items()) for version in versions):
            now = versions[-1]
            differences = [f"{n}: {shown(_plain(v))} is {shown(_plain(now[n]))} in the books" for n, v in settings.items() if now[n] != v]
            advice = "make them equal, or take the line out to keep what the books have"
            work.wrong(file, lines[mandate_id], f"{'; '.join(differences)}; mandate {shown(mandate_id)} has settings already: {advice}")


def _plain(value: object) -> object:
    """As a file would give it."""
    return value if isinstance(value, bool | list | dict) else str(value)
