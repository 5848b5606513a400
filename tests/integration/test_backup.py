"""Backup of an engine at work and restore of a stopped one, as an operator does it: with the two commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from engine.client import Terms
from tests.integration.running import MESSAGE, Running, engine, received, sink, terms


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "engine", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def backup(running: Running, name: str) -> Path:
    done = command("backup", "--name", name, "--socket", running.socket)
    assert done.returncode == 0, done.stderr
    folder = running.folder / "state" / "backups" / name
    assert f"{folder}: " in done.stdout
    return folder


def restored(running: Running, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return command("restore", str(folder), "--config", str(running.folder / "sokutatsu.toml"), *more)


def test_a_backup_under_load_brings_back_who_was_still_waiting_and_mails_nobody_twice(tmp_path: Path) -> None:
    addresses = [f"r{n}@d{n % 7}.example" for n in range(3000)]
    slow = {"max_message_rate": '"400/s"'}
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping=slow
    ) as running:  # fmt: skip
        with running.client() as client:
            client.submit(addresses, terms())
            client.suppress("refused@example.jp")
            client.call("steer", {"verb": "suspend", "domain": "held.example", "reason": "until monday"})
            running.until(lambda: running.status()["delivered"] > 300, "under load")
            folder = backup(running, "monday")
            client.submit(["late@example.jp"], terms("later"))
        running.until(lambda: running.status()["delivered"] > 1000, "further than the backup")
        assert "in use by process" in restored(running, folder).stderr
        assert running.stop() == 0
        done = restored(running, folder)
        assert done.returncode == 0, done.stderr
        assert "restored spool, suppression" in done.stdout
        running.start()
        assert "until monday" in running.page("status")
        running.settled()
        arrived = received(receiver)
        with running.client() as client:
            client.submit(["refused@example.jp"], Terms(sender="shop", category="AD", mailing="ad", message=MESSAGE))
        running.until(lambda: running.status()["suppressed"] == 1, "the refusal is known again")
        assert running.stop() == 0
        assert sum(arrived[address] for address in addresses) == 3000
        assert set(addresses) <= set(arrived)


def test_a_ledger_that_knows_more_is_not_replaced(tmp_path: Path) -> None:
    with engine(tmp_path, {"*": "127.0.0.1:1"}) as running:
        folder = backup(running, "before")
        with running.client() as client:
            client.suppress("a@example.jp")
        assert "is there already" in command("backup", "--name", "before", "--socket", running.socket).stderr
        assert running.stop() == 0
        ledger = (tmp_path / "state" / "suppression" / "ledger.sqlite").read_bytes()
        done = restored(running, folder)
        assert (done.returncode, "1 events that the backup has not" in done.stderr) == (1, True), done
        assert (tmp_path / "state" / "suppression" / "ledger.sqlite").read_bytes() == ledger
        assert not list((tmp_path / "state").glob("*.replaced-*"))
        assert restored(running, folder, "--only", "spool").returncode == 0
        assert restored(running, folder, "--lose-events").returncode == 0
        running.start()
        assert running.stop() == 0


def test_a_backup_that_is_not_whole_is_refused_and_nothing_moves(tmp_path: Path) -> None:
    with engine(tmp_path, {"*": "127.0.0.1:1"}) as running:
        folder = backup(running, "tuesday")
        assert running.stop() == 0
        (folder / "verp.secret").write_bytes(b"x" * 32)
        assert "not as it was written" in restored(running, folder).stderr
        assert "no complete backup" in restored(running, tmp_path / "nowhere").stderr
        (folder / "manifest.json").write_text('{"format": 1}', encoding="utf-8")
        assert "no complete backup" in restored(running, folder).stderr
        assert not list((tmp_path / "state").glob("*.re*"))


def test_a_start_after_a_restore_that_broke_off_begins_nothing_new(tmp_path: Path) -> None:
    """Killed between its renames: the old spool is moved aside, the new one is not in place yet."""
    with engine(tmp_path, {"*": "127.0.0.1:1"}) as running:
        folder = backup(running, "wednesday")
        assert running.stop() == 0
        state = tmp_path / "state"
        (state / "restore.unfinished").touch()
        (state / "spool").rename(state / "spool.replaced-x")
        (state / "verp.secret").rename(state / "verp.secret.restoring")
        (state / "verp.secret.restoring").write_bytes(b"half")
        started = running.launch()
        assert started.popen.wait(30) == 1
        assert "a restore broke off there" in running.log.read_text()
        assert not (state / "spool").exists()
        assert restored(running, folder).returncode == 0
        assert (state / "verp.secret").read_bytes() == (folder / "verp.secret").read_bytes()
        assert not list(state.glob("*.restoring"))
        running.start()
        assert running.stop() == 0
