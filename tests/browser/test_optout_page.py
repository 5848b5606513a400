"""The opt-out page in a real Chromium: what readers see, press and hear. `make browser` runs this; `make test` does not.

Everything happens with JavaScript off but where a test says otherwise. Screenshots go to SCREENSHOTS when that is set.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, Page, async_playwright

from engine.web.confirm import Asked
from tests.fakes.optout import HOSTILE, SHOP, Site, site

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome") or "chromium"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
TOPIC = "秋の感謝祭ニュース"

Steps = Callable[[Page, Site], Awaitable[None]]


def visit(steps: Steps, **context: object) -> None:
    """One page; whatever it asks of the network besides itself, and whatever its console complains of, fails."""
    given = {"viewport": PHONE, "locale": "ja-JP", "java_script_enabled": False, **context}

    async def look(browser: Browser, running: Site) -> None:
        page = await (await browser.new_context(**given)).new_page()  # type: ignore[arg-type]
        strangers: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: request.url.startswith(running.base) or strangers.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await steps(page, running)
        favicon = [text for text in complaints if "404" not in text]
        assert (strangers, favicon) == ([], [])

    async def run() -> None:
        async with site() as running, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            try:
                await look(browser, running)
            finally:
                await browser.close()

    asyncio.run(run())


async def shoot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        await page.screenshot(path=Path(folder, f"{name}.png"), full_page=True)


async def press(page: Page, button: Locator) -> None:
    """A click that sends the form, to its end: Chromium answers the click before the new page stands."""
    async with page.expect_navigation():
        await button.click()


async def fits(page: Page) -> None:
    """Nothing sticks out sideways, and buttons are large enough for a finger (WCAG 2.2 2.5.8 asks for 24)."""
    box = await page.locator("html").bounding_box()
    size = page.viewport_size
    assert box is not None
    assert size is not None
    for element in await page.locator("main, main *, footer *, header *").all():
        found = await element.bounding_box()
        assert found is None or found["x"] + found["width"] <= size["width"] + 0.5
    for button in await page.locator("button").all():
        found = await button.bounding_box()
        assert found is not None
        assert found["height"] >= 44


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["ja-JP", "en-US"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_a_reader_stops_one_mailing_and_then_all(size, locale, scheme) -> None:
    japanese = locale == "ja-JP"

    async def steps(page: Page, running: Site) -> None:
        name = f"{'phone' if size is PHONE else 'desk'}-{scheme}-{locale[:2]}"
        await page.goto(running.link())
        await fits(page)
        await shoot(page, f"{name}-ask")
        assert await page.locator("html").get_attribute("lang") == locale[:2]
        for text in (SHOP.legal_name, SHOP.postal_address, TOPIC, "t***@e***.jp"):
            assert await page.get_by_text(text).count()
        assert running.ledger.events == [], "looking is no refusal"
        await press(page, page.get_by_role("button", name=TOPIC))
        await fits(page)
        await shoot(page, f"{name}-topic")
        assert ("停止しました" if japanese else "unsubscribed") in await page.title()
        assert [event.topic for event in running.ledger.events] == [TOPIC]
        await press(page, page.get_by_role("button"))
        await shoot(page, f"{name}-all")
        assert await page.get_by_role("button").count() == 0
        assert [event.topic for event in running.ledger.events] == [TOPIC, None]
        await page.goto(running.link())
        await shoot(page, f"{name}-before")
        assert ("すでに" if japanese else "already") in await page.locator("main").inner_text()

    visit(steps, viewport=size, locale=locale, color_scheme=scheme)


def test_going_back_and_pressing_again_is_harmless() -> None:
    async def steps(page: Page, running: Site) -> None:
        await page.goto(running.link())
        await press(page, page.locator("button[value=topic]"))
        await page.reload()
        await page.go_back()
        if await page.locator("button[value=topic]").count():
            await press(page, page.locator("button[value=topic]"))
        assert len(running.ledger.events) == 1

    visit(steps)


def test_the_other_language_is_a_link_away() -> None:
    async def steps(page: Page, running: Site) -> None:
        await page.goto(running.link())
        await press(page, page.get_by_role("link", name="English"))
        assert await page.get_by_role("heading", level=1).inner_text() == "Unsubscribe from this mailing?"
        await press(page, page.get_by_role("button", name="Stop all mailings"))
        assert "unsubscribed from all" in await page.get_by_role("heading", level=1).inner_text()
        await press(page, page.get_by_role("link", name="日本語"))
        assert "停止しています" in await page.get_by_role("heading", level=1).inner_text()

    visit(steps)


def test_a_reader_with_a_keyboard_alone() -> None:
    async def steps(page: Page, running: Site) -> None:
        await page.goto(running.link())
        order = []
        for _ in range(4):
            await page.keyboard.press("Tab")
            order.append(await page.locator(":focus").get_attribute("value") or "link")
            outline = await page.locator(":focus").evaluate("element => getComputedStyle(element).outlineStyle")
            assert outline == "solid", "the focus is seen"
        assert order == ["link", "topic", "all", "link"], "no order of its own, no trap"
        await page.keyboard.press("Shift+Tab")
        async with page.expect_navigation():
            await page.keyboard.press("Enter")
        assert [event.topic for event in running.ledger.events] == [None]

    # evaluate() is the test's, in a world of its own; the page has no script either way
    visit(steps, java_script_enabled=True)


def test_what_a_screen_reader_is_told() -> None:
    async def steps(page: Page, running: Site) -> None:
        await page.goto(running.link())
        tree = await page.locator("body").aria_snapshot()
        for part in (
            "- banner:",
            '- navigation "言語の切り替え":',
            '- link "English":',
            "- main:",
            '- heading "メールの配信を停止しますか？" [level=1]',
            f'- button "「{TOPIC}」の配信を停止する"',
            f'- button "{SHOP.legal_name}からの配信をすべて停止する"',
            '- contentinfo "送信者について":',
            '- heading "送信者について" [level=2]',
            "- term: 宛先",
            "- definition: t***@e***.jp",
        ):
            assert part in tree, tree
        await press(page, page.locator("button[value=topic]"))
        tree = await page.locator("body").aria_snapshot()
        assert f'- heading "「{TOPIC}」の配信を停止しました" [level=1]' in tree
        assert "受付番号" in tree

    visit(steps)


def test_hostile_names_run_nothing_and_break_nothing() -> None:
    async def steps(page: Page, running: Site) -> None:
        await page.goto(running.link(sender="hostile", topic="<img src=x onerror=alert(1)>" + "x" * 90))
        await fits(page)
        await shoot(page, "phone-light-ja-hostile")
        assert "<script>alert(1)</script>" in await page.locator("header").inner_text()
        assert await page.locator("script, img").count() == 0
        await press(page, page.locator("button[value=all]"))
        assert running.ledger.events[0].sender == "hostile"
        assert HOSTILE.postal_address in await page.locator("footer").inner_text()

    visit(steps, java_script_enabled=True)


def test_a_link_that_is_cut_and_one_of_a_double_opt_in() -> None:
    async def steps(page: Page, running: Site) -> None:
        await page.goto(running.link()[:-20])
        await fits(page)
        await shoot(page, "phone-light-ja-invalid")
        assert "お手続きいただけません" in await page.get_by_role("heading", level=1).inner_text()
        assert await page.get_by_role("button").count() == 0
        running.confirmations.known["abc"] = Asked("shop", (TOPIC, "週刊クーポン"), "taro@example.jp")
        await page.goto(running.base + "/c/abc")
        await shoot(page, "phone-light-ja-confirm")
        await press(page, page.get_by_role("button", name="申し込みを確定する"))
        await shoot(page, "phone-light-ja-confirmed")
        assert running.confirmations.confirmed[0][0] == "abc"

    visit(steps)


def test_text_twice_as_large_still_fits() -> None:
    async def steps(page: Page, running: Site) -> None:
        await page.goto(running.link())
        await page.evaluate("document.documentElement.style.fontSize = '200%'")
        await fits(page)

    # evaluate() sets the style from outside, which the page's policy does not forbid to a debugger
    visit(steps, java_script_enabled=True, bypass_csp=True)
