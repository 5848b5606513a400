"""The sender against the real sink, the loops' signature, the configurations, and what is read from control groups."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from bench.configuration import make_key
from bench.peers.accounting import family, proportional_bytes, usage_in, walked_seconds
from bench.peers.command import complete, main
from bench.peers.kinds import CONFIGURATIONS, PEERS, lay_out
from bench.peers.loops import cryptography_signer, dkimpy_signer
from bench.peers.measure import first_attempts, held_against
from bench.peers.sender import Load, body_of, message_to, send, send_paced
from bench.receipts import Receipt
from bench.sink import Ledger, SinkSettings, start_sink
from bench.verify import verify_message


def sent(addresses: list[str], connections: int = 3) -> tuple[Load, Ledger]:
    load = Load(addresses, "test", body_of(4096))

    async def run() -> Ledger:
        sink = await start_sink(SinkSettings((("127.0.0.1", 0),)), Ledger(sample=10))
        await asyncio.wait_for(send(load, sink.addresses[0][1], connections), 20)
        await sink.close()
        return sink.ledger

    return load, asyncio.run(run())


def test_everything_is_sent_once() -> None:
    load, ledger = sent([f"person{number}@d0.bench.example" for number in range(25)])
    assert load.accepted == 25
    assert load.refused == []
    assert ledger.counts()["unique"] == 25
    assert ledger.counters == {"connections": 3}
    assert all(load.sent_at)


def test_a_refusal_for_now_is_tried_again_and_one_for_good_is_not() -> None:
    load, ledger = sent(
        ["450-1-person1@d0.bench.example", "dotdefer-person2@x.example", "550-person3@d0.bench.example"]
    )
    assert load.accepted == ledger.counts()["received"] == 1
    assert any("person3" in text and "550" in text for text in load.refused)
    assert not any("person1" in text for text in load.refused)


def test_a_lost_connection_is_told() -> None:
    load, _ = sent(["drop-data-person1@d0.bench.example"], connections=1)
    assert load.accepted == 0


def test_single_mails_say_when_they_began() -> None:
    async def run() -> list[float]:
        sink = await start_sink(SinkSettings((("127.0.0.1", 0),)), Ledger())
        addresses = ["urgent0@d0.bench.example", "550-urgent1@d0.bench.example"]
        begun = await send_paced(addresses, sink.addresses[0][1], "test", body_of(1000), 0.0)
        await sink.close()
        return begun

    first, refused = asyncio.run(run())
    assert first > 0
    assert refused == 0.0


@pytest.mark.parametrize("size", [1500, 4096, 100_000])
def test_size(size: int) -> None:
    assert abs(len(message_to("person1@d0.bench.example", "x", body_of(size))) + 600 - size) < 200


def test_both_loops_sign_what_verifies(tmp_path: Path) -> None:
    keys = make_key(tmp_path / "key.pem")
    pem = (tmp_path / "key.pem").read_bytes()
    message = message_to("person1@d0.bench.example", "x", body_of(2000) + b"two  spaces \r\n\r\n\r\n")
    for signer in (cryptography_signer(pem), dkimpy_signer(pem)):
        signed = signer(message)
        assert verify_message(signed, keys).good
        assert not verify_message(signed.replace(b"two", b"too"), keys).good


def test_configurations_are_filled_in(tmp_path: Path) -> None:
    for peer in PEERS:
        run = tmp_path / peer.name
        run.mkdir()
        lay_out(peer, run, port=4711, sink=4712)
        texts = [path.read_text("utf-8") for path in run.rglob("*") if path.is_file()]
        assert any("4711" in text for text in texts)
        assert any("4712" in text for text in texts)
        for name in ("@PORT@", "@SINK@", "@DOMAIN@", "@SELECTOR@", "@MILTER@", "@CORES@"):
            assert not any(name in text for text in texts), (peer.name, name)
    used = {source.partition("/")[0] for peer in PEERS for source, _ in peer.files}
    assert used == {path.name for path in CONFIGURATIONS.iterdir()}


def test_lost_and_duplicates() -> None:
    receipts = [Receipt(1.0, f"person{n}@d.bench.example", "", "", answered=True) for n in (0, 1, 1, 3)]
    assert held_against(4, 4, receipts) == {"lost": 1, "duplicates": 1}
    assert held_against(3, 4, receipts) == {"lost": 0, "duplicates": 1}


def test_first_attempts_are_of_those_that_arrived() -> None:
    told = first_attempts([10.0, 20.0, 0.0, 40.0], {0: 10.5, 1: 20.25, 2: 99.0})
    assert told["single_mails"] == "2 of 4"
    assert told["first_attempt_p99_ms"] == 500.0
    assert first_attempts([10.0], {})["first_attempt_p50_ms"] is None


def test_a_peer_that_left_something_unsigned_is_not_complete() -> None:
    good = {"lost": 0, "received": 5, "accepted": 5, "dkim_verified": "5 of 5"}
    assert complete(good)
    for change in ({"lost": 1}, {"received": 4}, {"accepted": 0, "received": 0}, {"dkim_verified": "4 of 5"},
                   {"dkim_verified": "0 of 0"}):  # fmt: skip
        assert not complete({**good, **change})


def test_cpu_stat() -> None:
    assert usage_in("usage_usec 1500000\nuser_usec 1\n") == 1.5
    with pytest.raises(ValueError, match="usage_usec"):
        usage_in("user_usec 1\n")


def test_this_process_has_a_family_and_memory() -> None:
    assert family(os.getpid())[0] == os.getpid()
    assert proportional_bytes([os.getpid(), 2**22 + 1]) > 1_000_000
    assert walked_seconds(os.getpid()) > 0


def test_unknown_peer(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "rubbish"])
    assert "postfix-opendkim" in capsys.readouterr().err


def test_shipped_record_and_report_are_readable() -> None:
    for path in (CONFIGURATIONS.parent.parent / "report" / "parts").glob("*.json"):
        assert json.loads(path.read_text("utf-8"))["part"] == path.stem
