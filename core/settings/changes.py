"""What is asked for of a mandate's billing settings: checked as a whole, each wrong field named with its value."""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from core.errors import RequestRefused
from core.events.contract import Label
from core.printable import shown
from core.settings.model import EMAILS_MAX, SETTINGS

_OUT_OF_RANGE = frozenset({"greater_than_equal", "less_than_equal"})
_CHANGED_BY: TypeAdapter[str] = TypeAdapter(Label)
_fields: dict[str, Any] = {name: (setting.checked, None) for name, setting in SETTINGS.items()}  # None: not given
_Changes = create_model("SettingsChanges", __config__=ConfigDict(extra="forbid", frozen=True), **_fields)


def checked_settings(changes: Mapping[str, object], changed_by: str) -> dict[str, Any]:
    """The settings that `changes` gives, each as its column takes it; of the address only the lines that are given.

    Raises:
        RequestRefused: names every wrong field and its value.
    """
    if wrong := wrong_settings(changes, changed_by):
        raise RequestRefused("; ".join(f"{field}: {problem}" for field, problem in wrong))
    return _Changes.model_validate(dict(changes)).model_dump(exclude_unset=True)


def wrong_settings(changes: Mapping[str, object], changed_by: str = "") -> list[tuple[str, str]]:
    """What is wrong with them: each wrong field (of the address `billing_address.city`), and its value with why, in words."""
    wrong = []
    try:
        _Changes.model_validate(dict(changes))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        wrong += [_problem(tuple(map(str, p["loc"])), p["type"], p["input"]) for p in problems]
    try:
        _CHANGED_BY.validate_python(changed_by)
    except ValidationError:
        wrong.append(("changed_by", f"{shown(changed_by)} is not a name of at most 128 characters without control characters"))
    return wrong


def merged_address(address: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """The address with these lines changed; a line that becomes None is taken out."""
    return {name: value for name, value in {**address, **changes}.items() if value is not None}


def _problem(location: tuple[str, ...], kind: str, value: object) -> tuple[str, str]:
    field = ".".join(location)
    if kind == "extra_forbidden":
        return field, f"is not a field of billing settings (got {shown(value)})"
    if kind == "too_long" and location == ("notification_emails",):
        return field, f"has more than {EMAILS_MAX} addresses"
    setting = SETTINGS[location[0]]
    if kind in _OUT_OF_RANGE and setting.number is not None:
        return field, f"{shown(value)} is not between 0 and {setting.number.most} {setting.number.unit}"
    return field, f"{shown(value)} {setting.expected}"
