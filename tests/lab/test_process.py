"""A server that doesn't come to answer is not left behind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lab.process import ServerExited, ServerFailed, is_alive, launch, server_account, temporary_dir

SERVER = ["/bin/sh", "-c", "echo pid $$; exec sleep 1000"]


def pid_in(log: Path) -> int | None:
    """The pid that the server has written, once it runs."""
    words = log.read_text().split() if log.exists() else []
    return int(words[1]) if len(words) > 1 else None


def interrupt(log: Path) -> bool:
    """Ctrl-C, once the server runs."""
    if pid_in(log):
        raise KeyboardInterrupt
    return False


@pytest.mark.parametrize(
    ("answers", "raised"), [(lambda log: pid_in(log) == 0, ServerFailed), (interrupt, KeyboardInterrupt)], ids=["silent", "interrupted"]
)
def test_what_does_not_answer_in_time_or_is_interrupted_is_killed(answers: Callable[[Path], bool], raised: type[BaseException]) -> None:
    """Nobody else knows of it, who could end it."""
    with temporary_dir() as folder:
        log = folder / "server.log"
        with pytest.raises(raised):
            launch(SERVER, server_account(), log, lambda: answers(log), seconds=2.0)
        pid = pid_in(log)
        assert pid is not None
        assert not is_alive(pid)


def test_what_ended_by_itself_is_told_as_such() -> None:
    """With its exit code and its log."""
    with temporary_dir() as folder, pytest.raises(ServerExited, match=r"exit code 3\); its log .*\nno room"):
        launch(["/bin/sh", "-c", "echo no room; exit 3"], server_account(), folder / "server.log", lambda: False)
