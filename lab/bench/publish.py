"""`tollbook publish`: events out of a file of canonical JSON Lines, 500 to a message, into the embedded Valkey."""

import json
import os
import subprocess
import sys
from pathlib import Path

import redis

from lab.bench.traffic import events
from lab.process import temporary_dir
from lab.services import Services

BATCH = 500


def publish_rate(services: Services, n: int) -> float:
    """Events per second of the command, as it says itself: from its first line to the broker's last answer, without its start."""
    environment = {**os.environ, "CELERY_BROKER_URL": services.broker_url, "DATABASE_URL": services.database_url}
    with temporary_dir() as folder:
        file = Path(folder) / "usage.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(event) + "\n" for event in events(n))
        command = [sys.executable, "-m", "cli.main", "publish", str(file), "--batch", str(BATCH), "--json"]
        told = json.loads(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
    assert told["published"] == n
    with redis.Redis.from_url(services.broker_url) as client:
        client.delete("usage")
    return float(told["rate"])
