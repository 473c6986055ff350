"""The right price of a recorded event, as an operator says it."""

from pydantic import ValidationError

from core.asking.request import Asked
from core.errors import RequestRefused
from core.events.contract import Id, Price, RecordedEventId
from core.problems import refusal


class NewPrice(Asked):
    """Which event, and what it is to cost in CHF: read, bounded and quantised as a producer's price is."""

    mandate_id: Id
    event_id: RecordedEventId
    price_chf: Price

    @classmethod
    def refusal(cls, error: ValidationError) -> RequestRefused:
        """See `Asked`."""
        return refusal(error, f"is none of {', '.join(cls.model_fields)}", quoted=True)
