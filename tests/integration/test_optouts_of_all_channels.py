"""A mailing of 100,000 while people refuse in every way there is: nobody is mailed after the refusal was acknowledged.

Each channel is used as its users use it: the socket, the command line, a list, a provider's one-click POST, the page's
button, the unsubscribe mail, a reply in words, a complaint. Whoever was on the wire at the moment of the answer may have
got that one mail; the engine's own measurement says how many these were, and that nothing began later. The guards are
off: so many complaints would pause the mailing, and then it would prove nothing.
"""

from __future__ import annotations

import smtplib
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path

from bench.processes import free_port
from engine.client import Client, Terms
from engine.flow.tokens import open_ring
from suppression.unsubscribe import token_of
from tests.integration.running import MESSAGE, PATIENCE, Running, engine, sink
from tests.integration.test_optout import EFFECT, samples
from tests.integration.test_returning import ARF

READERS = 100_000
EACH = 40
"""Refusals by each channel, spread over the mailing."""


@dataclass
class House:
    running: Running
    web: int
    mail: int
    acknowledged: dict[str, float] = field(default_factory=dict)

    def token(self, address: str) -> str:
        return token_of("shop", "news", address, 1, open_ring(self.running.folder / "state").newest)

    def post(self, address: str, body: bytes) -> None:
        url = f"http://127.0.0.1:{self.web}/u/{self.token(address)}"
        with urllib.request.urlopen(url, body, timeout=PATIENCE) as answer:
            assert answer.status == 200

    def hand_in(self, to: str, text: bytes, sender: str = "") -> None:
        with smtplib.SMTP("127.0.0.1", self.mail, timeout=PATIENCE) as client:
            client.sendmail(sender, [to], text)

    # -- channels ------------------------------------------------------------------------------------------

    def socket(self, address: str) -> None:
        with Client(self.running.socket, patience=PATIENCE) as client:
            client.suppress(address, "shop")

    def one_click(self, address: str) -> None:
        self.post(address, b"List-Unsubscribe=One-Click")

    def page(self, address: str) -> None:
        self.post(address, b"scope=all")

    def mail_with_token(self, address: str) -> None:
        letter = EmailMessage()
        letter["From"], letter["To"] = address, "stop@shop.example"
        letter["Subject"] = f"unsubscribe {self.token(address)}"
        letter.set_content("")
        self.hand_in("stop@shop.example", letter.as_bytes(), address)

    def reply_in_words(self, address: str) -> None:
        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = address, "stop@shop.example", "Re: お知らせ"
        letter.set_content("配信停止を希望します。\n", charset="iso-2022-jp")
        self.hand_in("stop@shop.example", letter.as_bytes(), address)

    def complaint(self, address: str) -> None:
        link = f"List-Unsubscribe: <https://shop.example/u/{self.token(address)}>"
        original = f"From: news@shop.example\nTo: {address}\nSubject: Hello\n{link}\n\nHello\n"
        self.hand_in("fbl@shop.example", ARF.format(original=original).encode(), "fbl@provider.example")

    def command(self, address: str) -> None:
        self._run("suppress", address, "--sender", "shop")

    def listed(self, address: str) -> None:
        file = self.running.folder / f"{address}.csv"
        file.write_text(f"address\n{address}\n", encoding="utf-8")
        self._run("optouts", "import", str(file), "--sender", "shop", "--channel", "list")

    def _run(self, *words: str) -> None:
        command = [sys.executable, "-m", "engine", *words, "--socket", self.running.socket]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 0, done.stderr


@contextmanager
def house(folder: Path, to: int) -> Iterator[House]:
    web, mail = free_port(), free_port()
    more = f"""[unsubscribe]
listen = "127.0.0.1:{web}"
[return_path]
listen = "127.0.0.1:{mail}"
optout_addresses = ["stop@shop.example"]
addresses = ["fbl@shop.example"]
[guard]
enabled = false
"""
    shaping: dict[str, object] = {"max_message_rate": '"2500/s"', "connection_limit": 10}
    with engine(folder, {"*": f"127.0.0.1:{to}"}, more=more, shaping=shaping) as running:
        yield House(running, web, mail)


def addresses(channel: str, count: int) -> list[str]:
    return [f"{channel}-{number}@d{number % 50}.example" for number in range(count)]


def mailing(refusing: dict[str, list[str]]) -> list[str]:
    """Those who will refuse stand spread over the whole mailing."""
    everybody = addresses("reader", READERS - sum(map(len, refusing.values())))
    step = len(everybody) // EACH
    for people in refusing.values():
        for number, address in enumerate(people):
            everybody.insert(number * step + step // 2, address)
    return everybody


def test_nobody_is_mailed_after_a_refusal_by_any_channel(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, house(tmp_path / "engine", receiver.ports[0]) as open_house:
        running = open_house.running
        channels: dict[str, Callable[[str], None]] = {
            "socket": open_house.socket,
            "one-click": open_house.one_click,
            "page": open_house.page,
            "mail": open_house.mail_with_token,
            "words": open_house.reply_in_words,
            "arf": open_house.complaint,
            "command": open_house.command,
            "list": open_house.listed,
        }
        few = {"command": 6, "list": 6}  # a process each
        refusing = {channel: addresses(channel, few.get(channel, EACH)) for channel in channels}
        everybody = mailing(refusing)
        with running.client() as client:
            for start in range(0, READERS, 10_000):
                records = [
                    {"address": address, "at": 1_700_000_000, "source": "web", "evidence": "form 1"}
                    for address in everybody[start : start + 10_000]
                ]
                assert client.consent("shop", records)["recorded"] == len(records)
            terms = Terms(sender="shop", category="AD", mailing="all", message=MESSAGE, topic="news")
            for answer in client.submit_many(everybody, terms):
                assert not answer.refused
        acknowledged: dict[str, float] = {}
        faults: list[Exception] = []

        def refuse(channel: str) -> None:
            try:
                for address in refusing[channel]:
                    channels[channel](address)
                    acknowledged[address] = time.time()
            except Exception as error:  # noqa: BLE001 - shown by the assertion below
                faults.append(error)

        threads = [threading.Thread(target=refuse, args=(channel,)) for channel in channels]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE * 5)
        assert faults == []
        assert running.status()["delivered"] < READERS - len(acknowledged), "refused while it was sent"
        status = running.settled(PATIENCE * 5)

        assert len(acknowledged) == sum(map(len, refusing.values()))
        receiver.flushed()
        arrived = {receipt.recipient: receipt.at for receipt in receiver.read()}
        assert len(arrived) == status["delivered"]
        assert status["delivered"] + status["suppressed"] == READERS
        for channel, people in refusing.items():
            assert [a for a in people if a not in arrived], f"{channel}: some were stopped"
        seen = samples(running)
        assert seen["sokutatsu_suppression_optout_late_total"] == 0
        running.until(lambda: samples(running)[f"{EFFECT}_count"] == len(acknowledged), "each refusal measured")
        later = [address for address, at in acknowledged.items() if arrived.get(address, 0.0) > at]
        assert len(later) <= len(acknowledged) - samples(running)[f"{EFFECT}_bucket 0.0"]
        assert all(arrived[address] - acknowledged[address] < 5 for address in later), "on the wire at that moment"
        assert running.stop() == 0
