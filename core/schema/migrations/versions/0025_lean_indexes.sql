-- Books that went back to the release before, which works with these indexes too, may have them already.

-- Everything is locked before anything is changed, in the order in which recorders do it, and for less than two seconds together.
SET LOCAL lock_timeout = '400ms';
LOCK TABLE parked_events IN ACCESS EXCLUSIVE MODE; -- which the next migration changes
LOCK TABLE parked_counts IN ACCESS EXCLUSIVE MODE;
LOCK TABLE event_keys IN ACCESS EXCLUSIVE MODE;
LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE;

-- All entries of a batch carry one time, which an index without their ids holds once for all that one account or mandate has of them.
-- A partition whose index is there already gives it to that of the whole table; only an empty or a very new one is read here.
CREATE INDEX IF NOT EXISTS ix_transactions_account_id_recorded_at ON transactions (account_id, recorded_at);
CREATE INDEX IF NOT EXISTS ix_transactions_mandate_id_recorded_at ON transactions (mandate_id, recorded_at);
DROP INDEX IF EXISTS ix_transactions_account_id_recorded_at_id;
DROP INDEX IF EXISTS ix_transactions_mandate_id_recorded_at_id;

-- Ids that begin with the time all go to the end of the index, however many mandates there are.
CREATE UNIQUE INDEX IF NOT EXISTS event_keys_event_id_mandate_id ON event_keys (event_id, mandate_id);
ALTER TABLE event_keys
    DROP CONSTRAINT pk_event_keys,
    ADD CONSTRAINT pk_event_keys PRIMARY KEY USING INDEX event_keys_event_id_mandate_id;
SET LOCAL lock_timeout = '2s';
