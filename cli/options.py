"""Options that many commands share."""

from typing import Annotated

import typer

from core.views.paging import LIMIT_MAX

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document: decimals as strings, times in ISO 8601.")]
Limit = Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="Rows to show at most.")]
Offset = Annotated[int, typer.Option(min=0, help="Rows to leave out first.")]
