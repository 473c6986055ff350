-- One row: whatever rating depends on raises the revision in its own transaction, so that who keeps prices knows when to read them anew.
CREATE TABLE price_state (
    one boolean DEFAULT true NOT NULL,
    revision bigint DEFAULT 1 NOT NULL,
    active_version bigint,
    dialects_revision bigint DEFAULT 0 NOT NULL,
    token uuid DEFAULT gen_random_uuid() NOT NULL, -- another one with each revision: books that were restored may come to one twice
    CONSTRAINT pk_price_state PRIMARY KEY (one),
    CONSTRAINT ck_price_state_one CHECK (one)
);
INSERT INTO price_state DEFAULT VALUES;

-- A version is a whole book; one that isn't accepted is a proposal, against the version that was active then.
CREATE TABLE price_versions (
    id bigint GENERATED ALWAYS AS IDENTITY,
    based_on bigint,
    source text NOT NULL,
    source_hash text NOT NULL,
    defaults jsonb DEFAULT '{}' NOT NULL,
    notes jsonb DEFAULT '{}' NOT NULL,
    row_count integer DEFAULT 0 NOT NULL,
    proposed_by text NOT NULL,
    proposed_at timestamp with time zone DEFAULT now() NOT NULL,
    accepted_by text,
    accepted_at timestamp with time zone,
    accepted_revision bigint,
    CONSTRAINT pk_price_versions PRIMARY KEY (id),
    CONSTRAINT ck_price_versions_accepted CHECK (num_nonnulls(accepted_by, accepted_at, accepted_revision) IN (0, 3)),
    CONSTRAINT ck_price_versions_proposed_at_time CHECK (proposed_at >= '0001-01-01 00:00:00+00' AND proposed_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_price_versions_accepted_at_time CHECK (accepted_at >= '0001-01-01 00:00:00+00' AND accepted_at < '10000-01-01 00:00:00+00')
);

-- What one leaf costs. Versions share rows of equal content.
CREATE TABLE price_rows (
    id bigint GENERATED ALWAYS AS IDENTITY,
    content_hash bytea NOT NULL,
    layer text NOT NULL,
    mandate_id text COLLATE "C" DEFAULT '' NOT NULL,
    book text COLLATE "C" DEFAULT '' NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    region_scope text COLLATE "C" NOT NULL,
    service_tier text COLLATE "C" NOT NULL,
    processing text COLLATE "C" NOT NULL,
    speed text COLLATE "C" NOT NULL,
    leaf text NOT NULL,
    from_tokens bigint,
    boundary text,
    amount numeric(24, 12) NOT NULL,
    per integer NOT NULL,
    currency text NOT NULL,
    valid tstzrange NOT NULL,
    basis text DEFAULT '' NOT NULL,
    source text DEFAULT '' NOT NULL,
    -- What a row is about, but for its tier and time: whatever prices the same has the same.
    key_hash bigint GENERATED ALWAYS AS (hashtextextended(
        layer || E'\x1f' || mandate_id || E'\x1f' || book || E'\x1f' || provider || E'\x1f' || model || E'\x1f' || region_scope || E'\x1f'
        || service_tier || E'\x1f' || processing || E'\x1f' || speed || E'\x1f' || leaf, 0)) STORED NOT NULL,
    CONSTRAINT pk_price_rows PRIMARY KEY (id),
    CONSTRAINT uq_price_rows_content_hash UNIQUE (content_hash),
    CONSTRAINT ck_price_rows_layer_known CHECK (layer IN ('mandate', 'operator', 'list', 'sale')),
    CONSTRAINT ck_price_rows_mandate CHECK ((layer = 'mandate') = (mandate_id <> '')),
    CONSTRAINT ck_price_rows_book CHECK ((layer = 'sale') = (book <> '')),
    CONSTRAINT ck_price_rows_sale_in_chf CHECK (layer <> 'sale' OR currency = 'CHF'),
    CONSTRAINT ck_price_rows_tier CHECK ((from_tokens IS NULL) = (boundary IS NULL) AND from_tokens >= 0 AND boundary IN ('>', '>=')),
    CONSTRAINT ck_price_rows_amount CHECK (amount >= 0 AND amount <> 'NaN'),
    CONSTRAINT ck_price_rows_per_known CHECK (per IN (1, 1000, 1000000)),
    CONSTRAINT ck_price_rows_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ck_price_rows_valid CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid))
);

-- Which rows a version has. Tier, key and time are the row's own, by a trigger: of a version, no two rows price the same at one time.
-- A row for all tiers stands beside none for a single one.
CREATE TABLE price_book (
    version_id bigint NOT NULL,
    row_id bigint NOT NULL,
    key_hash bigint NOT NULL,
    tier int8range NOT NULL,
    valid tstzrange NOT NULL,
    CONSTRAINT pk_price_book PRIMARY KEY (version_id, row_id),
    CONSTRAINT ex_price_book_overlap EXCLUDE USING gist (
        int8range(hashint8extended(key_hash, version_id), hashint8extended(key_hash, version_id), '[]') WITH &&, tier WITH &&, valid WITH &&)
);

-- Another name of a model.
CREATE TABLE price_aliases (
    id bigint GENERATED ALWAYS AS IDENTITY,
    provider text COLLATE "C" NOT NULL,
    alias text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    valid tstzrange NOT NULL,
    approved_by text NOT NULL,
    approved_at timestamp with time zone DEFAULT now() NOT NULL,
    closed_by text,
    CONSTRAINT pk_price_aliases PRIMARY KEY (id),
    CONSTRAINT ck_price_aliases_another CHECK (alias <> model),
    CONSTRAINT ck_price_aliases_valid CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid)),
    CONSTRAINT ck_price_aliases_approved_at_time CHECK (approved_at >= '0001-01-01 00:00:00+00' AND approved_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ex_price_aliases_overlap EXCLUDE USING gist (
        int8range(hashtextextended(provider || E'\x1f' || alias, 0), hashtextextended(provider || E'\x1f' || alias, 0), '[]') WITH &&,
        valid WITH &&)
);

-- What one unit of a currency was worth in CHF on a day. One that is set right is replaced, and stays for what was computed from it.
CREATE TABLE fx_rates (
    id bigint GENERATED ALWAYS AS IDENTITY,
    currency text NOT NULL,
    rate_date date NOT NULL,
    rate numeric(24, 12) NOT NULL,
    legs jsonb DEFAULT '[]' NOT NULL,
    source text NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    replaced_at timestamp with time zone,
    CONSTRAINT pk_fx_rates PRIMARY KEY (id),
    CONSTRAINT ck_fx_rates_currency CHECK (currency ~ '^[A-Z]{3}$' AND currency <> 'CHF'),
    CONSTRAINT ck_fx_rates_rate CHECK (rate > 0 AND rate <> 'NaN'),
    CONSTRAINT ck_fx_rates_rate_date_time CHECK (rate_date >= '0001-01-01' AND rate_date < '10000-01-01'),
    CONSTRAINT ck_fx_rates_created_at_time CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_fx_rates_replaced_at_time CHECK (replaced_at >= '0001-01-01 00:00:00+00' AND replaced_at < '10000-01-01 00:00:00+00')
);
CREATE UNIQUE INDEX uq_fx_rates_present ON fx_rates (currency, rate_date) WHERE replaced_at IS NULL;

-- What mandates pay. Of rules that could both decide about one event at one time, the second is refused: a NULL is any.
CREATE TABLE sale_rules (
    id bigint GENERATED ALWAYS AS IDENTITY,
    mandate_id text COLLATE "C",
    priority integer DEFAULT 0 NOT NULL,
    provider text COLLATE "C",
    model text COLLATE "C",
    markup_percent numeric(12, 6),
    book text COLLATE "C",
    valid tstzrange NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    closed_by text,
    CONSTRAINT pk_sale_rules PRIMARY KEY (id),
    CONSTRAINT ck_sale_rules_one_way CHECK (num_nonnulls(markup_percent, book) = 1),
    CONSTRAINT ck_sale_rules_markup_range CHECK (markup_percent BETWEEN -100 AND 100000),
    CONSTRAINT ck_sale_rules_valid CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid)),
    CONSTRAINT ck_sale_rules_created_at_time CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ex_sale_rules_equal_rank EXCLUDE USING gist (
        int8range(hashtextextended(coalesce(mandate_id, '') || E'\x1f' || CAST(priority AS text), 0),
                  hashtextextended(coalesce(mandate_id, '') || E'\x1f' || CAST(priority AS text), 0), '[]') WITH &&,
        int8range(hashtextextended(provider, 0), hashtextextended(provider, 0), '[]') WITH &&,
        int8range(hashtextextended(model, 0), hashtextextended(model, 0), '[]') WITH &&,
        valid WITH &&)
);

-- What isn't charged, by what an event itself says.
CREATE TABLE uncharged_rules (
    id bigint GENERATED ALWAYS AS IDENTITY,
    mandate_id text COLLATE "C",
    provider text COLLATE "C",
    outcome text NOT NULL,
    without_usage boolean NOT NULL,
    valid tstzrange NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    closed_by text,
    CONSTRAINT pk_uncharged_rules PRIMARY KEY (id),
    CONSTRAINT ck_uncharged_rules_outcome_known CHECK (outcome IN ('completed', 'cancelled', 'failed', 'timed_out')),
    CONSTRAINT ck_uncharged_rules_valid CHECK (NOT isempty(valid) AND (lower_inf(valid) OR lower_inc(valid)) AND NOT upper_inc(valid)),
    CONSTRAINT ck_uncharged_rules_created_at_time CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00'),
    CONSTRAINT ex_uncharged_rules_same EXCLUDE USING gist (
        int8range(hashtextextended(coalesce(mandate_id, '') || E'\x1f' || coalesce(provider, '') || E'\x1f' || outcome || CAST(without_usage AS text), 0),
                  hashtextextended(coalesce(mandate_id, '') || E'\x1f' || coalesce(provider, '') || E'\x1f' || outcome || CAST(without_usage AS text), 0),
                  '[]') WITH &&,
        valid WITH &&)
);

-- Which price a mandate pays, from when on.
CREATE TABLE price_modes (
    id bigint GENERATED ALWAYS AS IDENTITY,
    mandate_id text COLLATE "C" NOT NULL,
    mode text NOT NULL,
    since timestamp with time zone NOT NULL,
    created_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT pk_price_modes PRIMARY KEY (id),
    CONSTRAINT uq_price_modes_mandate_id_since UNIQUE (mandate_id, since),
    CONSTRAINT ck_price_modes_mode_known CHECK (mode IN ('given', 'shadow', 'computed')),
    CONSTRAINT ck_price_modes_since_time CHECK (since >= '0001-01-01 00:00:00+00' AND since < '10000-01-01 00:00:00+00'),
    CONSTRAINT ck_price_modes_created_at_time CHECK (created_at >= '0001-01-01 00:00:00+00' AND created_at < '10000-01-01 00:00:00+00')
);

CREATE FUNCTION refuse_price_change() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION 'what % holds stays as it was written', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END
$$;

-- A version takes rows, and loses them, only as long as it isn't accepted; what a row prices is the row's own word.
CREATE FUNCTION keep_price_book() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    v_version bigint := CASE TG_OP WHEN 'INSERT' THEN NEW.version_id ELSE OLD.version_id END;
BEGIN
    IF EXISTS (SELECT FROM price_versions WHERE id = v_version AND accepted_at IS NOT NULL) THEN
        RAISE EXCEPTION 'version % of the price book is accepted and stays as it is', v_version USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    SELECT r.key_hash, int8range(r.from_tokens, r.from_tokens, '[]'), r.valid INTO STRICT NEW.key_hash, NEW.tier, NEW.valid
      FROM price_rows r WHERE r.id = NEW.row_id;
    RETURN NEW;
END
$$;

CREATE FUNCTION keep_price_version() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.accepted_at IS NOT NULL THEN
        RAISE EXCEPTION 'version % of the price book is accepted and stays as it is', OLD.id USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$$;

-- The validity of an alias or a rule that is open may be closed; a rate may be replaced. Nothing else of them changes.
CREATE FUNCTION keep_dated_price() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    v_may text[] := CASE TG_TABLE_NAME WHEN 'fx_rates' THEN '{replaced_at}' ELSE '{valid,closed_by}' END;
BEGIN
    IF to_jsonb(OLD) - v_may IS DISTINCT FROM to_jsonb(NEW) - v_may THEN
        RAISE EXCEPTION 'what % holds stays as it was written', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF TG_TABLE_NAME = 'fx_rates' THEN
        IF to_jsonb(OLD) -> 'replaced_at' <> 'null' THEN
            RAISE EXCEPTION 'the rate was replaced before' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
    ELSIF NOT upper_inf(OLD.valid) OR upper_inf(NEW.valid) OR lower(NEW.valid) IS DISTINCT FROM lower(OLD.valid) THEN
        RAISE EXCEPTION 'only an open validity may be closed' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER keep_price_version BEFORE UPDATE OR DELETE ON price_versions FOR EACH ROW EXECUTE FUNCTION keep_price_version();
CREATE TRIGGER keep_price_rows BEFORE UPDATE OR DELETE ON price_rows FOR EACH ROW EXECUTE FUNCTION refuse_price_change();
CREATE TRIGGER keep_price_book BEFORE INSERT OR DELETE ON price_book FOR EACH ROW EXECUTE FUNCTION keep_price_book();
CREATE TRIGGER keep_price_book_rows BEFORE UPDATE ON price_book FOR EACH ROW EXECUTE FUNCTION refuse_price_change();
CREATE TRIGGER keep_price_modes BEFORE UPDATE OR DELETE ON price_modes FOR EACH ROW EXECUTE FUNCTION refuse_price_change();

DO $$
DECLARE
    v_table text;
BEGIN
    FOREACH v_table IN ARRAY ARRAY['price_aliases', 'fx_rates', 'sale_rules', 'uncharged_rules'] LOOP
        EXECUTE format('CREATE TRIGGER keep_%1$s BEFORE UPDATE ON %1$I FOR EACH ROW EXECUTE FUNCTION keep_dated_price()', v_table);
        EXECUTE format('CREATE TRIGGER keep_%1$s_rows BEFORE DELETE ON %1$I FOR EACH ROW EXECUTE FUNCTION refuse_price_change()', v_table);
    END LOOP;
    FOREACH v_table IN ARRAY ARRAY['price_versions', 'price_rows', 'price_book', 'price_modes', 'price_aliases', 'fx_rates', 'sale_rules', 'uncharged_rules'] LOOP
        EXECUTE format('CREATE TRIGGER keep_whole BEFORE TRUNCATE ON %1$I FOR EACH STATEMENT EXECUTE FUNCTION refuse_price_change()', v_table);
    END LOOP;
END
$$;

GRANT SELECT ON price_state, price_versions, price_rows, price_book, price_aliases, fx_rates, sale_rules, uncharged_rules, price_modes
    TO tollbook_worker, tollbook_reader;
GRANT INSERT ON price_versions, price_rows, price_book, price_aliases, fx_rates, sale_rules, uncharged_rules, price_modes TO tollbook_worker;
GRANT UPDATE (revision), UPDATE (token), UPDATE (active_version), UPDATE (dialects_revision) ON price_state TO tollbook_worker;
GRANT UPDATE (accepted_by), UPDATE (accepted_at), UPDATE (accepted_revision) ON price_versions TO tollbook_worker;
GRANT UPDATE (valid), UPDATE (closed_by) ON price_aliases TO tollbook_worker;
GRANT UPDATE (valid), UPDATE (closed_by) ON sale_rules TO tollbook_worker;
GRANT UPDATE (valid), UPDATE (closed_by) ON uncharged_rules TO tollbook_worker;
GRANT UPDATE (replaced_at) ON fx_rates TO tollbook_worker;
GRANT USAGE ON SEQUENCE price_versions_id_seq, price_rows_id_seq, price_aliases_id_seq, fx_rates_id_seq, sale_rules_id_seq, uncharged_rules_id_seq,
    price_modes_id_seq TO tollbook_worker;
