-- Usage is recorded whatever the balance, so a balance has more room than a single amount. Up to 19 digits before the point Python's
-- decimals hold exactly; NaN compares as greater than every number. More digits at the same scale rewrite no row, and no row is read for
-- the checks, since each has passed a narrower one.
ALTER TABLE accounts
    DROP CONSTRAINT ck_accounts_balance_range,
    DROP CONSTRAINT ck_accounts_warning_threshold_range,
    ALTER COLUMN balance TYPE numeric(29, 9),
    ALTER COLUMN warning_threshold TYPE numeric(29, 9),
    ADD CONSTRAINT ck_accounts_balance_room CHECK (abs(balance) < 10000000000000000000) NOT VALID,
    ADD CONSTRAINT ck_accounts_warning_threshold_room CHECK (abs(warning_threshold) < 10000000000000000000) NOT VALID,
    ADD COLUMN alert_count bigint DEFAULT 0 NOT NULL;

ALTER TABLE balance_alerts
    DROP CONSTRAINT ck_balance_alerts_balance_before_range,
    DROP CONSTRAINT ck_balance_alerts_balance_after_range,
    DROP CONSTRAINT ck_balance_alerts_threshold_range,
    ALTER COLUMN balance_before TYPE numeric(29, 9),
    ALTER COLUMN balance_after TYPE numeric(29, 9),
    ALTER COLUMN threshold TYPE numeric(29, 9),
    ADD CONSTRAINT ck_balance_alerts_balance_before_room CHECK (abs(balance_before) < 10000000000000000000) NOT VALID,
    ADD CONSTRAINT ck_balance_alerts_balance_after_room CHECK (abs(balance_after) < 10000000000000000000) NOT VALID,
    ADD CONSTRAINT ck_balance_alerts_threshold_room CHECK (abs(threshold) < 10000000000000000000) NOT VALID,
    ADD COLUMN counted boolean DEFAULT false NOT NULL;

-- Alerts written from now on are counted, by workers of the release before too. Whoever writes one has locked its account.
-- SECURITY DEFINER, since no worker may set the number.
ALTER TABLE balance_alerts ALTER COLUMN counted SET DEFAULT true;
CREATE FUNCTION count_alert() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE accounts SET alert_count = alert_count + 1 WHERE id = NEW.account_id;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION count_alert() FROM PUBLIC;
CREATE TRIGGER count_alert AFTER INSERT ON balance_alerts FOR EACH ROW WHEN (NEW.counted) EXECUTE FUNCTION count_alert();

-- The last id drawn so far, noted while the mandate is held alone: transactions of earlier versions have no higher ids, those of this one
-- and later ones have. Versions of before don't have it.
ALTER TABLE billing_settings_history ADD COLUMN after_transaction_id bigint;
ALTER TABLE billing_settings_history ALTER COLUMN after_transaction_id SET DEFAULT coalesce(pg_sequence_last_value('transactions_id_seq'), 0);

-- As before, under a lock that nothing else uses: 0x7011_0004, `Lock.PARTITIONS` of core/storage/locks.py.
CREATE OR REPLACE FUNCTION ensure_partitions(p_months_ahead int) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
    v_name text;
BEGIN
    PERFORM pg_advisory_xact_lock(1880162308);
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

-- As before, but whoever reads or writes entries waits before it is planned, so that it finds the new partition: who had found the default
-- one already would be refused there, or would miss what was moved.
CREATE OR REPLACE FUNCTION move_default_month(OUT partition_name text, OUT rows_moved bigint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET timezone = 'UTC' SET lock_timeout = '2s' AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(1880162308); -- as ensure_partitions
    IF NOT EXISTS (SELECT FROM transactions_default) THEN
        RETURN;
    END IF;
    LOCK TABLE ONLY transactions, transactions_default IN ACCESS EXCLUSIVE MODE;
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
