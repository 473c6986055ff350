"""The processes of the demo: workers, beat and Flower, each a real `celery` command that writes into a log of its own."""

import base64
import json
import os
import secrets
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from lab import process
from lab.process import ServerFailed
from lab.services import Services

ROOT = Path(__file__).resolve().parents[2]
VISIBILITY_SECONDS = 3
FLOWER_USER = "demo"
WORKERS = ("demo-1", "demo-2")
STOP_SECONDS = 15.0
_OURS = ("TOLLBOOK_", "CELERY_", "FLOWER_", "DATABASE_", "REDIS_")


@dataclass(frozen=True, slots=True)
class Flower:
    """Where Flower is, and the login that it asks for."""

    url: str
    user: str
    password: str

    def knows(self, workers: Collection[str]) -> bool:
        """Whether it shows these workers to this login; it is made to look for them, which takes it a second."""
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(f"{self.url}/api/workers?refresh=1", headers={"Authorization": f"Basic {login}"})  # noqa: S310 - our own address
        try:
            with urllib.request.urlopen(request, timeout=5) as reply:  # noqa: S310 - as above
                return bool(json.load(reply).keys() >= {f"{worker}@demo" for worker in workers})
        except (OSError, ValueError):
            return False


class Processes:
    """Starts them, watches them and stops every one of them."""

    def __init__(self, folder: Path, services: Services) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._password = secrets.token_urlsafe(12)
        foreign = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        self._environment = {
            **foreign,
            **services.environment(),
            "TOLLBOOK_INTAKE_VISIBILITY_SECONDS": str(VISIBILITY_SECONDS),
            "TOLLBOOK_LOG_FORMAT": "json",
            "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{self._password}",  # not among the arguments, which every user of the machine can list
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }

    @property
    def pids(self) -> list[int]:
        """Those that were started and not ended by us."""
        return [child.pid for child in self._running.values()]

    def start_worker(self, name: str) -> None:
        """Starts a worker with the node name `name@demo`; it serves every queue."""
        self._start(name, "worker", "-n", f"{name}@demo", "--concurrency", "1")

    def start_beat(self) -> None:
        """Starts beat, with its schedule in the demo's folder."""
        self._start("beat", "beat", "--schedule", str(self.folder / "celerybeat-schedule"))

    def start_flower(self) -> Flower:
        """Starts Flower on a free port of 127.0.0.1."""
        port = process.free_port()
        columns = "--tasks-columns=name,uuid,state,args,result,received,runtime,worker"
        self._start("flower", "flower", "--address=127.0.0.1", f"--port={port}", columns)
        return Flower(f"http://127.0.0.1:{port}", FLOWER_USER, self._password)

    def is_ready(self, worker: str) -> bool:
        """Whether the worker serves its queues."""
        return b"demo ready." in self._log(worker).read_bytes()

    def freeze(self, name: str) -> None:
        """Suspends a process where it is."""
        self._running[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """Lets it go on."""
        self._running[name].send_signal(signal.SIGCONT)

    def kill(self, name: str) -> None:
        """Ends a process as a crash would (SIGKILL)."""
        child = self._running.pop(name)
        child.kill()
        child.wait()
        self._log(name).rename(self.folder / f"{name}-killed.log")

    def check(self) -> None:
        """Returns if all of them run.

        Raises:
            ServerFailed: one has ended; the message names its log.
        """
        for name, child in self._running.items():
            if child.poll() is not None:
                raise ServerFailed(f"{name} ended with exit code {child.returncode}; see {self._log(name)}")

    def stop(self) -> None:
        """Ends all of them: a warm shutdown at once for all, then SIGKILL for who takes too long. None of them is left."""
        for child in self._running.values():
            if child.poll() is None:
                child.send_signal(signal.SIGCONT)
                child.terminate()
        process.wait_until(lambda: all(child.poll() is not None for child in self._running.values()), STOP_SECONDS)
        for child in self._running.values():
            child.kill()
            child.wait()
        self._running.clear()

    def _start(self, name: str, *arguments: str) -> None:
        with self._log(name).open("ab") as output:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "worker.app", *arguments],
                cwd=self.folder,  # a .env file of the caller's folder is none of the demo's
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the demo alone, which stops them in order
            )

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"
