"""Opt-out, cancel and expiry against a real engine, in mid-flight and from every state."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import Any

from engine.client import Client, Terms
from tests.integration.running import engine, received, sink, terms


def test_cancel_in_mid_flight_stops_the_rest_at_once(tmp_path: Path) -> None:
    """The site takes 200 a second of a mailing that needs ten; what arrives after the answer was on the wire."""
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping={"max_message_rate": '"200/s,max_burst=1"'}
    ) as running, running.client() as client:  # fmt: skip
        addresses = [f"r{n}@d{n % 5}.example" for n in range(2000)]
        client.submit(addresses[:1000], terms("sale"))
        client.submit(addresses[1000:], terms("sale", not_before=int(time.time()) + 3600))
        client.submit([f"other{n}@d1.example" for n in range(50)], terms("other"))
        running.until(lambda: running.status()["delivered"] > 50, "begun")
        client.cancel("shop", "sale")
        at_cancel = sum(count for address, count in received(receiver).items() if address.startswith("r"))
        status = running.settled(30)
        got = received(receiver)
        arrived = sum(count for address, count in got.items() if address.startswith("r"))
        assert arrived - at_cancel <= 4 * 2 + 2, "no more than what was on the wire"
        assert (status["delivered"], status["cancelled"]) == (arrived + 50, 2000 - arrived)
        assert sum(count for address, count in got.items() if address.startswith("other")) == 50
        mailings = {mailing["mailing"]: mailing for mailing in client.status("shop")["mailings"]}
        assert (mailings["sale"]["cancelled"], mailings["sale"]["open"]) == (2000 - arrived, 0)
        assert client.submit(["late@d1.example"], terms("sale")).accepted == 1
        running.settled(10)
        assert received(receiver)["late@d1.example"] == 0
        assert running.stop() == 0
        assert running.ends() == {"Delivery": arrived + 50, "Cancelled": 2001 - arrived}


def ad(mailing: str, **words: Any) -> Terms:
    """An advertisement: an opt-out stops nothing else (特定電子メール法 3条3項)."""
    return dataclasses.replace(terms(mailing, **words), category="AD", topic="news")


def consent(client: Client, addresses: list[str]) -> None:
    at = int(time.time()) - 86400
    records = [
        {"address": address, "at": at, "source": "web", "topics": ["news"], "evidence": "form 1"}
        for address in addresses
    ]
    client.consent("shop", records)


def test_an_acknowledged_opt_out_stops_queued_ready_and_deferred_mail(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"away.example": "127.0.0.1:9", "*": f"127.0.0.1:{receiver.ports[0]}"}
    ) as running, running.client() as client:  # fmt: skip
        everybody = ["ready@away.example", "defer-1-later@d.example", "waiting@d.example", "stays@d.example"]
        consent(client, everybody)
        client.submit(["ready@away.example"], ad("a"))
        client.submit(["defer-1-later@d.example"], ad("b"))
        client.submit(["waiting@d.example", "stays@d.example"], ad("c", not_before=int(time.time()) + 2))
        running.until(lambda: running.status()["deferrals"] == 1, "deferred")
        for address in everybody[:3]:
            client.suppress(address, "shop")
        running.until(lambda: running.status()["delivered"] == 1, "delivered")
        running.until(lambda: running.status()["suppressed"] == 2, "suppressed", 10)
        assert set(received(receiver)) == {"stays@d.example"}
        assert running.stop() == 0
        # After a restart it is in force too, for what was ready and never asked again.
        (tmp_path / "sokutatsu.toml").write_text(
            (tmp_path / "sokutatsu.toml").read_text().replace("127.0.0.1:9", f"127.0.0.1:{receiver.ports[0]}")
        )
        running.start()
        assert running.settled()["suppressed"] == 1
        assert set(received(receiver)) == {"stays@d.example"}
        assert running.stop() == 0
        assert running.ends() == {"Suppressed": 3, "Delivery": 1}


def test_opt_outs_while_a_mailing_runs(tmp_path: Path) -> None:
    """Whoever is answered before anything of theirs was on the wire never gets it."""
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping={"max_message_rate": '"300/s,max_burst=1"'}
    ) as running, running.client() as client:  # fmt: skip
        addresses = [f"r{n}@d{n % 5}.example" for n in range(1200)]
        consent(client, addresses)
        client.submit(addresses, ad("m"))
        acknowledged = []
        for address in addresses[600:800]:
            client.suppress(address, "shop")
            acknowledged.append(address)
        got = received(receiver)
        early = {address for address in acknowledged if got[address]}
        status = running.settled()
        got = received(receiver)
        late = [address for address in acknowledged if got[address] and address not in early]
        assert len(late) <= 8, "only what was on the wire when it was asked"
        assert status["suppressed"] == sum(not got[address] for address in acknowledged)
        assert status["delivered"] + status["suppressed"] == 1200


def test_one_recipient_is_cancelled_and_expiry_ends_the_undeliverable(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"away.example": "127.0.0.1:9", "*": f"127.0.0.1:{receiver.ports[0]}"}
    ) as running, running.client() as client:  # fmt: skip
        soon = int(time.time()) + 4
        client.submit(["a@away.example", "defer-9-b@d.example", "d@nowhere.away.example"], terms("e", expires=soon))
        client.submit(["x@away.example", "y@away.example"], terms("m"))
        running.until(lambda: running.status()["deferrals"] >= 1, "tried")
        assert client.cancel("shop", "m", "x@away.example")["cancelled"] == 1
        running.until(lambda: running.status()["cancelled"] == 1, "cancelled", 3)
        running.until(lambda: running.status()["expired"] == 2, "expired", 15)
        assert time.time() >= soon
        client.cancel("shop", "m")
        status = running.settled(10)
        assert (status["cancelled"], status["expired"], status["delivered"]) == (2, 2, 1)
        assert Counter(received(receiver)) == {"d@nowhere.away.example": 1}
