"""What a mandate's usage of some days was by class, and what providers charge for it."""

from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from sqlalchemy import Connection

from core.reports.sql.stated_entries import statements_for
from core.reports.sql.statements import Scope
from core.statistics.measures import Measure, measured


@dataclass(frozen=True, slots=True)
class ModelMeasures:
    """What was used of one provider's model by class, and what the provider charges by currency: None where that wasn't asked for."""

    provider: str
    model: str
    leaves: dict[str, int]
    provider_cost: dict[str, Decimal] | None


def used_by_model(connection: Connection, scope: Scope, *, costs: bool) -> list[ModelMeasures]:
    """What the entries of the scope measure, by provider and model; as amended, and with what providers charge, or without."""
    found = connection.execute(statements_for(scope.account_id).measured[costs], scope._asdict())
    measures = []
    for (provider, model), totals in groupby(found, key=lambda row: (row.provider, row.model)):
        used = measured(Measure(one.measure, one.currency, one.total) for one in totals)
        measures.append(ModelMeasures(provider, model, used.leaves, used.provider_cost if costs else None))
    return measures
