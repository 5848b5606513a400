"""The live page in a real Chromium: what operators see, press and are asked, and that nothing of a stranger runs.

Screenshots go to SCREENSHOTS when that is set.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from engine.page.token import make_token
from engine.request import Cancel, Resume, Steer
from engine.wire import Refusal
from tests.fakes.livepage import HOSTILE, Stand, mailing, sections, site, stand

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
Steps = Callable[[Page, Stand], Awaitable[None]]


def visit(steps: Steps, token_file: Path = Path("/nonexistent/token"), expected: str = "", **context: object) -> None:
    """One page. What it asks of others, and what its console complains of beside `expected`, fails."""
    given = {"viewport": DESK, "locale": "ja-JP", **context}

    async def run() -> None:
        async with stand(token_file) as running, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = await (await browser.new_context(**given)).new_page()  # type: ignore[arg-type]
            strangers: list[str] = []
            complaints: list[str] = []
            page.on("request", lambda request: request.url.startswith(running.base) or strangers.append(request.url))
            page.on("console", lambda message: complaints.append(message.text))
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("dialog", lambda dialog: complaints.append(f"alert {dialog.message}"))
            try:
                await page.goto(running.base + "/", wait_until="domcontentloaded")
                await expect(page.locator("#state")).to_have_attribute("data-state", "running")
                await steps(page, running)
            finally:
                await browser.close()
            assert (strangers, [text for text in complaints if not expected or expected not in text]) == ([], [])

    asyncio.run(run())


async def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


async def fits(page: Page) -> None:
    """Nothing sticks out sideways; buttons are large enough for a finger (WCAG 2.2 2.5.8 asks for 24)."""
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert page.viewport_size is not None
    assert width <= page.viewport_size["width"]
    for button in await page.locator("button:visible").all():
        box = await button.bounding_box()
        assert box is not None
        assert box["height"] >= 24


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["ja-JP", "en-US"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_an_operator_reads_it_everywhere(size, locale, scheme) -> None:
    async def steps(page: Page, running: Stand) -> None:
        japanese = locale == "ja-JP"
        assert await page.locator("html").get_attribute("lang") == locale[:2]
        await expect(page.locator("#rate")).to_have_text("50")
        texts = (
            ("稼働中", "送信レートの上限", "受信者の同意がありません")
            if japanese
            else ("running", "message rate limit", "no consent")
        )
        for text in (*texts, "mx.one.example.jp", "aki-1", "98,765"):
            await expect(page.get_by_text(text).first).to_be_visible()
        await expect(page.get_by_role("progressbar", name="aki-1")).to_have_attribute("aria-valuenow", "75")
        assert await page.locator("[data-t]").evaluate_all("all => all.filter(one => !one.textContent).length") == 0
        assert "undefined" not in await page.locator("body").inner_text()
        assert await page.locator(".act:visible").count() == 0
        await fits(page)
        await shoot(page, f"live-{'phone' if size is PHONE else 'desk'}-{scheme}-{locale[:2]}")

    visit(steps, viewport=size, locale=locale, color_scheme=scheme)


def test_language_and_theme_are_a_key_away_and_remembered() -> None:
    async def steps(page: Page, running: Stand) -> None:
        await page.locator("#language").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#t-rate")).to_have_text("Delivery rate")
        await page.locator("#theme").press("Enter")
        await page.locator("#theme").press("Enter")
        background = "getComputedStyle(document.body).backgroundColor"
        assert await page.evaluate(background) == "rgb(15, 18, 22)"
        await page.reload(wait_until="domcontentloaded")
        await expect(page.locator("#t-rate")).to_have_text("Delivery rate")
        assert await page.evaluate(background) == "rgb(15, 18, 22)"

    visit(steps)


def test_what_strangers_say_is_text_and_nothing_more() -> None:
    async def steps(page: Page, running: Stand) -> None:
        running.sections = sections(
            sites={"total": 1, "rows": [site(HOSTILE, error=HOSTILE, provider=HOSTILE, binds=HOSTILE, paused=9)]},
            remarks=[{"site": HOSTILE, "kind": HOSTILE, "text": HOSTILE, "count": 1, "at": 1}],
            suppressed=[{"code": HOSTILE, "count": 1, "ja": HOSTILE, "en": HOSTILE}],
            directives={"total": 1, "rows": [
                {"number": 1, "verb": "suspend", "scope": {"site": HOSTILE}, "seconds": 9, "reason": HOSTILE, "by": HOSTILE}
            ]},
            unresolved={"total": 1, "rows": [{"domain": HOSTILE, "waiting": 1, "text": HOSTILE}]},
        )  # fmt: skip
        running.slow = {
            "mailings": [mailing(HOSTILE, sender=HOSTILE)],
            "domains": {"total": 1, "unplaced": 0, "rows": [{"domain": HOSTILE, "waiting": 5}]},
        }
        running.answers["Why"] = {
            "domain": HOSTILE, "site": HOSTILE, "provider": HOSTILE, "waiting": {"bulk": 1, "transactional": 0},
            "binds": {"what": HOSTILE, "from": HOSTILE, "seconds": None}, "eta_seconds": None,
            "limits": [{"key": HOSTILE, "value": HOSTILE, "from": HOSTILE}],
            "paths": [{"source": HOSTILE, "ready": 1, "in_flight": 0, "connections": 0, "window": 1, "rate": 0.0,
                       "connection_limit": 1, "delivered": 0, "deferred": 0, "failed": 0, "last_error": HOSTILE}],
        }  # fmt: skip
        await page.locator("#domain").fill(HOSTILE)
        await page.locator("#domain").press("Enter")
        await expect(page.locator("#why h3")).to_have_text(HOSTILE)
        await expect(page.locator("#mailings")).to_contain_text(HOSTILE)
        await expect(page.locator("#remarks")).to_contain_text(HOSTILE)
        await expect(page.locator("#orders")).to_contain_text(HOSTILE)
        assert await page.locator("main script, main img, main iframe").count() == 0

    visit(steps)


def test_only_the_token_shows_the_actions_and_each_is_asked_about(tmp_path) -> None:
    token = make_token(tmp_path / "token", renew=False)

    async def steps(page: Page, running: Stand) -> None:
        assert await page.locator(".act:visible").count() == 0
        await page.get_by_role("button", name="操作を有効にする").click()
        await page.get_by_label("トークン").fill("x" * 40)
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-error")).to_have_text("トークンが違います。")
        await page.get_by_label("トークン").fill(token)
        await page.keyboard.press("Enter")
        await expect(page.locator("#token-dialog")).to_be_hidden()
        # suspend a site, for six hours
        await page.get_by_role("button", name="mx.one.example.jp 宛ての送信を停止").click()
        await expect(page.locator("#order-text")).to_contain_text("1,264 件は失われません")
        await page.locator("#order-go").click()
        assert running.asked == [], "a reason is asked for"
        await page.locator("#order-reason").fill("先方からの依頼")
        await page.locator("#order-seconds").select_option("6 時間")
        await shoot(page, "live-dialog")
        await page.locator("#order-go").click()
        await expect(page.locator("#order-dialog")).to_be_hidden()
        assert running.asked == [
            Steer(id=0, verb="suspend", site="mx.one.example.jp", seconds=21600, reason="先方からの依頼")
        ]
        # it stands, and the same button resumes
        directive = {
            "number": 7,
            "verb": "suspend",
            "scope": {"site": "mx.one.example.jp"},
            "seconds": 99.0,
            "reason": "r",
            "by": "operator",
        }
        running.sections = sections(directives={"total": 1, "rows": [directive]})
        await (
            page.get_by_role("button", name="再開：サイト mx.one.example.jp")
            .or_(page.locator("#orders button"))
            .first.click()
        )
        await page.locator("#order-reason").fill("解決")
        await page.keyboard.press("Enter")
        await expect(page.locator("#order-dialog")).to_be_hidden()
        assert running.asked[1:] == [Resume(id=0, number=7)]
        # cancelling names the mailing, the sender and how many, and can be left
        cancel = page.get_by_role("button", name="配信「aki-1」を取消")
        await cancel.click()
        await expect(page.locator("#order-text")).to_contain_text(
            "送信者 shop のこの配信の残り 2,500 件は送信されません"
        )
        await expect(page.locator("#order-warning")).to_be_visible()
        await page.keyboard.press("Escape")
        assert len(running.asked) == 2
        await cancel.click()
        running.refusal = Refusal("bad_request", "sender", "shop", "is not in the configuration")
        await page.locator("#order-reason").fill("価格の誤り")
        await page.keyboard.press("Enter")
        await expect(page.locator("#order-error")).to_contain_text("is not in the configuration")
        running.refusal = None
        await page.keyboard.press("Enter")
        await expect(page.locator("#order-dialog")).to_be_hidden()
        assert running.asked[-1] == Cancel(id=0, sender="shop", mailing="aki-1")
        # ended by hand, and nothing is left of it
        await page.get_by_role("button", name="操作可").click()
        assert await page.locator(".act:visible").count() == 0
        assert await page.evaluate("JSON.stringify({...localStorage, ...sessionStorage})") == "{}"

    visit(steps, tmp_path / "token", expected="Failed to load resource")


def test_a_page_without_a_token_file_says_how_to_get_one() -> None:
    async def steps(page: Page, running: Stand) -> None:
        await expect(page.locator("#token")).to_have_text("閲覧のみ")
        await page.locator("#token").click()
        await expect(page.locator("#token-text")).to_contain_text("sokutatsu admin-token")
        await expect(page.locator("#token-value")).to_be_hidden()

    visit(steps)


def test_draining_fault_and_a_lost_connection_are_said_clearly() -> None:
    async def steps(page: Page, running: Stand) -> None:
        now = running.sections["now"]
        running.sections = sections(now={**now, "state": "draining"})
        await expect(page.locator("#banner")).to_contain_text("停止処理中")
        await shoot(page, "live-draining")
        running.sections = sections(now={**now, "state": "fault", "problem": "journal: No space left on device"})
        await expect(page.locator("#banner")).to_contain_text("No space left on device")
        assert running.admin is not None
        await running.admin.close()
        await expect(page.locator("#banner")).to_contain_text("エンジンが停止しました")
        await expect(page.locator("body")).to_have_class("stale")
        await shoot(page, "live-stopped")

    visit(steps, expected="ERR_")


def test_reading_is_not_disturbed_by_the_next_second() -> None:
    async def steps(page: Page, running: Stand) -> None:
        cell = page.locator("#sites td.site bdi").first
        await cell.evaluate("node => { node.mark = 1; getSelection().selectAllChildren(node); }")
        await page.locator("#domain").focus()
        running.sections = sections(
            sites={"total": 2, "rows": [site("mx.two.example.jp"), site("mx.one.example.jp", waiting=77)]}
        )
        await expect(page.locator("#sites")).to_contain_text("77")
        assert await cell.evaluate("node => node.mark") == 1, "the row stays the same element in the same place"
        assert await page.evaluate("document.activeElement.id") == "domain"

    visit(steps)


def test_a_hundred_thousand_domains_are_a_top_list_and_a_search() -> None:
    async def steps(page: Page, running: Stand) -> None:
        rows = [site(f"mx.site{number:03}.example.jp") for number in range(50)]
        running.sections = sections(sites={"total": 100_000, "rows": rows})
        running.slow["domains"] = {
            "total": 100_000, "unplaced": 12, "rows": [{"domain": f"d{n}.example", "waiting": 9} for n in range(50)],
        }  # fmt: skip
        await expect(page.locator("#sites-sum")).to_have_text("上位 50 / 全 100,000")
        assert await page.locator("#sites tr").count() == 12
        await page.get_by_role("button", name="すべて表示（50）").click()
        assert await page.locator("#sites tr").count() == 50
        await fits(page)
        running.answers["Why"] = {
            "domain": "d77777.example", "site": "mx.site001.example.jp", "provider": "", "limits": [], "paths": [],
            "waiting": {"transactional": 0, "bulk": 4}, "eta_seconds": 61.0,
            "binds": {"what": "quiet", "from": "quiet_hours", "seconds": 3600.0},
        }  # fmt: skip
        await page.locator("#domain").fill("d77777.example")
        await page.keyboard.press("Enter")
        await expect(page.locator("#why .lead")).to_have_text("制限要因: 送信しない時間帯 — 残り 1 時間")
        assert running.asked[-1].domain == "d77777.example"

    visit(steps)


def test_the_page_comes_back_when_the_engine_does() -> None:
    async def steps(page: Page, running: Stand) -> None:
        port = int(running.base.rpartition(":")[2])
        assert running.admin is not None
        await running.admin.close()
        await expect(page.locator("#state")).to_have_attribute("data-state", "lost")
        async with stand(listen=f"127.0.0.1:{port}"):
            await expect(page.locator("#state")).to_have_attribute("data-state", "running", timeout=10_000)
            await expect(page.locator("#banner")).to_be_hidden()

    visit(steps, expected="ERR_")
