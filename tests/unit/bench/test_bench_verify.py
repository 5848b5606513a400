"""Signatures of kept messages, judged by dkimpy."""

import json
from pathlib import Path

import pytest

from bench.configuration import SELECTOR, SENDER_DOMAIN, make_key
from bench.floor import constant_message
from bench.verify import main, verify_folder, verify_message

NAME = f"{SELECTOR}._domainkey.{SENDER_DOMAIN}"


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, dict[str, str]]:
    folder = tmp_path_factory.mktemp("key")
    keys = make_key(folder / "key.pem")
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    return constant_message(folder / "key.pem"), keys


def test_good_signature(signed: tuple[bytes, dict[str, str]]) -> None:
    message, keys = signed
    verdict = verify_message(message, keys)
    assert verdict.good
    assert (verdict.signatures, verdict.valid, verdict.problems) == (1, 1, ())


def test_constant_message_is_as_large_as_asked(signed: tuple[bytes, dict[str, str]]) -> None:
    assert 3800 <= len(signed[0]) <= 4200
    assert b"\r\n." not in signed[0]


def test_every_signature_counts(signed: tuple[bytes, dict[str, str]]) -> None:
    message, keys = signed
    head, _, rest = message.partition(b"From:")
    verdict = verify_message(head + head.replace(b"b=", b"b=BBBB", 1) + b"From:" + rest, keys)
    assert (verdict.signatures, verdict.valid, verdict.good) == (2, 1, False)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ((b"Subject: floor", b"Subject: other"), "signature 0 is wrong"),
        ((b"\r\n\r\n", b"\r\n\r\nmore\r\n"), "body hash"),
        ((b"Subject: floor", b"Subject: fl\nor"), "bare CR or LF"),
        ((b"Subject: floor", b"Subject: \xff"), "8-bit bytes"),
        ((b"Subject: floor", b"Subject: \x00"), "NUL"),
        ((b"Subject: floor", b"Subject: " + b"x" * 1000), "over 998"),
        ((b"DKIM-Signature", b"X-Signature"), "no DKIM-Signature"),
        ((b"s=bench1", b"s=bench2"), "no key for 'bench2."),
    ],
)
def test_flaws(signed: tuple[bytes, dict[str, str]], change: tuple[bytes, bytes], word: str) -> None:
    message, keys = signed
    changed = message.replace(*change, 1)
    assert changed != message
    verdict = verify_message(changed, keys)
    assert not verdict.good
    assert any(word in problem for problem in verdict.problems), verdict.problems


def test_folder_and_command_line(
    signed: tuple[bytes, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message, keys = signed
    (tmp_path / "00000.eml").write_bytes(message)
    upper = {NAME.upper() + ".": keys[NAME]}
    assert verify_folder(tmp_path, upper).good == 1
    (tmp_path / "keys.json").write_text(json.dumps(keys))
    assert main([str(tmp_path), str(tmp_path / "keys.json")]) == 0
    (tmp_path / "00001.eml").write_bytes(message[:-10])
    assert main([str(tmp_path), str(tmp_path / "keys.json")]) == 1
    assert '{"messages": 2, "good": 1, "signatures": 1}' in capsys.readouterr().out
    (tmp_path / "none").mkdir()
    assert main([str(tmp_path / "none"), str(tmp_path / "keys.json")]) == 1
