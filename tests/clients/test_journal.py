"""The journal: every line is whole, whatever happened."""

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from tollbook_client.journal import Journal

FIRST, SECOND = b'{"event_id":"1"}', b'{"event_id":"2"}'


def test_one_line_for_each_event_as_it_is_sent(tmp_path: Path) -> None:
    """Bodies stand as they are, one a line, and only their owner can read them; line feeds between their words become spaces."""
    path = tmp_path / "journal.jsonl"
    Journal(path).append([FIRST, b'{\n"event_id": "2"\r\n}'])
    assert path.read_bytes() == FIRST + b'\n{ "event_id": "2"  }\n'
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("left", "lines", "aside"),
    [
        (SECOND, [FIRST, SECOND, FIRST], None),
        (SECOND[:-3], [FIRST, FIRST], SECOND[:-3] + b"\n"),
        (b"\0" * 70_000, [FIRST, FIRST], b"\0" * 70_000 + b"\n"),
        ('{"user_id":"Zoë'.encode()[:-1], [FIRST, FIRST], '{"user_id":"Zoë'.encode()[:-1] + b"\n"),
    ],
)
def test_what_a_crash_cut_off_is_completed_or_set_aside(tmp_path: Path, left: bytes, lines: list[bytes], aside: bytes | None) -> None:
    """A last line that lacks only its end gets it; any other goes to a file beside, whether it is found at the start or by the next append."""
    for late in (False, True):
        path = tmp_path / f"journal-{late}.jsonl"
        journal = Journal(path)
        journal.append([FIRST])
        with path.open("ab") as torn:
            torn.write(left)
        (journal if late else Journal(path)).append([FIRST])
        assert path.read_bytes().splitlines() == lines
        beside = Path(f"{path}.torn")
        assert (beside.read_bytes() if beside.exists() else None) == aside


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append that fails half way raises and leaves the file as it was; the next one that succeeds stands alone."""
    journal, path = Journal(tmp_path / "journal.jsonl"), tmp_path / "journal.jsonl"
    journal.append([FIRST])
    write = os.write

    def half(file: int, content: bytes) -> int:
        if len(content) < len(SECOND):
            raise OSError(28, "No space left on device")
        return write(file, content[:5])

    with monkeypatch.context() as full:
        full.setattr(os, "write", half)
        with pytest.raises(OSError, match="No space"):
            journal.append([SECOND])
    assert path.read_bytes() == FIRST + b"\n"
    journal.append([SECOND])
    assert path.read_bytes() == FIRST + b"\n" + SECOND + b"\n"


def test_threads_and_processes_share_a_journal_that_is_moved_away_when_it_is_long(tmp_path: Path) -> None:
    """Lines of several threads and forked processes stand whole, each once, in the file and those that it was moved to."""
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, fsync=False, bytes_max=500)

    def write(writer: int) -> None:
        for n in range(50):
            journal.append([b'{"event_id":"%d-%d"}' % (writer, n)])

    children = []
    for writer in range(2):
        if (pid := os.fork()) == 0:
            write(writer)
            os._exit(0)
        children.append(pid)
    threads = [threading.Thread(target=write, args=(writer,)) for writer in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0]
    files = sorted(tmp_path.iterdir())
    assert len(files) > 2
    lines = [line for file in files for line in file.read_bytes().splitlines()]
    assert sorted(lines) == sorted(b'{"event_id":"%d-%d"}' % (writer, n) for writer in range(4) for n in range(50))


def test_a_process_that_is_killed_while_it_writes_leaves_whole_lines(tmp_path: Path) -> None:
    """Killed at any moment, all that `append` had returned for is there, and the next process's lines stand apart from it."""
    path = tmp_path / "journal.jsonl"
    for life in range(5):
        reading, writing = os.pipe()
        if (pid := os.fork()) == 0:
            journal: Any = Journal(path)
            for n in range(10**6):
                journal.append([b'{"event_id":"%d-%d","description":"%s"}' % (life, n, b"x" * 300)])
                os.write(writing, b"%d\n" % n)
        os.close(writing)
        with os.fdopen(reading, "rb") as told:
            written = [next(told) for _ in range(5)]
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            written += told.readlines()
        Journal(path).close()
        lines = path.read_bytes().splitlines(keepends=True)
        assert all(line.startswith(b"{") and line.endswith(b"}\n") for line in lines)
        assert sum(line.startswith(b'{"event_id":"%d-' % life) for line in lines) >= len(written)
