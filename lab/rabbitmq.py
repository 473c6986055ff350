"""A private RabbitMQ node from the distribution's package `rabbitmq-server`, for tests and benchmarks."""

import base64
import json
import secrets
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import amqp

from core.errors import Misconfigured
from lab import process
from lab.process import Account, ServerExited, ServerFailed

# Debian's /usr/sbin/rabbitmq-server insists on its own user and folders; this is what it calls.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
INSTALL = "there is no rabbitmq-server on this machine: install it with `apt-get install rabbitmq-server` (its own service isn't needed)"
_ONE_THREAD = "+S 1:1 +sbwt none"  # busy waiting would take the processor from what is measured


def is_installed() -> bool:
    """Whether a RabbitMQ server can be started here."""
    return (PROGRAMS / "rabbitmq-server").exists()


class RabbitServer:
    """A RabbitMQ node on 127.0.0.1 with name, ports, cookie, password and data of its own in one folder; it outlives this process.

    The machine's own RabbitMQ, its port mapper (epmd) included, is never touched.

    Args:
        directory: the node's own folder; `start` makes it. For root, one that the unprivileged account can reach.
        extra: further settings of `rabbitmq.conf`; the node's account must be able to read the files that they name.
    """

    _start_seconds = process.START_SECONDS
    _own_ports: tuple[str, ...] = ("port", "distribution_port", "mapper_port")

    def __init__(self, directory: Path, *, extra: Mapping[str, str] | None = None) -> None:
        self.directory = directory.resolve()
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.extra = dict(extra or {})
        self._record_path = self.directory / "server.json"

    @property
    def pid(self) -> int | None:
        """The pid of the running node, whoever started it, or None."""
        pid = (process.read_record(self._record_path) or {}).get("pid")
        return pid if pid is not None and process.is_alive(pid) else None

    @property
    def name(self) -> str:
        """The name by which nodes and `rabbitmqctl` know it."""
        return f"{self._record()['name']}@localhost"

    @property
    def port(self) -> int:
        """The TCP port of the last start."""
        return int(self._record()["port"])

    def url(self, virtual_host: str = "/") -> str:
        """The URL by which a client reaches one of this node's virtual hosts."""
        record = self._record()
        return f"amqp://guest:{record['password']}@127.0.0.1:{record['port']}/{'/' if virtual_host == '/' else virtual_host}"

    def start(self) -> bool:
        """See to it that the node answers.

        Returns:
            Whether this call started it; False where it was running.

        Raises:
            ServerFailed: it does not start; the message ends with its log.
            Misconfigured: there is no RabbitMQ on this machine.
        """
        if self.pid is not None:
            return False
        if not is_installed():
            raise Misconfigured(INSTALL)
        account = process.server_account(self.data)
        process.make_directory(self.directory)
        process.make_directory(self.data, account)
        for attempts_left in (2, 1, 0):
            self._write_settings(account)
            try:
                command = [PROGRAMS / "rabbitmq-server"]
                variables = self._variables() | {"RUNNING_UNDER_SYSTEMD": "true"}
                pid = process.launch(command, account, self.log, self.answers, variables=variables, seconds=self._start_seconds)
                break
            except ServerExited as error:
                if not attempts_left or "eaddrinuse" not in str(error):
                    raise
        process.write_private(self._record_path, json.dumps(self._record() | {"pid": pid}))
        return True

    def stop(self) -> bool:
        """End the node and its port mapper and keep its data (SIGTERM).

        Returns:
            Whether it was running.
        """
        return self._end({signal.SIGTERM: 30.0, signal.SIGKILL: 10.0})

    def kill(self) -> None:
        """End the node as a crash would (SIGKILL) and wait until it is gone."""
        self._end({signal.SIGKILL: 10.0})

    def answers(self) -> bool:
        """Whether the node accepts its clients now."""
        record = self._record()
        try:
            with amqp.Connection(f"127.0.0.1:{record['port']}", userid="guest", password=record["password"], connect_timeout=2, read_timeout=2):
                return True
        except (OSError, amqp.AMQPError):
            return False

    def control(self, *arguments: str) -> str:
        """What `rabbitmqctl` answers to these arguments.

        Raises:
            ServerFailed: it refuses; the message is its answer.
        """
        done = process.run([PROGRAMS / "rabbitmqctl", "--quiet", *arguments], process.server_account(self.data), variables=self._variables())
        if done.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {arguments[0]}: {done.stdout.strip()}")
        return done.stdout.strip()

    def _end(self, signals: dict[signal.Signals, float]) -> bool:
        pid = self.pid
        if pid is not None:
            process.terminate(pid, signals)
            process.wait_until(self._mapper_ended, 5)  # it refuses as long as it believes that the node lives
        return pid is not None

    def _mapper_ended(self) -> bool:
        return process.run(["epmd", "-port", str(self._record()["mapper_port"]), "-kill"], process.server_account(self.data)).returncode == 0

    def _record(self) -> dict[str, Any]:
        record = process.read_record(self._record_path)
        if record is None:
            raise ServerFailed(f"{self._record_path} is missing: this node was never started")
        return record

    def _variables(self) -> dict[str, str]:
        record, data = self._record(), str(self.data)
        return {
            "HOME": data,  # where the cookie is
            "ERL_EPMD_PORT": str(record["mapper_port"]),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(record["port"]),
            "RABBITMQ_DIST_PORT": str(record["distribution_port"]),
            "RABBITMQ_MNESIA_BASE": f"{data}/mnesia",
            "RABBITMQ_LOG_BASE": f"{data}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{data}/config",
            "RABBITMQ_CONFIG_FILE": f"{data}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{data}/enabled_plugins",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{_ONE_THREAD} -kernel inet_dist_use_interface {{127,0,0,1}}",
            "RABBITMQ_CTL_ERL_ARGS": _ONE_THREAD,
        }

    def _first_record(self) -> dict[str, Any]:
        return {"password": secrets.token_urlsafe(24), "name": f"tollbook-{secrets.token_hex(4)}"}

    def _write_settings(self, account: Account) -> None:
        record = process.read_record(self._record_path) or self._first_record()
        for port in self._own_ports:
            record[port] = process.free_port(record.get(port))
        process.write_private(self._record_path, json.dumps(record | {"pid": None}))
        lines = {
            "default_user": "guest",
            "default_pass": record["password"],
            "log.console.level": "warning",
            "vm_memory_high_watermark.absolute": "1GB",
            "disk_free_limit.absolute": "50MB",
            **self.extra,
        }
        process.write_private(self.data / "rabbitmq.conf", "".join(f"{name} = {value}\n" for name, value in lines.items()), account)
        process.write_private(self.data / "enabled_plugins", "[].\n", account)


def amqp_message(envelope: bytes) -> amqp.Message:
    """The AMQP message that a producer would have sent where kombu's Redis transport writes this envelope."""
    fields: dict[str, Any] = json.loads(envelope)
    body = fields["body"].encode()
    if fields["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body)
    return amqp.Message(
        body,
        content_type=fields["content-type"],
        content_encoding=fields["content-encoding"],
        application_headers=fields["headers"],
        delivery_mode=2,
    )
