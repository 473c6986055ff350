"""Every invariant that the database can answer, in the order of their numbers: what `verify` and the nightly job both ask."""

from core.verifying.sql.invariants.alerts import crossings_are_reported_once
from core.verifying.sql.invariants.balances import amounts_are_exact, balances_are_sums, switches_conserve
from core.verifying.sql.invariants.caps import counters_are_sums
from core.verifying.sql.invariants.dead_letters import bad_inputs_are_kept
from core.verifying.sql.invariants.events import conflicts_move_nothing, debits_are_what_came, one_debit_per_event
from core.verifying.sql.invariants.grants import grants_are_single
from core.verifying.sql.invariants.holds import held_is_what_open_holds_keep, holds_are_settled_once, holds_are_whole
from core.verifying.sql.invariants.invariant import Invariant
from core.verifying.sql.invariants.local_days import local_days_are_those_of_the_time
from core.verifying.sql.invariants.prices import (
    accepted_events_are_debits_or_parked,
    accepted_prices_stay,
    amounts_recompute,
    leaves_are_read,
    reverts_restore,
    stamps_price_all_leaves,
)
from core.verifying.sql.invariants.references import mandates_stay_apart, settings_are_those_of_the_time
from core.verifying.sql.invariants.rollups import rollups_are_recomputable

INVARIANTS: tuple[Invariant, ...] = (
    one_debit_per_event(),
    debits_are_what_came(),
    balances_are_sums(),
    amounts_are_exact(),
    switches_conserve(),
    rollups_are_recomputable(),
    bad_inputs_are_kept(),
    conflicts_move_nothing(),
    mandates_stay_apart(),
    settings_are_those_of_the_time(),
    grants_are_single(),
    crossings_are_reported_once(),
    local_days_are_those_of_the_time(),
    amounts_recompute(),
    leaves_are_read(),
    accepted_prices_stay(),
    stamps_price_all_leaves(),
    accepted_events_are_debits_or_parked(),
    reverts_restore(),
    held_is_what_open_holds_keep(),
    holds_are_settled_once(),
    holds_are_whole(),
    counters_are_sums(),
)
