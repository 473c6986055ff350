"""What commands print where the terminal can't show it."""

import os
import subprocess
import sys

from core.database.database import Database
from core.directory.sql.mirror import Mandate, put_mandates
from tests.conftest import DatabaseUrls
from tests.scene import PutAccount, PutSettings


def test_a_terminal_that_lacks_a_letter_gets_it_escaped(
    database_urls: DatabaseUrls, owner_database: Database, put_settings: PutSettings, put_account: PutAccount
) -> None:
    """Whatever the locale, a command prints what was asked for; it doesn't end because of an umlaut."""
    put_settings("acme", users=["ada"])
    put_account("ada")
    with owner_database.transaction() as connection:
        put_mandates(connection, [Mandate("acme", "Zürich", None, enabled=True, time_zone=None)])
    environment = os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", "DATABASE_URL": database_urls.worker}
    command = [sys.executable, "-m", "cli.main", "balances", "mandates"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Z\\xfcrich" in shown.stdout
