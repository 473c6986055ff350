"""Documents that are made from the code: `python -m lab.docs` writes them, `--check` names those that are out of step."""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from core.alerts.message import AlertMessage, CapAlertMessage
from core.config import Configuration
from core.events.contract import ALIASES, EventContract, EventContractV2, Reported
from core.outcomes.message import OutcomeMessage
from lab.client_contract import node_contract, python_contract
from lab.dialect_docs import dialects_tables, leaves_table
from lab.faults_table import faults_table, inputs_table
from lab.grafana import dashboard
from lab.mutants.table import mutants_table

ROOT = Path(__file__).resolve().parents[1]
CONFIGURATION, PRODUCERS, SCHEMA, ENVIRONMENT = "docs/configuration.md", "docs/producers.md", "docs/event-v1.schema.json", ".env.example"
SCHEMA_V2 = "docs/event-v2.schema.json"
NODE_CONTRACT, PYTHON_CONTRACT = "clients/node/src/contract.generated.js", "clients/python/tollbook_client/contract.json"
ALERTS, ALERT_SCHEMA, CAP_ALERT_SCHEMA = "docs/alerts.md", "docs/alert-v1.schema.json", "docs/cap-alert-v1.schema.json"
OUTCOME_SCHEMA = "docs/outcome-v1.schema.json"
DIALECTS, RELIABILITY = "docs/dialects.md", "docs/reliability.md"
DASHBOARD = "deploy/grafana/tollbook.json"
MUTANTS = "docs/mutants.md"
PERFORMANCE = "docs/performance.md"
BENCH, GROWTH, PROFILE = (f"docs/performance/{name}.json" for name in ("bench", "growth", "profile"))
RATES_CHART, GROWTH_CHART = "docs/performance/rates.svg", "docs/performance/growth.svg"
REQUIRED = frozenset({"database_url", "broker_url"})  # what a worker can't start without
COMPOSE_SECRETS = {
    "POSTGRES_PASSWORD": "Password of PostgreSQL's superuser.",
    "POSTGRES_OWNER_PASSWORD": "Password of `tollbook`, the login that owns the tables.",
    "POSTGRES_WORKER_PASSWORD": "Password of `tollbook_app`, the worker's login.",
    "VALKEY_PASSWORD": "Password of the operator's login of the broker (`default`), who may do everything there.",
    "VALKEY_WORKER_PASSWORD": "Password of the broker's login `worker`, of the worker, beat and Flower.",
    "VALKEY_PRODUCER_PASSWORD": "Password of the broker's login `producer`, which may send usage and ask checks.",
    "RABBITMQ_PASSWORD": "With the profile `rabbitmq`: password of its operator's login (`operator`).",
    "RABBITMQ_WORKER_PASSWORD": "With the profile `rabbitmq`: password of `worker`; the workers' URL is `CELERY_BROKER_URL` above.",
    "RABBITMQ_PRODUCER_PASSWORD": "With the profile `rabbitmq`: password of `producer`.",
    "FLOWER_BASIC_AUTH": "Who may open Flower, as `name:password`.",
    "GRAFANA_PASSWORD": "With the profile `monitoring`: password of Grafana's `admin`.",
}
_EXAMPLE_ALERT = json.loads(
    AlertMessage.model_validate(
        {
            "alert_id": 4711,
            "mandate_id": "acme",
            "account_id": 42,
            "account_type": "USER",
            "user_id": "ada",
            "kind": "WARNING",
            "recovered": False,
            "balance_before": "10.000000000",
            "balance_after": "0.500000000",
            "threshold": "1.000000000",
            "recorded_at": "2026-01-31T11:00:00.123456Z",
            "notification_emails": ["billing@acme.example"],
        }
    ).body()
)
_EXAMPLE_CAP_ALERT = json.loads(
    CapAlertMessage.model_validate(
        {
            "alert_id": 4712,
            "mandate_id": "acme",
            "cap_id": 7,
            "scope": "EACH_USER",
            "user_id": "ada",
            "dimension": "model",
            "value": "gpt-5",
            "period": "DAY",
            "window_start": "2026-01-31",
            "action": "REFUSE",
            "share": 80,
            "recovered": False,
            "spent_before": "3.900000000",
            "spent_after": "4.100000000",
            "threshold": "4.000000000",
            "limit_chf": "5.000000000",
            "recorded_at": "2026-01-31T11:00:00.123456Z",
            "notification_emails": ["billing@acme.example"],
        }
    ).body()
)
_EXAMPLE_OUTCOME = json.loads(
    OutcomeMessage.model_validate(
        {
            "outcome_id": 4711,
            "outcome": "rejected",
            "reason": "invalid_field",
            "detail": "price_chf is not between 0 and 1000000 (got '-1')",
            "mandate_id": "acme",
            "event_id": "0198c0de-0000-7000-8000-00000000000a",
            "dead_letter_id": 42,
            "recorded_at": "2026-01-31T11:00:00.123456Z",
        }
    ).body()
)
_CLOUD_EVENTS = {"event_id": "id", "occurred_at": "time"}


def documents(root: Path = ROOT) -> dict[str, str]:
    """Every generated document as it must be: path below the checkout to content. Hand-written parts stay as they are in `root`."""
    return {
        ENVIRONMENT: environment_example(),
        DASHBOARD: dashboard(),
        SCHEMA: event_schema(EventContract, 1),
        SCHEMA_V2: event_schema(EventContractV2, 2),
        NODE_CONTRACT: node_contract(),
        PYTHON_CONTRACT: python_contract(),
        ALERT_SCHEMA: alert_schema(AlertMessage, "Balance alert, version 1"),
        CAP_ALERT_SCHEMA: alert_schema(CapAlertMessage, "Alert of a cap, version 1"),
        OUTCOME_SCHEMA: alert_schema(OutcomeMessage, "Outcome of an event that isn't recorded, version 1"),
        CONFIGURATION: _with_block((root / CONFIGURATION).read_text(encoding="utf-8"), "configuration", configuration_table()),
        ALERTS: alerts((root / ALERTS).read_text(encoding="utf-8")),
        **performance(root),
        DIALECTS: _with_block(_with_block((root / DIALECTS).read_text(encoding="utf-8"), "leaves", leaves_table()), "dialects", dialects_tables()),
        RELIABILITY: _with_block(_with_block((root / RELIABILITY).read_text(encoding="utf-8"), "faults", faults_table()), "inputs", inputs_table()),
        PRODUCERS: producers((root / PRODUCERS).read_text(encoding="utf-8")),
        MUTANTS: _with_block((root / MUTANTS).read_text(encoding="utf-8"), "mutants", mutants_table()),
    }


def stale(root: Path = ROOT) -> list[str]:
    """The documents below `root` that are out of step with the code."""
    return [path for path, content in documents(root).items() if not (root / path).exists() or (root / path).read_text(encoding="utf-8") != content]


def variable_of(name: str, field: FieldInfo) -> str:
    """The environment variable that sets a field of the configuration."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return alias if isinstance(alias, str) else f"TOLLBOOK_{name.upper()}"


def environment_example() -> str:
    """`.env.example`: each variable with its meaning and its default, commented out, so that copying the file changes nothing."""
    lines = [
        "# Every variable that Tollbook reads, with its default. Copy this file to `.env` and uncomment what you change.",
        "# Generated by `python -m lab.docs`.",
    ]
    for name, field in Configuration.model_fields.items():
        required = " Required." if name in REQUIRED else ""
        lines += ["", f"# {field.description}{required}", f"# {variable_of(name, field)}={_default(field)}"]
    lines += [
        "",
        "# Read by docker-compose.yml alone, which makes the URLs above out of them. They stand in URLs: letters and digits only.",
    ]
    lines += ["", "# What runs beside: `redis` or `rabbitmq`, and `monitoring`, with a comma between them.", "COMPOSE_PROFILES=redis"]
    for name, meaning in COMPOSE_SECRETS.items():
        lines += ["", f"# {meaning} CHANGEME", f"{name}="]
    return "\n".join(lines) + "\n"


def configuration_table() -> str:
    """The configuration as a table of Markdown."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    for name, field in Configuration.model_fields.items():
        default = "**required**" if name in REQUIRED else f"`{_default(field)}`" if _default(field) else ""
        lines.append(f"| `{variable_of(name, field)}` | {default} | {field.description} |")
    return "\n".join(lines)


def performance(root: Path) -> dict[str, str]:
    """The figures of the last benchmarks, as tables and charts."""
    from lab.bench import plot, report  # noqa: PLC0415 - pygal is there for developers only

    bench, growth, profile = (json.loads((root / path).read_text(encoding="utf-8")) for path in (BENCH, GROWTH, PROFILE))
    blocks = {
        "rates": report.rates_in_markdown(bench),
        "goals": report.goals_in_markdown([*bench["goals"], *growth["goals"]]),
        "growth": report.rates_in_markdown(growth),
        "profile": report.profile_in_markdown(profile),
    }
    text = (root / PERFORMANCE).read_text(encoding="utf-8")
    for name, block in blocks.items():
        text = _with_block(text, name, block)
    return {PERFORMANCE: text, RATES_CHART: plot.rates_chart(bench), GROWTH_CHART: plot.growth_chart(growth)}


def event_schema(contract: type[EventContract], version: int) -> str:
    """The JSON Schema of a version of the event contract, with what a schema of one spelling can't say in its comment."""
    aliases = ", ".join(f"{alias} for {name}" for alias, name in ALIASES.items() if name in contract.model_fields)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Usage event, version {version}",
        "$comment": f"Canonical names. Accepted as well: {aliases}; and CloudEvents 1.0 in structured mode, where id is event_id,"
        " time is occurred_at and data holds the rest. Patterns are ECMA-262 regular expressions with the flag u.",
    }
    return json.dumps(head | {key: value for key, value in contract.model_json_schema().items() if key not in head}, indent=2) + "\n"


def alert_schema(message: type[BaseModel], title: str) -> str:
    """The JSON Schema of a published alert."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    schema = message.model_json_schema(mode="serialization")
    return json.dumps(head | {key: value for key, value in schema.items() if key not in head}, indent=2) + "\n"


def alerts(text: str) -> str:
    """`docs/alerts.md` with the fields of both kinds of alerts."""
    text = _with_block(text, "fields", alert_table(AlertMessage, _EXAMPLE_ALERT))
    return _with_block(text, "fields of caps", alert_table(CapAlertMessage, _EXAMPLE_CAP_ALERT))


def producers(text: str) -> str:
    """`docs/producers.md` with the fields of an event, and of what a producer is told."""
    return _with_block(_with_block(text, "fields", fields_table()), "fields of outcomes", alert_table(OutcomeMessage, _EXAMPLE_OUTCOME))


def alert_table(message: type[BaseModel], example: dict[str, Any]) -> str:
    """The fields of a published alert as a table of Markdown; the example is a message as it is sent."""
    schema = message.model_json_schema(mode="serialization")
    lines = ["| field | example | meaning |", "|---|---|---|"]
    for name, value in example.items():
        lines.append(f"| `{name}` | `{json.dumps(value)}` | {schema['properties'][name].get('description', '')} |")
    return "\n".join(lines)


def fields_table() -> str:
    """The fields of an event as a table of Markdown."""
    schema = EventContractV2.model_json_schema()
    lines = ["| field | also accepted as | required | since version | value |", "|---|---|---|---|---|"]
    for name, field in schema["properties"].items():
        others = [f"`{alias}`" for alias, canonical in ALIASES.items() if canonical == name]
        others += [f"`{_CLOUD_EVENTS[name]}` of a CloudEvent"] if name in _CLOUD_EVENTS else []
        value = " ".join(part for part in (_value(schema, field), field.get("description", "")) if part)
        required = "yes" if name in schema["required"] else "in version 1" if name in EventContract.model_json_schema()["required"] else ""
        lines.append(f"| `{name}` | {', '.join(others)} | {required} | {1 if name in EventContract.model_fields else 2} | {value} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Writes the documents, or with `--check` names those that are out of step; 0 if none was, else 1."""
    parser = argparse.ArgumentParser(prog="python -m lab.docs", description="Documents that are made from the code.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a document is out of step")
    check = parser.parse_args(arguments).check
    outdated, contents = stale(root), documents(root)
    for path in outdated:
        sys.stdout.write(f"{path} {'is out of step: run `python -m lab.docs`' if check else 'written'}\n")
        if not check:
            (root / path).write_text(contents[path], encoding="utf-8")
    return 1 if check and outdated else 0


def _default(field: FieldInfo) -> str:
    return "" if field.default is None else str(field.default).lower() if isinstance(field.default, bool) else str(field.default)


def _value(schema: dict[str, Any], field: dict[str, Any]) -> str:
    """What a property may hold, in words."""
    kinds = [kind for kind in field.get("anyOf", [field]) if kind.get("type") != "null"]
    named = [kind["$ref"].rpartition("/")[2] for kind in kinds if "$ref" in kind]
    if named == [Reported.__name__]:
        return f"{(Reported.__doc__ or '').partition(':')[0]}, as `{{amount, currency}}`: stored, billed by nobody."
    if named:
        counts = schema["$defs"][named[0]]["properties"]
        (limits,) = {_value(schema, count) for count in counts.values()}
        return f"Object of token counts, as the producer counted, all optional: {', '.join(f'`{name}`' for name in counts)}. {limits}"
    if len(kinds) != 1:
        return "" if "description" in field else str(kinds[0].get("description", "Price in CHF."))  # its description says it
    return _plain_value(kinds[0]) or ("" if "description" in field else str(kinds[0].get("description", "")))


def _plain_value(kind: dict[str, Any]) -> str:
    if "enum" in kind:
        return f"One of {', '.join(f'`{name}`' for name in kind['enum'])}."
    if kind.get("type") == "boolean":
        return "`true` or `false`."
    if kind.get("type") == "integer":
        least, most = kind["minimum"], kind["maximum"]
        return f"The integer {least}." if least == most else f"Integers from {least} to {most}."
    if "maxLength" in kind:
        return f"Text of {kind.get('minLength', 0)} to {kind['maxLength']} characters."
    return ""


def _with_block(text: str, name: str, block: str) -> str:
    """`text` with `block` between its two markers.

    Raises:
        ValueError: the markers are missing.
    """
    pattern = re.compile(rf"(<!-- generated: {name} -->\n).*?(\n<!-- end of {name} -->)", re.DOTALL)
    changed, found = pattern.subn(lambda match: match[1] + block + match[2], text)
    if found != 1:
        raise ValueError(f"the markers of the generated part {name!r} are missing")
    return changed


if __name__ == "__main__":
    sys.exit(main())
