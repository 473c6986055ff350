"""Names that may be mistyped: what they are about isn't known anywhere."""

from sqlalchemy import Connection

from core.asking.view import root, view
from core.directory.sql.mandates import unknown_mandates
from core.prices.sql.state import price_state
from core.printable import shown
from core.reports.sql import names as sql


@view(None, sees=root("look names up"))
def unknown_names(connection: Connection, *, mandate_id: str | None = None, user_id: str | None = None, model: str | None = None) -> list[str]:
    """A sentence for each of the names that nothing knows: no directory, settings or accounts, nor, of a model, the active prices and aliases.

    That is no error: what was said holds once they come.
    """
    told = []
    if mandate_id is not None and unknown_mandates(connection, [mandate_id]):
        told.append(f"mandate {shown(mandate_id)} is not known yet")
    if user_id is not None and not connection.execute(sql.KNOWN_USER, {"user_id": user_id}).scalar_one():
        told.append(f"user {shown(user_id)} is not known yet")
    if model is not None:
        asked = {"model": model, "version_id": price_state(connection).active_version}
        if not connection.execute(sql.KNOWN_MODEL, asked).scalar_one():
            told.append(f"model {shown(model)} is in neither the active prices nor the aliases")
    return told
