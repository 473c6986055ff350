"""The tables, as SQLAlchemy sees them; `docs/books.md` tells what each one is for.

The migrations make them; `tollbook db check` proves that both say the same.
"""

from core.schema import books, intake, operations, prices
from core.schema.columns import metadata

__all__ = ["books", "intake", "metadata", "operations", "prices"]
