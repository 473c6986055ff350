"""The shadow report: what mandates paid as it was given, and what the price book would have asked for the same events."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from operator import attrgetter

from sqlalchemy import Connection

from core.asking.request import Day
from core.asking.view import root, view
from core.database.rows import rows
from core.directory.read import Mandates, require_known
from core.errors import RequestRefused
from core.money import ZERO
from core.reports.sql import shadow as sql

DAYS_MAX = 366
_HUNDREDTH = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ShadowPrices:
    """The events of one mandate and model (`unknown` where they don't say) under the mode `shadow`, as amended; amounts in CHF.

    Attributes:
        event_count: all of them, of which `computed_count` have a computed price.
        given: what the producers gave for these, which was billed.
        computed: what would have been computed for these.
        difference: by how much that is more; negative where it is less.
        difference_percent: the same of what was given, to two places; None where nothing was.
        not_computed: how many of the others have no computed price for which reason.
        given_beside: what the producers gave for those.
    """

    mandate_id: str
    mandate_name: str
    provider: str
    model: str
    event_count: int
    computed_count: int
    given: Decimal
    computed: Decimal
    difference: Decimal
    difference_percent: Decimal | None
    not_computed: dict[str, int]
    given_beside: Decimal


@dataclass(frozen=True, slots=True)
class _Compared:
    """Events of a mandate and model alike in why they aren't computed."""

    mandate_id: str
    mandate_name: str
    provider: str
    model: str
    unpriced: str | None
    event_count: int
    given: Decimal
    computed: Decimal


@view("view.shadow_prices", sees=root("compare given and computed prices"))
def shadow_prices(connection: Connection, mandate_ids: Mandates = None, *, first: Day, last: Day) -> list[ShadowPrices]:
    """Prices that were given beside computed ones, of the usage on these local days; by mandate, the greatest difference first.

    Args:
        connection: to read with.
        mandate_ids: of which mandates; None: of all that were in `shadow` some time.
        first: from this local day on.
        last: up to this local day, itself included; 366 days at most.

    Raises:
        RequestRefused: these are more days.
    """
    if (last - first).days >= DAYS_MAX:
        raise RequestRefused(f"{last.isoformat()} is more than {DAYS_MAX} days after {first.isoformat()}: ask for fewer", field="to", value=last)
    if mandate_ids is not None:
        require_known(connection, mandate_ids)
    named = None if mandate_ids is None else list(mandate_ids)
    found = rows(connection, _Compared, sql.COMPARED, mandate_ids=named, first=first, last=last)
    models = [_shadow(list(group)) for _, group in groupby(found, key=attrgetter("mandate_id", "provider", "model"))]
    return sorted(models, key=lambda one: (one.mandate_id, -abs(one.difference), one.provider, one.model))


def _shadow(group: list[_Compared]) -> ShadowPrices:
    priced, others = [one for one in group if one.unpriced is None], [one for one in group if one.unpriced is not None]
    given, computed = _sum(one.given for one in priced), _sum(one.computed for one in priced)
    return ShadowPrices(
        group[0].mandate_id,
        group[0].mandate_name,
        group[0].provider,
        group[0].model,
        sum(one.event_count for one in group),
        sum(one.event_count for one in priced),
        given,
        computed,
        computed - given,
        None if given == 0 else (100 * (computed - given) / given).quantize(_HUNDREDTH),
        {one.unpriced: one.event_count for one in others if one.unpriced is not None},
        _sum(one.given for one in others),
    )


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)
