"""The client's protocol without its socket: when a refusal is asked again, for how long, and what is said at the end."""

from __future__ import annotations

import time
from typing import Any

import msgpack
import pytest

from engine.client import (
    AGAIN,
    FIRST_DELAY,
    LAST_DELAY,
    AsyncClient,
    Client,
    Unreachable,
    _delay,
    _Exchange,
)


def frame(number: int, code: str = "", text: str = "") -> bytes:
    error = {"code": code, "field": "", "value": "", "text": text}
    answer: dict[str, Any] = {"id": number, "ok": False, "error": error} if code else {"id": number, "ok": True}
    packed = msgpack.packb(answer)
    return len(packed).to_bytes(4, "big") + packed


def asked(count: int, patience: float = 60.0) -> _Exchange:
    exchange = _Exchange(patience)
    for _ in range(count):
        exchange.request("ping", {})
    exchange.to_send.clear()
    return exchange


def told(exchange: _Exchange, data: bytes) -> list[tuple[int, dict[str, Any]]]:
    return list(exchange.receive(data))


def passes(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    later = time.monotonic() + seconds
    monkeypatch.setattr(time, "monotonic", lambda: later)


@pytest.mark.parametrize("code", sorted(AGAIN))
def test_what_passes_is_sent_again_and_not_told(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = asked(1)
    sent = exchange.unanswered[1].frame
    assert told(exchange, frame(1, code, "later")) == []
    assert 0 < exchange.send_due() <= FIRST_DELAY
    assert not exchange.to_send, "not at once"
    passes(monkeypatch, LAST_DELAY)
    exchange.send_due()
    assert list(exchange.to_send) == [sent], "the same bytes"
    assert told(exchange, frame(1)) == [(1, {"id": 1, "ok": True})]
    assert not exchange.unanswered


def test_each_request_waits_longer_each_time_whatever_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = asked(4)
    for number in range(1, 5):
        told(exchange, frame(number, "no_credit", "full"))
    now = time.monotonic()
    assert all(due - now <= FIRST_DELAY for due, _ in exchange.later), "four at a time are one try each"
    for _ in range(12):
        exchange.later.clear()
        told(exchange, frame(1, "no_credit", "full"))
    ((due, _),) = exchange.later
    assert LAST_DELAY / 2 - 1 < due - now <= LAST_DELAY + 1


def test_many_clients_do_not_come_back_in_step() -> None:
    waits = [_delay(20) for _ in range(200)]
    assert all(LAST_DELAY / 2 <= wait <= LAST_DELAY for wait in waits)
    assert max(waits) - min(waits) > LAST_DELAY / 4
    assert _delay(5000) <= LAST_DELAY


def test_a_full_engine_that_takes_others_is_waited_for_but_a_failed_one_only_for_so_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange = asked(12)
    told(exchange, frame(1, "no_credit", "full") + frame(2, "unavailable", "the disk failed"))
    for step in range(3, 13):  # every ten seconds somebody else is answered
        passes(monkeypatch, 10.0)
        assert [number for number, _ in told(exchange, frame(step))] == [step]
    assert told(exchange, frame(1, "no_credit", "full")) == [], "its turn comes"
    ((number, answer),) = told(exchange, frame(2, "unavailable", "the disk failed"))
    assert (number, answer["error"]["text"]) == (2, "the disk failed"), "the engine's own words"


def test_patience_with_a_failed_engine_outlasts_its_restart(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = asked(1)
    told(exchange, frame(1, "unavailable", "the disk failed"))
    passes(monkeypatch, 40.0)
    exchange.reconnected()
    assert len(exchange.to_send) == 1
    assert told(exchange, frame(1, "unavailable", "the disk failed")) == []
    passes(monkeypatch, 40.0)
    assert len(told(exchange, frame(1, "unavailable", "the disk failed"))) == 1


def test_who_is_not_there_any_more_is_named_with_what_it_said_last(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = asked(1)
    told(exchange, frame(1, "unavailable", "the disk failed"))
    assert exchange.back_off(ConnectionRefusedError("refused")) <= FIRST_DELAY
    passes(monkeypatch, 61.0)
    with pytest.raises(Unreachable, match=r"no answer for 60 s: refused; before that the engine said: the disk failed"):
        exchange.back_off(ConnectionRefusedError("refused"))


def test_an_answer_before_the_last_word_of_a_connection_is_an_answer() -> None:
    """One read may bring both."""
    exchange = asked(2)
    last = {"id": None, "ok": False, "error": {"code": "draining", "field": "", "value": "", "text": "bye"}}
    packed = msgpack.packb(last)
    receiving = exchange.receive(frame(1) + len(packed).to_bytes(4, "big") + packed)
    assert next(receiving)[0] == 1
    with pytest.raises(ConnectionError, match="bye"):
        next(receiving)
    assert list(exchange.unanswered) == [2]


def test_the_blocking_client_has_all_that_the_other_has() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(Client) == public(AsyncClient)
    assert Client.suppress.__doc__ == AsyncClient.suppress.__doc__
