"""What the worker counts for Prometheus; the names are promises."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("tollbook_events_total", "Events with a committed outcome.", ["outcome"])
DEAD_LETTERS = Counter("tollbook_dead_letters_total", "Deliveries that became or met a dead letter, by reason.", ["reason"])
DEAD_LETTERS_WITHOUT_ROOM = Counter(
    "tollbook_dead_letters_without_room_total", "Deliveries that are counted by reason only, since TOLLBOOK_DEAD_LETTERS_MAX is reached.", ["reason"]
)
ZONES_MISSING = Counter("tollbook_time_zones_missing_total", "Settings made under another time zone than the one named, which was not known.")
UNPRICED = Counter(
    "tollbook_unpriced_events_total",
    "Events without a computed price, by mode and reason: parked under computed, recorded under others.",
    ["mode", "reason"],
)
HOLDS = Counter(
    "tollbook_holds_total", "Authorisations answered: allowed, why not, conflict, or what had become of a hold under the same key.", ["answer"]
)
HOLD_SECONDS = Histogram(
    "tollbook_hold_seconds",
    "Time that a transaction which authorises holds took, in seconds.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10),
)
HOLDS_EXPIRED = Counter("tollbook_holds_expired_total", "Holds that the clock ended and the sweep settled.")
HOLD_EVENTS = Counter(
    "tollbook_hold_events_total",
    "Recorded events that name a hold, by what that was to it: captured, over_hold, after_final, late, without_hold, other_user.",
    ["how"],
)
UNKNOWN_USERS = Counter("tollbook_unknown_users_total", "Recorded events whose user the directory does not know.")
PRODUCERS_WITHOUT_ROOM = Counter("tollbook_producers_without_room_total", "Producers whose numbers are not looked at, since there are too many.")
OUTCOMES_TOLD = Counter(
    "tollbook_outcomes_total",
    "Refused and parked events for a producer's queue of outcomes: published, or withheld for want of room or for their age.",
    ["what"],
)
BATCH_SECONDS = Histogram(
    "tollbook_batch_seconds",
    "Time from the bytes of a batch to its commit, in seconds.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
BATCH_EVENTS = Histogram("tollbook_batch_events", "Events in a batch.", buckets=(1, 10, 50, 100, 250, 500, 1000, 2000))
ALERTS = Counter("tollbook_alerts_total", "Alerts that left the outbox: published or withheld.", ["outcome"])
ALERTS_WAITING = Gauge("tollbook_alerts_waiting", "Alerts that wait to be published, as of this process's latest look.")
ALERTS_OLDEST_SECONDS = Gauge("tollbook_alerts_oldest_seconds", "Age of the oldest alert that waits, as of this process's latest look.")
INTAKE_STATE = Gauge("tollbook_intake_state", "1 for the state that the intake is in.", ["thread", "state"])
INTAKE_RETRIES = Counter("tollbook_intake_retries_total", "Batches tried again because the database could not answer.")
INTAKE_HELD = Gauge("tollbook_intake_held_messages", "Messages claimed and not yet acknowledged.")
FOREIGN_LISTS = Gauge("tollbook_foreign_lists", "Lists of the broker that look like ours and that nobody reads, as of this process's latest look.")
FOREIGN_MESSAGES = Gauge("tollbook_foreign_messages", "Messages in them, as of this process's latest look.")
CHECKS = Counter("tollbook_checks_total", "Balance checks answered: allowed, or why not.", ["answer"])
CHECK_SECONDS = Histogram(
    "tollbook_check_seconds",
    "Time that a balance check took once it was begun, in seconds.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 10),
)
REQUESTS = Counter("tollbook_requests_total", "Requests of other services answered, by task and kind of answer.", ["task", "answer"])
WORKER_INFO = Gauge("tollbook_worker_info", "1 for the program's version, and the revision of the books that it needs.", ["version", "revision"])
UNDELIVERED = Counter("tollbook_answers_undelivered_total", "Answers that the broker did not take.")
