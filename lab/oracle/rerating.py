"""Re-ratings of the oracle's books, and taking them back."""

from lab.oracle.books import Books
from lab.oracle.entries import Entry

Replaced = list[tuple[Entry, Entry]]  # what stood, and what took its place


def rerate(books: Books, mandate: str) -> Replaced:
    """Every computed price of a mandate by the rows of now; what was refunded stays.

    Raises:
        Refused: the mandate has no settings.
    """
    own, done, batch = books.present(mandate), Replaced(), list[tuple[str, Entry]]()
    for event_id in [event_id for of, event_id in books.keys if of == mandate]:
        old = own.standing(event_id)
        assert old is not None
        assert old.event is not None
        if old.bill is None or old.bill.dated is None or old.refunded:
            continue
        bill = books.prices.again(old.event, old.bill)
        if bill is not None:
            debit, booked = books.replaced(mandate, old, bill.amount, bill)
            done.append((old, debit))
            batch += booked
    if batch:
        books.pending.append(batch)
    return done


def revert(books: Books, mandate: str, done: Replaced) -> None:
    """What was re-rated is as before, but for what was amended or refunded since.

    Raises:
        Refused: the mandate has no settings.
    """
    own, batch = books.present(mandate), list[tuple[str, Entry]]()
    for old, debit in done:
        assert old.event is not None
        if own.standing(old.event.event_id) is debit and not debit.refunded:
            batch += books.replaced(mandate, debit, old.amount, old.bill)[1]
    if batch:
        books.pending.append(batch)
