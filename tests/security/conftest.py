"""What the tests of security share with those of the delivery: real brokers, real workers."""

from tests.delivery.conftest import (  # noqa: F401 - fixtures
    acme,
    broker,
    broker_kind,
    broker_url,
    counts,
    environment,
    is_drained,
    own_connections,
    producer,
    queue,
    rabbit,
    shared_rabbit,
    shared_valkey,
    start_worker,
)
