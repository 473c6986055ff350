"""What most people would write: one Celery task and one database transaction per event, on the stock transport."""

import os
from typing import Any

from celery import Celery
from sqlalchemy import Engine, create_engine, text

QUEUE = "bench-naive"

app = Celery("naive", broker=os.environ.get("CELERY_BROKER_URL"), set_as_current=False)
app.conf.update(
    task_default_queue=QUEUE,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=50,
    broker_connection_retry_on_startup=True,
)
_engines: list[Engine] = []

TABLES = (
    "DROP SCHEMA IF EXISTS naive CASCADE",
    "CREATE SCHEMA naive",
    "CREATE TABLE naive.account (id int PRIMARY KEY, balance numeric(20,9) NOT NULL DEFAULT 0)",
    "INSERT INTO naive.account SELECT g, 100 FROM generate_series(1, 1000) g",
    """CREATE TABLE naive.entry (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event_id text NOT NULL UNIQUE, account_id int NOT NULL,
       amount numeric(20,9) NOT NULL, provider text, model text, feature text, occurred_at timestamptz NOT NULL DEFAULT now())""",
    "CREATE INDEX ON naive.entry (account_id, occurred_at DESC)",
)


@app.task(name="naive.record")
def record(event: dict[str, Any]) -> None:
    """Locks the account's row, inserts the entry, updates the balance, commits."""
    if not _engines:
        _engines.append(create_engine(os.environ["DATABASE_OWNER_URL"].replace("postgresql://", "postgresql+psycopg://", 1), pool_size=2))
    account = event["account"]
    with _engines[0].begin() as connection:
        connection.execute(text("SELECT balance FROM naive.account WHERE id = :id FOR UPDATE"), {"id": account}).one()
        inserted = connection.execute(
            text(
                "INSERT INTO naive.entry (event_id, account_id, amount, provider, model, feature)"
                " VALUES (:event_id, :id, :amount, :provider, :model, :feature) ON CONFLICT (event_id) DO NOTHING RETURNING id"
            ),
            {"id": account, **{name: event[name] for name in ("event_id", "amount", "provider", "model", "feature")}},
        ).first()
        if inserted:
            connection.execute(
                text("UPDATE naive.account SET balance = balance - CAST(:amount AS numeric) WHERE id = :id"),
                {"amount": event["amount"], "id": account},
            )
