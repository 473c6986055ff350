-- All entries of a batch carry one time, which the index holds once: 7 bytes an entry in batches of a thousand, at the end of it. It is
-- of an expression, so that nothing but a list over all mandates goes by it: where it and the index of the mandate or of the account
-- offer themselves, the planner would take the wrong one.
CREATE INDEX ix_transactions_newest ON transactions ((recorded_at AT TIME ZONE 'UTC'));

-- Lists in their order.
CREATE INDEX ix_balance_alerts_recorded_at ON balance_alerts (recorded_at);
CREATE INDEX ix_dead_letters_mandate_id_id ON dead_letters (mandate_id, id);
CREATE INDEX ix_dead_letters_status_id ON dead_letters (status, id);
CREATE INDEX ix_dead_letters_seen_again ON dead_letters (id) WHERE last_seen_at > resolved_at;
CREATE INDEX ix_job_runs_started_at_job_period ON job_runs (started_at, job, period);
CREATE INDEX ix_job_runs_job_started_at_period ON job_runs (job, started_at, period);
CREATE INDEX ix_reconcile_findings_last_seen_at_id ON reconcile_findings (last_seen_at, id);

-- What the balance of an account was right after some of the entries on it, before the checkpoint.
CREATE TABLE balance_marks (
    account_id bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    transaction_id bigint NOT NULL,
    balance numeric(29, 9) DEFAULT 0 NOT NULL,
    CONSTRAINT pk_balance_marks PRIMARY KEY (account_id, recorded_at, transaction_id)
);

-- Whether the entries before the checkpoint have their marks.
ALTER TABLE reconcile_checkpoint ADD COLUMN marked boolean DEFAULT false NOT NULL;

GRANT SELECT ON balance_marks TO tollbook_worker, tollbook_reader;
GRANT INSERT, DELETE ON balance_marks TO tollbook_worker;
