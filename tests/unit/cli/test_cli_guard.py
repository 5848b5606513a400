"""guard, sender and preflight on the command line, without an engine."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from engine.__main__ import main
from engine.cli import guard, preflight
from engine.cli.preflight_words import WORDS
from engine.net import spf
from engine.policy.readiness import Finding, Level, Report

ROOT = Path(__file__).parents[3]
WATCH = {
    "sender": "shop", "mailing": "spring\x1b[2J", "provider": "docomo", "replies": 400, "unknown": 20, "share": 0.05,
    "verdict": "pause", "canary": {"state": "good", "replies": 100, "unknown": 0, "out": 0},
}  # fmt: skip
TOLD: dict[str, Any] = {
    "watched": [WATCH, {**WATCH, "mailing": "", "verdict": "clear", "canary": None}],
    "paused": [
        {"number": 7, "sender": "shop", "mailing": "spring", "provider": "", "at": 0.0, "reason": "5.0% unknown users"}
    ],
    "complaints": [{"sender": "shop", "provider": "docomo", "delivered": 1000, "complaints": 3, "verdict": "pause"}],
    "trips": {},
    "canary_held": 0,
}


def shown(show: Any, *arguments: Any) -> str:
    out = io.StringIO()
    show(Console(file=out, width=200, force_terminal=True, color_system="truecolor"), *arguments)
    plain = re.sub("\x1b\\[[0-9;]*m", "", out.getvalue())
    assert "\x1b" not in plain
    return plain


def test_what_is_paused_says_why_and_how_it_goes_on() -> None:
    text = shown(guard.show, TOLD)
    for words in ("一時停止中 paused: sender shop mailing spring", "5.0% unknown users", "sokutatsu resume 7",
                  "20 / 400 (5.0%)", "合格 passed", "3 / 1,000 (0.30%)"):  # fmt: skip
        assert words in text
    assert "no mailing" in shown(guard.show, {**TOLD, "watched": [], "paused": [], "complaints": []})


def test_the_thresholds_say_how_sure_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["guard", "--thresholds"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"unknown_pause\s+0.045\s+業界慣行 custom", out)
    assert re.search(r"complaint_pause\s+0.003\s+公表値 documented", out)


@pytest.mark.parametrize("words", [["guard"], ["sender", "revoke", "shop"], ["sender", "restore", "shop"]])
def test_without_an_engine_the_remedy_is_said(words, tmp_path, capsys) -> None:
    assert main([*words, "--socket", str(tmp_path / "none.sock")]) == 3
    assert "start the engine" in capsys.readouterr().err


def test_every_finding_has_words_in_both_languages() -> None:
    files = ("net/preflight", "net/proof", "net/replies", "net/landing", "policy/landing")
    code = "".join((ROOT / "engine" / f"{name}.py").read_text("utf-8") for name in files)
    found = set(re.findall(r'Finding\(\s*"([a-z_.]+)"', code))
    found |= {
        f"{kind}.{what}" for kind in ("from", "envelope") for what in ("records", "no_records", "null_mx", "mx_nowhere")
    }
    found |= {f"spf.{kind}.{one}" for kind in ("from", "envelope") for one in spf.Spf if one is not spf.Spf.TEMPERROR}
    found |= {"optout.certificate", "optout.unreachable"}
    found |= {f"dmarc.{one}_{what}" for one in ("dkim", "spf") for what in ("aligned", "unaligned")}
    assert found == WORDS.keys()
    assert all(re.search("[ぁ-ん一-龠]", japanese) and english.isascii() for japanese, english in WORDS.values())


def test_the_report_has_the_worst_first_and_the_records_once() -> None:
    record = 'a.example. IN TXT "v=spf1 ip4:192.0.2.1 -all"'
    findings = (
        Finding("dkim.pass", Level.OK, "s._domainkey.a.example", "a probe verified by dkimpy"),
        Finding("spf.envelope.fail", Level.REFUSE, "a.example, 192.0.2.1", "fail", (record,)),
        Finding("spf.from.fail", Level.WARN, "a.example, 192.0.2.1", "fail", (record,)),
    )
    text = shown(preflight.show, Report("shop", 1.0, findings))
    assert text.count(record) == 1
    assert text.index("✗") < text.index("!") < text.index("✓")
    assert "送信できません / not fit to send" in text
    told = preflight.as_json(Report("shop", 1.0, findings))
    assert told["level"] == "refuse"
    assert told["findings"][1]["ja"] == WORDS["spf.envelope.fail"][0]  # type: ignore[index]
    assert "送信できます / fit to send" in shown(preflight.show, Report("shop", 1.0, findings[:1]))


def test_a_sender_or_file_that_is_not_there(tmp_path, capsys) -> None:
    assert main(["preflight", "shop", "--config", str(tmp_path / "none.toml")]) == 2
    assert "name an existing file" in capsys.readouterr().err
