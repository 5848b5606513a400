"""kill -9 and SIGTERM under load: nobody acknowledged is lost, and what may arrive twice is bounded and counted."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from bench.crash import crash
from tests.integration.running import engine, received, sink, terms


def test_killed_again_and_again_under_load_it_loses_nobody(tmp_path: Path) -> None:
    figures = crash(tmp_path / "crash", kills=5, seed=random.randrange(1 << 30), seconds=120.0)
    assert figures["good"], figures
    assert (figures["lost"], figures["never_acknowledged"], figures["kills"]) == (0, 0, 5)
    assert figures["accepted"] > 0
    assert figures["engine_exit_code"] == 0


def test_a_graceful_stop_under_load_hands_back_the_rest_without_doubt(tmp_path: Path) -> None:
    addresses = [f"r{n}@d{n % 9}.example" for n in range(6000)]
    with sink(tmp_path, "--latency", "5") as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}
    ) as running:  # fmt: skip
        with running.client() as client:
            client.submit(addresses, terms())
        delivered = 0
        for turn in range(2):
            running.until(lambda: running.status()["delivered"] > 300, f"under load for the {turn}. time")
            assert running.stop() == 0
            arrived = received(receiver)
            assert sum(arrived.values()) == len(arrived), "nobody twice"
            running.start()
            status = running.status()
            assert status["recovered_in_doubt"] == 0
            assert status["recovered"] == 6000 - len(arrived), "the journal and the spool know what arrived"
            delivered = len(arrived)
        running.settled()
        assert running.stop() == 0
        arrived = received(receiver)
        assert (len(arrived), sum(arrived.values())) == (6000, 6000)
        assert delivered < 6000
        assert running.ends() == {"Delivery": 6000}


def test_the_second_sigterm_ends_it_at_once_and_loses_nobody(tmp_path: Path) -> None:
    """The receiver stalls behind the dot, so that a graceful stop would take its 300 seconds."""
    limits = {"data_dot_timeout": 600}
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping=limits, stop=300
    ) as running:  # fmt: skip
        with running.client() as client:
            client.submit(["stall-dot-1-x@d.example"], terms())
        running.until(lambda: receiver.counts()["events"].get("fault stall-dot", 0) == 1, "stalled")
        child = running.child
        assert child is not None
        child.popen.send_signal(signal.SIGTERM)
        running.until(lambda: "stopping" in running.log.read_text(), "stopping")
        child.popen.send_signal(signal.SIGTERM)
        assert child.popen.wait(60) == -signal.SIGKILL, "far less than the 300"
        child.stop()
        running.start()
        assert running.status()["recovered_in_doubt"] == 1
        status = running.settled()
        assert (status["delivered"], status["resent_in_doubt"]) == (1, 1)
        assert received(receiver) == {"stall-dot-1-x@d.example": 2}, "it had been taken, which nobody could know"


def test_a_stop_is_not_held_up_by_a_receiver_that_stalls(tmp_path: Path) -> None:
    with sink(tmp_path) as receiver, engine(
        tmp_path, {"*": f"127.0.0.1:{receiver.ports[0]}"}, shaping={"data_dot_timeout": 600}, stop=1
    ) as running:  # fmt: skip
        with running.client() as client:
            client.submit(["stall-dot-1-x@d.example", "behind@d.example"], terms())
        running.until(lambda: receiver.counts()["events"].get("fault stall-dot", 0) == 1, "stalled")
        assert running.stop(60) == 0, "far less than the 600 that the receiver may take"
        running.start()
        assert running.status()["recovered"] == 2
        status = running.settled()
        assert (status["delivered"], status["resent_in_doubt"]) == (2, 1)
