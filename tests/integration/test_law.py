"""An order of the authorities and the questions of a compliance officer, against a real engine that sends."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.integration.running import MESSAGE, Running, Terms, engine, received, sink

AD = Terms(sender="shop", category="AD", mailing="m", message=MESSAGE)


def command(running: Running, *words: str) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "engine", *words, "--socket", running.socket]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def consents(running: Running, *addresses: str, basis: str = "OPTIN_REC") -> None:
    record = {"at": 1_700_000_000, "source": "web", "basis": basis, "evidence": "form 12 \x1b[2J"}
    with running.client() as client:
        client.consent("shop", [{"address": address, **record} for address in addresses])


def test_an_order_pulls_what_is_queued_and_a_release_leaves_recorded_consent_only(tmp_path: Path) -> None:
    addresses = [f"reader-{number}@d.example" for number in range(40)]
    slow = {"max_message_rate": '"8/s"'}
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping=slow, start=False
    ) as running:  # fmt: skip
        with_categories = running.folder / "sokutatsu.toml"
        text = with_categories.read_text("utf-8")
        with_categories.write_text(text.replace('legal_name = "x"', 'legal_name = "x"\ncategories = ["AD", "TX"]'))
        running.start()
        consents(running, *addresses)
        consents(running, "card@d.example", basis="CARD")
        with running.client() as client:
            client.submit(addresses, AD)
            running.until(lambda: running.status()["delivered"] > 0, "something delivered")
            client.call("order", {"action": "add", "sender": "shop", "kind": "ORDER7", "day": "2026-01-15"})
            got = received(receiver).total()
            status = running.settled()
            assert status["suppressed_by_reason"] == {"ORDER7_HOLD": 40 - status["delivered"]}
            assert received(receiver).total() <= got + 4, "only what was on the wire"
            assert status["suppressed"] > 0

            why = command(running, "why-not", "card@d.example", "--sender", "shop", "--category", "AD")
            assert why.returncode == 1
            assert "ORDER7_HOLD" in why.stdout
            released = ["--sender", "shop", "--kind", "ORDER7", "--officer", "山田"]
            assert command(running, "order", "release", *released).returncode == 0
            again = command(running, "order", "release", *released)
            assert (again.returncode, "no such order is in force" in again.stderr) == (2, True)
            client.submit(
                [addresses[-1], "card@d.example"], Terms(sender="shop", category="AD", mailing="n", message=MESSAGE)
            )
            reasons = running.settled()["suppressed_by_reason"]
            assert reasons["ORDER7_CONSENT_ONLY"] == 1
        listed = command(running, "order", "list")
        assert "山田" in listed.stdout
        assert "措置命令" in listed.stdout
        assert "解除済" in listed.stdout


def test_why_not_in_one_screen(tmp_path: Path) -> None:
    with engine(tmp_path, {"*": "127.0.0.1:9"}) as running:
        consents(running, "Taro@d.example")
        with running.client() as client:
            client.suppress("taro@d.example", "shop", "news", "one-click")
            client.suppress("taro@d.example", channel="phone")
            before = time.time()
        asked = ("why-not", "taro@d.example", "--sender", "shop", "--category", "AD", "--topic", "news")
        said = command(running, *asked)
        assert (said.returncode, said.stderr) == (1, "")
        for words in (
            "BLOCK OPTOUT_ALL",
            "特定電子メール法3条3項",
            "The recipient refused",
            "one-click",
            "phone",
            "JST",
            "UTC",
        ):
            assert words in said.stdout, said.stdout
        assert "form 12  [2J" in said.stdout
        assert "\x1b" not in said.stdout
        assert len(said.stdout.splitlines()) < 60
        assert time.strftime("%Y-%m-%d", time.gmtime(before)) in said.stdout
        assert command(running, *asked[:4], "--category", "TX").returncode == 0
        unknown = command(running, "why-not", "taro@d.example", "--sender", "nobody", "--category", "AD")
        assert (unknown.returncode, "unknown_sender" in unknown.stderr or "not configured" in unknown.stderr) == (
            2,
            True,
        )


def test_who_refuses_an_agency_is_mailed_by_none_of_its_clients_also_of_those_that_come_by_a_reload(
    tmp_path: Path,
) -> None:
    """A6: the agency's client by another road, and a client that is configured after the refusal."""
    with engine(tmp_path, {"*": "127.0.0.1:9"}, start=False) as running:
        path = running.folder / "sokutatsu.toml"
        text = path.read_text("utf-8").replace('legal_name = "株', 'agency = "koukoku"\nlegal_name = "株')

        def sender(name: str, more: str) -> str:
            start = text.index("[senders.shop]")
            table = text[start : text.index("[preflight]")].replace("senders.shop", f"senders.{name}")
            return table.replace('agency = "koukoku"', more)

        direct = sender("direct", 'client = "shop"')
        path.write_text(text.replace("[preflight]", f"{direct}[preflight]"), "utf-8")
        running.start()
        said = command(running, "suppress", "taro@d.example", "--agency", "koukoku")
        assert (said.returncode, "of any client of koukoku" in said.stdout) == (0, True), said.stderr
        wrong = command(running, "suppress", "taro@d.example", "--agency", "kokoku")
        assert (wrong.returncode, "configured are koukoku" in wrong.stderr) == (2, True)

        def reason(name: str) -> str:
            with running.client() as client:
                client.consent(
                    name, [{"address": "taro@d.example", "at": 1_700_000_000, "source": "web", "evidence": "f"}]
                )
                asked = {"address": "taro@d.example", "sender": name, "category": "AD"}
                return str(client.call("why_not", asked)["reason"])

        assert [reason(name) for name in ("shop", "direct")] == ["OPTOUT_ALL", "OPTOUT_ALL"]
        late = sender("late", 'agency = "koukoku"') + sender("free", "")
        path.write_text(text.replace("[routes]", f"{direct}{late}[routes]"), "utf-8")
        with running.client() as client:
            assert client.call("reload", {})["errors"] == []
        assert [reason(name) for name in ("late", "free")] == ["OPTOUT_ALL", ""]
        running.stop()
        running.start()
        assert [reason(name) for name in ("late", "free")] == ["OPTOUT_ALL", ""]


def test_a_legal_hold_from_the_command_line(tmp_path: Path) -> None:
    """What it covers is not erased when the person asks to be forgotten, and is after its release."""
    with engine(tmp_path, {"*": "127.0.0.1:9"}) as running:
        consents(running, "taro@d.example")
        with running.client() as client:
            client.suppress("taro@d.example", "shop")
        what = ("--matter", "case \x1b[2J 12", "--address", "Taro@d.example")
        refused = command(running, "hold", "add", *what)
        assert (refused.returncode, "matter" in refused.stderr) == (2, True), refused.stderr
        what = ("--matter", "令和8年(ワ)第12号", "--address", "Taro@d.example")
        placed = command(running, "hold", "add", *what, "--officer", "山田", "--evidence", "file 9")
        assert (placed.returncode, placed.stderr) == (0, "")
        assert all(words in placed.stdout for words in ("令和8年(ワ)第12号", "Taro@d.example", "山田", "In force"))
        forgotten = command(running, "forget", "taro@d.example", "--confirm", "--withdraw", "--json")
        assert '"erased": 0' in forgotten.stdout, forgotten.stdout
        shown = command(running, "retention", "show", "taro@d.example", "--sender", "shop")
        assert "sokutatsu hold" in shown.stdout
        assert command(running, "hold", "release", *what).returncode == 0
        assert "none is in force" in command(running, "hold", "list").stdout
        assert '"what": "released"' in command(running, "hold", "list", "--json").stdout
