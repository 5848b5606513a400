"""A real engine seen from outside: every declared metric is there, it says when it is ready, it stops when told."""

from __future__ import annotations

import contextlib
import json
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from engine.flow.users import entry_line
from engine.metrics import METRICS
from engine.signer.keys import generate_key, key_pem

ROOT = Path(__file__).parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def configured(folder: Path, port: int) -> Path:
    file, key = folder / "sokutatsu.toml", folder / "dkim.pem"
    key.touch(0o600)
    key.write_bytes(key_pem(generate_key("ed25519")))
    file.write_text(
        f"""[engine]
state = "state"
[signer]
workers = 1
[admin]
listen = "127.0.0.1:{port}"
[senders.shop]
legal_name = "株式会社ショップ"
address = "news@example.jp"
[[senders.shop.dkim]]
selector = "s1"
key = "dkim.pem"
[routes]
"*" = "127.0.0.1:9"
"""
    )
    return file


@contextlib.contextmanager
def started(file: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "engine", "run", "--config", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wanting_submission(file: Path, port: int) -> Path:
    users = file.parent / "users"
    users.touch(0o640)
    users.write_text(entry_line("program", "a password", cost=16) + "\n")
    with file.open("a") as added:
        added.write(f'[submission]\nlisten = "127.0.0.1:{port}"\nusers = "users"\n')
    return file


def ask(port: int, path: str) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return bytes(answer.read())


def wait_until_ready(process: subprocess.Popen[str], port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()[0]
        try:
            assert ask(port, "/readyz") == b"ok\n"
        except urllib.error.URLError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("not ready in 30 seconds")


def test_an_engine_shows_every_metric_and_stops_when_told(tmp_path) -> None:
    port = free_port()
    with started(configured(tmp_path, port)) as process:
        wait_until_ready(process, port)
        families = {family.name: family for family in text_string_to_metric_families(ask(port, "/metrics").decode())}
        for metric in METRICS:
            family = families[f"sokutatsu_{metric.name}"]
            assert (family.type, family.documentation) == (metric.kind, metric.help)
        status = json.loads(ask(port, "/status"))
        assert (status["accepted"], status["balance"], status["credit"]) == (0, 0, 20_000_000)
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=30)
        assert process.returncode == 0, log


def test_a_port_in_use_is_one_line_and_exit_code_1(tmp_path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with started(configured(tmp_path, port)) as process:
            log, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    told = [line for line in log.splitlines() if line.startswith("sokutatsu: ")]
    assert len(told) == 1
    assert f"admin.listen '127.0.0.1:{port}'" in told[0]
    assert "choose another port" in told[0]
    assert "Traceback" not in log


def test_mail_comes_in_by_smtp_submission(tmp_path) -> None:
    admin, port = free_port(), free_port()
    file = wanting_submission(configured(tmp_path, admin), port)
    mail = b"From: news@example.jp\r\nX-Sokutatsu-Sender: shop\r\nX-Sokutatsu-Category: TX\r\n"
    mail += b"X-Sokutatsu-Mailing: orders\r\nSubject: thanks\r\n\r\nThank you.\r\n"
    with started(file) as process:
        wait_until_ready(process, admin)
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.login("program", "a password")
            assert client.sendmail("x@example.jp", ["neko@example.jp"], mail) == {}
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stranger:
            stranger.sendall(b"EHLO x\r\nVRFY \xff\r\nQUIT\r\n")
            while stranger.recv(4096):
                pass
        status = json.loads(ask(admin, "/status"))
        assert (status["accepted"], status["balance"]) == (1, 0), "a stranger's bad bytes stop nobody"
        assert "sokutatsu_submission_messages_total 1.0" in ask(admin, "/metrics").decode().splitlines()
        process.send_signal(signal.SIGTERM)
        log, _ = process.communicate(timeout=30)
    assert process.returncode == 0, log
