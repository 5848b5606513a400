"""`consents`, `optouts`, `form` and `evidence` as a person calls them: a real door, a real ledger, real files."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import json
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
import uvloop

from engine.__main__ import main
from engine.cli import listscore
from engine.journal import Journal, JournalSettings, Record, Response
from suppression import HardBounce, OptOut, Scope, Suppression, SuppressionSettings
from suppression.view import hashed
from tests.fakes.accepting import NOW, open_door, served
from tests.integration.running import configuration, make_key

FORM = "<h1>れい商店だより</h1><script>x</script>広告宣伝メールを受け取ります"


class House:
    """A configuration with its ledger; `open` it and the door serves it, as an engine would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "sokutatsu.toml"
        self.config.write_text(configuration({"*": "127.0.0.1:9"}, 9181), "utf-8")
        make_key(folder)
        self.state = folder / "state"
        self.settings = SuppressionSettings(self.state / "suppression", self.state / "suppression.secret")
        self.suppression: Suppression | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        self.state.mkdir(exist_ok=True)
        self.suppression = Suppression.open(self.settings, clock=lambda: NOW)
        behind, ready = served(self.suppression, is_ledger_real=True), threading.Event()

        async def serve() -> None:
            async with open_door(self.folder, behind):
                ready.set()
                await asyncio.to_thread(self._stop.wait)

        # as the engine: asyncio's own server of 3.11 loses a socket that was accepted just before it closes
        self._thread = threading.Thread(target=uvloop.run, args=(serve(),))
        self._thread.start()
        ready.wait()

    def close(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self.suppression is not None:
            self.suppression.close()
            self.suppression = None
        self._stop = threading.Event()

    def run(self, *words: str, online: bool = True) -> int:
        place = ("--socket", str(self.folder / "s.sock")) if online else ("--config", str(self.config))
        return main([*words, *place])

    def file(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text, "utf-8", newline="")
        return str(self.folder / name)

    def reason(self, address: str, topic: str = "", sender: str = "shop") -> str:
        suppression = self.suppression or Suppression.open(self.settings, clock=lambda: NOW)
        (decision,) = suppression.decide(sender, topic, "AD", [address])
        if self.suppression is None:
            suppression.close()
        return decision.reason or decision.basis

    def add_form(self, capsys) -> str:
        self.file("form.html", FORM)
        given = ("--displayed-sender", "株式会社れい", "--statement", "広告宣伝メール", "--acquired-url", "https://a/")
        words = ("--sender", "shop", "--kind", "web", "--shown-from", "1790000000", *given)
        assert self.run("form", "add", str(self.folder / "form.html"), *words) == 0
        return str(capsys.readouterr().out.strip())


@pytest.fixture
def house(tmp_path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.close()


def lines(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_consents_in_and_out_and_in_again(house, capsys, tmp_path) -> None:
    house.open()
    form = house.add_form(capsys)
    assert form == hashlib.sha256(FORM.encode()).hexdigest()
    text = (
        "address,at,source,form,topics,third_parties,evidence\r\n"
        f"a@x.example,2026-11-01T10:00:00+09:00,web,{form},news sale,甲社|乙社,\r\n"
        "b@x.example,1795000000,web,,,,\r\n"
        'c@x.example,soon,web,,,,"申込書\r\n3"\r\n'
        'd@x.example,1795000000,店頭,,,,"申込書\r\n4"\r\n'
        f"e@x.example,1789999999,web,{form},,,\r\n"
    )
    refused = tmp_path / "refused.csv"
    words = ("consents", "import", house.file("c.csv", text), "--sender", "shop")
    assert house.run(*words, "--refused", str(refused)) == 1
    out, err = capsys.readouterr()
    assert out.startswith("2 consents recorded, 3 refused")
    assert "c.csv:3: incomplete: evidence: empty" in err
    assert [(line["line"], line["address"]) for line in lines(refused)] == [
        ("5", "c@x.example"),
        ("3", "b@x.example"),
        ("8", "e@x.example"),
    ]
    assert (house.reason("a@x.example", "news"), house.reason("a@x.example")) == ("C1_OPTIN", "NO_CONSENT")
    house.close()
    assert house.run("consents", "export", "--out", str(tmp_path / "out.csv"), online=False) == 0
    first, second, third = exported = lines(tmp_path / "out.csv")
    assert [line["topics"] for line in exported] == ["news", "sale", ""]
    assert (first["at"], first["at_jst"], first["form"]) == ("2026-11-01T01:00:00Z", "2026-11-01", form)
    assert (second["third_parties"], third["evidence"]) == ("甲社|乙社", "申込書\r\n4")
    before = (tmp_path / "out.csv").read_text()
    house.open()
    assert house.run("consents", "import", str(tmp_path / "out.csv"), "--sender", "shop") == 0
    house.close()
    assert house.run("consents", "export", "--out", str(tmp_path / "again.csv"), online=False) == 0
    facts = [
        {k: v for k, v in line.items() if k not in ("event", "recorded_at")} for line in lines(tmp_path / "again.csv")
    ]
    own = [{k: v for k, v in line.items() if k not in ("event", "recorded_at")} for line in exported]
    assert facts == own + own
    assert before.count("\n") < (tmp_path / "again.csv").read_text().count("\n")


def test_json_lines_in_and_out(house, capsys, tmp_path) -> None:
    house.open()
    text = '{"address": "a@x.example", "at": 1795000000, "source": "web", "evidence": "x", "topics": ["n"]}\n[]\n'
    assert house.run("consents", "import", house.file("c.jsonl", text), "--sender", "shop") == 1
    assert house.run("consents", "export", "--sender", "shop", "--out", str(tmp_path / "o.jsonl"), online=False) == 0
    (told,) = map(json.loads, (tmp_path / "o.jsonl").read_text().splitlines())
    assert (told["address"], told["topic"], told["basis"], told["covers"]) == ("a@x.example", "n", "OPTIN_REC", ["AD"])
    capsys.readouterr()


def test_offline_is_as_online(house, capsys, tmp_path) -> None:
    house.open()
    form = house.add_form(capsys)
    house.close()
    rows = "".join(f"u{n}@x.example,{1_790_000_000 + n},,\r\n" for n in range(600))
    text = (
        f"address,at,form,ip\r\n{rows}nobody,1795000000,,\r\n"
        f"late@x.example,1795000000,{form},\r\nearly@x.example,1,{form},\r\nx@x.example,1795000000,{'0' * 64},\r\n"
        "ip@x.example,1795000000,,here\r\nfuture@x.example,99999999999,,\r\n"
    )
    words = (
        "consents",
        "import",
        house.file("c.csv", text),
        "--sender",
        "shop",
        "--set",
        "source=web",
        "--min-score",
        "0",
    )
    assert house.run(*words, "--set", "evidence=list 7", "--offline", online=False) == 1
    out, err = capsys.readouterr()
    assert out.startswith("601 consents recorded, 5 refused")
    for line, reason in (
        (602, "cannot be an address"),
        (604, "at: 1970-01-01 00:00:01 UTC is before"),
        (605, "form: "),
        (606, "ip: "),
        (607, "at: "),
    ):
        assert f"c.csv:{line}: {reason}" in err
    assert house.reason("u599@x.example") == house.reason("late@x.example") == "C1_OPTIN"
    assert house.reason("early@x.example") == "NO_CONSENT"


def test_offline_keeps_incomplete_ones_when_asked(house, capsys) -> None:
    house.open()
    form = house.add_form(capsys)
    house.close()
    text = f"address,at,source,form\na@x.example,1795000000,web,\nb@x.example,5,web,{form}\n"
    words = ("consents", "import", house.file("c.csv", text), "--sender", "shop")
    assert house.run(*words, "--norec", "--offline", online=False) == 0
    assert house.reason("a@x.example") == house.reason("b@x.example") == "NO_CONSENT_RECORD"
    capsys.readouterr()


def test_offline_refuses_a_ledger_that_is_open(house, capsys) -> None:
    house.open()
    words = ("consents", "import", house.file("c.csv", "address,at,source\n"), "--sender", "shop", "--offline")
    assert house.run(*words, online=False) == 2
    assert "another process has it open" in capsys.readouterr().err


def test_opt_outs_in_and_out(house, capsys, tmp_path) -> None:
    house.open()
    consents = "".join(f"{name}@x.example,1795000000\n" for name in "abcde")
    more = ("--sender", "shop", "--set", "source=web", "--set", "evidence=x")
    assert house.run("consents", "import", house.file("c.csv", "address,at\n" + consents), *more) == 0
    digest = hashlib.sha256(b"c@x.example").hexdigest()
    text = (
        "address,at,topic,channel\na@x.example,1796000000,,phone\nb@x.example,,news,\n"
        f"sha256:{digest},1796000000,,\nd@x.example,1,,\nnobody,,,\n"
    )
    words = ("optouts", "import", house.file("o.csv", text), "--sender", "shop", "--channel", "old house")
    assert house.run(*words) == 1
    out, err = capsys.readouterr()
    assert "4 opt-outs recorded, 1 refused" in out
    assert "o.csv:6: bad_address" in err
    assert [house.reason(f"{name}@x.example") for name in "abcde"] == [
        "OPTOUT_ALL",
        "C1_OPTIN",
        "OPTOUT_ALL",
        *["C1_OPTIN"] * 2,
    ]
    assert house.reason("b@x.example", "news") == "OPTOUT_TOPIC"
    assert house.run("optouts", "import", house.file("g.jsonl", '{"address": "e@x.example"}\n'), "--global") == 0
    assert house.reason("e@x.example", sender="anybody") == "OPTOUT_ALL"
    assert house.run("optouts", "export", "--out", str(tmp_path / "o2.csv"), online=False) == 0
    found = {line["address"]: line for line in lines(tmp_path / "o2.csv")}
    assert (found["a@x.example"]["channel"], found["b@x.example"]["topic"], found["b@x.example"]["channel"]) == (
        "phone",
        "news",
        "old house",
    )
    assert found["e@x.example"]["sender"] == ""
    assert found["c@x.example"]["at"] == "2026-11-30T00:53:20Z"


def test_a_file_that_nobody_can_read_again_is_no_form(house, capsys, tmp_path) -> None:
    house.open()
    more = ("--sender", "shop", "--kind", "paper", "--displayed-sender", "x", "--statement", "広告宣伝メール")
    for name, content, why in (
        ("form.docx", b"PK\x03\x04", "is a ZIP archive, or a document of a word processor"),
        ("form.txt", "広告".encode("cp932"), "is not UTF-8 (octet 0) and declares no charset"),
        ("empty.html", b"", "no bytes, 1 to 1048576"),
        ("large.html", b"x" * ((1 << 20) + 1), "more than 1048576 bytes"),
        ("half.pdf", b"%PDF-1.4 x", "does not end as one"),
    ):
        (tmp_path / name).write_bytes(content)
        assert house.run("form", "add", str(tmp_path / name), *more) == 2
        err = capsys.readouterr().err
        assert f"{name}: " in err
        assert why in err
    (tmp_path / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    assert house.run("form", "add", str(tmp_path / "scan.png"), *more) == 0
    assert len(capsys.readouterr().out.strip()) == 64


def test_the_old_name_of_the_import_does_the_same_and_says_so(house, capsys) -> None:
    house.open()
    text = "address,at,source,topics,evidence\na@x.example,2026-01-02T03:04:05+09:00,web,news sale,f\nnobody,1,web,,f\n"
    assert house.run("consent", "import", house.file("c.csv", text), "--sender", "shop") == 1
    out, err = capsys.readouterr()
    assert "1 consents recorded, 1 refused" in out
    assert err.startswith("sokutatsu: `consent import` is called `consents import` now")
    assert "c.csv:3: bad_address" in err
    assert house.reason("a@x.example", "sale") == "C1_OPTIN"


def test_a_list_that_looks_made_up_is_refused_before_anything_of_it_is_recorded(house, capsys, monkeypatch) -> None:
    house.open()
    made_up = "address,at,source,evidence\n" + "".join(
        f"user{number:04}@x.example,1795000000,web,form 12\n" for number in range(400)
    )
    words = ("consents", "import", house.file("m.csv", made_up), "--sender", "shop")
    assert house.run(*words) == 2
    err = capsys.readouterr().err
    assert "list score: 40 / 100" in err
    assert "numbered addresses" in err
    assert "--min-score 40 imports it all the same" in err
    assert house.reason("user0001@x.example") == "NO_CONSENT"
    assert house.run(*words, "--min-score", "40") == 0
    out, err = capsys.readouterr()
    assert "400 consents recorded" in out
    assert "リストの評価 / list score: 40 / 100" in err
    assert house.reason("user0001@x.example") == "C1_OPTIN"
    monkeypatch.setattr(listscore, "WHOLE_BYTES", 1000)
    monkeypatch.setattr(listscore, "STRETCH_BYTES", 2000)
    assert house.run(*words) == 2, "a sample of it tells the same"
    assert "list score: 40 / 100" in capsys.readouterr().err


def test_the_ledger_is_asked_what_it_knows_of_a_list(house, capsys) -> None:
    house.open()
    names = [f"{first}{second}.{third}@x.example" for first in "abcdefgh" for second in "klmnop" for third in "qrstuv"]
    house.suppression.apply_now([HardBounce(name, 1_796_000_000.0, "smtp") for name in names[:60]])
    house.suppression.apply_now([OptOut(name, 1_796_000_000.0, "web", Scope.GLOBAL) for name in names[60:160]])
    listed = "address,at,source,evidence\n" + "".join(f"{name},1795000000,web,f\n" for name in names)
    words = ("consents", "import", house.file("n.csv", listed), "--sender", "shop", "--config", str(house.config))
    assert house.run(*words, "--min-score", "0") == 0
    err = capsys.readouterr().err
    assert "addresses that bounced before" in err
    assert "addresses that refused before" in err


def test_keyed_lists_come_in_and_bad_lines_are_named(house, capsys, tmp_path) -> None:
    """Another house's refusals, known by key alone: of who has consented, and of who consents later."""
    house.open()
    key, other = tmp_path / "key", tmp_path / "other"
    key.write_bytes(b"a shared secret of two\n")
    other.write_bytes(b"another secret of others\n")
    old, late = (hashed(address, b"a shared secret of two") for address in ("old@x.example", "late@x.example"))
    more = ("--sender", "shop", "--set", "source=web", "--set", "evidence=x", "--set", "at=1795000000")
    assert house.run("consents", "import", house.file("c.csv", "address\nold@x.example\n"), *more) == 0
    listed = f"address,at\n{old},1796000000\n{late},1796000000\nhmac-sha256:12,\nsha256:zz,\n"
    words = ("optouts", "import", house.file("h.csv", listed), "--sender", "shop")
    assert house.run(*words) == 1
    assert "h.csv:2: an HMAC needs its key: --key-file FILE" in capsys.readouterr().err
    assert house.run(*words, "--key-file", str(other)) == 1
    assert house.reason("old@x.example") == "C1_OPTIN", "under another key it means nobody"
    capsys.readouterr()
    assert house.run(*words, "--key-file", str(key), "--refused", str(tmp_path / "no.csv")) == 1
    told, err = capsys.readouterr()
    assert "2 opt-outs recorded, 2 refused" in told
    assert "h.csv:4: 'hmac-sha256:12' is no hash: 64 hexadecimal digits follow hmac-sha256:" in err
    assert [line["line"] for line in lines(tmp_path / "no.csv")] == ["4", "5"]
    assert house.reason("old@x.example") == "OPTOUT_ALL"
    assert house.run("consents", "import", house.file("d.csv", "address\nLate@x.example\n"), *more) == 0
    assert house.reason("late@x.example") == "OPTOUT_ALL"


def test_hashed_lists_out(house, capsys, tmp_path) -> None:
    house.open()
    text = "address,at\nA@x.example,1796000000\nback@x.example,1796000000\n"
    assert house.run("optouts", "import", house.file("o.csv", text), "--sender", "shop") == 0
    again = house.file("c.csv", "address,at,source,evidence\nback@x.example,1797000000,web,x\n")
    assert house.run("consents", "import", again, "--sender", "shop") == 0
    words = ("optouts", "export", "--out", str(tmp_path / "h.csv"))
    assert house.run(*words, "--hash", "sha256", online=False) == 0
    (line,) = lines(tmp_path / "h.csv")
    assert line["address"] == f"sha256:{hashlib.sha256(b'a@x.example').hexdigest()}"
    (tmp_path / "key").write_bytes(b"short\n")
    assert house.run(*words, "--hash", "hmac", "--key-file", str(tmp_path / "key"), online=False) == 2
    assert "5 octets, a key has 16 to 4096" in capsys.readouterr().err
    (tmp_path / "key").write_bytes(b"a shared secret of two\n")
    assert house.run(*words, "--hash", "hmac", "--key-file", str(tmp_path / "key"), online=False) == 0
    assert lines(tmp_path / "h.csv")[0]["address"].startswith("hmac-sha256:")
    assert house.run(*words, "--hash", "hmac", online=False) == 2
    assert "example" not in (tmp_path / "h.csv").read_text()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("text", "words", "reason"),
    [
        ("at\n5\n", (), "no column address"),
        ("address,at\na@x.jp,5\n", (), "source: missing"),
        ("address,at,source\n", ("--set", "colour=red"), "write COLUMN=VALUE"),
        ("address,at,source\n", ("--encoding", "klingon"), "is no encoding"),
    ],
)
def test_files_and_arguments_that_cannot_be(house, capsys, text, words, reason) -> None:
    house.open()
    assert house.run("consents", "import", house.file("c.csv", text), "--sender", "shop", *words) in (1, 2)
    assert reason in capsys.readouterr().err


def test_forms_are_listed_shown_and_retired(house, capsys) -> None:
    house.open()
    form = house.add_form(capsys)
    assert house.run("form", "retire", form, "--sender", "shop", "--shown-to", "1795000000") == 0
    assert house.run("form", "retire", "xy", "--sender", "shop") == 2
    assert house.run("form", "list", online=False) == 0
    assert form[:16] in capsys.readouterr().out.replace("\n", "")
    assert house.run("form", "show", form[:8], online=False) == 0
    assert "2026-11-18T11:06:40Z" in capsys.readouterr().out
    assert house.run("form", "show", "ffff0000", online=False) == 1
    assert house.run("form", "add", str(house.folder / "none"), "--sender", "shop", "--kind", "web",
                     "--displayed-sender", "x", "--statement", "x") == 2  # fmt: skip


class Parsed(HTMLParser):
    """Tags that fetch or run something, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.addresses += [str(value) for name, value in attrs if name in ("src", "href", "style")]

    def handle_data(self, data: str) -> None:
        self.text += data


def journal(house: House, *records: Record) -> None:
    async def write() -> None:
        writer = Journal(JournalSettings(house.state / "journal"))
        await writer.append(records)
        await writer.close()

    asyncio.run(write())


def test_the_evidence_of_an_address(house, capsys, tmp_path) -> None:
    house.open()
    form = house.add_form(capsys)
    text = f"address,at,source,form,user_agent\nTaro@x.example,1795000000,web,{form},<script>alert(1)</script>\n"
    assert house.run("consents", "import", house.file("c.csv", text), "--sender", "shop") == 0
    assert house.run("suppress", "taro@x.example", "--sender", "shop", "--topic", "news") == 0
    shared = {"legal_sender": "shop", "category": "AD", "mailing": "m<1>"}
    reply = Response(250, None, "ok <b>", ".")
    journal(
        house,
        Record(
            "Delivery", "1", 1_796_000_000.5, recipient="taro@x.example", response=reply, basis="C1_OPTIN", **shared
        ),
        Record("Suppressed", "2", 1_796_000_001.0, recipient="TARO@x.example", reason="OPTOUT_TOPIC", **shared),
        Record("Delivery", "3", 1_796_000_002.0, recipient="jiro@x.example", response=reply, **shared),
    )
    capsys.readouterr()
    assert house.run("evidence", "taro@X.example", "--out", str(tmp_path / "out"), online=False) == 0
    told, page = (Path(line) for line in capsys.readouterr().out.split())
    found = json.loads(told.read_text())
    assert [consent["form"] for consent in found["consents"]] == [form]
    assert [form["content"] for form in found["forms"]] == [FORM]
    assert [refusal["topic"] for refusal in found["refusals"]] == ["news"]
    assert [send["type"] for send in found["sends"]] == ["Delivery", "Suppressed"]
    assert [(sent["what"], sent["at_jst"]) for sent in found["last_sent"]] == [
        ("advertising", "2026-11-30"),
        ("any", "2026-11-30"),
    ]
    standings = {standing["topic"]: standing["decisions"]["AD"] for standing in found["now"]}
    assert (standings[""]["verdict"], standings["news"]["reason"]) == ("SEND", "OPTOUT_TOPIC")
    html = page.read_text()
    parsed = Parsed(html)
    assert parsed.tags <= set(
        "html head meta title style body h1 h2 h3 table thead tbody tr th td span strong p pre br div footer".split()
    )
    assert parsed.addresses == []
    for words in (
        FORM,
        "<script>alert(1)</script>",
        "ok <b>",
        "m<1>",
        "Taro@x.example",
        hashlib.sha256(told.read_bytes()).hexdigest(),
    ):
        assert words in parsed.text
    assert (told.stat().st_mode & 0o777, page.stat().st_mode & 0o777) == (0o600, 0o600)


def test_the_evidence_of_nobody_and_of_a_sender(house, capsys, tmp_path) -> None:
    house.open()
    form = house.add_form(capsys)
    text = f"address,at,source,form\na@x.example,1795000000,web,{form}\nb@x.example,1795000100,web,{form}\n"
    assert house.run("consents", "import", house.file("c.csv", text), "--sender", "shop") == 0
    assert house.run("evidence", "zoe@x.example", "--out", str(tmp_path / "out"), online=False) == 1
    assert house.run("evidence", "nobody", "--out", str(tmp_path / "out"), online=False) == 2
    assert house.run("evidence", "--out", str(tmp_path / "out"), online=False) == 2
    assert house.run("evidence", "--sender", "nobody", "--out", str(tmp_path / "out"), online=False) == 2
    record = Record("Delivery", "1", 1_795_000_050.0, recipient="a@x.example", legal_sender="shop", category="AD")
    journal(house, record)
    words = ("--since", "1795000001", "--until", "1795000101", "--out", str(tmp_path / "out"))
    assert house.run("evidence", "--sender", "shop", *words, online=False) == 0
    parts = [json.loads(line) for line in (tmp_path / "out" / "evidence-shop.jsonl").read_text().splitlines()]
    assert [part["part"] for part in parts] == ["form", "consent", "send"]
    assert parts[1]["address"] == "b@x.example"
    capsys.readouterr()
