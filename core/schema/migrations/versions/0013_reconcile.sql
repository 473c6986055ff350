-- Up to where the books are checked and added up, and since when nothing older can still become visible.
CREATE TABLE reconcile_checkpoint (
    one boolean DEFAULT true NOT NULL,
    recorded_before timestamp with time zone NOT NULL,
    next_before timestamp with time zone,
    next_open text[] DEFAULT '{}' NOT NULL,
    full_at timestamp with time zone,
    CONSTRAINT pk_reconcile_checkpoint PRIMARY KEY (one),
    CONSTRAINT ck_reconcile_checkpoint_one CHECK (one)
);

-- What the entries recorded before the checkpoint add up to, by account.
CREATE TABLE reconcile_sums (
    account_id bigint NOT NULL,
    movements numeric(29, 9) DEFAULT 0 NOT NULL,
    event_count bigint DEFAULT 0 NOT NULL,
    cost numeric(29, 9) DEFAULT 0 NOT NULL,
    billed_cost numeric(29, 9) DEFAULT 0 NOT NULL,
    refunded numeric(29, 9) DEFAULT 0 NOT NULL,
    input_tokens numeric(30, 0) DEFAULT 0 NOT NULL,
    output_tokens numeric(30, 0) DEFAULT 0 NOT NULL,
    cached_input_tokens numeric(30, 0) DEFAULT 0 NOT NULL,
    cache_write_tokens numeric(30, 0) DEFAULT 0 NOT NULL,
    reasoning_tokens numeric(30, 0) DEFAULT 0 NOT NULL,
    CONSTRAINT pk_reconcile_sums PRIMARY KEY (account_id)
);

-- Some kilobytes each, and next to nothing for whoever records: rows lie in the order of their times.
CREATE INDEX ix_transactions_recorded_at ON transactions USING brin (recorded_at);
CREATE INDEX ix_event_keys_recorded_at ON event_keys USING brin (recorded_at);

GRANT SELECT ON reconcile_checkpoint, reconcile_sums TO tollbook_worker, tollbook_reader;
GRANT INSERT, UPDATE, DELETE ON reconcile_checkpoint, reconcile_sums TO tollbook_worker;
