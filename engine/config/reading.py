"""The file's tables, one by one, into settings. Paths in the file are relative to the file.

What concerns one table alone is checked here, with its line; what concerns two of them in agreement.py.
"""

from __future__ import annotations

import grp
import pwd
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from engine.config.agreement import check_agreement
from engine.config.resolving import read_resolver, read_routes
from engine.config.returns import check_return_path
from engine.config.senders import read_senders
from engine.config.settings import (
    BOUNDS,
    LOG_LEVELS,
    EngineSettings,
    ReturnPathTable,
    Settings,
    SubmissionTable,
    TlsReportTable,
)
from engine.config.shaping import read_shaping_table
from engine.config.sources import read_pools, read_sources
from engine.config.trusting import read_tls
from engine.flow.accept import AcceptSettings
from engine.flow.door import DoorSettings
from engine.flow.fitness import PreflightSettings
from engine.flow.settle import SettleSettings
from engine.journal import JournalSettings
from engine.net.resolver import is_address
from engine.page.settings import AdminSettings
from engine.policy.guard import GuardSettings
from engine.signer.settings import BACKENDS, SignerSettings
from engine.spool.database import SpoolSettings
from engine.tables import Problems, line_numbers, parse_listen, read_table, shown
from engine.web.settings import UnsubscribeSettings
from engine.web.source import parse_proxies
from suppression import SuppressionSettings
from suppression.confirm import ConfirmSettings
from suppression.keeping import RetentionSettings

T = TypeVar("T")

MOST_BYTES = 4 * 1024 * 1024
TABLES = frozenset(BOUNDS) | {"senders", "routes", "shaping", "sources", "pools"}
_TOML_PLACE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def read_configuration(file: Path) -> Settings | list[str]:
    """The settings, or every error, each with file, line, key, value and remedy."""
    try:
        with file.open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            return [f"{file}: larger than {MOST_BYTES} bytes; this is no configuration of ours"]
        text = raw.decode("utf-8-sig")
        document = tomllib.loads(text)
    except OSError as error:
        return [f"{file}: {error.strerror}; name an existing file with --config"]
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return [f"{file}:{line}: a byte that is not UTF-8; save the file as UTF-8"]
    except RecursionError:
        return [f"{file}: nested too deep; this is no configuration of ours"]
    except ValueError as error:  # TOMLDecodeError, and an integer of thousands of digits
        place = _TOML_PLACE.search(str(error))
        line_text = f":{place[1]}" if place and place[1] else ""
        return [f"{file}{line_text}: not TOML: {_TOML_PLACE.sub('', str(error))[:200]}"]
    problems = Problems(str(file), line_numbers(text))
    settings = _Reader(file, document, problems).settings()
    return settings if settings and not problems.texts else problems.texts


class _Reader:
    def __init__(self, file: Path, document: dict[str, Any], problems: Problems) -> None:
        self.file = file
        self.folder = file.absolute().parent
        self.document = document
        self.problems = problems

    def settings(self) -> Settings | None:
        for name in self.document.keys() - TABLES:
            self.problems.add(shown(name), f"unknown table; known are {', '.join(sorted(TABLES))}")
        engine = self._engine()
        state = engine.state if engine else Path()
        senders, keys = read_senders(self.document.get("senders", {}), self.folder, self.problems)
        parts: dict[str, Any] = {
            "accept": self._table(AcceptSettings, "accept"),
            "door": self._door(state),
            "submission": self._submission(),
            "return_path": self._return_path(),
            "spool": self._table(
                SpoolSettings, "spool", {"folder": state / "spool", "node": engine.node if engine else 0}
            ),
            "settle": self._table(SettleSettings, "settle"),
            "journal": self._table(JournalSettings, "journal", {"folder": state / "journal"}),
            "suppression": self._suppression(state),
            "retention": self._table(RetentionSettings, "retention"),
            "confirm": self._table(ConfirmSettings, "confirm"),
            "guard": self._table(GuardSettings, "guard"),
            "preflight": self._table(PreflightSettings, "preflight"),
            "signer": self._table(SignerSettings, "signer", {"keys": keys}),
            "admin": self._admin(state),
            "shaping": read_shaping_table(self.document.get("shaping", {}), self.folder, self.problems),
            **self._sources(engine),
            "unsubscribe": self._unsubscribe(),
            "tls": read_tls(self.document.get("tls", {}), self.folder, self.problems),
            "tlsrpt": self._table(TlsReportTable, "tlsrpt") if "tlsrpt" in self.document else None,
        }
        resolver = read_resolver(self.document.get("resolver", {}), engine, self.problems)
        parts["resolver"] = resolver
        is_mx = resolver is None or resolver.mx is not None
        routes = read_routes(self.document.get("routes", {}), self.folder, mx=is_mx, problems=self.problems)
        self._check_words(parts["signer"], parts["admin"])
        if self.problems.texts or engine is None:
            return None
        settings = Settings(self.file, engine, senders=senders, routes=routes, **parts)
        check_agreement(settings, self.problems)
        return settings

    def _table(self, kind: type[T], name: str, given: Mapping[str, object] | None = None) -> T | None:
        return read_table(kind, self.document.get(name, {}), name, self.problems, bounds=BOUNDS[name], given=given)

    def _suppression(self, state: Path) -> SuppressionSettings | None:
        given = {"folder": state / "suppression", "secret_file": state / "suppression.secret"}
        table = self._table(SuppressionSettings, "suppression", given)
        return table and replace(table, rules=table.rules and self.folder / table.rules)

    def _engine(self) -> EngineSettings | None:
        engine = self._table(EngineSettings, "engine")
        if engine is None:
            return None
        if engine.log_level not in LOG_LEVELS:
            self.problems.add("engine.log_level", f"{shown(engine.log_level)}: write one of {', '.join(LOG_LEVELS)}")
        if engine.source_address and not is_address(engine.source_address):
            self.problems.add(
                "engine.source_address", f"{shown(engine.source_address)}: write an IP address of this machine"
            )
            engine = replace(engine, source_address="")
        if not _is_greeting(engine.ehlo_name):
            self.problems.add(
                "engine.ehlo_name", f"{shown(engine.ehlo_name)}: write this machine's name, such as mta1.example.jp"
            )
        state = self.folder / engine.state
        return replace(engine, state=state, backups=state / engine.backups)

    def _admin(self, state: Path) -> AdminSettings | None:
        table = self._table(AdminSettings, "admin")
        return table and replace(table, token_file=state / table.token_file)

    def _check_words(self, signer: SignerSettings | None, admin: AdminSettings | None) -> None:
        if signer and signer.backend not in BACKENDS:
            self.problems.add("signer.backend", f"{shown(signer.backend)}: write one of {', '.join(BACKENDS)}")
        if admin and admin.listen:
            self._check_listen("admin.listen", admin.listen)

    def _check_listen(self, where: str, listen: str) -> None:
        try:
            parse_listen(listen)
        except ValueError as error:
            self.problems.add(where, f"{shown(listen)}: {error}")

    def _door(self, state: Path) -> DoorSettings | None:
        given = self.document.get("socket", {})
        if not isinstance(given, Mapping):
            self.problems.add("socket", f"{shown(given)} is not a table; write [socket]")
            return None
        table = dict(given)
        before = len(self.problems.texts)
        for key, number in (("uids", _user_number), ("gids", _group_number)):
            if isinstance(table.get(key), list):
                table[key] = [self._numbered(f"socket.{key}", name, number) for name in table[key]]
        if "group" in table:
            table["group"] = self._numbered("socket.group", table["group"], _group_number)
        path = table.setdefault("path", str(state / "socket" / "sokutatsu.sock"))
        if isinstance(path, str) and path:
            table["path"] = str(self.folder / path)
        if len(self.problems.texts) > before:
            return None
        return read_table(DoorSettings, table, "socket", self.problems, bounds=BOUNDS["socket"])

    def _numbered(self, where: str, name: object, number: Callable[[str], int]) -> object:
        """A user or group by its number, also when the file gives the name."""
        if not isinstance(name, str):
            return name
        try:
            return number(name)
        except (KeyError, ValueError):  # ValueError: a NUL inside
            self.problems.add(where, f"{shown(name)}: no such name on this system; create it, or give its number")
            return 0

    def _submission(self) -> SubmissionTable | None:
        if "submission" not in self.document:
            return None
        table = self._table(SubmissionTable, "submission")
        if table is None:
            return None
        self._check_listen("submission.listen", table.listen)
        if table.hostname and not _is_greeting(table.hostname):
            self.problems.add("submission.hostname", f"{shown(table.hostname)}: write a host name")
        if (table.certificate is None) != (table.key is None):
            self.problems.add("submission", "certificate and key belong together; give both or none")
        if table.implicit_tls and table.certificate is None:
            self.problems.add("submission.implicit_tls", "needs a certificate; add certificate and key")
        return replace(
            table,
            users=self.folder / table.users,
            certificate=table.certificate and self.folder / table.certificate,
            key=table.key and self.folder / table.key,
        )

    def _unsubscribe(self) -> UnsubscribeSettings | None:
        if "unsubscribe" not in self.document:
            return None
        table = self._table(UnsubscribeSettings, "unsubscribe")
        if table is None:
            return None
        self._check_listen("unsubscribe.listen", table.listen)
        try:
            parse_proxies(table.proxies)
        except ValueError as error:
            self.problems.add("unsubscribe.proxies", str(error))
        return table

    def _return_path(self) -> ReturnPathTable | None:
        if "return_path" not in self.document:
            return None
        table = self._table(ReturnPathTable, "return_path")
        return table and check_return_path(table, self.folder, self.problems)

    def _sources(self, engine: EngineSettings | None) -> dict[str, Any]:
        sources = read_sources(self.document.get("sources", {}), engine or EngineSettings(Path()), self.problems)
        return {"sources": sources, "pools": read_pools(self.document.get("pools", {}), sources, self.problems)}


def _user_number(name: str) -> int:
    return pwd.getpwnam(name).pw_uid


def _group_number(name: str) -> int:
    return grp.getgrnam(name).gr_gid


def _is_greeting(name: str) -> bool:
    """A host name, or an address literal (RFC 5321 4.1.3)."""
    if name.startswith("[") and name.endswith("]"):
        return is_address(name[1:-1].removeprefix("IPv6:"))
    labels = name.split(".")
    return len(name) <= 253 and all(
        re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?", label) for label in labels
    )
