"""A running engine under another configuration: all of it or none, and no mail fails while a DKIM key is rotated."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.journal import segments
from engine.signer.keys import generate_key, key_pem
from tests.integration.running import Running, engine, received, sink, terms

RATE = {"max_message_rate": '"600/s,max_burst=1"'}


def rewrite(running: Running, *pairs: tuple[str, str]) -> None:
    path = running.folder / "sokutatsu.toml"
    text = path.read_text("utf-8")
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text, "utf-8")


def another_key(folder: Path, name: str) -> None:
    path = folder / name
    path.touch(0o600)
    path.write_bytes(key_pem(generate_key("ed25519")))


def selectors(folder: Path) -> Counter[str]:
    """s= of the signature of everything that was received."""
    found: Counter[str] = Counter()
    for message in folder.rglob("*.eml"):
        head = message.read_bytes().partition(b"\r\n\r\n")[0].replace(b"\r\n", b"")
        found[head.partition(b"; s=")[2].partition(b";")[0].decode()] += 1
    return found


def test_a_key_is_rotated_under_load_and_no_mail_fails(tmp_path: Path) -> None:
    """Twice, while some thousand letters go out: every letter is delivered once, none is deferred, and both keys sign."""
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping=RATE
    ) as running, running.client() as client:  # fmt: skip
        addresses = [f"r{n}@d{n % 7}.example" for n in range(2400)]
        for start in range(0, 2400, 400):
            client.submit(addresses[start : start + 400], terms("sale"))
        for number, (old, new) in enumerate((("s1", "s2"), ("s2", "s3"))):
            at_least = 200 + 600 * number
            running.until(lambda least=at_least: running.status()["delivered"] > least, "under load")
            another_key(tmp_path, f"{new}.pem")
            rewrite(running, (f'selector = "{old}"', f'selector = "{new}"'))
            rewrite(running, ('key = "dkim.pem"' if old == "s1" else f'key = "{old}.pem"', f'key = "{new}.pem"'))
            told = client.call("reload", {})
            assert (told["errors"], told["changes"]) == ([], [f"shop.example signs with {new} (before: {old})"])
            assert running.status()["delivered"] < 2400, "it was under load"
        status = running.settled()
        got = received(receiver)
        assert running.stop() == 0
        assert (status["delivered"], status["deferrals"], status["bounced"]) == (2400, 0, 0)
        assert got == dict.fromkeys(addresses, 1)
        assert running.ends() == {"Delivery": 2400}


def test_senders_routes_and_limits_change_for_what_waits(tmp_path: Path) -> None:
    """Mail that waits for a receiver that is away goes by the new route, written for the new sender."""
    with sink(tmp_path) as receiver, engine(tmp_path, {"*": "127.0.0.1:9"}) as running, running.client() as client:
        client.submit([f"r{n}@d.example" for n in range(50)], terms("sale"))
        running.until(lambda: bool(running.status()["sites"]), "tried")
        rewrite(
            running,
            ('"*" = { to = "127.0.0.1:9"', f'"*" = {{ to = "127.0.0.1:{receiver.ports[0]}"'),
            ('address = "news@shop.example"', 'address = "new@shop.example"'),
            ("connection_limit = 4", "connection_limit = 2"),
        )
        assert running.child is not None
        running.child.popen.send_signal(signal.SIGHUP)
        status = running.settled()
        assert status["delivered"] == 50
        assert set(received(receiver).values()) == {1}
        assert main(["why", "d.example", "--socket", running.socket]) == 0
        assert running.stop() == 0
        log = running.log.read_text("utf-8")
        assert "reloaded: senders changed: shop; routes changed; shaping changed" in log


def test_a_refused_reload_names_every_error_and_changes_nothing(tmp_path: Path, capsys) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}
    ) as running, running.client() as client:  # fmt: skip
        file = tmp_path / "sokutatsu.toml"
        before = file.read_text("utf-8")

        def refused(text: str, *words: str) -> None:
            file.write_text(text, "utf-8")
            assert main(["reload", "--socket", running.socket]) == 2
            err = capsys.readouterr().err
            assert all(word in err for word in (*words, "nothing was changed")), err

        refused(before + "[nonsense]\n[spool]\ndisk_floor = 7\n", "'nonsense': unknown table", "spool.disk_floor")
        refused(
            before.replace("workers = 1", "workers = 2").replace('state = "state"', 'state = "other"'),
            "engine.state:",
            "signer.workers: 1 to 2 cannot change while the engine runs: restart it",
            "socket.path:",
        )
        refused(before.replace('key = "dkim.pem"', 'key = "missing.pem"'), "missing.pem", "No such file")
        refused(before + '[suppression]\nrules = "nowhere"\n', "suppression.rules")
        file.write_text(before, "utf-8")
        client.submit([f"r{n}@d.example" for n in range(20)], terms("after"))
        assert running.settled()["delivered"] == 20
        assert main(["reload", "--socket", running.socket]) == 0
        assert "nothing is new" in capsys.readouterr().out
        assert running.stop() == 0
        assert segments(tmp_path / "state" / "journal")


@pytest.mark.parametrize("asked_by", ["socket", "signal"])
def test_a_ledger_that_fails_while_refusals_are_taken_over_is_the_answer_and_stops_the_engine(
    tmp_path: Path, capsys, asked_by: str
) -> None:
    with engine(tmp_path, {"*": "127.0.0.1:9"}) as running:
        with closing(sqlite3.connect(tmp_path / "state" / "suppression" / "ledger.sqlite")) as ledger:
            ledger.execute("DROP TABLE hashed_optout")
        rewrite(running, ("[senders.shop]\n", '[senders.shop]\nclient = "ours"\n'))
        assert running.child is not None
        if asked_by == "socket":
            assert main(["reload", "--socket", running.socket]) == 3
            err = capsys.readouterr().err
            assert "the engine refused: ledger_failed: refusals could not be taken over for senders of" in err
            assert "no such table: hashed_optout" in err
            assert "check its disk for room and faults, then start again" in err
            assert "nothing was changed" not in err
        else:
            running.child.popen.send_signal(signal.SIGHUP)
        assert running.child.popen.wait(60) == 1
        log = running.log.read_text()
        assert "stopped by a fault: suppression ledger: SQLError: no such table: hashed_optout" in log
        assert "Traceback" not in log


def test_draining_delivers_what_is_there_and_takes_nothing_new(tmp_path: Path, capsys) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping={"max_message_rate": '"100/s,max_burst=1"'}
    ) as running, running.client() as client:  # fmt: skip
        client.submit([f"r{n}@d.example" for n in range(150)], terms("before"))
        assert main(["drain", "--socket", running.socket, "--wait", "--timeout", "0.1"]) == 1
        assert "recipients left" in capsys.readouterr().out
        assert running.page("readyz") == "draining\n"
        assert main(["suppress", "r1@d.example", "--socket", running.socket]) == 0, "a refusal is always taken"
        message, recipients = tmp_path / "m.json", tmp_path / "r.csv"
        message.write_text('{"subject": "x", "text": "y %footer%"}')
        recipients.write_text("address\nnew@d.example\n")
        asked = ["--sender", "shop", "--category", "TX", "--mailing", "m", "--message", str(message)]
        socket = ["--socket", running.socket, "--patience", "1"]
        assert main(["enqueue", *asked, "--recipients", str(recipients), *socket]) == 3
        assert main(["drain", "--socket", running.socket, "--wait"]) == 0
        assert "nobody is left" in capsys.readouterr().out
        assert main(["drain", "--socket", running.socket, "--off", "--json"]) == 0
        assert main(["enqueue", *asked, "--recipients", str(recipients), *socket]) == 0
        assert running.settled()["delivered"] == 151
        assert running.stop() == 0


def test_a_trace_shows_the_dialogue_and_neither_message_nor_control_characters(tmp_path: Path, capsys) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}
    ) as running, running.client() as client:  # fmt: skip
        told = client.call("trace", {"target": "D.example.", "sessions": 1})
        assert (told["site"], told["lines"], told["is_over"]) == (f"127.0.0.1:{receiver.ports[0]}", [], False)
        client.submit(["taro@d.example"], terms("one"))
        running.settled()
        lines = client.call("trace", {"number": told["number"]})["lines"]
        text = "\n".join(f"{direction} {line}" for _, _, _, direction, line in lines)
        for word in ("* connecting to 127.0.0.1", "< 220", "> EHLO out.shop.example", "< 250", "> MAIL FROM:<",
                     "> RCPT TO:<taro@d.example>", "> DATA", "< 354", "bytes of message)"):  # fmt: skip
            assert word in text, text
        assert "Dear reader" not in text
        assert [number for number, *_ in lines] == list(range(1, len(lines) + 1))
        assert client.call("trace", {"number": told["number"], "after": len(lines)})["lines"] == []
        client.call("trace", {"number": told["number"], "stop": True})
        assert main(["trace", "d.example", "--socket", running.socket, "--timeout", "0", "--json"]) == 1
        assert "open already" in capsys.readouterr().out
        assert main(["trace", "d.example", "--socket", running.socket, "--next", "99"]) == 2
        assert main(["trace", "", "--socket", running.socket]) == 2
        assert running.stop() == 0
