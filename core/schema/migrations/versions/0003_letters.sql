-- An alert is published or withheld, or it waits; those that wait are few, and found at once.
ALTER TABLE balance_alerts ADD COLUMN withheld_at TIMESTAMP WITH TIME ZONE;
CREATE INDEX ix_balance_alerts_waiting ON balance_alerts (id) WHERE published_at IS NULL AND withheld_at IS NULL;
GRANT UPDATE (withheld_at) ON balance_alerts TO tollbook_worker;

-- The chain of an event's entries: its usage debit, then the debit of each amendment. Unpartitioned: each link exists once, for ever.
CREATE TABLE amendments (
    mandate_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    number INTEGER NOT NULL,
    operation TEXT COLLATE "C" NOT NULL,
    idempotency_key TEXT COLLATE "C" NOT NULL,
    reversed_id BIGINT NOT NULL,
    reversed_recorded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    reversal_id BIGINT NOT NULL,
    debit_id BIGINT NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_amendments PRIMARY KEY (mandate_id, event_id, number),
    CONSTRAINT uq_amendments_mandate_id_operation_idempotency_key_event_id UNIQUE (mandate_id, operation, idempotency_key, event_id)
);
GRANT SELECT ON amendments TO tollbook_worker, tollbook_reader;
GRANT INSERT ON amendments TO tollbook_worker;
