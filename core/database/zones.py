"""Where a mandate's time zone enters SQL: local days, and the moments at which they begin, by the rules that IANA has.

Nowhere else is a zone's name given to PostgreSQL: a test sees to it.
"""

# Zones whose names PostgreSQL takes for abbreviations, which it looks for first and which never change their clocks, as
# zones that it finds by their names: those that IANA has made them links to.
_LINKS = {
    "CET": "Europe/Brussels",
    "MET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "WET": "Europe/Lisbon",
    "EST": "America/Panama",
    "MST": "America/Phoenix",
    "HST": "Pacific/Honolulu",
}
_CASES = " ".join(f"WHEN '{name}' THEN '{link}'" for name, link in _LINKS.items())


def local_time(moment: str, time_zone: str) -> str:
    """SQL for what the clocks of a zone show at a moment.

    Args:
        moment: SQL of a timestamptz.
        time_zone: SQL of the zone's name, which the database must know.
    """
    return f"({moment} AT TIME ZONE {_named(time_zone)})"


def local_day(moment: str, time_zone: str) -> str:
    """SQL for the calendar day of a moment in a zone; arguments as for `local_time`."""
    return f"CAST({local_time(moment, time_zone)} AS date)"


def first_moment(midnight: str, time_zone: str) -> str:
    """SQL for the moment at which a local day begins.

    Where midnight comes twice it is the first of the two, where there is none the moment at which the clocks leap over it.
    (PostgreSQL alone takes the second. Twenty-four hours after yesterday's midnight the clocks haven't been set back yet.)

    Args:
        midnight: SQL of a timestamp without time zone: the day, at 00:00.
        time_zone: as for `local_time`.
    """
    name = _named(time_zone)
    early = f"(({midnight} - interval '1 day') AT TIME ZONE {name} + interval '24 hours')"
    return f"CASE WHEN {early} AT TIME ZONE {name} = {midnight} THEN {early} ELSE {midnight} AT TIME ZONE {name} END"


def _named(time_zone: str) -> str:
    return f"CASE {time_zone} {_CASES} ELSE {time_zone} END"
