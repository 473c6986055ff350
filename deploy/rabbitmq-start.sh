#!/bin/sh
# Starts RabbitMQ with its users, their permissions, the producers' exchanges and the policies that docs/operations.md recommends, made anew at
# each start out of the passwords in the environment.
set -eu
umask 077
definitions="${DEFINITIONS:-/tmp/definitions.json}"
password() {
    eval "value=\${$1:-}"
    case "$value" in
    "" | *[!A-Za-z0-9]*) echo "$1: set it in .env, in letters and digits only" >&2 && exit 78 ;;
    esac
}
password RABBITMQ_PASSWORD && password RABBITMQ_WORKER_PASSWORD && password RABBITMQ_PRODUCER_PASSWORD
queues='usage|usage\\.json|usage\\.dead|usage\\.json\\.dead|maintenance|checks|views|movements|balance\\.alerts'
others='tollbook\\..*|celeryev.*|.*pidbox|.*reply.*'
policy() {
    printf '{"vhost": "/", "name": "%s", "pattern": "%s", "apply-to": "queues", "priority": 0, "definition": {%s"delivery-limit": 100}}' "$1" "$2" "$3"
}
dead() {
    printf '"dead-letter-exchange": "", "dead-letter-routing-key": "%s", "dead-letter-strategy": "at-least-once", "overflow": "reject-publish", ' "$1"
}
cat >"$definitions" <<END
{
  "vhosts": [{"name": "/"}],
  "users": [
    {"name": "operator", "password": "$RABBITMQ_PASSWORD", "tags": "administrator"},
    {"name": "worker", "password": "$RABBITMQ_WORKER_PASSWORD", "tags": ""},
    {"name": "producer", "password": "$RABBITMQ_PRODUCER_PASSWORD", "tags": ""}
  ],
  "permissions": [
    {"user": "operator", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"},
    {"user": "worker", "vhost": "/", "configure": "^($queues|$others)\$", "write": "^($queues|$others|amq\\\\.default)\$", "read": "^($queues|$others)\$"},
    {"user": "producer", "vhost": "/", "configure": "^tollbook\\\\.(reply|outcomes)\\\\.", "write": "^(usage|usage\\\\.json|checks|tollbook\\\\.reply\\\\..*)\$",
     "read": "^tollbook\\\\.(reply|outcomes)\\\\."}
  ],
  "exchanges": [
    {"name": "usage", "vhost": "/", "type": "direct", "durable": true, "auto_delete": false, "internal": false, "arguments": {}},
    {"name": "usage.json", "vhost": "/", "type": "direct", "durable": true, "auto_delete": false, "internal": false, "arguments": {}},
    {"name": "checks", "vhost": "/", "type": "direct", "durable": true, "auto_delete": false, "internal": false, "arguments": {}}
  ],
  "queues": [
    {"name": "usage", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}},
    {"name": "usage.json", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}},
    {"name": "checks", "vhost": "/", "durable": true, "auto_delete": false, "arguments": {"x-queue-type": "quorum"}}
  ],
  "bindings": [
    {"source": "usage", "vhost": "/", "destination": "usage", "destination_type": "queue", "routing_key": "usage", "arguments": {}},
    {"source": "usage.json", "vhost": "/", "destination": "usage.json", "destination_type": "queue", "routing_key": "usage.json", "arguments": {}},
    {"source": "checks", "vhost": "/", "destination": "checks", "destination_type": "queue", "routing_key": "checks", "arguments": {}}
  ],
  "policies": [
    $(policy tollbook-usage '^usage$' "$(dead usage.dead)"),
    $(policy tollbook-usage-json '^usage\\.json$' "$(dead usage.json.dead)"),
    $(policy tollbook-dead '^usage(\\.json)?\\.dead$' '')
  ]
}
END
export RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-rabbit load_definitions \"$definitions\" -rabbitmq_management load_definitions \"$definitions\""
exec "$@"
