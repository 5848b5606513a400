"""A live page that nothing stands behind: its numbers and answers are the test's."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.admin import Admin, Views
from engine.page.feed import Source
from engine.page.series import Sample
from engine.page.settings import AdminSettings
from engine.wire import Refusal

HOSTILE = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>\u202egnp.exe"
NOW = 1_800_000_000.0


def site(name: str, **changes: object) -> dict[str, Any]:
    return {
        "site": name, "scope": name, "provider": "", "sources": 1, "waiting": 1200, "ready": 64, "in_flight": 8,
        "connections": 4, "window": 6, "rate": 41.5, "delivered": 98_765, "deferred": 12, "failed": 3,
        "binds": "max_message_rate", "paused": 0, "eta": 30, "error": "", **changes,
    }  # fmt: skip


def mailing(name: str, **changes: object) -> dict[str, Any]:
    return {
        "sender": "shop", "mailing": name, "accepted": 10_000, "open": 2_500, "delivered": 7_000, "bounced": 100,
        "expired": 0, "suppressed": 400, "cancelled": 0, "began": int(NOW) - 600, "changed": int(NOW),
        "is_cancelled": False, **changes,
    }  # fmt: skip


def sections(**changes: object) -> dict[str, Any]:
    return {
        "now": {
            "at": int(NOW), "state": "running", "problem": "", "uptime": 3_725, "accepted": 10_000, "recovered": 0,
            "outcomes": {"delivered": 7_000, "bounced": 100, "expired": 0, "suppressed": 400, "cancelled": 0},
            "places": {"waiting": 1_900, "ready": 500, "in_flight": 100, "held": 0}, "deferrals": 12, "attempts": 7_112,
            "in_doubt": 0, "resent_in_doubt": 0, "credit": 19_990_000, "unsynced": 3,
            "first_attempt": {"transactional": 0.1, "bulk": None},
        },
        "facts": {
            "version": "0.1.0", "node": "n0", "cpu": 0.42, "memory": 123_456_789, "disk_free": 5 * 10**10,
            "disk_ratio": 0.4, "signer": "cryptography", "signer_processes": 2, "signer_backlog": 0,
            "signer_fallbacks": 0, "epoch": 7, "entries": 1_234_567, "sites": 2, "connections": 9,
        },
        "sites": {"total": 2, "rows": [site("mx.one.example.jp"), site("mx.two.example.jp", binds="", eta=None)]},
        "suppressed": [{"code": "NO_CONSENT", "count": 400, "ja": "受信者の同意がありません", "en": "no consent"}],
        "remarks": [],
        "unresolved": {"total": 0, "rows": []},
        "directives": {"total": 0, "rows": []},
        **changes,
    }  # fmt: skip


@dataclass(slots=True)
class Stand:
    """What the page is told, and what it asked for."""

    base: str = ""
    sections: dict[str, Any] = field(default_factory=sections)
    slow: dict[str, Any] = field(
        default_factory=lambda: {
            "mailings": [mailing("aki-1")],
            "domains": {"total": 1, "unplaced": 0, "rows": [{"domain": "one.example.jp", "waiting": 1_900}]},
        }
    )
    asked: list[Any] = field(default_factory=list)
    answers: dict[str, Mapping[str, object]] = field(default_factory=dict)
    refusal: Refusal | None = None
    time: float = NOW
    delivered: int = 0
    admin: Admin | None = None
    patience: float = 10.0

    def sample(self) -> Sample:
        self.time += 1
        self.delivered += 50
        return Sample(10_000, self.delivered, 0, 0, 0, 2_500)

    async def make_slow(self) -> dict[str, Any]:
        return self.slow

    async def answer(self, request: Any) -> Mapping[str, object]:
        self.asked.append(request)
        if self.refusal:
            raise self.refusal
        return self.answers.get(type(request).__name__, {})

    def source(self) -> Source:
        return Source(self.sample, lambda: self.sections, self.make_slow, self.answer, lambda: self.time, self.patience)


@contextlib.asynccontextmanager
async def stand(
    token_file: Path = Path("/nonexistent/token"), *, listen: str = "127.0.0.1:0", patience: float = 10.0
) -> AsyncIterator[Stand]:
    story = Stand(patience=patience)
    views = Views(dict, dict, lambda: "", lambda: "", story.source())
    story.admin = admin = Admin(AdminSettings(listen, token_file=token_file), views)
    await admin.start()
    story.base = f"http://127.0.0.1:{admin.port}"
    try:
        yield story
    finally:
        await admin.close()
