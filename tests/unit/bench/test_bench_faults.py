"""Which recipient meets which fault."""

import pytest

from bench.faults import FaultError, Faults, Share, Step, Then, parse_fault


@pytest.mark.parametrize(
    ("text", "step", "then", "reply", "times"),
    [
        ("bounce", Step.RCPT, Then.GO_ON, b"550 5.1.1", 0),
        ("defer-3", Step.RCPT, Then.GO_ON, b"451 4.7.1", 3),
        ("dotfail", Step.DOT, Then.GO_ON, b"554 5.7.1", 0),
        ("dotdefer-1", Step.DOT, Then.GO_ON, b"451", 1),
        ("dot452", Step.DOT, Then.GO_ON, b"452 4.2.2", 0),
        ("421", Step.RCPT, Then.CLOSE, b"421", 0),
        ("571", Step.RCPT, Then.GO_ON, b"571 5.0.0", 0),
        ("stall", Step.RCPT, Then.STALL, b"", 0),
        ("stall-dot-2", Step.DOT, Then.STALL, b"", 2),
        ("drop-payload", Step.PAYLOAD, Then.CLOSE, b"", 0),
    ],
)
def test_spelling(text: str, step: Step, then: Then, reply: bytes, times: int) -> None:
    fault = parse_fault(text)
    assert (fault.step, fault.then, fault.times) == (step, then, times)
    assert fault.reply.startswith(reply)
    assert bool(fault.reply) == bool(reply)


@pytest.mark.parametrize("text", ["", "bounced", "250", "drop", "defer-x", "defer-1000", "dot"])
def test_unknown_fault(text: str) -> None:
    with pytest.raises(FaultError):
        parse_fault(text)


@pytest.mark.parametrize("text", ["451", "451=", "451=x", "451=1.1", "451=-0.1", "451=nan", "rubbish=0.1"])
def test_bad_share(text: str) -> None:
    with pytest.raises(FaultError):
        Share.parse(text)


def test_counted_faults_pass_after_their_times() -> None:
    faults = Faults()
    struck = [faults.choose(b"defer-2-x@b.example") is not None for _ in range(4)]
    assert struck == [True, True, False, False]
    assert faults.choose(b"defer-2-y@b.example") is not None


@pytest.mark.parametrize("name", [b"person1", b"bouncer-1", b"stalling-x", b"249-x", b"6-x", b"deferred"])
def test_ordinary_names(name: bytes) -> None:
    assert Faults().choose(name + b"@b.example") is None


def test_shares_pick_their_part_and_always_the_same() -> None:
    names = [b"person%d@b.example" % number for number in range(5000)]
    shares = [Share.parse("451-1=0.2"), Share.parse("550=0.1")]
    first, second = Faults(shares), Faults(shares)
    chosen = [first.choose(name) for name in names]
    assert chosen == [second.choose(name) for name in names]
    found = [fault.name for fault in chosen if fault]
    assert 800 < found.count("451") < 1200
    assert 350 < found.count("550") < 650
    again = [fault.name for name in names if (fault := first.choose(name))]
    assert set(again) == {"550"}
