"""What no cap refuses: a call that costs nothing."""

from datetime import datetime

from sqlalchemy import Connection

from core.caps.model import Spending
from core.caps.sql.kept import find_now
from core.prices.load import prices_of
from core.prices.sql.state import price_state


def is_free(connection: Connection, spending: Spending, clock: datetime | None = None) -> bool:
    """Whether the model that is named, with its provider, has rows in the active version of the price book, and all of them are free now.

    Asks the database for the present revision: call it where a cap refuses, and only there. `clock`: which moment; None: the database's own.
    """
    if spending.provider is None or spending.model is None:
        return False
    prices = prices_of(connection, price_state(connection).token)
    return prices.is_free(spending.mandate_id, spending.provider, spending.model, find_now(connection, clock))
