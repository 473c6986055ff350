-- Everything is locked before anything is changed, in the order in which recorders do it, and for less than two seconds together: a million
-- accounts are read in about one of them.
SET LOCAL lock_timeout = '600ms';
LOCK TABLE parked_events IN SHARE MODE;
LOCK TABLE balance_alerts IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE cap_alerts IN SHARE MODE;
SET LOCAL lock_timeout = '2s';

-- Both are there already, unless these books are new.
CREATE INDEX IF NOT EXISTS ix_parked_events_reason_received_at ON parked_events (reason, received_at);
CREATE INDEX IF NOT EXISTS ix_cap_alerts_reached ON cap_alerts (window_start) WHERE share = 100 AND NOT recovered;

-- Which lines an account is beyond, as its last alerts say. An index of balances would tell too, and make each debit write to it.
CREATE TABLE crossed_lines (
    kind text NOT NULL,
    account_id bigint NOT NULL,
    CONSTRAINT pk_crossed_lines PRIMARY KEY (kind, account_id),
    CONSTRAINT ck_crossed_lines_kind_known CHECK (kind IN ('WARNING', 'ZERO', 'CREDIT_LIMIT'))
);
GRANT SELECT ON crossed_lines TO tollbook_worker, tollbook_reader;

-- Workers of the release before are followed too. Whoever writes an alert has locked its account, so that no two write here of the same one.
-- SECURITY DEFINER, since no worker may write here.
CREATE FUNCTION keep_crossed_line() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.recovered THEN
        DELETE FROM crossed_lines WHERE kind = NEW.kind AND account_id = NEW.account_id;
    ELSE
        INSERT INTO crossed_lines (kind, account_id) VALUES (NEW.kind, NEW.account_id) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$;
REVOKE ALL ON FUNCTION keep_crossed_line() FROM PUBLIC;
CREATE TRIGGER keep_crossed_line AFTER INSERT ON balance_alerts FOR EACH ROW EXECUTE FUNCTION keep_crossed_line();

-- What is beyond a line now. An account that never had any credit is at its threshold of 0, and isn't told of until it has some.
INSERT INTO crossed_lines (kind, account_id)
SELECT k.kind, a.id
  FROM accounts a
  LEFT JOIN billing_settings s ON s.mandate_id = a.mandate_id AND s.billing_model = 'CREDIT_POSTPAY' AND a.user_id IS NULL
 CROSS JOIN (VALUES ('WARNING'), ('ZERO'), ('CREDIT_LIMIT')) AS k(kind)
 WHERE (a.balance < 0 OR a.warning_threshold > 0 OR a.credit_limit IS NOT NULL)
   AND CASE WHEN s.mandate_id IS NOT NULL
            THEN CASE k.kind WHEN 'WARNING' THEN greatest(0, -a.balance) >= a.credit_limit * (1 - s.warning_threshold_percent / 100)
                             WHEN 'CREDIT_LIMIT' THEN greatest(0, -a.balance) > a.credit_limit END
            ELSE CASE k.kind WHEN 'WARNING' THEN a.balance <= a.warning_threshold WHEN 'ZERO' THEN a.balance < 0 END END;
