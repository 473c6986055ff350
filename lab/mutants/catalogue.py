"""All mutants, in the order in which they are told of."""

from lab.mutants import days, delivery, money, recording
from lab.mutants.model import Change, Mutant

NO_OP = "no-op"
MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        NO_OP,
        "nothing: a comment has another word",
        "",
        "",
        (Change("core/recording/balances.py", '"""The balances that a batch moves:', '"""The balances which a batch moves:'),),
        ("SELECT 1",),
    ),
    *recording.MUTANTS,
    *money.MUTANTS,
    *days.MUTANTS,
    *delivery.MUTANTS,
)
