-- How many events of each mandate are parked; those of '' are of all mandates together. Counting the events themselves would
-- cost as much as the whole car park, for whoever parks one. A row per stripe, so that two who park don't wait for each other:
-- the number is the sum over its stripes.
CREATE TABLE parked_counts (
    mandate_id text COLLATE "C" NOT NULL,
    stripe smallint NOT NULL,
    events bigint NOT NULL,
    CONSTRAINT pk_parked_counts PRIMARY KEY (mandate_id, stripe)
);

GRANT SELECT ON parked_counts TO tollbook_worker, tollbook_reader;

-- The stripe in which an event is counted for its mandate: that of the session that parked it. It leaves the same one again,
-- so that a row which falls to 0 can go. Rows that are there already get the constant, without being written anew.
ALTER TABLE parked_events ADD COLUMN stripe smallint DEFAULT 0 NOT NULL;
ALTER TABLE parked_events ALTER COLUMN stripe SET DEFAULT (pg_backend_pid() % 16);

-- Whose events are parked, and the oldest of each of them.
CREATE INDEX ix_parked_events_mandate_id_received_at_event_id ON parked_events (mandate_id, received_at, event_id);

-- SECURITY DEFINER, so that whoever may park or remove an event moves the counts, and nobody otherwise.
CREATE FUNCTION count_parked_events() RETURNS trigger
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
        INSERT INTO parked_counts AS c (mandate_id, stripe, events)
        SELECT moved.mandate_id, moved.stripe, v_sign * count(*)
          FROM (SELECT mandate_id, stripe FROM events_moved UNION ALL SELECT '', pg_backend_pid() % 16 FROM events_moved) AS moved
         GROUP BY moved.mandate_id, moved.stripe
         ORDER BY moved.mandate_id COLLATE "C", moved.stripe
        ON CONFLICT (mandate_id, stripe) DO UPDATE SET events = c.events + excluded.events
        RETURNING c.mandate_id, c.stripe, c.events
    LOOP
        IF v_count.events = 0 AND v_count.mandate_id <> '' THEN
            DELETE FROM parked_counts WHERE mandate_id = v_count.mandate_id AND stripe = v_count.stripe;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION count_parked_events() FROM PUBLIC;

CREATE TRIGGER parked_events_come AFTER INSERT ON parked_events REFERENCING NEW TABLE AS events_moved
    FOR EACH STATEMENT EXECUTE FUNCTION count_parked_events();
CREATE TRIGGER parked_events_go AFTER DELETE ON parked_events REFERENCING OLD TABLE AS events_moved
    FOR EACH STATEMENT EXECUTE FUNCTION count_parked_events();
CREATE TRIGGER parked_events_emptied AFTER TRUNCATE ON parked_events
    FOR EACH STATEMENT EXECUTE FUNCTION count_parked_events();

-- Nobody parks anything between these counts and the commit: the triggers hold the table until then.
INSERT INTO parked_counts (mandate_id, stripe, events) SELECT mandate_id, 0, count(*) FROM parked_events GROUP BY mandate_id;
INSERT INTO parked_counts (mandate_id, stripe, events) SELECT '', 0, count(*) FROM parked_events HAVING count(*) > 0;
