"""classify, why, suspend and their kin on the command line, without an engine."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from engine.__main__ import main
from engine.cli.mailings import order_for
from engine.cli.standing import standing
from engine.cli.why import duration, show


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["550 Unknown user a@docomo.ne.jp", "--provider", "docomo"], 0, ["unknown_user", "suppressed: UNKNOWN_USER"]),
        (["550 Unknown user a@docomo.ne.jp", "--site", "mfsmax.docomo.ne.jp:25", "--phase", "DOT"], 0,
         ["docomo-filtered", "filtered", "fewer connections"]),
        (["421 4.7.28 unusual rate", "--provider", "gmail", "--phase", "DOT"], 0,
         ["google-unusual-rate", "scope        source", "stays away from the site for 10 min 0 s", "gmail.automation[0]"]),
        (["421 4.7.0 very low reputation of the sending domain", "--phase", "DOT"], 0,
         ["scope        sender", "this sender's mail stays away from the site for 1 h 0 min"]),
        (["553 Mail from 192.0.2.1 not allowed - VS98-IP0 deferred", "--phase", "GREETING"], 0, ["a 5xx that is tried again"]),
        (["451 4.7.1 Greylisted, try again in 300 seconds"], 0, ["greylist", "the reply asks for 5 min 0 s"]),
        (["451 4.3.0 Temporary system problem"], 0, ["a run of these closes it"]),
        (["250 2.0.0 ok", "--phase", "DOT"], 1, ["action       delivered"]),
        (["550 nyaan 12345"], 1, ["no rule knows it", "fingerprint  550 nyaan N"]),
        (["550 nyaan\x1b[2J"], 1, ["550 nyaan [2J"]),
    ],
)  # fmt: skip
def test_classify(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: list[str]) -> None:
    assert main(["classify", *arguments]) == code
    out = capsys.readouterr().out
    assert all(word in out for word in words), out
    assert "\x1b" not in out


def test_classify_for_programs_and_what_is_no_reply(capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    assert main(["classify", "550 5.1.1 User unknown", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["class"] == "unknown_user"
    assert main(["classify", "nyaan"]) == 2
    assert "no reply" in capsys.readouterr().err
    (tmp_path / "x.toml").write_text("")
    assert main(["classify", "550 x", "--config", str(tmp_path / "x.toml")]) == 2


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["suspend"], "name what: --domain"),
        (["bounce", "--domain", "x.jp", "--for", "soon"], "--for 'soon': write seconds"),
        (["resume"], "name the order's number"),
    ],
)
def test_orders_that_name_nothing(capsys: pytest.CaptureFixture[str], arguments: list[str], error: str) -> None:
    assert main(arguments) == 2
    assert error in capsys.readouterr().err


TOLD: dict[str, Any] = {
    "domain": "x.jp", "site": "mx.x.jp:25", "provider": "docomo",
    "binds": {"what": "suspend", "from": "directive 1 by operator: \x1b[2J", "seconds": 3600.0},
    "waiting": {"bulk": 1000, "transactional": 0}, "eta_seconds": None,
    "directives": [{"number": 1, "verb": "reroute", "scope": {"domain": "x.jp"}, "seconds": None, "reason": "r\x07",
                    "by": "operator", "pool": "p", "to": "h:25"}],
    "warmup": [{"source": "new", "day": 3, "left": 7, "used": 3, "providers": {"docomo": 2}}],
    "limits": [{"key": "connection_limit", "value": 2, "from": "provider docomo (guess)"},
               {"key": "max_ready", "value": 1024, "from": "engine"}],
    "paths": [{"source": "out1", "ready": 3, "in_flight": 1, "connections": 1, "window": 2, "connection_limit": 1,
               "rate": 1.5, "delivered": 1, "deferred": 2, "failed": 3, "binds": "pause", "paused_seconds": 60.0,
               "last_error": "no\x1b", "brakes": [{"key": "connection_limit", "value": 1.0, "rule": "a"}]}],
}  # fmt: skip


def test_why_on_one_screen() -> None:
    out = io.StringIO()
    show(Console(file=out, width=140), TOLD)
    text = out.getvalue()
    for words in ("mx.x.jp:25, provider docomo", "suspended, for 1 h 0 min more", "1,000 bulk", "ETA       unknown",
                  "order 1: reroute domain x.jp to h:25 pool p (until resumed, by operator)", "new: day 3, 7 of today",
                  "provider docomo (guess)", "paused 1 min 0 s", "connection_limit 1 by a"):  # fmt: skip
        assert words in text, text
    assert "max_ready" not in text
    assert "\x1b" not in text
    assert "\x07" not in text
    show(Console(file=out, width=140), TOLD, every_limit=True)
    assert "max_ready" in out.getvalue()


def test_why_says_when_an_order_about_others_than_the_domain_keeps_mail_back() -> None:
    order = {"number": 4, "verb": "suspend", "scope": {"sender": "shop", "mailing": "sale"}, "seconds": None,
             "reason": "", "by": "guard", "pool": "", "to": ""}  # fmt: skip
    told = {**TOLD, "binds": {"what": "", "from": "", "seconds": None}, "eta_seconds": 60.0, "directives": [order]}

    def said(**more: Any) -> str:
        out = io.StringIO()
        show(Console(file=out, width=140), {**told, **more})
        return out.getvalue()

    assert "as fast as the receiver answers; order 4 keeps mail of its own back" in said()
    assert "ETA       1 min 0 s without what is kept back" in said()
    for others in ({"directives": [{**order, "verb": "reroute"}]}, {"waiting": {"bulk": 0, "transactional": 0}}):
        assert "back" not in said(**others)


def test_a_mailing_that_an_order_keeps_back_says_which() -> None:
    orders = [
        {"number": 3, "verb": "bounce", "scope": {"sender": "shop"}},
        {"number": 4, "verb": "suspend", "scope": {"sender": "shop", "provider": "docomo"}},
        {"number": 5, "verb": "suspend", "scope": {"sender": "shop", "mailing": "sale"}},
        {"number": 6, "verb": "suspend", "scope": {"sender": "other"}},
    ]
    assert order_for("shop", "sale", orders) == 5
    assert order_for("shop", "news", orders) is None, "one provider's, or another sender's"
    assert order_for("other", "news", orders) == 6


def test_status_shows_what_stands() -> None:
    engine = {
        "directives": TOLD["directives"], "warmup": TOLD["warmup"],
        "unclassified": {"total": 5, "top": [{"reply": "550 nyaan\x1b", "phase": "RCPT", "provider": "au", "count": 5}]},
    }  # fmt: skip
    text = "\n".join(standing(engine))
    assert "   1 reroute domain x.jp (until resumed, by operator)" in text
    assert "new: day 3, 3 used, 7 left today (docomo 2)" in text
    assert "5 RCPT au: 550 nyaan " in text
    assert "\x1b" not in text
    assert list(standing({})) == []


@pytest.mark.parametrize(("seconds", "text"), [(5, "5 s"), (65, "1 min 5 s"), (3700, "1 h 1 min"), (90000, "1 d 1 h")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
