-- How many dead letters each queue has left, and how many of their bytes are kept; and what came when there was no room for more.
CREATE TABLE dead_letter_counts (
    queue text COLLATE "C" NOT NULL,
    letters bigint NOT NULL,
    bytes bigint NOT NULL,
    CONSTRAINT pk_dead_letter_counts PRIMARY KEY (queue)
);

CREATE TABLE dead_letter_overflow (
    queue text COLLATE "C" NOT NULL,
    reason text COLLATE "C" NOT NULL,
    letters bigint NOT NULL,
    bytes bigint NOT NULL,
    last_sha256 bytea NOT NULL,
    first_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT pk_dead_letter_overflow PRIMARY KEY (queue, reason)
);

GRANT SELECT ON dead_letter_counts, dead_letter_overflow TO tollbook_worker, tollbook_reader;
GRANT INSERT, UPDATE ON dead_letter_overflow TO tollbook_worker;

-- SECURITY DEFINER, so that whoever may write or remove a letter moves the counts, and nobody otherwise. What is kept of a body is
-- reckoned from its length, so that a letter goes with what it came with, whatever became of its bytes.
CREATE FUNCTION count_dead_letters() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_sign int := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM dead_letter_counts;
        RETURN NULL;
    END IF;
    INSERT INTO dead_letter_counts AS c (queue, letters, bytes)
    SELECT split_part(origin, '/', 1), v_sign * count(*), v_sign * sum(least(body_length, 262144))
      FROM letters_moved GROUP BY 1 ORDER BY 1
    ON CONFLICT (queue) DO UPDATE SET letters = c.letters + excluded.letters, bytes = c.bytes + excluded.bytes;
    RETURN NULL;
END
$$;

REVOKE ALL ON FUNCTION count_dead_letters() FROM PUBLIC;

CREATE TRIGGER dead_letters_come AFTER INSERT ON dead_letters REFERENCING NEW TABLE AS letters_moved
    FOR EACH STATEMENT EXECUTE FUNCTION count_dead_letters();
CREATE TRIGGER dead_letters_go AFTER DELETE ON dead_letters REFERENCING OLD TABLE AS letters_moved
    FOR EACH STATEMENT EXECUTE FUNCTION count_dead_letters();
CREATE TRIGGER dead_letters_emptied AFTER TRUNCATE ON dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION count_dead_letters();

-- Nobody writes a letter between these counts and the commit: the triggers hold the table until then.
INSERT INTO dead_letter_counts (queue, letters, bytes)
SELECT split_part(origin, '/', 1), count(*), sum(least(body_length, 262144)) FROM dead_letters GROUP BY 1;
