-- Everything is locked before anything is changed, in the order in which recorders do it, and for less than two seconds together.
SET LOCAL lock_timeout = '900ms';
LOCK TABLE books IN ACCESS EXCLUSIVE MODE;
LOCK TABLE dead_letters IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = '2s';

-- From when on the numbers of producers are looked at: whoever was numbering before is known only from the ledger.
ALTER TABLE books ADD COLUMN numbers_since timestamptz DEFAULT now() NOT NULL;
ALTER TABLE books ADD CONSTRAINT ck_books_numbers_since_time
    CHECK (numbers_since >= '0001-01-01 00:00:00+00' AND numbers_since < '10000-01-01 00:00:00+00');

-- A letter whose event an operator has corrected: what was recorded in its place.
ALTER TABLE dead_letters ADD COLUMN corrected_body bytea, ADD COLUMN corrected_sha256 bytea;
ALTER TABLE dead_letters DROP CONSTRAINT ck_dead_letters_status_known;
ALTER TABLE dead_letters ADD CONSTRAINT ck_dead_letters_status_known
    CHECK (status IN ('OPEN', 'REPLAYED', 'DISCARDED', 'ACCEPTED', 'CORRECTED')) NOT VALID;

-- Appended by each batch, merged by a job: no row that all workers move.
CREATE TABLE producer_ranges (
    id bigint GENERATED ALWAYS AS IDENTITY,
    producer_id text COLLATE "C" NOT NULL,
    seen int8multirange NOT NULL,
    seen_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_producer_ranges PRIMARY KEY (id),
    CONSTRAINT ck_producer_ranges_seen_at_time CHECK (seen_at >= '0001-01-01 00:00:00+00' AND seen_at < '10000-01-01 00:00:00+00')
);

-- Below untracked_from all numbers up to the highest came, but for the gaps; from there on nobody looks.
CREATE TABLE producers (
    producer_id text COLLATE "C" NOT NULL,
    highest bigint NOT NULL,
    untracked_from bigint,
    incomplete boolean DEFAULT false NOT NULL,
    first_seen_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    CONSTRAINT pk_producers PRIMARY KEY (producer_id),
    CONSTRAINT ck_producers_numbers_sign CHECK (highest >= 1 AND untracked_from >= 1),
    CONSTRAINT ck_producers_first_seen_at_time CHECK (first_seen_at >= '0001-01-01 00:00:00+00' AND first_seen_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_producers_last_seen_at_time CHECK (last_seen_at >= '0001-01-01 00:00:00+00' AND last_seen_at < '10000-01-01 00:00:00+00')
) WITH (fillfactor = 70);
CREATE INDEX ix_producers_incomplete ON producers (producer_id) WHERE incomplete;

-- Numbers that have not come, since when a later one has; and whether the ledger was asked for them, too.
CREATE TABLE producer_gaps (
    producer_id text COLLATE "C" NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    since timestamptz NOT NULL,
    looked_at timestamptz,
    CONSTRAINT pk_producer_gaps PRIMARY KEY (producer_id, first_seq),
    CONSTRAINT ck_producer_gaps_numbers_order CHECK (first_seq >= 1 AND last_seq >= first_seq),
    CONSTRAINT ck_producer_gaps_since_time CHECK (since >= '0001-01-01 00:00:00+00' AND since < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_producer_gaps_looked_at_time CHECK (looked_at >= '0001-01-01 00:00:00+00' AND looked_at < '10000-01-01 00:00:00+00')
);
CREATE INDEX ix_producer_gaps_since ON producer_gaps (since);

-- What producers that asked for it are still to be told of their events; told, it is deleted.
CREATE TABLE outcome_messages (
    id bigint GENERATED ALWAYS AS IDENTITY,
    queue text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    mandate_id text COLLATE "C",
    event_id text COLLATE "C",
    body_sha256 bytea,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_outcome_messages PRIMARY KEY (id),
    CONSTRAINT ck_outcome_messages_outcome_known CHECK (outcome IN ('rejected', 'conflict', 'parked')),
    CONSTRAINT ck_outcome_messages_recorded_at_time CHECK (recorded_at >= '0001-01-01 00:00:00+00' AND recorded_at < '10000-01-01 00:00:00+00')
);
CREATE INDEX ix_outcome_messages_queue_id ON outcome_messages (queue, id);

GRANT SELECT ON producer_ranges, producers, producer_gaps, outcome_messages TO tollbook_worker, tollbook_reader;
GRANT INSERT, DELETE ON producer_ranges, outcome_messages TO tollbook_worker;
GRANT INSERT, UPDATE, DELETE ON producers, producer_gaps TO tollbook_worker;
GRANT USAGE ON SEQUENCE producer_ranges_id_seq, outcome_messages_id_seq TO tollbook_worker;
