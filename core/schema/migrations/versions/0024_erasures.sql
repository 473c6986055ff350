-- Each time that something was erased of a person: in these mandates, or (NULL) everywhere, names too.
CREATE TABLE erasures (
    id bigint GENERATED ALWAYS AS IDENTITY,
    user_id text COLLATE "C" NOT NULL,
    mandate_ids text[],
    erased_by text NOT NULL,
    reason text NOT NULL,
    erased_at timestamp with time zone DEFAULT now() NOT NULL,
    counts jsonb DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_erasures PRIMARY KEY (id),
    CONSTRAINT ck_erasures_erased_at_time CHECK (erased_at >= '0001-01-01 00:00:00+00' AND erased_at < '10000-01-01 00:00:00+00')
);
CREATE INDEX ix_erasures_user_id ON erasures (user_id);

-- A letter whose body is gone on purpose; its length and its hash stay.
ALTER TABLE dead_letters ADD COLUMN erased_at timestamp with time zone;
ALTER TABLE dead_letters ADD CONSTRAINT ck_dead_letters_erased_at_time
    CHECK (erased_at >= '0001-01-01 00:00:00+00' AND erased_at < '10000-01-01 00:00:00+00') NOT VALID;

-- Whoever writes names, a worker of the release before too: those of an erased person stay away.
CREATE FUNCTION keep_erased() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM erasures WHERE user_id = NEW.id AND mandate_ids IS NULL) THEN
        NEW.username := NULL;
        NEW.display_name := NULL;
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER keep_erased BEFORE INSERT OR UPDATE ON directory_users FOR EACH ROW
    WHEN (NEW.username IS NOT NULL OR NEW.display_name IS NOT NULL) EXECUTE FUNCTION keep_erased();

GRANT SELECT ON erasures TO tollbook_worker, tollbook_reader;
