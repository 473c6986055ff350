"""SQL of what entries measure: how much of each leaf was used, and what it cost at the provider.

As one text it is a list: `input=328,output=52,provider_cost:USD=0.00042`. A total of a leaf has no currency.
"""

IS_MEASURED = "({0}.leaves IS NOT NULL OR {0}.provider_cost IS NOT NULL)"
HAS_ANY_OBJECT = "EXISTS (SELECT FROM usage_shapes)"  # without any, nothing is measured, and no entry needs to be looked at for it
ENTRIES_AT_ONCE = 500_000  # whose lists are one text, which has room for a gigabyte
PROVIDER_COST = "provider_cost"  # the one measure that has a currency

_LIST = "concat_ws(',', {0}.leaves, 'provider_cost:' || {0}.provider_currency || '=' || {0}.provider_cost)"


def measures(entry: str, *, costs: bool = True) -> str:
    """The list of an entry, an alias of transactions, with or without what it cost; nothing or empty where it measures nothing."""
    return _LIST.format(entry) if costs else f"{entry}.leaves"


def measures_taken_back(entry: str, *, costs: bool = True) -> str:
    """As `measures`, of what is taken back."""
    return f"replace({measures(entry, costs=costs)}, '=', '=-')"


def taken_apart(lists: str) -> str:
    """A query for what lists joined by commas come to, by measure and currency; more of them together cost less than each by itself."""
    return f"""
        SELECT split_part(m.name, ':', 1) COLLATE "C" AS measure, split_part(m.name, ':', 2) COLLATE "C" AS currency, m.total
          FROM (SELECT split_part(one, '=', 1) AS name, sum(CAST(split_part(one, '=', 2) AS numeric)) AS total
                  FROM unnest(string_to_array({lists}, ',')) AS one GROUP BY 1) AS m"""
