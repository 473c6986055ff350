"""The tables, as SQLAlchemy sees them; `docs/books.md` tells what each one is for.

The migrations make them; `tollbook db check` proves that both say the same.
"""

from core.schema import books, holds, intake, operations, prices, statistics
from core.schema.columns import metadata

__all__ = ["books", "holds", "intake", "metadata", "operations", "prices", "statistics"]
