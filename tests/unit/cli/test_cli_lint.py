"""`sokutatsu lint`: report, --json, file positions, exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.__main__ import main

CONFIGURATION = """[engine]
state = "state"
[routes]
"*" = "relay.example.jp:25"
[senders.shop]
legal_name = "株式会社れい"
address = "れい商店 <news@news.example.jp>"
unsubscribe_url = "https://news.example.jp/u/{token}"
[senders.shop.profile]
postal_address = "〒100-0001 東京都千代田区千代田1-1-1"
phone = "03-1234-5678"
[[senders.shop.dkim]]
selector = "s1"
key = "dkim.pem"
"""
GOOD = 'subject = "新茶"\ntext = """\n{{name}} 様\n%footer%\n"""\n'
DOUBTFUL = GOOD.replace("%footer%", "購読解除\n%cancelurl%\n株式会社れい\n東京都千代田区千代田1-1-1\n03-1234-5678")
BAD = GOOD.replace("%footer%", "配信停止は下記\n%cancelurl%\n[[coupon]] です")


def lint(folder: Path, name: str, content: str | bytes, *more: str, configuration: str = CONFIGURATION) -> int:
    (folder / "sokutatsu.toml").write_text(configuration, "utf-8")
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    words = ["lint", str(folder / name), "--sender", "shop", "--config", str(folder / "sokutatsu.toml"), *more]
    return main(words)


@pytest.mark.parametrize(
    ("content", "more", "code", "words"),
    [
        (GOOD, [], 0, "問題は見つかりませんでした。 / Nothing found."),
        (DOUBTFUL, [], 0, "送信できます（警告あり）。 / May be sent. blocking 0, warnings 1"),
        (DOUBTFUL, ["--strict"], 1, "warnings 1"),
        (GOOD, ["--strict"], 0, "Nothing found"),
        (BAD, [], 2, "このままでは受け付けられません。 / Would be refused. blocking 4, warnings 0"),
        (BAD, ["--category", "TX"], 2, "lint = auto なので受け付けられます"),
        (
            BAD,
            ["--category", "TX_AD"],
            2,
            "このままでは受け付けられません。 / Would be refused. blocking 2, warnings 0",
        ),
        (GOOD, ["--category", "AD_MO"], 2, "特定商取引法11条"),
        (GOOD, ["--region", "US"], 0, "Nothing found"),
    ],
)
def test_the_report_and_its_exit_code(tmp_path, capsys, content, more, code, words) -> None:
    assert lint(tmp_path, "m.toml", content, *more) == code
    out = capsys.readouterr().out
    assert words in out
    assert out.startswith(str(tmp_path / "m.toml") + ": 株式会社れい (shop)")


def test_a_finding_says_rule_article_place_and_what_to_write(tmp_path, capsys) -> None:
    lint(tmp_path, "m.toml", BAD)
    out = capsys.readouterr().out
    assert f"BLOCK D11 差し込みの残り / unresolved merge fields  text:4  {tmp_path / 'm.toml'}:6" in out
    assert "> [[coupon]] です" in out
    assert "送信者の名称「株式会社れい」がありません。" in out
    assert "the sender's registered name '株式会社れい' is missing" in out
    assert "特定電子メール法4条1号, 施行規則7条1項1号" in out


def test_for_programs(tmp_path, capsys) -> None:
    assert lint(tmp_path, "m.toml", BAD, "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["sender"], told["category"], told["blocking"], told["warnings"]) == ("shop", "AD", 4, 0)
    (found,) = [finding for finding in told["findings"] if finding["rule"] == "D11"]
    assert (found["part"], found["line"], found["file_line"], found["severity"]) == ("text", 4, 6, "block")
    assert lint(tmp_path, "m.toml", GOOD, "--json") == 0


def test_other_forms_of_message(tmp_path, capsys) -> None:
    assert lint(tmp_path, "m.json", '{"subject": "s", "text": "%footer%"}') == 0
    assert lint(tmp_path, "m.eml", "From: news@news.example.jp\nSubject: s\n\nhello\n") == 2
    assert "D01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "more", "configuration", "words"),
    [
        ("m.txt", "x", [], CONFIGURATION, "a message is a .json, .toml or .eml file"),
        ("m.toml", "x", [], CONFIGURATION, "cannot be read"),
        ("m.toml", 'subject = "s"', [], CONFIGURATION, "a message needs text, html or raw"),
        ("m.toml", GOOD, ["--sender", "other"], CONFIGURATION, "sender 'other' is not in"),
        ("m.toml", GOOD, [], CONFIGURATION.replace("[routes]", "[rutes]"), "unknown table"),
        ("m.toml", GOOD + 'charset = "iso-2022-jp"\n', [], CONFIGURATION.replace("れい商店", "髙商店"), "display name"),
    ],
)
def test_a_wrong_file_or_argument_is_one_line(tmp_path, capsys, name, content, more, configuration, words) -> None:
    assert lint(tmp_path, name, content, *more, configuration=configuration) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
