-- As before, but for two years at most: each partition takes a lock of its own, and the server has so many.
CREATE OR REPLACE FUNCTION ensure_partitions(p_months_ahead int) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
    v_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(1880162308);
    FOR v_from IN SELECT generate_series(date_trunc('month', now()), date_trunc('month', now()) + least(p_months_ahead, 24) * interval '1 month', '1 month') LOOP
        v_to := v_from + interval '1 month';
        v_name := 'transactions_' || to_char(v_from, 'YYYY_MM');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        CONTINUE WHEN EXISTS (SELECT FROM transactions_default WHERE recorded_at >= v_from AND recorded_at < v_to);
        EXECUTE format('CREATE TABLE %I (LIKE transactions INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', v_name);
        -- ATTACH lets recorders go on; CREATE TABLE ... PARTITION OF would lock the whole table.
        EXECUTE format('ALTER TABLE transactions ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name, v_from, v_to);
        RETURN NEXT v_name;
    END LOOP;
END
$$;

-- As before, but a row whose time is none stays where it is, and keeps nothing else there.
CREATE OR REPLACE FUNCTION move_default_month(OUT partition_name text, OUT rows_moved bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(1880162308); -- as ensure_partitions
    IF NOT EXISTS (SELECT FROM transactions_default WHERE recorded_at >= '0001-01-01 00:00:00+00' AND recorded_at < '10000-01-01 00:00:00+00') THEN
        RETURN;
    END IF;
    LOCK TABLE ONLY transactions, transactions_default IN ACCESS EXCLUSIVE MODE;
    SELECT date_trunc('month', min(recorded_at)) INTO v_from FROM transactions_default
     WHERE recorded_at >= '0001-01-01 00:00:00+00' AND recorded_at < '10000-01-01 00:00:00+00';
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

-- Times that Python can hold, in UTC: whoever reads another one fails. Not for the rows that are there: reading them all takes long.
-- The checkpoint begins at -infinity, and only PostgreSQL reads it.
DO $$
DECLARE
    v_table text;
    v_checks text;
BEGIN
    FOR v_table, v_checks IN
        SELECT c.relname, string_agg(
                   format('ADD CONSTRAINT %I CHECK (%I >= %L AND %I < %L) NOT VALID', 'ck_' || c.relname || '_' || a.attname || '_time',
                          a.attname, '0001-01-01' || t.midnight, a.attname, '10000-01-01' || t.midnight), ', ' ORDER BY a.attnum)
          FROM pg_class c
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
          JOIN (VALUES ('timestamptz'::regtype, ' 00:00:00+00'), ('date'::regtype, '')) AS t (type, midnight) ON t.type = a.atttypid
         WHERE c.relnamespace = 'public'::regnamespace
           AND c.relname IN ('accounts', 'amendments', 'balance_alerts', 'balance_marks', 'batches', 'billing_settings', 'billing_settings_history',
                             'dead_letter_overflow', 'dead_letters', 'event_keys', 'former_offsets', 'job_runs', 'operation_keys',
                             'parked_events', 'reconcile_findings', 'refunds', 'transactions', 'usage_statistics')
         GROUP BY c.relname ORDER BY c.relname
    LOOP
        EXECUTE format('ALTER TABLE %I ', v_table) || v_checks;
    END LOOP;
END
$$;
