-- Everything is locked before anything is changed, in the order in which recorders do it, and for less than two seconds together.
SET LOCAL lock_timeout = '600ms';
LOCK TABLE parked_events IN ACCESS EXCLUSIVE MODE;
LOCK TABLE parked_counts IN ACCESS EXCLUSIVE MODE;
LOCK TABLE transactions IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = '2s';

-- What usage objects look like without their values: canonical JSON with %s for each text and number, as format() takes it. Few, and shared.
CREATE TABLE usage_shapes (
    id integer GENERATED ALWAYS AS IDENTITY,
    shape text NOT NULL,
    content_hash bytea NOT NULL,
    CONSTRAINT pk_usage_shapes PRIMARY KEY (id),
    CONSTRAINT uq_usage_shapes_content_hash UNIQUE (content_hash)
);

-- What amounts were computed from: one row for all that were computed from the same.
CREATE TABLE stamps (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    version_id bigint,
    rows bigint[] DEFAULT '{}' NOT NULL,
    fx_id bigint,
    rule_id bigint,
    uncharged_id bigint,
    dialect text,
    dialect_version integer,
    rater_version integer,
    content_hash bytea NOT NULL,
    CONSTRAINT pk_stamps PRIMARY KEY (id),
    CONSTRAINT uq_stamps_content_hash UNIQUE (content_hash),
    CONSTRAINT ck_stamps_kind_known CHECK (kind IN ('given', 'rated', 'operator', 'policy'))
);
-- The first one is that of prices as they were given.
INSERT INTO stamps (kind, content_hash) VALUES ('given', sha256('given'));

GRANT SELECT ON usage_shapes, stamps TO tollbook_worker, tollbook_reader;
GRANT INSERT ON usage_shapes, stamps TO tollbook_worker;
GRANT USAGE ON SEQUENCE usage_shapes_id_seq, stamps_id_seq TO tollbook_worker;

ALTER TABLE transactions
    ADD COLUMN usage_dialect text,
    ADD COLUMN service_tier text,
    ADD COLUMN processing text,
    ADD COLUMN speed text,
    ADD COLUMN region_scope text,
    ADD COLUMN model_requested text,
    ADD COLUMN provider_account text,
    ADD COLUMN provider_request_id text,
    ADD COLUMN operation_id text,
    ADD COLUMN attempt smallint,
    ADD COLUMN outcome text,
    ADD COLUMN usage_basis text,
    ADD COLUMN reported_amount numeric,
    ADD COLUMN reported_currency text,
    ADD COLUMN hold_key text,
    ADD COLUMN hold_final boolean,
    ADD COLUMN producer_id text,
    ADD COLUMN producer_seq bigint,
    ADD COLUMN usage_shape integer,
    ADD COLUMN usage_values text,
    ADD COLUMN stamp_id bigint,
    ADD COLUMN price_given numeric(20, 9),
    ADD COLUMN price_computed numeric(20, 9),
    ADD COLUMN provider_cost numeric(38, 18),
    ADD COLUMN provider_currency text,
    ADD COLUMN leaves text,
    ADD COLUMN unpriced text;

-- 0: it waits for its mandate. Else the revision of the prices under which it could not be priced.
ALTER TABLE parked_events ADD COLUMN priced_under bigint DEFAULT 0 NOT NULL;

-- Of the parked events those that wait for a price are counted beside the others: each kind has limits of its own.
ALTER TABLE parked_counts ADD COLUMN suspended bigint DEFAULT 0 NOT NULL;

-- As before, with both numbers. Workers of the release before park nothing that waits for a price.
CREATE OR REPLACE FUNCTION count_parked_events() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_sign int := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
    v_count record;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM parked_counts;
        RETURN NULL;
    END IF;
    -- All mandates together are counted in the stripe of this session, whoever parked the events: it may fall below 0.
    FOR v_count IN
        INSERT INTO parked_counts AS c (mandate_id, stripe, events, suspended)
        SELECT moved.mandate_id, moved.stripe, v_sign * count(*), v_sign * count(*) FILTER (WHERE moved.priced_under > 0)
          FROM (SELECT mandate_id, stripe, priced_under FROM events_moved
                UNION ALL SELECT '', pg_backend_pid() % 16, priced_under FROM events_moved) AS moved
         GROUP BY moved.mandate_id, moved.stripe
         ORDER BY moved.mandate_id COLLATE "C", moved.stripe
        ON CONFLICT (mandate_id, stripe) DO UPDATE SET events = c.events + excluded.events, suspended = c.suspended + excluded.suspended
        RETURNING c.mandate_id, c.stripe, c.events
    LOOP
        IF v_count.events = 0 AND v_count.mandate_id <> '' THEN
            DELETE FROM parked_counts WHERE mandate_id = v_count.mandate_id AND stripe = v_count.stripe;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

-- Workers of the release before release whatever is parked: they would bill what waits for a price at the price given, or refuse it.
CREATE FUNCTION keep_suspended() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF current_setting('tollbook.knows_prices', true) IS DISTINCT FROM 'yes' THEN
        RAISE EXCEPTION 'event % of mandate % waits for a price, which this program does not know of', OLD.event_id, OLD.mandate_id
            USING ERRCODE = 'serialization_failure', HINT = 'Upgrade every worker.';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER keep_suspended BEFORE DELETE ON parked_events FOR EACH ROW WHEN (OLD.priced_under > 0) EXECUTE FUNCTION keep_suspended();
