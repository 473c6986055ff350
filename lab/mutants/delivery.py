"""Mutants of the intake: when messages are acknowledged, and what becomes of a dead worker's."""

from lab.mutants.model import Change, Mutant

_HARD = "tests/delivery/test_hard_faults.py"
_SOURCE = "tests/delivery/test_redis_source.py"

MUTANTS = (
    Mutant(
        "ack-before-commit",
        "a batch is acknowledged before it is recorded",
        f"{_HARD}::test_a_worker_killed_at_any_point_of_a_batch_is_survived[before_commit-0]",
        "zcard",
        (
            Change(
                "worker/intake/pump.py",
                "            result = self._recorded(claim, messages, report.retried)\n",
                "            self._acknowledge(claim)\n            result = self._recorded(claim, messages, report.retried)\n",
            ),
        ),
    ),
    Mutant(
        "exception-swallowed",
        "a batch that fails unexpectedly is acknowledged",
        "tests/delivery/test_pump.py::test_a_door_that_always_fails_does_not_empty_the_queue",
        "every message is there",
        (
            Change(
                "worker/intake/pump.py",
                "            self._abandoned = True\n            self._wait(",
                "            self._acknowledge(claim)\n            self._wait(",
            ),
        ),
    ),
    Mutant(
        "given-up-after-tries",
        "a batch that could not be recorded in three tries is acknowledged as if it had been",
        f"{_HARD}::test_a_read_only_database_is_waited_for",
        "llen",
        (
            Change(
                "worker/intake/pump.py",
                "                retried(error)\n",
                "                retried(error)\n                if self.progress.retries > 2:\n                    return BatchResult([])\n",
            ),
        ),
    ),
    Mutant(
        "taken-over-and-acknowledged",
        "messages of a worker that died are acknowledged without an outcome, as if they were recorded",
        f"{_HARD}::test_a_worker_killed_at_any_point_of_a_batch_is_survived[after_claim-0]",
        "280 == 300",
        (
            Change(
                "worker/intake/pump.py",
                "        else:\n            self._settle(claim, lambda: [open_entry(entry) for entry in claim.entries])\n        return True\n",
                "        else:\n            self._acknowledge(claim)\n        return True\n",
            ),
        ),
    ),
    Mutant(
        "takeover-without-rename",
        "a dead worker's claim is copied by whoever takes it over, and its former holder can still give it back",
        f"{_SOURCE}::test_an_old_holder_can_do_no_harm_after_a_takeover",
        "llen",
        (
            Change(
                "worker/intake/lua/take_over.lua",
                "redis.call('RENAME', ARGV[3] .. id, ARGV[3] .. ARGV[2])",
                "redis.call('COPY', ARGV[3] .. id, ARGV[3] .. ARGV[2])",
            ),
        ),
    ),
    Mutant(
        "restore-forgets-grants",
        "an upgrade gives no rights to books that have the newest tables already, as restored ones do",
        "tests/schema/test_restore.py::test_the_recipe_for_a_dump_restores_into_a_new_cluster",
        "role tollbook_worker lacks CONNECT on tollbook",
        (
            Change(
                "core/schema/migrate.py",
                "        left = repair(connection, roles, login) + renamed\n",
                "        left = renamed if before == head() else repair(connection, roles, login) + renamed\n",
            ),
        ),
    ),
    Mutant(
        "worker-may-change-entries",
        "the worker's role may update and delete what is written",
        "tests/schema/test_rights.py::test_the_workers_login_may_not",
        "DID NOT RAISE",
        ddl=("GRANT UPDATE, DELETE ON transactions TO tollbook_worker",),
    ),
)
