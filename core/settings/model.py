"""A mandate's billing settings: the one list of their fields, and what may stand in each.

A further setting is a field of `MandateSettings`: columns, statements, requests, imports and the history are made from it.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, NamedTuple, get_args, get_origin
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from core.billing import BillingModel
from core.events.contract import Label
from core.money import AMOUNT_MAX, parse_decimal
from core.time_zones import is_time_zone

EMAILS_MAX = 50


class Number(NamedTuple):
    """What a setting that is a number may be: from 0 to `most`, with so many decimal places at most."""

    most: int
    places: int
    unit: str


@dataclass(frozen=True, slots=True)
class Setting:
    """What may stand in a field of the settings.

    Attributes:
        checked: its type, by which pydantic reads and checks what is asked for.
        default: what new settings have where nothing else is asked for; None is decided when they are made.
        expected: what is said of a value that is wrong.
        number: its bounds, if it is one.
    """

    checked: Any
    default: object
    expected: str
    number: Number | None = None


def _exact(value: object) -> Decimal:
    if isinstance(value, str):
        value = parse_decimal(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("is not a decimal number")  # noqa: TRY004 - pydantic turns a ValueError into a finding
    return Decimal(value)


def _iana(value: str) -> str:
    if not is_time_zone(value):
        raise ValueError("is not an IANA time zone")
    return value


def _number(number: Number, default: int, expected: str) -> Setting:
    checked = Annotated[Decimal, BeforeValidator(_exact), Field(ge=0, le=number.most, decimal_places=number.places)]
    return Setting(checked, Decimal(default), expected, number)


class BillingAddress(BaseModel):
    """Where invoices go; a field that is None is taken out of the address."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    company: Label | None = None
    street: Label | None = None
    postal_code: Label | None = None
    city: Label | None = None
    country: Label | None = None
    vat_number: Label | None = None


_Email = Annotated[str, StringConstraints(strict=True, max_length=254, pattern=r"^[^\s\p{Cc}@]+@[^\s\p{Cc}@]+$")]
_Emails = Annotated[list[_Email], Field(max_length=EMAILS_MAX)]
_YesOrNo = Annotated[bool, Field(strict=True)]
_Zone = Annotated[str, Field(strict=True), AfterValidator(_iana)]
_CHF, _PERCENT = Number(AMOUNT_MAX, 9, "CHF"), Number(100, 3, "percent")


@dataclass(frozen=True, slots=True)
class MandateSettings:
    """A mandate's billing settings, whole; amounts in CHF.

    `time_zone_missing`: which zone it should have had and couldn't, since it wasn't known; until somebody chooses one.
    """

    mandate_id: str
    mandate_name: str
    billing_model: Annotated[BillingModel, Setting(BillingModel, BillingModel.PREPAY_USER, f"is none of {', '.join(BillingModel)}")]
    default_user_credit: Annotated[Decimal, _number(_CHF, 10, "is not an amount in CHF with at most nine decimal places")]
    warning_threshold_percent: Annotated[Decimal, _number(_PERCENT, 10, "is not a percentage with at most three decimal places")]
    block_on_zero_balance: Annotated[bool, Setting(_YesOrNo, True, "is not true or false")]
    notify_on_warning: Annotated[bool, Setting(_YesOrNo, True, "is not true or false")]
    notification_emails: Annotated[list[str], Setting(_Emails, [], "is not an e-mail address of at most 254 characters")]
    billing_address: Annotated[dict[str, str], Setting(BillingAddress, {}, "is not a line of at most 128 characters without control characters")]
    time_zone: Annotated[str, Setting(_Zone, None, "is not an IANA time zone")]
    version: int
    created_at: datetime
    updated_at: datetime
    time_zone_missing: str | None


_DECLARED = {f.name: f.type for f in fields(MandateSettings) if get_origin(f.type) is Annotated}
SETTINGS: dict[str, Setting] = {name: get_args(kind)[1] for name, kind in _DECLARED.items()}
SETTING_TYPES: dict[str, Any] = {name: get_args(kind)[0] for name, kind in _DECLARED.items()}
DEFAULTS = {name: setting.default for name, setting in SETTINGS.items() if setting.default is not None}


@dataclass(frozen=True, slots=True)
class BillingSettings:
    """One mandate's billing settings at one version, as the recording of usage needs them; amounts in CHF."""

    mandate_id: str
    billing_model: BillingModel
    default_user_credit: Decimal
    warning_threshold_percent: Decimal
    time_zone: str
    version: int
    caps_token: UUID | None  # of the mandate's caps as they are now; None: it has none
    block_on_zero_balance: bool
