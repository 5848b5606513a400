"""A mailing of all kinds through a real engine to a real receiver: the sums agree with what the receiver got."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from bench.rig import RunningSink
from tests.integration.running import Running, engine, impatient, received, sink, terms

# What the receiver does to a local part (bench/faults.py), the end it comes to, and how often it can be received.
# 421 is not among them: it rests the whole path for half a minute (tests/unit/flow/test_dispatch.py has it).
KINDS = {
    "reader-": ("Delivery", 1, 1),
    "bounce-": ("Bounce", 0, 0),
    "dotfail-": ("Bounce", 0, 0),
    "defer-1-": ("Delivery", 1, 1),
    "dotdefer-2-": ("Delivery", 1, 1),
    "drop-rcpt-1-": ("Delivery", 1, 1),
    "drop-data-1-": ("Delivery", 1, 1),
    "drop-payload-1-": ("Delivery", 1, 1),
    "drop-dot-1-": ("Delivery", 2, 2),
    "stall-1-": ("Delivery", 1, 1),
    "stall-data-1-": ("Delivery", 1, 1),
    "stall-dot-1-": ("Delivery", 2, 2),
}


def kind_of(address: str) -> str:
    return next(kind for kind in sorted(KINDS, key=len, reverse=True) if address.startswith(kind))


def mailing(readers: int, others: int) -> list[str]:
    """Who stalls has a site of its own, where patience is short."""
    return [
        f"{kind}{number}@{'slow' if kind.startswith('stall') else f'd{number % 7}'}.example"
        for kind in KINDS
        for number in range(readers if kind == "reader-" else others)
    ]


def agree(running: Running, receiver: RunningSink, addresses: list[str], status: dict[str, int]) -> None:
    """Journal, status and receipts tell the same."""
    ends = {record.recipient: record.type for record in running.journal() if record.type in {"Delivery", "Bounce"}}
    got = received(receiver)
    assert ends == {address: KINDS[kind_of(address)][0] for address in addresses}
    for address in addresses:
        _, least, most = KINDS[kind_of(address)]
        assert least <= got[address] <= most, (address, got[address])
    expected = Counter(KINDS[kind_of(address)][0] for address in addresses)
    assert (status["delivered"], status["bounced"]) == (expected["Delivery"], expected["Bounce"])
    duplicates = sum(got.values()) - len(got)
    assert duplicates <= status["in_doubt"], "nothing arrives twice that was not in doubt"
    assert status["in_doubt"] == status["resent_in_doubt"]


def test_every_kind_comes_to_its_end_and_the_sums_agree(tmp_path: Path) -> None:
    addresses = mailing(455, 4)
    with sink(tmp_path, listeners=2) as receiver:
        quick, slow = receiver.ports
        routes = {"slow.example": f"127.0.0.1:{slow}", "*": f"127.0.0.1:{quick}"}
        with engine(tmp_path, routes, more=impatient(slow)) as running:
            with running.client() as client:
                assert client.submit(addresses, terms()).accepted == len(addresses)
            status = running.settled()
            agree(running, receiver, addresses, status)
            assert running.stop() == 0
            assert running.ends() == {"Delivery": status["delivered"], "Bounce": status["bounced"]}


def test_a_receiver_without_pipelining(tmp_path: Path) -> None:
    addresses = [address for address in mailing(100, 3) if not address.startswith("stall")]
    with sink(tmp_path, "--no-pipelining") as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}
    ) as running:  # fmt: skip
        with running.client() as client:
            client.submit(addresses, terms())
        agree(running, receiver, addresses, running.settled())
        assert "pipelining_violations" not in receiver.counts()["events"]


def test_a_site_that_is_away_and_one_that_stalls_do_not_slow_the_others(tmp_path: Path) -> None:
    with sink(tmp_path, listeners=2) as receiver:
        routes = {
            "away.example": "127.0.0.1:9",
            "slow.example": f"127.0.0.1:{receiver.ports[0]}",
            "*": f"127.0.0.1:{receiver.ports[1]}",
        }
        with engine(tmp_path, routes, shaping={"data_dot_timeout": 600, "rcpt_to_timeout": 600}, stop=0.5) as running:
            with running.client() as client:
                client.submit([f"r{n}@away.example" for n in range(2000)], terms())
                client.submit([f"stall-{n}@slow.example" for n in range(2000)], terms())
                began = time.monotonic()
                client.submit([f"r{n}@good.example" for n in range(500)], terms())
            running.until(lambda: running.status()["delivered"] == 500, "delivered", 20)
            assert time.monotonic() - began < 10, "far more than it needs, far less than any timeout"
            status = running.status()
            sites = {site["site"]: site for site in status["sites"]}
            assert "CONNECT" in sites["127.0.0.1:9"]["last_error"]
            assert sites["127.0.0.1:9"]["paused_seconds"] > 0
            assert status["held"] > 0, "what has no room waits in the spool"


def test_transactional_mail_does_not_wait_behind_a_mailing(tmp_path: Path) -> None:
    """The site takes 50 a second, the mailing needs a minute."""
    limits = {"max_message_rate": '"50/s,max_burst=1"', "max_ready": 100}
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping=limits, stop=1
    ) as running, running.client() as client:  # fmt: skip
        client.submit([f"r{n}@d.example" for n in range(3000)], terms())
        running.until(lambda: running.status()["delivered"] > 20, "begun")
        client.submit(["now@d.example"], terms("orders", priority="transactional"))
        before = sum(received(receiver).values())
        running.until(lambda: received(receiver)["now@d.example"] == 1, "delivered", 60)
        order = [receipt.recipient for receipt in receiver.read()]
        # Not by the clock, which says what else the machine does: the hundred that are ready already stay behind it.
        assert order.index("now@d.example") - before < 50
        waited = running.status()["first_attempt_p99_seconds"]
        assert waited["transactional"] < waited["bulk"]
