"""sokutatsu.toml: the shipped one against the code in both directions, every error at once, `check` as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from dataclasses import MISSING, fields
from enum import StrEnum
from pathlib import Path

import pytest
import trustme

from engine.config import (
    EngineSettings,
    Settings,
    SubmissionUnusable,
    cautions,
    open_submission,
    read_configuration,
)
from engine.config.reading import TABLES
from engine.config.settings import (
    BOUNDS,
    KeyTable,
    ResolverTable,
    ReturnPathTable,
    RouteTable,
    SenderTable,
    SubmissionTable,
    TlsReportTable,
    TlsTable,
)
from engine.config.sources import SourceTable
from engine.flow.accept import AcceptSettings
from engine.flow.door import DoorSettings
from engine.flow.fitness import PreflightSettings
from engine.flow.settle import SettleSettings
from engine.flow.users import entry_line
from engine.journal import JournalSettings
from engine.mail.profile import MailOrder, Profile
from engine.net.mx import Family
from engine.net.resolver import Credentials, TlsMode
from engine.page.settings import AdminSettings
from engine.policy.guard import GuardSettings
from engine.policy.shaping import Limits
from engine.signer.keys import generate_key, key_pem
from engine.signer.settings import SignerSettings
from engine.spool.database import SpoolSettings
from engine.web.settings import UnsubscribeSettings
from suppression import SuppressionSettings
from suppression.confirm import ConfirmSettings
from suppression.keeping import RetentionSettings

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "deploy" / "sokutatsu.toml"

CLASSES: dict[str, tuple[type, set[str]]] = {
    "engine": (EngineSettings, set()),
    "accept": (AcceptSettings, set()),
    "socket": (DoorSettings, set()),
    "submission": (SubmissionTable, set()),
    "return_path": (ReturnPathTable, set()),
    "spool": (SpoolSettings, {"folder", "node"}),
    "settle": (SettleSettings, set()),
    "journal": (JournalSettings, {"folder"}),
    "confirm": (ConfirmSettings, set()),
    "guard": (GuardSettings, set()),
    "preflight": (PreflightSettings, set()),
    "suppression": (SuppressionSettings, {"folder", "secret_file"}),
    "retention": (RetentionSettings, set()),
    "signer": (SignerSettings, {"keys"}),
    "admin": (AdminSettings, set()),
    "unsubscribe": (UnsubscribeSettings, set()),
    "resolver": (ResolverTable, set()),
    "tls": (TlsTable, set()),
    "tlsrpt": (TlsReportTable, set()),
    "senders.shop": (SenderTable, set()),
    "senders.shop.profile": (Profile, {"mail_order"}),
    "senders.shop.profile.mail_order": (MailOrder, set()),
    "shaping.default": (Limits, set()),
    "sources.out1": (SourceTable, set()),
}
"""Table -> its class, and the fields of it that the program sets."""
EXAMPLES = {
    "engine.state", "engine.ehlo_name", "tls.ca_file", "tlsrpt.sender", "tlsrpt.organization", "socket.path", "socket.group",
    "sources.out1.ehlo_name",
    "submission.users", "submission.certificate", "submission.key", "suppression.rules",
    "return_path.certificate", "return_path.key",
    "senders.shop.legal_name", "senders.shop.address", "senders.shop.domain", "senders.shop.return_path_domain",
    "senders.shop.message_id_domain", "senders.shop.unsubscribe_url",
    "senders.shop.profile.postal_address", "senders.shop.profile.phone", "senders.shop.profile.contact_mail",
    "senders.shop.profile.contact_url", "senders.shop.profile.mail_order.tokusho_url",
}  # fmt: skip
"""Keys that have no default, or one that follows from another key."""

MINIMAL = """[engine]
state = "state"
ehlo_name = "mta1.example.jp"
[senders.shop]
legal_name = "株式会社れい"
address = "れい商店 <news@news.example.jp>"
unsubscribe_url = "https://news.example.jp/u/{token}"
[[senders.shop.dkim]]
selector = "s1"
key = "dkim.pem"
[routes]
"*" = "relay.example.jp:25"
"""


def uncommented(text: str) -> str:
    """Every key that the file shows, in force."""
    return re.sub(r"^#(?=[a-z_\[\"])", "", text, flags=re.MULTILINE)


def at(folder: Path, text: str) -> Path:
    file = folder / "sokutatsu.toml"
    file.write_text(text, encoding="utf-8")
    return file


def settings_of(folder: Path, text: str) -> Settings:
    read = read_configuration(at(folder, text))
    assert isinstance(read, Settings), read
    return read


def errors_of(folder: Path, text: str) -> list[str]:
    read = read_configuration(at(folder, text))
    assert isinstance(read, list), read
    assert all(line.startswith(str(folder)) and line.isprintable() for line in read)
    return [line.removeprefix(f"{folder}/") for line in read]


def place_key(path: Path) -> None:
    path.touch(0o600)
    path.write_bytes(key_pem(generate_key("ed25519")))


def check(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "engine", "check", "--config", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def table_of(document: dict, name: str) -> dict:
    for part in name.split("."):
        document = document[part]
    return {key: value for key, value in document.items() if key != "dkim" and not isinstance(value, dict)}


# -- the shipped file against the code ---------------------------------------------------------------------------------


def test_every_table_of_the_code_is_in_the_file_and_none_besides() -> None:
    document = tomllib.loads(uncommented(SHIPPED.read_text(encoding="utf-8")))
    assert document.keys() == TABLES
    assert {name.partition(".")[0] for name in CLASSES} | {"routes", "pools"} == TABLES


@pytest.mark.parametrize("name", CLASSES)
def test_every_key_is_shown_once_with_its_default(name) -> None:
    kind, ours = CLASSES[name]
    shown = table_of(tomllib.loads(uncommented(SHIPPED.read_text(encoding="utf-8"))), name)
    assert shown.keys() == {entry.name for entry in fields(kind)} - ours
    limits = name == "shaping.default"
    for entry in fields(kind):
        if entry.name in ours or f"{name}.{entry.name}" in EXAMPLES:
            continue
        default = entry.default if entry.default is not MISSING else entry.default_factory()
        value = shown[entry.name]
        if limits:
            continue  # durations and rates are text there: compared below, as read
        if isinstance(default, Path):
            default = str(default)
        assert (list(default) if isinstance(default, tuple | frozenset) else default) == value, entry.name
        assert type(value) is type(default) or isinstance(default, tuple | frozenset | StrEnum), entry.name


def place_relay(folder: Path) -> None:
    """What the shipped file names for a smart host and for [tls]."""
    authority = trustme.CA()
    own = authority.issue_cert("mta1.example.jp")
    for name in ("relay.password", "relay.key"):
        (folder / name).touch(0o600)
    (folder / "relay.password").write_text("secret\n")
    own.private_key_pem.write_to_path(folder / "relay.key")
    own.cert_chain_pems[0].write_to_path(folder / "relay.crt")
    authority.cert_pem.write_to_path(folder / "authorities.pem")


def test_the_shaping_of_the_file_is_the_default(tmp_path) -> None:
    place_relay(tmp_path)
    assert settings_of(tmp_path, SHIPPED.read_text(encoding="utf-8")).shaping.default == Limits()
    everything = uncommented(SHIPPED.read_text(encoding="utf-8"))
    (tmp_path / "shaping.toml").write_text("")
    assert settings_of(tmp_path, everything).shaping.default == Limits()


def test_keys_of_lists_and_routes_are_shown() -> None:
    document = tomllib.loads(uncommented(SHIPPED.read_text(encoding="utf-8")))
    (key,) = document["senders"]["shop"]["dkim"]
    assert key.keys() == set(KeyTable.__slots__)
    assert [value.keys() for value in document["routes"].values() if isinstance(value, dict)] == [
        set(RouteTable.__slots__)
    ]


def test_every_key_has_a_comment_above_it() -> None:
    """A group of keys may share one."""
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"#?[a-z_]+ = ", line):
            above = number - 1
            while re.match(r"#?[a-z_]+ = ", lines[above]):
                above -= 1
            assert lines[above].startswith("# "), line


def test_the_file_as_shipped_and_with_every_key_is_accepted_by_check(tmp_path) -> None:
    text = SHIPPED.read_text(encoding="utf-8")
    place_key(tmp_path / "dkim-s2026a.pem")
    certificate = trustme.CA().issue_cert("localhost")
    (tmp_path / "rules").mkdir()
    for name in ("submission", "return-path"):
        certificate.cert_chain_pems[0].write_to_path(tmp_path / f"{name}.crt")
        (tmp_path / f"{name}.key").touch(0o600)
        certificate.private_key_pem.write_to_path(tmp_path / f"{name}.key")
    (tmp_path / "submission-users").touch(0o600)
    (tmp_path / "submission-users").write_text(entry_line("shop", "secret", cost=16) + "\n")
    place_relay(tmp_path)
    (tmp_path / "shaping.toml").touch()
    for shown in (text, uncommented(text)):
        checked = check(at(tmp_path, shown))
        assert (checked.returncode, checked.stderr) == (0, "")
        assert "caution" not in checked.stdout
        for words in ("株式会社れい", "s2026a (ed25519-sha256", "by MX, port 25", "127.0.0.1:9180"):
            assert words in checked.stdout
    assert "127.0.0.1:2587, STARTTLS" in checked.stdout
    assert "smtp.example.com:587, Required, login shop" in checked.stdout


def test_every_number_has_bounds_and_no_bound_is_for_nothing() -> None:
    for name, (kind, ours) in CLASSES.items():
        if name in ("shaping.default", "sources.out1") or name.startswith("senders."):
            continue
        numbers = {entry.name for entry in fields(kind) if re.search(r"\b(int|float)\b", str(entry.type))}
        assert BOUNDS[name].keys() == numbers - ours, name


def test_defaults_are_within_their_bounds() -> None:
    for name, bounds in BOUNDS.items():
        for entry in fields(CLASSES[name][0]):
            if entry.name in bounds and isinstance(entry.default, int | float):
                assert bounds[entry.name].lowest <= entry.default <= bounds[entry.name].highest


# -- what is read ------------------------------------------------------------------------------------------------------


def test_the_least_that_a_file_must_say(tmp_path) -> None:
    read = settings_of(tmp_path, MINIMAL)
    assert read.engine.state == tmp_path / "state"
    assert read.door.path == tmp_path / "state" / "socket" / "sokutatsu.sock"
    assert (read.spool.folder, read.journal.folder) == (tmp_path / "state" / "spool", tmp_path / "state" / "journal")
    assert read.suppression.secret_file == tmp_path / "state" / "suppression.secret"
    assert read.submission is None
    (key,) = read.signer.keys
    assert (key.domain, key.selector, key.file) == ("news.example.jp", "s1", tmp_path / "dkim.pem")
    identity = read.senders["shop"].identity
    assert (identity.from_address, identity.from_display) == ("news@news.example.jp", "れい商店")
    assert identity.return_path_domain == identity.message_id_domain == "news.example.jp"
    assert read.routes["*"].site == "relay.example.jp:25"
    (caution,) = cautions(read)
    assert caution.startswith("senders.shop has no profile: there is no %footer%")


def test_durations_may_be_text_where_seconds_are_asked(tmp_path) -> None:
    read = settings_of(
        tmp_path,
        MINIMAL + '[accept]\nmax_age = "3 days"\n[journal]\nkeep_seconds = 94608000\nmax_segment_seconds = "5m"\n',
    )
    assert (read.accept.max_age, read.journal.keep_seconds, read.journal.max_segment_seconds) == (259200, 94608000, 300)


def test_users_and_groups_by_name_or_number(tmp_path) -> None:
    read = settings_of(tmp_path, MINIMAL + '[socket]\nuids = ["root", 1234]\ngids = ["root", 33]\ngroup = "root"\n')
    assert (read.door.uids, read.door.gids, read.door.group) == (frozenset({0, 1234}), frozenset({0, 33}), 0)
    assert settings_of(tmp_path, MINIMAL + "[socket]\ngroup = 5\n").door.group == 5


def test_a_socket_path_is_relative_to_the_file(tmp_path) -> None:
    assert settings_of(tmp_path, MINIMAL + '[socket]\npath = "s/x.sock"\n').door.path == tmp_path / "s" / "x.sock"
    assert settings_of(tmp_path, MINIMAL + '[socket]\npath = "/run/x.sock"\n').door.path == Path("/run/x.sock")


def test_routes_with_a_mode_and_domains_in_any_form(tmp_path) -> None:
    text = MINIMAL + '"例え.jp" = { to = "[::1]:2525", tls = "Required" }\n"EXAMPLE.com" = "127.0.0.1"\n'
    routes = settings_of(tmp_path, text).routes
    assert routes["xn--r8jz45g.jp"].tls is TlsMode.REQUIRED
    assert routes["example.com"].site == "127.0.0.1:25"


def test_a_route_with_a_login(tmp_path) -> None:
    secret = tmp_path / "relay.password"
    secret.touch(0o600)
    secret.write_text("geheim 秘密\n", "utf-8")
    login = '{ to = "relay:587", tls = "Required", username = "shop", password_file = "relay.password" }'
    text = MINIMAL.replace('"relay.example.jp:25"', login)
    assert settings_of(tmp_path, text).routes["*"].credentials == Credentials("shop", "geheim 秘密")
    for content, mode, why in ((b"x", 0o640, "chmod 600"), (b"", 0o600, "no password"), (b"a\nb", 0o600, "no passw")):
        secret.write_bytes(content)
        secret.chmod(mode)
        (error,) = errors_of(tmp_path, text)
        assert why in error
        assert "geheim" not in error


def test_mx_needs_no_route_and_the_source_address_chooses_the_family(tmp_path) -> None:
    text = MINIMAL.partition("[routes]")[0]
    mx = settings_of(tmp_path, text).resolver.mx
    assert mx is not None
    assert (mx.own_names, mx.own_addresses, mx.family) == ({"mta1.example.jp"}, frozenset(), Family.IPV4_FIRST)
    for source, family in (("192.0.2.1", Family.IPV4), ("2001:db8::1", Family.IPV6)):
        found = settings_of(tmp_path, text.replace("ehlo_name", f'source_address = "{source}"\nehlo_name')).resolver.mx
        assert found is not None
        assert (found.own_addresses, found.family) == ({source}, family)
    more = '[resolver]\nservers = ["127.0.0.1", "[::1]:5353", "127.0.0.1:54"]\nallow_networks = ["127.0.0.0/8"]\n'
    read = settings_of(tmp_path, text + more)
    assert read.resolver.dns.servers == (("127.0.0.1", 53), ("::1", 5353), ("127.0.0.1", 54))
    assert any("resolver.allow_networks" in text for text in cautions(read))
    assert settings_of(tmp_path, MINIMAL + "[resolver]\nmx = false\n").resolver.mx is None


def test_senders_of_one_domain_share_its_keys(tmp_path) -> None:
    second = '[senders.other]\nlegal_name = "x"\naddress = "o@news.example.jp"\n'
    assert len(settings_of(tmp_path, MINIMAL + second).signer.keys) == 1
    same = '[[senders.other.dkim]]\nselector = "S1"\nkey = "dkim.pem"\n'
    assert len(settings_of(tmp_path, MINIMAL + second + same).signer.keys) == 1


def test_a_byte_order_mark_and_windows_lines_do_no_harm(tmp_path) -> None:
    file = tmp_path / "sokutatsu.toml"
    file.write_bytes(b"\xef\xbb\xbf" + MINIMAL.replace("\n", "\r\n").encode())
    assert isinstance(read_configuration(file), Settings)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ('state = "state"', "", "sokutatsu.toml:1: engine: state is missing; add it"),
        ("[routes]", "[rutes]", "sokutatsu.toml:11: 'rutes': unknown table; known are"),
        (
            '"*" = "relay.example.jp:25"',
            "[resolver]\nmx = false",
            "sokutatsu.toml:11: routes: no route; add [routes] with a line such as",
        ),
        (
            '"*" =',
            '"a.jp" = { to = "b:1", tls = "Required" }\n"c.jp" = "b:1"\n"*" =',
            "sokutatsu.toml:13: routes.c.jp: b:1 is in another route with another tls, login or certificate",
        ),
        (
            '"*" =',
            '"a.jp" = { to = "b:1", username = "u" }\n"*" =',
            "sokutatsu.toml:12: routes.a.jp: username and password_file belong together",
        ),
        (
            '"*" =',
            '"a.jp" = { to = "b:1", username = "u", password_file = "none" }\n"*" =',
            "sokutatsu.toml:12: routes.a.jp.password_file: 'none': No such file or directory; name a file",
        ),
        ("[routes]", "[resolver]\nservers = ['x']\n[routes]", "sokutatsu.toml:12: resolver.servers: 'x': write an addr"),
        ("[routes]", "[resolver]\nown_names = ['1.2.3.4']\n[routes]", "sokutatsu.toml:12: resolver.own_names: '1.2.3.4'"),
        ("[routes]", "[resolver]\nown_addresses = ['a']\n[routes]", "sokutatsu.toml:12: resolver.own_addresses: 'a': w"),
        (
            "[routes]",
            "[resolver]\nallow_networks = ['127.0.0.1/8']\n[routes]",
            "sokutatsu.toml:12: resolver.allow_networks: '127.0.0.1/8' is no network",
        ),
        ("[routes]", "[resolver]\ndeadline = 1.0\n[routes]", "sokutatsu.toml:12: resolver.deadline: 1 is below"),
        ("[routes]", "[resolver]\naddresses = 'ipv5'\n[routes]", "sokutatsu.toml:12: resolver.addresses: 'ipv5'"),
        ('"*" = "relay.example.jp:25"', '"*" = "relay:x"', "sokutatsu.toml:12: routes.*: routes: '*' = 'relay:x'"),
        ('"*" = "relay', '"a b" = "relay', "sokutatsu.toml:12: routes.'a b': address"),
        ('"*" = "relay.example.jp:25"', '"*" = 1', "sokutatsu.toml:12: routes.*: 1 is not a table"),
        (
            '"*" = "relay.example.jp:25"',
            '"*" = { to = "a:25", tls = "Yes" }',
            "sokutatsu.toml:12: routes.*.tls: 'Yes': write one of Opportunistic",
        ),
        ('"*" =', '"A.jp" = "b:1"\n"a.jp" =', "sokutatsu.toml:13: routes.a.jp: a.jp is there twice"),
        ("mta1.example.jp", "mta 1", "sokutatsu.toml:3: engine.ehlo_name: 'mta 1': write this machine's name"),
        ("mta1.example.jp", "[300.1.1.1]", "sokutatsu.toml:3: engine.ehlo_name: '[300.1.1.1]'"),
        ('state = "state"', 'state = "s"\nnode = 40000', "sokutatsu.toml:3: engine.node: 40000: must be 0 to 32767"),
        ('state = "state"', 'state = "s"\nlog_level = "LOUD"', "sokutatsu.toml:3: engine.log_level: 'LOUD': write one"),
        ('state = "state"', 'state = "s"\nsource_address = "eth0"', "sokutatsu.toml:3: engine.source_address: 'eth0'"),
        ("[senders.shop]", '[senders."a b"]', "sokutatsu.toml:4: senders.'a b': a sender's name has letters"),
        ("株式会社れい", " ", "sokutatsu.toml:5: senders.shop.legal_name: is empty; write the sender's registered name"),
        ("れい商店 <news@news.example.jp>", "nobody", "sokutatsu.toml:6: senders.shop.address: 'nobody': write news@"),
        ("れい商店 <news@news.example.jp>", "", "sokutatsu.toml:6: senders.shop.address: '': write news@example.jp"),
        ("/u/{token}", "/u/", "sokutatsu.toml:7: senders.shop.unsubscribe_url: unsubscribe_url 'https://news.exa"),
        ("https:", "http:", "sokutatsu.toml:7: senders.shop.unsubscribe_url: unsubscribe_url 'http://news.exam"),
        ("unsubscribe_url", "categories = []\nunsubscribe_url", "sokutatsu.toml:7: senders.shop.categories: is empty"),
        ("unsubscribe_url", 'domain = "other.jp"\nunsubscribe_url', "sokutatsu.toml:6: senders.shop.address: from_addr"),
        (
            '[[senders.shop.dkim]]\nselector = "s1"\nkey = "dkim.pem"\n',
            "",
            "sokutatsu.toml:4: senders.shop: no key to sign for news.example.jp; add [[senders.shop.dkim]]",
        ),
        ("[[senders.shop.dkim]]", "[senders.shop.dkim]", "sokutatsu.toml:8: senders.shop.dkim: {'selector'"),
        ('selector = "s1"', 'selector = "s_1"', "sokutatsu.toml:9: senders.shop.dkim[0].selector: 's_1'"),
        (
            "[routes]",
            '[[senders.shop.dkim]]\nselector = "s2"\n[routes]',
            "sokutatsu.toml:11: senders.shop.dkim[1]: key is missing; add it",
        ),
        (
            "[routes]",
            '[[senders.shop.dkim]]\nselector = "S1"\nkey = "other.pem"\n[routes]',
            "sokutatsu.toml:8: senders.shop.dkim: selector 's1' of news.example.jp has two key files",
        ),
        (
            "[routes]",
            "".join(f'[[senders.shop.dkim]]\nselector = "x{n}"\nkey = "{n}.pem"\n' for n in range(4)) + "[routes]",
            "sokutatsu.toml:4: senders.shop: news.example.jp has 5 keys; at most 4",
        ),
        ("[routes]", "[admin]\nlisten = 'here'\n[routes]", "sokutatsu.toml:12: admin.listen: 'here': write host:port"),
        (
            "[routes]",
            "[unsubscribe]\nlisten = '127.0.0.1:9180'\n[routes]",
            "sokutatsu.toml:12: unsubscribe.listen: 127.0.0.1:9180 is admin.listen too",
        ),
        (
            "[routes]",
            "[unsubscribe]\nlisten = '[::1]:2587'\n[submission]\nusers = 'u'\nlisten = '[::1]:2587'\n[routes]",
            "sokutatsu.toml:12: unsubscribe.listen: [::1]:2587 is submission.listen too",
        ),
        ("[routes]", "[unsubscribe]\nlisten = ''\n[routes]", "sokutatsu.toml:12: unsubscribe.listen: '': write host:port"),
        (
            "[routes]",
            "[unsubscribe]\nproxies = ['10.0.0.1', 'proxy']\n[routes]",
            "sokutatsu.toml:12: unsubscribe.proxies: 'proxy': write an address or a network",
        ),
        ("[routes]", "[unsubscribe]\nunknown_rate = 0\n[routes]", "sokutatsu.toml:12: unsubscribe.unknown_rate: 0: must be"),
        (
            'unsubscribe_url = "https://news.example.jp/u/{token}"',
            'unsubscribe_mailto = "stop@news.example.jp"',
            "sokutatsu.toml:7: senders.shop.unsubscribe_mailto: unsubscribe_mailto 'stop@news.example.jp': needs an",
        ),
        ("[routes]", "[signer]\nbackend = 'gpu'\n[routes]", "sokutatsu.toml:12: signer.backend: 'gpu': write one of"),
        ("[routes]", "[socket]\nmemory = 70000\n[routes]", "sokutatsu.toml:12: socket.memory: 70000 is below"),
        ("[routes]", "[socket]\nuids = ['no-such-user']\n[routes]", "sokutatsu.toml:12: socket.uids: 'no-such-user'"),
        ("[routes]", '[socket]\ngids = ["a\\u0000"]\n[routes]', "sokutatsu.toml:12: socket.gids: 'a\\x00': no such"),
        ("[routes]", "[socket]\ngroup = 'no-such-group'\n[routes]", "sokutatsu.toml:12: socket.group: 'no-such-g"),
        ("[routes]", "[socket]\npath = 1\n[routes]", "sokutatsu.toml:12: socket.path: 1: write text"),
        ("[routes]", "[socket]\nuids = 1\n[routes]", "sokutatsu.toml:12: socket.uids: 1: write a list"),
        ("[routes]", "[settle]\nbacklog = 5\n[routes]", "sokutatsu.toml:12: settle.backlog: 5 is below settle.group"),
        ("[routes]", "[accept]\nhorizon = '1h'\n[routes]", "sokutatsu.toml:11: accept.max_age: exceeds accept.horizon"),
        ("[routes]", "[spool]\nfolder = 'x'\n[routes]", "sokutatsu.toml:12: spool.folder: unknown key"),
        (
            "[routes]",
            "[shaping.default]\nconection_limit = 1\n[routes]",
            "sokutatsu.toml:12: shaping.default.conection_limit: unknown key; did you mean connection_limit?",
        ),
        (
            "[routes]",
            '[shaping.site."mx.a.jp:25"]\nidle_timeout = "x"\n[routes]',
            "sokutatsu.toml:12: shaping.site.'mx.a.jp:25'.idle_timeout: x: write seconds",
        ),
        ("[routes]", "[submission]\n[routes]", "sokutatsu.toml:11: submission: users is missing"),
        (
            "[routes]",
            "[submission]\nusers = 'u'\nlisten = '0.0.0.0:587'\n[routes]",
            "sokutatsu.toml:13: submission.listen: 0.0.0.0:587 is open to the network",
        ),
        (
            "[routes]",
            "[submission]\nusers = 'u'\nlisten = 'mta1.example.jp:587'\n[routes]",
            "sokutatsu.toml:13: submission.listen: mta1.example.jp:587 is open to the network",
        ),
        (
            "[routes]",
            "[submission]\nusers = 'u'\nlisten = '127.0.0.1:9180'\n[routes]",
            "sokutatsu.toml:13: submission.listen: 127.0.0.1:9180 is admin.listen too",
        ),
        ("[routes]", "[submission]\nusers = 'u'\nlisten = ':25'\n[routes]", "sokutatsu.toml:13: submission.listen: ':25'"),
        (
            "[routes]",
            "[submission]\nusers = 'u'\nkey = 'k'\n[routes]",
            "sokutatsu.toml:11: submission: certificate and key belong together",
        ),
        (
            "[routes]",
            "[submission]\nusers = 'u'\nimplicit_tls = true\n[routes]",
            "sokutatsu.toml:13: submission.implicit_tls: needs a certificate",
        ),
        (
            "[routes]",
            "[submission]\nusers = 'u'\nhostname = '-'\n[routes]",
            "sokutatsu.toml:13: submission.hostname: '-': write a host name",
        ),
    ],
)  # fmt: skip
def test_a_wrong_file_is_told_where_and_what_to_do(tmp_path, old, new, error) -> None:
    assert old in MINIMAL
    found = errors_of(tmp_path, MINIMAL.replace(old, new))
    assert any(line.startswith(error) for line in found), found


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_table_that_is_none(tmp_path, name) -> None:
    text = re.sub(rf"^(\[+{name}[.\]])", r"[was_\g<1>", f"{name} = 1\n" + MINIMAL, flags=re.MULTILINE)
    text = "".join(line + "\n" for line in text.splitlines() if not line.startswith("[was_"))
    found = errors_of(tmp_path, text)
    assert any(line.startswith(f"sokutatsu.toml:1: {name}: ") for line in found), found


def test_a_sender_that_is_no_table(tmp_path) -> None:
    found = errors_of(tmp_path, MINIMAL.replace("[engine]", "[senders]\nx = 1\n[engine]"))
    assert found == ["sokutatsu.toml:2: senders.x: not a table; write [senders.x]"]


def test_all_errors_are_told_at_once(tmp_path) -> None:
    text = """[engine]
node = -1
[senders.a]
legal_name = 1
[senders.b]
address = "b@b.jp"
[routes]
"*" = ":"
[shaping.default]
idle_timeout = "long"
[nonsense]
[admin]
listen = "x"
[signer]
backend = "x"
[socket]
group = "no-such-group"
"""
    found = errors_of(tmp_path, text)
    names = [line.split(": ")[1] for line in found]
    assert sorted(names) == sorted([
        "'nonsense'", "engine.node", "engine", "senders.a.legal_name", "senders.a", "senders.b", "routes.*",
        "shaping.default.idle_timeout", "admin.listen", "signer.backend", "socket.group",
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"[engine\n", "sokutatsu.toml:1: not TOML: Expected ']'"),
        (b"a = 1\na = 2\n", "sokutatsu.toml:2: not TOML: Cannot overwrite a value"),
        (b"a = \xff\n", "sokutatsu.toml:1: a byte that is not UTF-8"),
        (b"\n\na = 'x", "sokutatsu.toml: not TOML: Expected"),
        (b"a = " + b"[" * 100_000, "sokutatsu.toml: nested too deep"),
        (b"a = " + b"9" * 10_000, "sokutatsu.toml: not TOML: Exceeds the limit"),
        (b"#" * (4 * 1024 * 1024 + 1), "sokutatsu.toml: larger than 4194304 bytes"),
    ],
)
def test_what_is_no_toml(tmp_path, content, error) -> None:
    (tmp_path / "sokutatsu.toml").write_bytes(content)
    (found,) = read_configuration(tmp_path / "sokutatsu.toml")
    assert found.removeprefix(f"{tmp_path}/").startswith(error)


def test_a_file_that_is_not_there(tmp_path) -> None:
    assert read_configuration(tmp_path / "x") == [
        f"{tmp_path}/x: No such file or directory; name an existing file with --config"
    ]


def test_what_looks_wrong_is_told_without_refusing_it(tmp_path) -> None:
    text = (
        MINIMAL.replace("mta1.example.jp", "localhost").replace("unsubscribe_url", "#")
        + '[admin]\nlisten = "0.0.0.0:9180"\n[signer]\nbackend = "cryptography"\n'
        + '[shaping.site."relay.example.jp:26"]\nconnection_limit = 1\n'
    )
    found = "\n".join(cautions(settings_of(tmp_path, text)))
    for words in (
        "ehlo_name is localhost",
        "admin.listen 0.0.0.0:9180",
        "特定電子メール法",
        "relay.example.jp:26",
        "no profile",
        "auto",
    ):
        assert words in found
    assert len(found.splitlines()) == 6


def test_an_opt_out_listener_that_looks_wrong(tmp_path) -> None:
    text = MINIMAL.replace("/u/{token}", "/stop?t={token}") + '[unsubscribe]\nlisten = "0.0.0.0:8025"\n'
    found = [line for line in cautions(settings_of(tmp_path, text)) if "no profile" not in line]
    assert len(found) == 2
    assert "does not end in /u/{token}" in found[0]
    assert "unsubscribe.listen 0.0.0.0:8025 is open to the network without TLS" in found[1]
    right = settings_of(tmp_path, MINIMAL + "[unsubscribe]\n")
    assert [line for line in cautions(right) if "no profile" not in line] == []
    assert right.unsubscribe is not None
    assert settings_of(tmp_path, MINIMAL).unsubscribe is None


# -- files that it names -----------------------------------------------------------------------------------------------


def test_check_reports_errors_on_standard_error_and_ends_with_2(tmp_path) -> None:
    checked = check(at(tmp_path, MINIMAL.replace('state = "state"', "node = 1.5")))
    assert (checked.returncode, checked.stdout) == (2, "")
    assert checked.stderr.splitlines() == [
        f"{tmp_path}/sokutatsu.toml:2: engine.node: 1.5: write a whole number",
        f"{tmp_path}/sokutatsu.toml:1: engine: state is missing; add it",
    ]


def test_check_reads_the_files_that_are_named(tmp_path) -> None:
    text = MINIMAL + '[submission]\nusers = "users"\n'
    checked = check(at(tmp_path, text))
    assert checked.returncode == 2
    key, users = checked.stderr.splitlines()
    assert f"DKIM key {tmp_path}/dkim.pem: No such file" in key
    assert f"submission.users: cannot read the users of SMTP submission from {tmp_path}/users" in users
    place_key(tmp_path / "dkim.pem")
    (tmp_path / "dkim.pem").chmod(0o644)
    (tmp_path / "users").touch(0o640)
    checked = check(at(tmp_path, text))
    assert checked.returncode == 2
    assert "may be read by others (mode 0644); chmod 600" in checked.stderr


def submission(folder: Path, **more: object) -> SubmissionTable:
    (folder / "users").touch(0o640)
    return SubmissionTable(users=folder / "users", **more)  # type: ignore[arg-type]


def test_submission_opens_with_what_the_table_says(tmp_path) -> None:
    settings, _users = open_submission(submission(tmp_path, listen="[::1]:0", size_limit=70000), "mta1.example.jp")
    assert (settings.host, settings.port, settings.hostname, settings.tls) == ("::1", 0, "mta1.example.jp", None)
    assert settings.size_limit == 70000


def test_submission_with_a_certificate(tmp_path) -> None:
    certificate = trustme.CA().issue_cert("localhost")
    chain, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.cert_chain_pems[0].write_to_path(chain)
    certificate.private_key_pem.write_to_path(key)
    key.chmod(0o640)
    table = submission(tmp_path, certificate=chain, key=key, implicit_tls=True, hostname="mail.example.jp")
    settings, _users = open_submission(table, "x")
    assert settings.tls is not None
    assert (settings.is_tls_implicit, settings.hostname) == (True, "mail.example.jp")
    key.chmod(0o644)
    with pytest.raises(SubmissionUnusable, match="mode 0644"):
        open_submission(table, "x")
    key.chmod(0o640)
    os.truncate(key, 0)
    with pytest.raises(SubmissionUnusable, match=r"c\.pem and key .*k\.pem: .*; give a PEM certificate"):
        open_submission(table, "x")
    key.unlink()
    with pytest.raises(SubmissionUnusable, match="No such file or directory; correct the path"):
        open_submission(table, "x")


def test_a_key_with_a_passphrase_is_refused_without_asking(tmp_path) -> None:
    encrypted = generate_encrypted(tmp_path)
    with pytest.raises(SubmissionUnusable, match="unencrypted"):
        open_submission(submission(tmp_path, certificate=encrypted, key=encrypted), "x")


def generate_encrypted(folder: Path) -> Path:
    from cryptography.hazmat.primitives import serialization

    certificate = trustme.CA().issue_cert("localhost")
    private = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    locked = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    path = folder / "both.pem"
    path.touch(0o600)
    path.write_bytes(certificate.cert_chain_pems[0].bytes() + locked)
    return path


def test_users_that_cannot_be_read(tmp_path) -> None:
    table = SubmissionTable(users=tmp_path / "none")
    with pytest.raises(SubmissionUnusable, match=r"submission\.users: cannot read the users"):
        open_submission(table, "x")


# -- the way back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ('listen = "here"', "return_path.listen"),
        ('max_client_rate = "often"', "return_path.max_client_rate"),
        ('optout_addresses = ["stop"]', "return_path.optout_addresses"),
        ('addresses = ["fbl@"]', "return_path.addresses"),
        ('certificate = "x.crt"', "certificate and key belong together"),
    ],
)
def test_a_return_path_that_cannot_be(tmp_path, line, where) -> None:
    place_key(tmp_path / "dkim-s2026a.pem")
    text = SHIPPED.read_text(encoding="utf-8") + f"\n[return_path]\n{line}\n"
    found = read_configuration(at(tmp_path, text))
    assert isinstance(found, list)
    assert where in "\n".join(found)


def test_the_return_path_and_submission_need_ports_of_their_own(tmp_path) -> None:
    place_key(tmp_path / "dkim-s2026a.pem")
    more = '\n[submission]\nusers = "u"\n[return_path]\nlisten = "127.0.0.1:2587"\n'
    found = read_configuration(at(tmp_path, SHIPPED.read_text(encoding="utf-8") + more))
    assert isinstance(found, list)
    assert "return_path.listen" in found[0]
