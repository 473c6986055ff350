-- Everything is locked before anything is changed, in the order in which recorders do it, and for less than two seconds together.
SET LOCAL lock_timeout = '600ms';
LOCK TABLE billing_settings IN ACCESS EXCLUSIVE MODE;
LOCK TABLE parked_events IN ACCESS EXCLUSIVE MODE;
LOCK TABLE accounts IN ACCESS EXCLUSIVE MODE;
SET LOCAL lock_timeout = '2s';

-- What open holds keep of the balance.
ALTER TABLE accounts ADD COLUMN held numeric(29, 9) DEFAULT 0 NOT NULL;
ALTER TABLE accounts ADD CONSTRAINT ck_accounts_held_room CHECK (held >= 0 AND held < 10000000000000000000) NOT VALID;
GRANT UPDATE (held) ON accounts TO tollbook_worker;

-- Of the caps as they are now: another one with each change; NULL where a mandate has none.
ALTER TABLE billing_settings ADD COLUMN caps_token uuid;

-- While an event is parked, the hold of its user that it names doesn't expire. The index of no rows reads the car park once: about a second
-- where a million events are parked.
ALTER TABLE parked_events ADD COLUMN hold_key text COLLATE "C", ADD COLUMN hold_user_id text COLLATE "C";
CREATE INDEX ix_parked_events_mandate_id_hold_key ON parked_events (mandate_id, hold_key) WHERE hold_key IS NOT NULL;

CREATE TABLE holds (
    mandate_id text COLLATE "C" NOT NULL,
    hold_key text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    balance_account_id bigint,
    amount numeric(20, 9) NOT NULL,
    state text DEFAULT 'OPEN' NOT NULL,
    captured numeric(20, 9) DEFAULT 0 NOT NULL,
    released numeric(20, 9) DEFAULT 0 NOT NULL,
    expired numeric(20, 9) DEFAULT 0 NOT NULL,
    used numeric(29, 9) DEFAULT 0 NOT NULL,
    over_hold numeric(29, 9) DEFAULT 0 NOT NULL,
    use_count bigint DEFAULT 0 NOT NULL,
    late_count bigint DEFAULT 0 NOT NULL,
    provider text COLLATE "C",
    model text COLLATE "C",
    feature_code text COLLATE "C",
    price_version bigint,
    local_date date NOT NULL,
    authorised_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    settled_at timestamptz,
    settled_by_id bigint,
    content_hash bytea,
    CONSTRAINT pk_holds PRIMARY KEY (mandate_id, hold_key),
    CONSTRAINT ck_holds_state_known CHECK (state IN ('OPEN', 'CAPTURED', 'RELEASED', 'EXPIRED')),
    CONSTRAINT ck_holds_amount_range CHECK (amount BETWEEN 0 AND 10000000000),
    CONSTRAINT ck_holds_parts_sign CHECK (captured >= 0 AND released >= 0 AND expired >= 0),
    CONSTRAINT ck_holds_parts_room CHECK (captured + released + expired <= amount),
    CONSTRAINT ck_holds_settled_state CHECK ((state = 'OPEN') = (settled_at IS NULL)),
    CONSTRAINT ck_holds_settled_whole CHECK (state = 'OPEN' OR captured + released + expired = amount),
    CONSTRAINT ck_holds_open_parts CHECK (state <> 'OPEN' OR released + expired = 0),
    CONSTRAINT ck_holds_local_date_time CHECK (local_date >= '0001-01-01' AND local_date < '10000-01-01'),
    CONSTRAINT ck_holds_authorised_at_time CHECK (authorised_at >= '0001-01-01 00:00:00+00' AND authorised_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_holds_expires_at_time CHECK (expires_at >= '0001-01-01 00:00:00+00' AND expires_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_holds_settled_at_time CHECK (settled_at >= '0001-01-01 00:00:00+00' AND settled_at < '10000-01-01 00:00:00+00')
);
CREATE INDEX ix_holds_unsettled ON holds (mandate_id, expires_at) WHERE settled_at IS NULL;
CREATE INDEX ix_holds_authorised_at ON holds USING brin (authorised_at);
CREATE INDEX ix_holds_expiring ON holds (expires_at) WHERE settled_at IS NULL;
CREATE INDEX ix_holds_unbilled ON holds (mandate_id, settled_at, hold_key) WHERE state = 'EXPIRED' AND use_count = 0;
CREATE INDEX ix_holds_unbilled_newest ON holds (settled_at, mandate_id, hold_key) WHERE state = 'EXPIRED' AND use_count = 0;

CREATE FUNCTION keep_holds() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'hold % of mandate % is settled', OLD.hold_key, OLD.mandate_id;
    END IF;
    IF CAST(OLD.xmin AS text) <> CAST(CAST(pg_current_xact_id() AS xid) AS text) THEN
        RAISE EXCEPTION 'hold % of mandate % is kept for ever', OLD.hold_key, OLD.mandate_id;
    END IF;
    RETURN OLD;
END
$$;
-- A settled hold stays as it was settled; what came under its key later is only counted. Afterwards is early enough to refuse it,
-- and spares each update the lock of its row that a trigger before it takes.
CREATE TRIGGER keep_settled AFTER UPDATE ON holds FOR EACH ROW
    WHEN (OLD.settled_at IS NOT NULL
          AND (NEW.state, NEW.captured, NEW.released, NEW.expired, NEW.settled_at, NEW.settled_by_id, NEW.expires_at, NEW.balance_account_id)
              IS DISTINCT FROM (OLD.state, OLD.captured, OLD.released, OLD.expired, OLD.settled_at, OLD.settled_by_id, OLD.expires_at, OLD.balance_account_id))
    EXECUTE FUNCTION keep_holds();
-- Keys are unique for ever: only the transaction that wrote a hold may take it back.
CREATE TRIGGER keep_holds BEFORE DELETE ON holds FOR EACH ROW EXECUTE FUNCTION keep_holds();

CREATE TABLE caps (
    id bigint GENERATED ALWAYS AS IDENTITY,
    mandate_id text COLLATE "C" NOT NULL,
    scope text NOT NULL,
    user_id text COLLATE "C" DEFAULT '' NOT NULL,
    dimension text COLLATE "C" DEFAULT '' NOT NULL,
    value text COLLATE "C" DEFAULT '' NOT NULL,
    period text NOT NULL,
    limit_chf numeric(20, 9) NOT NULL,
    action text NOT NULL,
    shares smallint[] DEFAULT '{50,80,100}' NOT NULL,
    first_day date NOT NULL,
    created_by text NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    changed_by text,
    changed_at timestamptz,
    removed_by text,
    removed_at timestamptz,
    CONSTRAINT pk_caps PRIMARY KEY (id),
    CONSTRAINT ck_caps_scope_known CHECK (scope IN ('ALL', 'USER', 'EACH_USER')),
    CONSTRAINT ck_caps_dimension_known CHECK (dimension IN ('', 'provider', 'model', 'feature_code')),
    CONSTRAINT ck_caps_period_known CHECK (period IN ('DAY', 'WEEK', 'MONTH', 'TOTAL')),
    CONSTRAINT ck_caps_action_known CHECK (action IN ('REFUSE', 'ALERT')),
    CONSTRAINT ck_caps_limit_range CHECK (limit_chf BETWEEN 0 AND 10000000000),
    CONSTRAINT ck_caps_user_named CHECK ((scope = 'USER') = (user_id <> '')),
    CONSTRAINT ck_caps_value_named CHECK ((dimension = '') = (value = '')),
    CONSTRAINT ck_caps_first_day_time CHECK (first_day >= '0001-01-01' AND first_day < '10000-01-01'),
    CONSTRAINT ck_caps_created_at_time CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_caps_changed_at_time CHECK (changed_at >= '0001-01-01 00:00:00+00' AND changed_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_caps_removed_at_time CHECK (removed_at >= '0001-01-01 00:00:00+00' AND removed_at < '10000-01-01 00:00:00+00')
);
CREATE UNIQUE INDEX uq_caps_present ON caps (mandate_id, scope, user_id, dimension, value, period) WHERE removed_at IS NULL;
CREATE INDEX ix_caps_mandate_id_id ON caps (mandate_id, id);

-- What was spent, and is held, in one window of a cap: of one user, or of everybody together (no user).
CREATE TABLE cap_counters (
    cap_id bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    window_start date NOT NULL,
    spent numeric(29, 9) DEFAULT 0 NOT NULL,
    held numeric(29, 9) DEFAULT 0 NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_cap_counters PRIMARY KEY (cap_id, window_start, user_id),
    CONSTRAINT ck_cap_counters_held_room CHECK (held >= 0 AND held < 10000000000000000000),
    CONSTRAINT ck_cap_counters_spent_room CHECK (abs(spent) < 10000000000000000000),
    CONSTRAINT ck_cap_counters_window_start_time CHECK (window_start >= '0001-01-01' AND window_start < '10000-01-01'),
    CONSTRAINT ck_cap_counters_updated_at_time CHECK (updated_at >= '0001-01-01 00:00:00+00' AND updated_at < '10000-01-01 00:00:00+00')
) WITH (fillfactor = 70);

-- Each share of a cap that was reached, or left again; ids are those of balance_alerts, so that no two alerts have one id.
CREATE TABLE cap_alerts (
    id bigint DEFAULT nextval('balance_alerts_id_seq') NOT NULL,
    mandate_id text COLLATE "C" NOT NULL,
    cap_id bigint NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    window_start date NOT NULL,
    share smallint NOT NULL,
    recovered boolean NOT NULL,
    spent_before numeric(29, 9) NOT NULL,
    spent_after numeric(29, 9) NOT NULL,
    threshold numeric(29, 9) NOT NULL,
    limit_chf numeric(20, 9) NOT NULL,
    batch_id bigint,
    recorded_at timestamptz DEFAULT now() NOT NULL,
    published_at timestamptz,
    withheld_at timestamptz,
    CONSTRAINT pk_cap_alerts PRIMARY KEY (id),
    CONSTRAINT uq_cap_alerts_cap_id_user_id_window_start_share_recovered UNIQUE (cap_id, user_id, window_start, share, recovered),
    CONSTRAINT ck_cap_alerts_window_start_time CHECK (window_start >= '0001-01-01' AND window_start < '10000-01-01'),
    CONSTRAINT ck_cap_alerts_recorded_at_time CHECK (recorded_at >= '0001-01-01 00:00:00+00' AND recorded_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_cap_alerts_published_at_time CHECK (published_at >= '0001-01-01 00:00:00+00' AND published_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_cap_alerts_withheld_at_time CHECK (withheld_at >= '0001-01-01 00:00:00+00' AND withheld_at < '10000-01-01 00:00:00+00')
);
CREATE INDEX ix_cap_alerts_mandate_id_id ON cap_alerts (mandate_id, id);
CREATE INDEX ix_cap_alerts_waiting ON cap_alerts (id) WHERE published_at IS NULL AND withheld_at IS NULL;

GRANT SELECT ON holds, caps, cap_counters, cap_alerts TO tollbook_worker, tollbook_reader;
GRANT INSERT, DELETE ON holds TO tollbook_worker;
GRANT UPDATE (balance_account_id, state, captured, released, expired, used, over_hold, use_count, late_count, expires_at, settled_at, settled_by_id)
    ON holds TO tollbook_worker;
GRANT INSERT ON caps TO tollbook_worker;
GRANT UPDATE (limit_chf, action, shares, first_day, changed_by, changed_at, removed_by, removed_at) ON caps TO tollbook_worker;
GRANT USAGE ON SEQUENCE caps_id_seq TO tollbook_worker;
GRANT INSERT ON cap_counters TO tollbook_worker;
GRANT UPDATE (spent, held, updated_at) ON cap_counters TO tollbook_worker;
GRANT INSERT ON cap_alerts TO tollbook_worker;
GRANT UPDATE (published_at, withheld_at) ON cap_alerts TO tollbook_worker;

-- Workers of the release before neither capture nor count: what they have recorded under a hold, or of a mandate with caps, is refused, and
-- tried again until a worker of this release does it. So is a change of who pays for open holds.
CREATE FUNCTION keep_holds_and_caps() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_TABLE_NAME = 'billing_settings' THEN
        IF NOT EXISTS (SELECT FROM holds WHERE mandate_id = OLD.mandate_id AND settled_at IS NULL) THEN
            RETURN NEW;
        END IF;
    ELSIF NOT EXISTS (SELECT FROM transactions t
                       WHERE (t.recorded_at AT TIME ZONE 'UTC') = (now() AT TIME ZONE 'UTC') AND t.recorded_at = now() AND t.batch_id = NEW.id
                         AND (t.hold_key IS NOT NULL
                              OR EXISTS (SELECT FROM billing_settings s WHERE s.mandate_id = t.mandate_id AND s.caps_token IS NOT NULL))) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'there are holds or caps, which this program does not know of'
        USING ERRCODE = 'serialization_failure', HINT = 'Upgrade every worker.';
END
$$;
CREATE TRIGGER keep_holds_and_caps BEFORE INSERT ON batches FOR EACH ROW
    WHEN (current_setting('tollbook.knows_holds', true) IS DISTINCT FROM 'yes') EXECUTE FUNCTION keep_holds_and_caps();
CREATE TRIGGER keep_payers BEFORE UPDATE ON billing_settings FOR EACH ROW
    WHEN (OLD.billing_model IS DISTINCT FROM NEW.billing_model AND current_setting('tollbook.knows_holds', true) IS DISTINCT FROM 'yes')
    EXECUTE FUNCTION keep_holds_and_caps();
