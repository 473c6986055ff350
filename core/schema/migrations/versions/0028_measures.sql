-- What stands beside a row of usage_statistics where events tell their usage object: so much of each leaf, and the provider's cost by currency.
CREATE TABLE usage_measures (
    mandate_id text COLLATE "C" NOT NULL,
    account_id bigint NOT NULL,
    period_type text NOT NULL,
    period_start date NOT NULL,
    provider text COLLATE "C" NOT NULL,
    model text COLLATE "C" NOT NULL,
    feature_code text COLLATE "C" NOT NULL,
    measure text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    total numeric NOT NULL,
    CONSTRAINT pk_usage_measures
        PRIMARY KEY (mandate_id, account_id, period_type, period_start, provider, model, feature_code, measure, currency),
    CONSTRAINT ck_usage_measures_period_type_known CHECK (period_type IN ('DAY', 'MONTH', 'YEAR')),
    CONSTRAINT ck_usage_measures_currency CHECK ((measure = 'provider_cost') = (currency <> '')),
    CONSTRAINT ck_usage_measures_total_number CHECK (total <> 'NaN'),
    CONSTRAINT ck_usage_measures_period_start_time CHECK (period_start >= '0001-01-01' AND period_start < '10000-01-01')
) WITH (fillfactor = 80);

-- The same of each account's entries until the checkpoint: books of today have none, since events that tell their usage object are new.
CREATE TABLE reconcile_measures (
    account_id bigint NOT NULL,
    measure text COLLATE "C" NOT NULL,
    currency text COLLATE "C" NOT NULL,
    total numeric NOT NULL,
    CONSTRAINT pk_reconcile_measures PRIMARY KEY (account_id, measure, currency)
);

GRANT SELECT ON usage_measures, reconcile_measures TO tollbook_worker, tollbook_reader;
GRANT INSERT, UPDATE, DELETE ON usage_measures, reconcile_measures TO tollbook_worker;
