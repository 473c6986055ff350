-- Monthly partitions of transactions, and who may do what.

CREATE TABLE transactions_default PARTITION OF transactions DEFAULT;

-- Makes the monthly partitions (UTC) from this month to p_months_ahead months on, and names those it made.
-- A month that already has rows in the default partition is left out: they must be moved first.
-- SECURITY DEFINER, since making a partition takes the owner, and the worker's role owns nothing.
CREATE FUNCTION ensure_partitions(p_months_ahead int) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
    v_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(1880162306);
    FOR v_from IN SELECT generate_series(date_trunc('month', now()), date_trunc('month', now()) + p_months_ahead * interval '1 month', '1 month') LOOP
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

REVOKE ALL ON FUNCTION ensure_partitions(int) FROM PUBLIC;

SELECT ensure_partitions(3);

-- Roles belong to the cluster, not to the database: another database may have made them already.
DO $$
DECLARE
    v_role text;
BEGIN
    FOREACH v_role IN ARRAY ARRAY['tollbook_worker', 'tollbook_reader'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', v_role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL; -- another database's migration was faster
            END;
        END IF;
    END LOOP;
END
$$;

GRANT SELECT ON ALL TABLES IN SCHEMA public TO tollbook_worker, tollbook_reader;
GRANT EXECUTE ON FUNCTION ensure_partitions(int) TO tollbook_worker;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO tollbook_worker;

-- What is written stays written: keys and transactions are never updated or deleted by a worker.
GRANT INSERT ON event_keys, operation_keys, transactions, refunds, billing_settings_history, batches, balance_alerts TO tollbook_worker;
GRANT INSERT, UPDATE ON billing_settings, dead_letters, directory_mandates, directory_memberships, directory_users TO tollbook_worker;
GRANT INSERT, UPDATE (balance, credit_limit, warning_threshold, enabled, grant_due) ON accounts TO tollbook_worker;
GRANT UPDATE (published_at) ON balance_alerts TO tollbook_worker;
GRANT INSERT, UPDATE (reason), DELETE ON parked_events TO tollbook_worker;
GRANT INSERT, UPDATE (batch_id), DELETE ON rollup_pending TO tollbook_worker;
GRANT INSERT, UPDATE, DELETE ON usage_statistics, job_runs, reconcile_findings TO tollbook_worker;
GRANT DELETE ON dead_letters TO tollbook_worker;
