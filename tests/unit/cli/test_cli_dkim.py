"""`sokutatsu dkim`, against a DNS server of this file's own on loopback and dkimpy as the judge."""

import argparse
import io
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import dkim as dkimpy
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.cli import dkim
from engine.signer.keys import dns_record, generate_key, key_pem, read_key

NAME = "s1._domainkey.example.jp"


class NameServer:
    """Answers TXT questions over UDP from `records`; refuses what stands in `refused`."""

    def __init__(self) -> None:
        self.records: dict[str, list[str]] = {}
        self.refused: set[str] = set()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            data, peer = self._socket.recvfrom(4096)
            if not data:
                return
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question)
            name = question.question[0].name.to_text().rstrip(".").lower()
            if name in self.refused:
                answer.set_rcode(dns.rcode.REFUSED)
            elif name in self.records:
                texts = [self._quoted(text) for text in self.records[name]]
                answer.answer.append(dns.rrset.from_text(name + ".", 60, "IN", "TXT", *texts))
            else:
                answer.set_rcode(dns.rcode.NXDOMAIN)
            self._socket.sendto(answer.to_wire(max_size=65_000), peer)

    @staticmethod
    def _quoted(text: str) -> str:
        return " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stopper:
            stopper.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


@pytest.fixture
def server() -> Iterator[NameServer]:
    running = NameServer()
    yield running
    running.close()


def run(*words: str) -> int:
    parser = argparse.ArgumentParser(prog="sokutatsu")
    dkim.register(parser.add_subparsers(required=True))
    arguments = parser.parse_args(["dkim", *words])
    return arguments.run(arguments)


def key_file(folder: Path, algorithm: str = "ed25519") -> Path:
    file = folder / f"{algorithm}.pem"
    assert run("keygen", "example.jp", "--selector", "s1", "--algorithm", algorithm, "--out", str(file)) == 0
    return file


@pytest.mark.parametrize("algorithm", ["rsa", "ed25519"])
def test_keygen_check_and_verify_agree(
    server: NameServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    file = key_file(tmp_path, algorithm)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    printed = capsys.readouterr().out.splitlines()[1]
    assert printed.startswith(f"{NAME}. IN TXT ( ")
    strings = printed.split('"')[1::2]
    assert all(len(string) <= 255 for string in strings)
    assert "".join(strings) == dns_record(read_key(file))
    server.records[NAME] = ["".join(strings)]
    check = ("check", "example.jp", "--selector", "s1", "--key", str(file), "--nameserver", server.address)
    assert run(*check) == 0
    assert "pass s1._domainkey.example.jp" in capsys.readouterr().out
    message = tmp_path / "message.eml"
    message.write_bytes(dkim.probe(read_key(file), "example.jp", "s1"))
    assert run("verify", str(message), "--nameserver", server.address) == 0
    assert capsys.readouterr().out == f"pass d=example.jp s=s1 a={algorithm}-sha256\n"


def test_keygen_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = key_file(tmp_path)
    before = file.read_bytes()
    assert run("keygen", "example.jp", "--selector", "s1", "--out", str(file)) == 2
    assert file.read_bytes() == before
    link = tmp_path / "link.pem"
    link.symlink_to(tmp_path / "elsewhere.pem")
    assert run("keygen", "example.jp", "--selector", "s1", "--out", str(link)) == 2
    assert not (tmp_path / "elsewhere.pem").exists()
    assert "must name a new file" in capsys.readouterr().err


def other_key() -> str:
    return dns_record(generate_key("ed25519"))


FAULTS = {
    "no record": (lambda _: [], "no TXT record"),
    "two records": (lambda good: [good, good + " "], "2 TXT records"),
    "another key": (lambda _: [other_key()], "another key than the file's"),
    "revoked": (lambda good: [good[: good.index("p=") + 2]], "revoked"),
    "wrong kind": (lambda good: [good.replace("k=ed25519", "k=rsa")], "k=rsa, but the key is ed25519"),
    "no kind": (lambda good: [good.replace("k=ed25519; ", "")], "k=rsa, but the key is ed25519"),
    "hash": (lambda good: [good.replace("h=sha256", "h=sha1")], "does not allow sha256"),
    "version": (lambda good: [good.replace("DKIM1", "DKIM2")], "is not DKIM1"),
    "service": (lambda good: [good + "; s=tlsrpt"], "does not allow email"),
    "testing": (lambda good: [good + "; t=y:s"], "only tests DKIM"),
    "too long": (lambda good: [good + ";" + "x" * 9000], "has less than 8192"),
    "garbage": (lambda _: ["\\255\\000;;;=;p"], "k=rsa"),
    "broken tag list": (lambda good: ["x; " + good], "dkimpy"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_check_names_what_is_wrong_with_the_record(
    server: NameServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    file = key_file(tmp_path)
    make, words = FAULTS[fault]
    records = make(dns_record(read_key(file)))
    if records:
        server.records[NAME] = records
    check = ("check", "example.jp", "--selector", "s1", "--key", str(file), "--nameserver", server.address)
    assert run(*check) == 1
    said = capsys.readouterr().out
    assert words in said
    assert dns_record(read_key(file)) in said


def test_check_says_when_dns_gives_no_answer(
    server: NameServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refused.add(NAME)
    file = key_file(tmp_path)
    assert run("check", "example.jp", "--selector", "s1", "--key", str(file), "--nameserver", server.address) == 1
    assert "DNS gave no answer" in capsys.readouterr().out


def test_check_refuses_a_key_that_the_engine_would_refuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = key_file(tmp_path)
    file.chmod(0o644)
    assert run("check", "example.jp", "--selector", "s1", "--key", str(file)) == 2
    assert "chmod 600" in capsys.readouterr().err


def test_verify_tells_each_signature_and_why(
    server: NameServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = generate_key("ed25519")
    server.records[NAME] = [dns_record(key)]
    good = dkim.probe(key, "example.jp", "s1")
    unknown = dkim.probe(key, "example.jp", "s2").split(b"\r\n")[0] + b"\r\n"
    message = tmp_path / "message.eml"
    for content, expected in [
        (good.replace(b"probe\r\n", b"other\r\n"), "fail d=example.jp s=s1 a=ed25519-sha256 (b'body hash mismatch"),
        (good.replace(b"Subject: ", b"Subject: x"), "(the signature does not fit header or key)"),
        (unknown + good, "fail d=example.jp s=s2 a=ed25519-sha256 (DNS has no TXT record there; publish it)\npass d="),
        (b"Subject: none\r\n\r\nbody", "fail no DKIM-Signature"),
        (b"no header at all", "fail"),
        (b"DKIM-Signature: \xff\x00=; v\r\n\r\n", "fail d=? s=? a=?"),
    ]:
        message.write_bytes(content)
        assert run("verify", str(message), "--nameserver", server.address) == 1
        assert expected.replace("(b'", "(").strip() in capsys.readouterr().out.replace("(b'", "(")


def test_verify_shows_what_dkimpy_only_logs(
    server: NameServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.records[NAME] = ["v=DKIM1; k=rsa; p=AAAA"]
    message = tmp_path / "message.eml"
    message.write_bytes(dkim.probe(generate_key("rsa"), "example.jp", "s1"))
    assert run("verify", str(message), "--nameserver", server.address) == 1
    assert "could not parse RSA public key" in capsys.readouterr().out


def test_verify_reads_the_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Subject: x\r\n\r\n")))
    assert run("verify", "-") == 1
    assert "no DKIM-Signature" in capsys.readouterr().out
    assert run("verify", "/nonexistent") == 2
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ("keygen", "exa mple.jp", "--selector", "s1", "--out", "x"),
        ("keygen", "日本.jp", "--selector", "s1", "--out", "x"),
        ("keygen", "example.jp", "--selector", "s1;x", "--out", "x"),
        ("keygen", "example.jp", "--selector", "s1", "--out", "x", "--algorithm", "dsa"),
        ("verify", "x", "--nameserver", "localhost"),
        ("verify", "x", "--nameserver", "127.0.0.1:99999"),
        ("check", "example.jp", "--selector", "s1"),
        (),
    ],
)
def test_wrong_arguments_are_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_servers_are_addresses_with_or_without_port() -> None:
    assert dkim._server("192.0.2.1") == ("192.0.2.1", 53)
    assert dkim._server("192.0.2.1:5353") == ("192.0.2.1", 5353)
    assert dkim._server("2001:db8::1") == ("2001:db8::1", 53)
    assert dkim._server("[2001:db8::1]:5353") == ("2001:db8::1", 5353)


def test_the_probe_is_accepted_as_it_stands_by_dkimpy() -> None:
    key = generate_key("rsa")
    record = dns_record(key).encode()
    assert dkimpy.verify(dkim.probe(key, "example.jp", "s1"), dnsfunc=lambda *_, **__: record)


ED25519_RECORD = dns_record(generate_key("ed25519")).encode()
tag_lists = st.lists(
    st.tuples(
        st.sampled_from([b"v", b"a", b"b", b"bh", b"c", b"d", b"h", b"i", b"l", b"q", b"s", b"t", b"x"]),
        st.one_of(
            st.binary(max_size=12),
            st.sampled_from(
                [b"1", b"ed25519-sha256", b"rsa-sha256", b"example.jp", b"from", b"relaxed/simple", b"AAAA"]
            ),
        ),
    ),
    max_size=14,
)


@given(tag_lists, st.binary(max_size=60), st.sampled_from([ED25519_RECORD, b"", b"k=rsa; p=", b"k=ed25519", b"\xff"]))
def test_no_message_and_no_record_make_verify_raise(
    tags: list[tuple[bytes, bytes]], rest: bytes, record: bytes
) -> None:
    known = [(b"v", b"1"), (b"a", b"ed25519-sha256"), (b"b", b"AAAA"), (b"bh", b"AAAA"), (b"d", b"d"), (b"h", b"from")]
    for header in (tags, {**dict(known), b"s": b"s", **dict(tags)}.items()):
        signature = b"DKIM-Signature: " + b"; ".join(tag + b"=" + value for tag, value in header) + b"\r\n"
        for passed, text in dkim.verify_message(signature + rest, lambda _: record):
            assert passed is False
            assert text.isprintable()


def test_a_key_pem_is_what_read_key_takes(tmp_path: Path) -> None:
    file = tmp_path / "k.pem"
    dkim._write_new(file, key_pem(generate_key("rsa")))
    assert dns_record(read_key(file)).startswith("v=DKIM1; k=rsa")
