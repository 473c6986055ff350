"""Parquet for programs that analyse: exact decimals, times in UTC, and the same bytes for the same rows (of one version of pyarrow)."""

from collections.abc import Iterable, Sequence
from io import RawIOBase
from typing import Any

from core.errors import Misconfigured
from core.reports.columns import Column, Kind, Row

ROW_GROUP_ROWS = 50_000  # what is in memory at most, packed


def require_pyarrow() -> Any:
    """The library that writes Parquet.

    Raises:
        Misconfigured: it isn't installed; the message names what installs it.
    """
    try:
        import pyarrow.parquet  # noqa: PLC0415 - an optional extra, and slow to load
    except ModuleNotFoundError:
        raise Misconfigured("Parquet needs pyarrow, which is not installed: it comes with the extra `parquet`, pip install '.[parquet]'") from None
    return pyarrow


def write_parquet(file: RawIOBase, columns: Sequence[Column], chunks: Iterable[Sequence[Row]]) -> None:
    """Writes the rows in groups of about 50,000; without rows there is still the schema.

    Raises:
        Misconfigured: pyarrow isn't installed.
    """
    arrow = require_pyarrow()
    types = _types(arrow)
    schema = arrow.schema([(column.name, types[column.kind]) for column in columns])
    batches: list[Any] = []
    with arrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for chunk in chunks:
            values = zip(*chunk, strict=True)
            batches.append(arrow.record_batch([arrow.array(v, field.type) for v, field in zip(values, schema, strict=True)], schema=schema))
            if sum(batch.num_rows for batch in batches) >= ROW_GROUP_ROWS:
                writer.write_table(arrow.Table.from_batches(batches))
                batches.clear()
        if batches:
            writer.write_table(arrow.Table.from_batches(batches))


def _types(arrow: Any) -> dict[Kind, Any]:
    return {
        Kind.TEXT: arrow.string(),
        Kind.INTEGER: arrow.int64(),
        Kind.AMOUNT: arrow.decimal128(20, 9),
        Kind.TOTAL: arrow.decimal128(29, 9),
        Kind.COST: arrow.decimal128(38, 18),
        Kind.COUNT: arrow.decimal128(30, 0),
        Kind.TIME: arrow.timestamp("us", tz="UTC"),
        Kind.BOUND: arrow.timestamp("us", tz="UTC"),
        Kind.DAY: arrow.date32(),
    }
