"""The runbook (deploy/README.md), walked against a real engine: its own commands, as they stand there.

A shell runs the section's commands with the paths of the test's engine; what they print must be what the person who
follows them needs next.
"""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from bench.processes import free_port
from bench.rig import RunningSink
from engine.client import Terms
from tests.integration.running import MESSAGE, Hostile, Running, engine, read_until, sink, terms
from tests.integration.test_reload import rewrite
from tests.integration.test_returning import ARF

ROOT = Path(__file__).parent.parent.parent
RUNBOOK = (ROOT / "deploy" / "README.md").read_text("utf-8")
PEOPLE = 3600
SHELL = """sokutatsu() { "$PYTHON" -m engine "$@"; }
cd "$HERE"
"""


def commands(heading: str) -> list[str]:
    """The sh blocks below a heading, up to the next one."""
    text = RUNBOOK.split(f"\n{heading}\n", 1)[1]
    text = re.split(r"\n#{2,3} ", text, maxsplit=1)[0]
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]


def walked(heading: str, words: dict[str, str]) -> list[str]:
    """The commands with what the person puts in the place of the words."""
    found = commands(heading)
    for word, own in words.items():
        pattern = rf"\b{word}\b" if word.isupper() else re.escape(word)
        found = [re.sub(pattern, own, block) for block in found]
    return found


def run(running: Running, script: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As the person types it, but for the paths and for who he is."""
    text = script.replace("runuser -u sokutatsu -- ", "").replace("/var/lib/sokutatsu", str(running.folder / "state"))
    environment = {
        **os.environ, **variables, "PYTHON": sys.executable, "HERE": str(running.folder), "PYTHONPATH": str(ROOT),
        "SOKUTATSU_SOCKET": running.socket, "SOKUTATSU_CONFIG": str(running.folder / "sokutatsu.toml"),
    }  # fmt: skip
    line = ["bash", "-c", SHELL + text]
    return subprocess.run(
        line, capture_output=True, text=True, timeout=60, check=False, env=environment, stdin=subprocess.DEVNULL
    )


def complained(port: int, receiver: RunningSink, taken: set[Path], count: int) -> list[str]:
    """Reports of so many readers more, made of what they really got; who they are."""
    receiver.flushed()
    found = [file for file in sorted(receiver.samples.glob("*.eml")) if file not in taken][:count]
    taken.update(found)
    who = []
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        for file in found:
            raw = file.read_bytes()
            client.sendmail("fbl@provider.example", ["fbl@shop.example"], ARF.format(original=raw.decode()))
            who.append(str(message_from_bytes(raw, policy=policy.default)["To"]))
    return who


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[tuple[Running, RunningSink, int]]:
    """A mailing under way to people who consented, at 300 a second."""
    port = free_port()
    more = f'[return_path]\nlisten = "127.0.0.1:{port}"\naddresses = ["fbl@shop.example"]\n[guard]\ncanary = 0\n'
    people = [f"reader{number}@d.example" for number in range(PEOPLE)]
    record = {"at": 1_700_000_000, "source": "web", "evidence": "form 12"}
    with (
        sink(tmp_path) as receiver,
        engine(
            tmp_path / "engine", {"*": f"127.0.0.1:{receiver.ports[0]}"}, more=more,
            shaping={"max_message_rate": '"300/s"'},
        ) as running,
        running.client() as client,
    ):  # fmt: skip
        client.consent("shop", [{"address": address, **record} for address in people])
        client.submit(people, Terms(sender="shop", category="AD", mailing="sale", message=MESSAGE))
        yield running, receiver, port


def test_a_complaint_storm(storm: tuple[Running, RunningSink, int]) -> None:
    running, receiver, port = storm
    running.until(lambda: running.status()["delivered"] >= 1200, "enough to judge")
    taken: set[Path] = set()
    angry: list[str] = []

    def is_paused() -> bool:
        angry.extend(complained(port, receiver, taken, 1))
        return bool(running.status()["guard"]["paused"])

    running.until(is_paused, "paused by its complaints")
    assert 3 <= len(set(angry)) < 20
    running.until(lambda: not running.status()["in_flight"] + running.status()["ready"], "quiet")
    got = running.status()["delivered"]
    words = {"NAME": "shop", "MAILING": "sale", "ADDRESS": angry[0]}
    stopped, which, by_hand, consent, ended = walked("### Complaints", words)

    told = run(running, stopped)
    assert "paused: sender shop mailing sale" in told.stdout
    assert f"{len(set(angry))} complaints on" in told.stdout
    assert "sokutatsu resume 1" in told.stdout
    assert re.search(r"shop/sale +paused, order 1 ", told.stdout), told.stdout

    told = run(running, which)
    assert told.stdout.split() == [str(len(set(angry))), "shop", "sale"], told

    told = run(running, by_hand)
    assert (told.returncode, "order 2 is in force" in told.stdout, "order 3" in told.stdout) == (0, True, True), told

    told = run(running, consent)
    assert told.returncode == 0, "the evidence is there"
    assert "COMPLAINT" in told.stdout
    assert "form 12" in told.stdout
    (page,) = (running.folder / "state" / "evidence").glob("*.html")
    assert "form 12" in page.read_text("utf-8")

    told = run(running, ended)
    assert told.returncode == 0, told
    assert "resumed: 1, 2" in told.stdout
    status = running.settled()
    assert (status["delivered"], status["cancelled"]) == (got, PEOPLE - got)
    assert status["directives"] == []
    assert not status["guard"]["paused"]
    assert run(running, "sokutatsu guard").returncode == 0


def test_resumed_it_goes_on_without_the_complainers_and_pauses_again(storm: tuple[Running, RunningSink, int]) -> None:
    running, receiver, port = storm
    running.until(lambda: running.status()["delivered"] >= 1200, "enough to judge")
    taken: set[Path] = set()
    for number in (1, 2):

        def is_paused() -> bool:
            complained(port, receiver, taken, 1)
            return bool(running.status()["guard"]["paused"])

        running.until(is_paused, "paused")
        (order,) = running.status()["guard"]["paused"]
        assert (order["number"], order["mailing"]) == (number, "sale")
        before = running.status()["delivered"]
        assert run(running, f"sokutatsu resume {number}").returncode == 0
        running.until(lambda least=before: running.status()["delivered"] > least + 100, "it goes on")
    status = running.settled()
    assert status["delivered"] + status["suppressed"] == PEOPLE


def blocking(server: Hostile, connection: socket.socket) -> None:
    said = b"554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using zen.spamhaus.org\r\n"
    while True:
        for line in read_until(connection, b"\r\n").upper().splitlines():
            answer = said if line.startswith(b"MAIL") else b"250 ok\r\n" if line == b"RSET" else b"503 no\r\n"
            connection.sendall(b"221 bye\r\n" if line == b"QUIT" else answer)


def test_a_site_that_blocks_us(tmp_path: Path) -> None:
    with (
        Hostile(blocking) as server,
        sink(tmp_path) as receiver,
        engine(tmp_path / "engine", {"*": f"127.0.0.1:{server.port}"}) as running,
    ):
        with running.client() as client:
            client.submit([f"reader{number}@d.example" for number in range(300)], terms("sale"))
        running.until(lambda: bool(running.status()["directives"]), "held back")
        running.until(lambda: not running.status()["in_flight"] + running.status()["ready"], "quiet")
        look, suspend, resume = walked("### A site blocks or slows us", {"DOMAIN": "d.example"})
        told = run(running, look)
        assert told.returncode == 0, told
        assert "blocked using zen.spamhaus.org" in told.stdout.split("Orders in force")[1].split("domain ")[0]
        assert "binds now suspended" in told.stdout
        assert re.search(r"class +block\n", told.stdout)
        assert "order 2 is in force" in run(running, suspend).stdout
        bounced = running.status()["bounced"]
        assert bounced < 10, "the others wait"
        told = run(running, resume)
        assert "resumed: 2" in told.stdout
        assert re.search(r"\n +1 suspend site 127.0.0.1:\d+, source default", told.stdout), told.stdout
        assert "resumed: 1" in run(running, "sokutatsu resume 1").stdout
        # Delisted: the receiver takes mail again, and the restart that the runbook names ends the rest as well.
        assert running.stop() == 0
        rewrite(running, (f"127.0.0.1:{server.port}", f"127.0.0.1:{receiver.ports[0]}"))
        running.start()
        assert running.settled()["delivered"] == 300 - bounced


def test_a_dkim_key_is_rotated(tmp_path: Path) -> None:
    """Under load it is in test_reload.py; here are the commands."""
    with sink(tmp_path) as receiver, engine(
        tmp_path / "engine", {"*": f"127.0.0.1:{receiver.ports[0]}"}
    ) as running:  # fmt: skip
        words = {
            "/etc/sokutatsu": str(running.folder),
            "news.example.jp": "shop.example",
            "sokutatsu:": str(os.getuid()),
        }
        keygen, check, change = walked("## Rotate a DKIM key", words)
        told = run(running, keygen)
        assert (told.returncode, "s2026b._domainkey.shop.example. IN TXT" in told.stdout) == (0, True), told
        told = run(running, check)
        assert (told.returncode, "publish it" in told.stdout + told.stderr) == (1, True), told
        rewrite(running, ('selector = "s1"', 'selector = "s2026b"'), ('key = "dkim.pem"', 'key = "dkim-s2026b.pem"'))
        told = run(running, change)
        assert "signed as shop.example: s2026b" in told.stdout
        assert "shop.example signs with s2026b (before: s1)" in told.stdout
        with running.client() as client:
            client.submit(["reader@d.example"], terms())
        assert running.settled()["delivered"] == 1
        receiver.flushed()
        assert b"s=s2026b" in next(receiver.samples.glob("*.eml")).read_bytes().replace(b" ", b"")


def test_ctrl_c_ends_top_as_its_help_says(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    with engine(tmp_path, {"*": "127.0.0.1:9"}) as running:
        line = [sys.executable, "-m", "engine", "top", "--interval", "0.2", "--socket", running.socket]
        # What a script starts with & ignores it, and its children do: not those of somebody who listens.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        top = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=its, stderr=subprocess.PIPE)
        signal.signal(signal.SIGINT, before)
        try:
            shown, until = b"", time.monotonic() + 30
            while b"delivered" not in shown:
                assert time.monotonic() < until, shown
                assert select.select([ours], [], [], 30)[0], shown
                shown += os.read(ours, 65536)
            top.send_signal(signal.SIGINT)
            assert (top.wait(20), top.stderr and top.stderr.read()) == (0, b"")
        finally:
            top.kill()
            top.communicate()
    os.close(ours)
    os.close(its)
