"""The live page's token, from the command line."""

from __future__ import annotations

from pathlib import Path

from engine.__main__ import main
from engine.page.token import read_token

CONFIGURATION = """[engine]
state = "state"
[senders.shop]
legal_name = "株式会社れい"
address = "news@news.example.jp"
[[senders.shop.dkim]]
selector = "s1"
key = "dkim.pem"
[routes]
"*" = "relay.example.jp:25"
"""


def configured(folder: Path, text: str = CONFIGURATION) -> str:
    file = folder / "sokutatsu.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def test_a_token_is_made_shown_again_and_renewed(tmp_path, capsys) -> None:
    command = ["admin-token", "--config", configured(tmp_path)]
    path = tmp_path / "state" / "admin.token"
    shown = []
    for words in (command, command, [*command, "--renew"]):
        assert main(words) == 0
        told = capsys.readouterr()
        assert str(path) in told.err
        shown.append(told.out.strip())
    assert shown[0] == shown[1] != shown[2] == read_token(path)


def test_the_file_may_lie_elsewhere(tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere.token"
    text = CONFIGURATION + f'[admin]\ntoken_file = "{elsewhere}"\n'
    assert main(["admin-token", "--config", configured(tmp_path, text)]) == 0
    assert read_token(elsewhere)


def test_what_cannot_be_done_says_why(tmp_path, capsys) -> None:
    command = ["admin-token", "--config", configured(tmp_path)]
    main(command)
    (tmp_path / "state" / "admin.token").chmod(0o644)
    assert main(command) == 2
    assert "chmod 600" in capsys.readouterr().err
    assert main(["admin-token", "--config", configured(tmp_path, "x")]) == 2
    text = CONFIGURATION.replace('"state"', f'"{tmp_path / "sokutatsu.toml" / "state"}"')
    assert main(["admin-token", "--config", configured(tmp_path, text)]) == 2
    assert "as the engine's user" in capsys.readouterr().err
