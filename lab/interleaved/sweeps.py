"""What runs by itself while usage comes: the directory, the backfill, the release of what is parked, the rollup, the sweep of holds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.asking.rights import ROOT
from core.directory.import_lists import import_directory
from core.directory.sql import mirror
from core.holds.expire import expire_holds
from core.recording.backfill_accounts import backfill_accounts
from core.recording.release_parked import release_all_parked
from core.settings.backfill import backfill_settings
from core.statistics.roll_up import roll_up_usage
from lab.interleaved.verbs import Authorise, Forgo
from lab.interleaved.work import NOW, TTL, Deliver, Hands, Names, Part, Work
from lab.oracle.holds import HeldBooks


@dataclass(frozen=True)
class Enter(Work):
    """The directory has a mandate, and these members of it."""

    mandate: str
    users: tuple[str, ...]

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        own = hands.names[self.mandate]
        members = [mirror.Membership(user, own, enabled=True) for user in self.users]
        import_directory(hands.database, ROOT, mandates=[mirror.Mandate(own, "name", None, True, "UTC")], memberships=members)
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""
        yield Part(lambda books, names: books.members.update({(names[self.mandate], user): True for user in self.users}))
        yield Part(lambda books, names: books.directory.update({names[self.mandate]: (True, "UTC")}))


@dataclass(frozen=True)
class Release(Work):
    """What is parked, and whose mandate is known by now, is recorded. Asked again it is done again."""

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        release_all_parked(hands.database, config=hands.config, worker=f"{hands.worker}'s")
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`. Twice: what comes meanwhile may be released, too."""
        yield from [Part(_silent(released), optional=True)] * 2


@dataclass(frozen=True)
class Backfill(Work):
    """Whoever is in the directory has settings, accounts, grants. Asked again it is done again. `surely`: nobody else is there who could do it."""

    surely: bool = False

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        worker = f"{hands.worker}'s"
        backfill_settings(hands.database, config=hands.config, worker=worker, at_once=True)
        backfill_accounts(hands.database, config=hands.config, worker=worker, at_once=True)
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`. Somebody else may be at it: then it is left to them."""
        for do in (HeldBooks.backfill_settings, HeldBooks.open_missing, HeldBooks.open_missing, HeldBooks.make_due_grants, released):
            yield Part(_silent(do), optional=not self.surely)


@dataclass(frozen=True)
class RollUp(Work):
    """What is pending is counted; when, nobody can tell afterwards."""

    surely: bool = False

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        roll_up_usage(hands.database)
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""
        if self.surely:
            yield Part(_silent(HeldBooks.roll_up))


@dataclass(frozen=True)
class Sweep(Work):
    """What has ended by a clock that is ahead is settled. What somebody else is at is left to him; asked again it is done again."""

    surely: bool = False

    def ask(self, hands: Hands) -> object:
        """See `Work`."""
        expire_holds(hands.database, clock=NOW + 2 * TTL)
        return None

    def parts(self) -> Iterator[Part]:
        """See `Work`."""
        yield Part(_silent(_swept), optional=not self.surely)


REPEATED = (Deliver, Authorise, Forgo, Release, Backfill, RollUp, Sweep)  # each time that one of these is asked, it may do something


def _swept(books: HeldBooks) -> None:
    books.now = NOW + 2 * TTL
    books.sweep()
    books.now = NOW


def released(books: HeldBooks) -> None:
    """The oracle releases what is parked."""
    books.release_parked()
    books.look()


def _silent(do: Callable[[HeldBooks], object]) -> Callable[[HeldBooks, Names], None]:
    def done(books: HeldBooks, _: Names) -> None:
        do(books)

    return done
