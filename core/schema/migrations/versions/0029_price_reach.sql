-- What a version of the price book would change of events that were recorded before: counted at its acceptance, and after each re-rating.
CREATE TABLE price_reach (
    version_id bigint NOT NULL,
    events bigint NOT NULL,
    models jsonb DEFAULT '[]' NOT NULL,
    counted_at timestamp with time zone DEFAULT now() NOT NULL,
    waived_by text,
    waived_reason text,
    waived_at timestamp with time zone,
    CONSTRAINT pk_price_reach PRIMARY KEY (version_id),
    CONSTRAINT ck_price_reach_waived CHECK (num_nonnulls(waived_by, waived_reason, waived_at) IN (0, 3)),
    CONSTRAINT ck_price_reach_counted_at_time CHECK (counted_at >= '0001-01-01 00:00:00+00' AND counted_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_price_reach_waived_at_time CHECK (waived_at >= '0001-01-01 00:00:00+00' AND waived_at < '10000-01-01 00:00:00+00')
);

GRANT SELECT ON price_reach TO tollbook_worker, tollbook_reader;
GRANT INSERT, UPDATE ON price_reach TO tollbook_worker;
