"""What a start may meet: each is one clear line that names the thing and the remedy, and exit code 1, or 2 for the
configuration. Nothing is left behind, and nothing was sent.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from bench.configuration import REPOSITORY
from bench.processes import children
from tests.integration.running import Running, command, engine, received, sink, terms


def run(folder: Path, **environment: str) -> tuple[int, list[str]]:
    """To its end: the exit code, and what it says to the person at the terminal."""
    done = subprocess.run(
        command(folder),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    told = [line for line in done.stderr.splitlines() if line.startswith(("sokutatsu:", str(folder)))]
    return done.returncode, told


def fails(running: Running, *words: str, code: int = 1) -> None:
    """One line with these words."""
    found, told = run(running.folder)
    assert (found, len(told)) == (code, 1), told
    for word in words:
        assert word in told[0], told
    assert not Path(running.socket).exists()


ROUTES = {"*": "127.0.0.1:9"}


def test_a_key_that_is_missing_or_open_to_others_or_no_key(tmp_path: Path) -> None:
    with engine(tmp_path, ROUTES, start=False) as running:
        key = tmp_path / "dkim.pem"
        key.chmod(0o644)
        fails(running, "dkim.pem", "chmod")
        key.chmod(0o600)
        key.write_text("not a key")
        fails(running, "dkim.pem")
        key.unlink()
        fails(running, "dkim.pem", "No such file")
        key.symlink_to(tmp_path / "elsewhere.pem")
        fails(running, "dkim.pem")


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """A file where a folder should be, whoever runs the test."""
    for name in ("state", "state/spool", "state/journal", "state/suppression", "state/socket"):
        folder = tmp_path / name.replace("/", "-")
        with engine(folder, ROUTES, start=False) as running:
            place = folder / name
            place.parent.mkdir(exist_ok=True)
            place.write_text("in the way")
            fails(running, str(place))


def test_wrong_configuration_tells_every_error_at_once(tmp_path: Path) -> None:
    wrong = '[shaping.site."x:25"]\nconnection_limit = 0\nmax_mesage_rate = "1/s"\n[nonsense]\na = 1'
    with engine(tmp_path, {"*": "127.0.0.1:no"}, start=False, more=wrong) as running:
        code, told = run(tmp_path)
        text = "\n".join(told)
        assert code == 2
        assert len(told) >= 4
        for word in ("connection_limit", "max_message_rate?", "nonsense", "127.0.0.1:no"):
            assert word in text, text
        assert not (tmp_path / "state").exists(), "nothing was begun"
    (tmp_path / "sokutatsu.toml").unlink()
    code, told = run(tmp_path)
    assert (code, len(told)) == (2, 1)
    assert running.folder == tmp_path


def test_a_second_engine_on_the_same_state_and_one_on_the_same_socket(tmp_path: Path) -> None:
    with engine(tmp_path / "a", ROUTES) as first, engine(tmp_path / "b", ROUTES, start=False) as second:
        code, told = run(first.folder)
        assert (code, len(told)) == (1, 1), told
        assert "spool" in told[0]
        with second.folder.joinpath("sokutatsu.toml").open("a") as file:
            file.write(f'[socket]\npath = "{first.socket}"\n')
        code, told = run(second.folder)
        assert (code, len(told)) == (1, 1), told
        assert first.socket in told[0]
        assert first.status()["accepted"] == 0, "the first does not notice"
        with first.client() as client:
            assert client.ping()["draining"] is False
        assert first.stop() == 0


def test_what_kill_9_left_behind_is_no_obstacle(tmp_path: Path) -> None:
    with engine(tmp_path, ROUTES) as running:
        assert running.kill() == 0
        assert Path(running.socket).is_socket()
        running.start()
        assert running.stop() == 0


def test_a_start_that_fails_at_the_last_door_has_sent_nothing(tmp_path: Path) -> None:
    """The admin port is taken; mail is due in the spool."""
    with sink(tmp_path) as receiver, engine(tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}) as running:
        with running.client() as client:
            client.submit(
                [f"r{n}@d.example" for n in range(50)], terms(not_before=int(time.time()) + 3)
            )  # fmt: skip
        assert running.stop() == 0
        time.sleep(3)
        with socket.create_server(("127.0.0.1", running.admin)):
            fails(running, f"127.0.0.1:{running.admin}")
        assert received(receiver) == {}
        running.start()
        status = running.settled()
        assert (status["recovered_in_doubt"], status["delivered"]) == (0, 50)
        assert sum(received(receiver).values()) == 50


def test_a_failed_start_leaves_no_process_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, engine(tmp_path, ROUTES, start=False) as running:
        text = (tmp_path / "sokutatsu.toml").read_text()
        port = taken.getsockname()[1]
        (tmp_path / "sokutatsu.toml").write_text(text.replace(f"127.0.0.1:{running.admin}", f"127.0.0.1:{port}"))
        child = running.launch()
        running.until(lambda: child.popen.poll() is not None, "ended", 30)
        assert child.popen.returncode == 1
        assert children(child.pid) == []


@pytest.mark.parametrize("word", ["klingon", ""])
def test_a_signer_backend_that_nobody_knows(tmp_path: Path, word: str) -> None:
    with engine(tmp_path, ROUTES, start=False):
        code, told = run(tmp_path, SOKUTATSU_SIGNER_BACKEND=word or "klingon\x1b[2J")
        assert (code, len(told)) == (1, 1), told
        assert "backend" in told[0]
        assert "\x1b" not in told[0]
