"""Importing prices: what a source says becomes a proposal."""

from datetime import datetime
from enum import StrEnum
from pathlib import Path

from core.asking.rights import Actor
from core.database.database import Database
from core.errors import RequestRefused
from core.prices.propose import Defaults, Proposal, propose
from core.prices.read import active_defaults
from core.prices.sources.csv_file import read_csv
from core.prices.sources.genai import read_genai_prices


class Source(StrEnum):
    """Where price rows are brought in from."""

    GENAI_PRICES = "genai-prices"  # the installed package
    CSV = "csv"


def import_prices(
    database: Database,
    actor: Actor,
    source: Source,
    file: Path | None = None,
    *,
    proposed_by: str,
    now: datetime,
    since: datetime | None = None,
    defaults: Defaults | None = None,
    drop_gone: bool = False,
) -> Proposal:
    """Makes a proposal of all that the source says, as `core.prices.propose.propose`; no network is asked.

    Args:
        database: under the worker's login.
        actor: as whom it is asked.
        source: of what kind it is. The package writes rows of the layer list alone, and those of its prices that have no date change
            what the active version says from `since` on; a file says itself from when on.
        file: of the source CSV.
        proposed_by: who does it.
        now: what time it is: when rows that are gone end, and the default of `since` for the package.
        since: from when on an undated row holds that changes what the active version says.
        defaults: by provider, what stands for a dimension that an event doesn't tell.
        drop_gone: let what the source doesn't have any more end now.

    Raises:
        LinesRefused, RequestRefused: as `propose`, or what a file says can't be used.
        Misconfigured: the package isn't installed.
        OSError: the file can't be read.
    """
    known = {**active_defaults(database, actor)}
    for provider, values in (defaults or {}).items():
        known[provider] = {**known.get(provider, {}), **values}
    if source is Source.GENAI_PRICES:
        offer, since = read_genai_prices(known), since or now
    elif file is None:
        raise RequestRefused("name the file", field="file", value=None)
    else:
        offer = read_csv(file, known)
    end = now if drop_gone else None
    return propose(database, actor, offer, proposed_by=proposed_by, since=since, defaults=defaults, drop_gone_at=end)
