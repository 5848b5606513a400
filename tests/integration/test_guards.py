"""Guards and the preflight against a real engine: paused over a crash, resumed by command, revoked, gated by DNS."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.processes import free_port, started
from engine.signer.keys import dns_record, read_key
from tests.integration.running import MESSAGE, Running, Terms, engine, received, sink, terms


def command(running: Running, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "engine", *words, "--socket", running.socket]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def people(count: int, unknown: int) -> list[str]:
    return [f"{'bounce-' if number % unknown == 0 else 'reader'}{number}@d.example" for number in range(count)]


def test_a_paused_mailing_survives_a_crash_and_goes_on_by_command(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, engine(tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}) as running:
        with running.client() as client:
            client.submit(people(2500, 15), terms("old"))
        running.until(lambda: bool(running.status()["guard"]["paused"]), "paused")
        running.until(lambda: not running.status()["in_flight"] + running.status()["ready"], "quiet")
        (paused,) = running.status()["guard"]["paused"]
        assert (paused["sender"], paused["mailing"]) == ("shop", "old")
        assert "unknown users" in paused["reason"]
        running.until((running.folder / "state" / "directives.json").exists, "kept")
        running.kill()
        got = received(receiver).total()
        running.start()
        with running.client() as client:
            client.submit(people(100, 1000), terms("good"))
        running.until(lambda: received(receiver).total() >= got + 99, "the other mailing delivered")
        shown = command(running, "guard")
        assert shown.returncode == 1
        assert "sokutatsu resume" in shown.stdout
        assert running.status()["waiting"] > 1000
        assert "sokutatsu_guard_paused 1.0" in running.page("metrics")
        assert command(running, "resume", "--mailing", "old").returncode == 0
        running.until(lambda: received(receiver).total() >= got + 200, "it goes on")


def test_the_never_mailed_wait_for_their_canary(tmp_path: Path) -> None:
    addresses = [f"reader{number}@d.example" for number in range(600)]
    advertising = Terms(sender="shop", category="AD", mailing="new", message=MESSAGE)
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, more="[guard]\ncanary = 100\n"
    ) as running:  # fmt: skip
        record = {"at": 1_700_000_000, "source": "web", "evidence": "form 12"}
        with running.client() as client:
            client.consent("shop", [{"address": address, **record} for address in addresses])
            client.submit(addresses, advertising)
        status = running.settled()
        assert received(receiver).total() == 600
        (watched,) = status["guard"]["watched"]
        assert (watched["canary"]["state"], watched["canary"]["replies"]) == ("good", 100)
        assert status["guard"]["canary_held"] > 0


def test_a_revoked_sender_sends_nothing_until_it_is_restored(tmp_path: Path) -> None:
    slow = {"max_message_rate": '"20/s"'}
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping=slow
    ) as running:  # fmt: skip
        with running.client() as client:
            client.submit([f"reader{number}@d.example" for number in range(2000)], terms())
        running.until(lambda: received(receiver).total() > 0, "something delivered")
        revoked = command(running, "sender", "revoke", "shop", "--reason", "契約終了")
        assert (revoked.returncode, "sender restore shop" in revoked.stdout) == (0, True)
        running.until(lambda: not running.status()["in_flight"] + running.status()["ready"], "quiet")
        got = received(receiver).total()
        assert got < 2000
        assert command(running, "sender", "restore", "shop").returncode == 0
        running.until(lambda: received(receiver).total() >= got + 20, "it goes on")
        assert command(running, "sender", "restore", "shop").returncode == 1


# -- the preflight -------------------------------------------------------------------------------------------------


def in_order(running: Running) -> dict[str, Any]:
    spf = ['"v=spf1 ip4:192.0.2.7 -all"']
    return {
        "shop.example": {"MX": ["10 mx.shop.example."], "TXT": spf, "A": ["127.0.0.1"]},
        "s1._domainkey.shop.example": {"TXT": [f'"{dns_record(read_key(running.folder / "dkim.pem"))}"']},
        "_dmarc.shop.example": {"TXT": ['"v=DMARC1; p=none; rua=mailto:d@shop.example"']},
        "7.2.0.192.in-addr.arpa": {"PTR": ["out.shop.example."]},
        "out.shop.example": {"A": ["192.0.2.7"]},
        "mx.shop.example": {"A": ["192.0.2.8"]},
    }


@contextlib.contextmanager
def asked(running: Running, zone: dict[str, Any], more: str = 'allow_networks = ["127.0.0.0/8"]\n') -> Iterator[None]:
    """The engine's resolver knows this zone; its preflight is enforced. Where its own page is, nobody answers."""
    port = free_port()
    (running.folder / "zone.json").write_text(json.dumps({"zone": zone}), "utf-8")
    file = running.folder / "sokutatsu.toml"
    text = file.read_text("utf-8").partition("[resolver]")[0].replace('[preflight]\nmode = "off"\n', "")
    addresses = 'addresses = ["192.0.2.7 out.shop.example"]'
    resolver = f'[resolver]\nservers = ["127.0.0.1:{port}"]\n{more}'
    tables = f'{resolver}[preflight]\nmode = "enforce"\n{addresses}\n'
    file.write_text(text + tables, "utf-8")
    line = [sys.executable, "-m", "tests.fakes.dns", str(running.folder / "zone.json"), "--port", str(port)]
    with started("dns", line, running.folder / "dns.log", pipe=True) as child:
        assert child.first_line()["port"] == port
        yield


def preflight(running: Running, *words: str) -> subprocess.CompletedProcess[str]:
    config = str(running.folder / "sokutatsu.toml")
    line = [sys.executable, "-m", "engine", "preflight", "shop", "--config", config, *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_a_sender_that_dns_does_not_vouch_for_is_refused_until_it_does(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, start=False
    ) as running:  # fmt: skip
        whole = in_order(running)
        record = whole["s1._domainkey.shop.example"]["TXT"][0]
        with asked(running, {name: told for name, told in whole.items() if "_domainkey" not in name}):
            shown = preflight(running)
            assert shown.returncode == 1, shown.stderr
            assert f"s1._domainkey.shop.example. IN TXT {record}" in shown.stdout.replace("\n", " ")
            running.start()
            running.until(lambda: running.status()["preflight"].get("shop", {}).get("level") == "refuse", "looked at")
            with running.client() as client:
                client.submit(["reader@d.example"], terms())
            assert running.settled()["suppressed_by_reason"] == {"IDENTITY_REFUSED": 1}
            running.stop()
        # What was refused is looked at again soon; a key that is new is looked at by the next start.
        (running.folder / "state" / "preflight.json").unlink()
        with asked(running, whole):
            told = json.loads(preflight(running, "--json").stdout)
            assert told["level"] in ("ok", "warn"), told
            assert "dkim.pass" in {one["code"] for one in told["findings"]}
            running.start()
            with running.client() as client:
                client.submit(["reader@d.example"], terms())
            running.until(lambda: running.status()["delivered"] == 1, "delivered")


def test_the_network_is_asked_where_an_opt_out_leads_when_that_is_wanted(tmp_path: Path) -> None:
    """D02: a page that nobody outside can reach blocks, in lint and in the preflight; without the option nobody asks."""
    with engine(tmp_path, {"*": "127.0.0.1:9"}, start=False) as running:
        whole = in_order(running)
        message = tmp_path / "m.toml"
        message.write_text('subject = "s"\ntext = """\nhello\n%footer%\n"""\n', "utf-8")
        config = str(running.folder / "sokutatsu.toml")
        line = [sys.executable, "-m", "engine", "lint", str(message), "--sender", "shop", "--config", config]

        def lint(*more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run([*line, *more], capture_output=True, text=True, timeout=60, check=False)

        with asked(running, whole, ""):
            assert lint().returncode == 0
            found = lint("--network", "--json")
            (finding,) = json.loads(found.stdout)["findings"]
            assert (found.returncode, finding["rule"], finding["severity"]) == (2, "D02", "block"), found
            assert "127.0.0.1" in finding["en"]
            assert "optout" not in preflight(running, "--json").stdout
            told = json.loads(preflight(running, "--network", "--json").stdout)
            assert "optout.private" in {one["code"] for one in told["findings"]}
            running.start()
            running.until(lambda: running.status()["preflight"].get("shop", {}).get("level") == "refuse", "looked at")
            kept = json.loads((running.folder / "state" / "preflight.json").read_text("utf-8"))
            assert [code for code in kept["shop"]["codes"] if code.startswith("refuse ")] == [
                "refuse optout.private shop.example"
            ], "the engine asks, too, before the first use"
