"""`python -m lab.screenshots`: makes the pictures of pages in `docs/images`, of books like the demo's, on a PostgreSQL of its own.

They are of the day on which they are made. With a folder as argument, every look of every page goes there instead, to be looked at.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from core.config import Configuration
from core.database.database import Database
from core.schema import migrate
from lab.chromium import chromium, find_chromium
from lab.example_books import DAYS, fill
from lab.postgres import DATABASE, OWNER, WORKER, PostgresServer
from lab.process import ServerFailed, temporary_dir

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDTH, HEIGHT, PHONE_WIDTH = 1_180, 1_080, 390
BYTES_MAX = 150_000


def make_pages(folder: Path, database_url: str, now: datetime) -> dict[str, Path]:
    """The pages by name, made by the commands: the report of four weeks, and the statement of the mandate with the most to say.

    Raises:
        ServerFailed: a command fails.
    """
    days = ["--from", str(now.date() - timedelta(days=DAYS - 1)), "--to", str(now.date())]
    asked = {"report": ["report", *days], "statement": ["statement", "harbour", f"{now:%Y-%m}"]}
    paths = {name: folder / f"{name}.html" for name in asked}
    for name, words in asked.items():
        command = [sys.executable, "-m", "cli.main", *words, "--output", str(paths[name])]
        ended = subprocess.run(command, env={**os.environ, "DATABASE_URL": database_url}, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise ServerFailed(f"tollbook {' '.join(words)}: {ended.stderr}")
    return paths


@contextmanager
def example_books(folder: Path, now: datetime) -> Iterator[str]:
    """The URL of filled books on a server of their own, which ends with the block."""
    server = PostgresServer(folder / "postgres", fast=True)
    server.start()
    try:
        owner_url, url = server.url(OWNER, DATABASE), server.url(WORKER, DATABASE)
        migrate.upgrade(owner_url, url)
        config = Configuration(database_url=SecretStr(url), database_owner_url=SecretStr(owner_url))
        database = Database(url, config)
        try:
            fill(database, config, now)
        finally:
            database.dispose()
        yield url
    finally:
        server.stop()


def main(arguments: list[str]) -> None:
    """Makes the pictures, or with a folder all looks.

    Raises:
        ServerFailed: there is no Chromium, it doesn't answer, or a picture is larger than documents should carry.
    """
    program = find_chromium()
    if program is None:
        raise ServerFailed("chromium is not installed (Debian's package chromium)")
    now = datetime.now(UTC)
    with temporary_dir("tollbook-screenshots-") as folder, example_books(folder, now) as url, chromium(program) as browser:
        for name, path in make_pages(folder, url, now).items():
            if arguments:
                into = Path(arguments[0])
                into.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, into)
                for look, width, dark in (("light", WIDTH, False), ("dark", WIDTH, True), ("phone", PHONE_WIDTH, False)):
                    (into / f"{name}-{look}.png").write_bytes(browser.look(path, width=width, dark=dark).picture)
                continue
            picture = browser.look(path, width=WIDTH, height=HEIGHT).picture
            if len(picture) > BYTES_MAX:
                raise ServerFailed(f"the picture of {name} has {len(picture)} bytes, more than {BYTES_MAX}")
            IMAGES.mkdir(exist_ok=True)
            (IMAGES / f"{name}.png").write_bytes(picture)


if __name__ == "__main__":
    main(sys.argv[1:])
