-- The zone that the directory, or the configuration, named for these settings, and that wasn't known when they were made.
ALTER TABLE billing_settings ADD COLUMN time_zone_missing TEXT;

UPDATE billing_settings s SET time_zone_missing = d.time_zone
  FROM directory_mandates d
 WHERE d.id = s.mandate_id AND d.time_zone <> s.time_zone AND d.time_zone NOT IN (SELECT name FROM pg_timezone_names)
   AND NOT EXISTS (SELECT FROM billing_settings_history h WHERE h.mandate_id = s.mandate_id AND h.time_zone <> s.time_zone);

-- By an operator's word: entries of a zone were recorded under an offset that its rules don't have any more.
CREATE TABLE former_offsets (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    time_zone TEXT NOT NULL,
    offset_seconds INTEGER NOT NULL,
    occurred_from TIMESTAMP WITH TIME ZONE NOT NULL,
    occurred_until TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_before TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    accepted_by TEXT NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT pk_former_offsets PRIMARY KEY (id),
    CONSTRAINT ck_former_offsets_offset_seconds_range CHECK (offset_seconds BETWEEN -57600 AND 57600)
);

GRANT SELECT ON former_offsets TO tollbook_worker, tollbook_reader;
GRANT INSERT ON former_offsets TO tollbook_worker;

-- Until now PostgreSQL took these names for abbreviations, which never change their clocks. What was recorded stays.
INSERT INTO former_offsets (time_zone, offset_seconds, occurred_from, occurred_until, accepted_by, reason)
SELECT z.name, z.seconds, '0001-01-02 00:00:00+00', '9999-12-30 00:00:00+00', 'migration 0018_zones',
       'recorded as the abbreviation of a fixed offset'
  FROM (VALUES ('CET', 3600), ('MET', 3600), ('EET', 7200), ('WET', 0), ('EST', -18000), ('MST', -25200), ('HST', -36000)) AS z (name, seconds)
 WHERE EXISTS (SELECT FROM billing_settings_history h WHERE h.time_zone = z.name)
 ORDER BY z.name;
