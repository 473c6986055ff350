"""Repairing the books: what doesn't follow from the ledger is made to, by an operator's word; the ledger stays as it is."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, ValidationError

from core.domain.request import By, Key, Reason, refusal
from core.domain.rights import Actor
from core.errors import Conflict
from core.operations.plan_repairs import plan_repairs
from core.operations.repairing.balance import BalanceRepair, BalanceRepaired, repair_balance
from core.operations.repairing.statistics import StatisticsRepair, StatisticsRepaired, repair_statistics
from core.storage.checkpoint import forget_checkpoint
from core.storage.database import Database
from core.storage.findings import resolve_findings
from core.storage.invariants.sums import sums_are_those_of_then
