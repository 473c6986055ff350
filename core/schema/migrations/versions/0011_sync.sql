-- Moves the rows of the oldest month (UTC) in the default partition into a partition of their own; nothing is changed in them.
-- Without rows there both results are NULL. Whoever records into the default partition waits until the transaction ends.
-- SECURITY DEFINER, since making a partition takes the owner, and the worker's role may delete no transaction.
CREATE FUNCTION move_default_month(OUT partition_name text, OUT rows_moved bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(1880162306); -- as ensure_partitions
    IF NOT EXISTS (SELECT FROM transactions_default) THEN
        RETURN;
    END IF;
    LOCK TABLE transactions_default IN ACCESS EXCLUSIVE MODE;
    SELECT date_trunc('month', min(recorded_at)) INTO v_from FROM transactions_default;
    IF v_from IS NULL THEN
        RETURN;
    END IF;
    v_to := v_from + interval '1 month';
    partition_name := 'transactions_' || to_char(v_from, 'YYYY_MM');
    EXECUTE format('CREATE TABLE %I (LIKE transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', partition_name);
    EXECUTE format('WITH moved AS (DELETE FROM transactions_default WHERE recorded_at >= $1 AND recorded_at < $2 RETURNING *)'
                   ' INSERT INTO %I SELECT * FROM moved', partition_name) USING v_from, v_to;
    GET DIAGNOSTICS rows_moved = ROW_COUNT;
    EXECUTE format('ALTER TABLE transactions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', partition_name, v_from, v_to);
END
$$;

REVOKE ALL ON FUNCTION move_default_month() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION move_default_month() TO tollbook_worker;
