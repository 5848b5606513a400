"""New keys for unsubscribe links, from the command line."""

from __future__ import annotations

from pathlib import Path

from engine.__main__ import main

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


def test_rotate_adds_and_list_shows(tmp_path, capsys) -> None:
    file = configured(tmp_path)
    assert main(["unsubscribe-key", "list", "--config", file]) == 0
    assert "no key yet" in capsys.readouterr().out
    for number in range(3):
        assert main(["unsubscribe-key", "rotate", "--config", file]) == 0
        assert f"key {number} is in {tmp_path}/state/unsubscribe" in capsys.readouterr().out
    assert main(["unsubscribe-key", "list", "--config", file]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines] == ["reads"] * 3
    assert "makes and reads" in lines[2]


def test_a_missing_key_is_shown(tmp_path, capsys) -> None:
    file = configured(tmp_path)
    for _ in range(3):
        main(["unsubscribe-key", "rotate", "--config", file])
    (tmp_path / "state" / "unsubscribe-1.secret").unlink()
    assert main(["unsubscribe-key", "list", "--config", file]) == 1
    assert "unsubscribe-1.secret  MISSING" in capsys.readouterr().out


def test_what_cannot_be_done_says_why(tmp_path, capsys) -> None:
    file = configured(tmp_path)
    main(["unsubscribe-key", "rotate", "--config", file])
    (tmp_path / "state" / "unsubscribe.secret").chmod(0o644)
    assert main(["unsubscribe-key", "list", "--config", file]) == 2
    assert "mode 0644" in capsys.readouterr().err
    (tmp_path / "state" / "unsubscribe.secret").rename(tmp_path / "state" / "unsubscribe-255.secret")
    assert main(["unsubscribe-key", "rotate", "--config", file]) == 2
    assert "last number" in capsys.readouterr().err
    for command in ("rotate", "list"):
        assert main(["unsubscribe-key", command, "--config", configured(tmp_path, "x")]) == 2
        assert "not TOML" in capsys.readouterr().err
