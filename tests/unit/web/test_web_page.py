"""The page as HTML: well formed, escaped, in two languages that say the same, and a policy that fits its own style."""

from __future__ import annotations

import base64
import hashlib
import re
import string
import tomllib
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from engine.web import views
from engine.web.confirm import Asked, Confirmation, Confirmed
from engine.web.displayed import SenderDisplay, displayed
from engine.web.page import Pages, Words, cleaned, masked, read_words
from engine.web.views import Receipt, Stopped
from suppression.unsubscribe import Unsubscribe
from tests.fakes.optout import HOSTILE, SHOP

PAGES = Pages()
WISH = Unsubscribe("shop", "秋のニュース", "taro@example.jp", 7)
EVIL = Unsubscribe("hostile", "\"><script>x</script>\u202e&amp;'\n", "<b>@<i>.<u>", 7)
ASKED = Asked("shop", ("秋", "冬"), "taro@example.jp")
RECEIPT = Receipt("0c6f4a79c532", 1_800_000_000.0)
EMPTY = {"meta", "br", "link"}


class Checked(HTMLParser):
    """Every element is closed in its order; text by element; attributes are kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def every_page(words: Words) -> dict[str, views.Page]:
    made = {
        "ask": views.ask(words, WISH, SHOP),
        "ask without topic": views.ask(words, Unsubscribe("shop", "", "a@b.jp"), SHOP),
        "unclear": views.ask(words, WISH, SHOP, unclear=True),
        "topic": views.stopped(words, WISH, SHOP, Stopped.TOPIC, RECEIPT),
        "all": views.stopped(words, WISH, SHOP, Stopped.ALL, RECEIPT),
        "topic before": views.stopped(words, WISH, SHOP, Stopped.TOPIC, None),
        "all before": views.stopped(words, WISH, SHOP, Stopped.ALL, None),
        "invalid": views.invalid(words),
        "busy": views.busy(words),
        "down": views.down(words, SHOP),
        "down nobody": views.down(words, None),
        "confirm": views.ask_confirm(words, ASKED, SHOP),
        "confirm of whom": views.ask_confirm(words, Asked("shop"), SHOP),
        "confirm all": views.ask_confirm(words, Asked("shop", (), "a@b.jp"), SHOP),
        "hostile": views.ask(words, EVIL, HOSTILE),
        "hostile stopped": views.stopped(words, EVIL, HOSTILE, Stopped.TOPIC, RECEIPT),
        "hostile confirm": views.ask_confirm(words, Asked("x", (EVIL.topic,), EVIL.address), HOSTILE),
    }
    for result in Confirmed:
        made[f"confirmed {result}"] = views.confirmed(words, Confirmation(result, ASKED), SHOP)
        made[f"confirmed {result} nobody"] = views.confirmed(words, Confirmation(result), None)
    return made


NAMES = list(every_page(PAGES.words["ja"]))


def shown(name: str, language: str = "ja") -> Checked:
    return Checked(PAGES.html(every_page(PAGES.words[language])[name], language).decode())


@pytest.mark.parametrize("language", ["ja", "en"])
@pytest.mark.parametrize("name", NAMES)
def test_every_page_is_whole_and_bare(name, language) -> None:
    page = shown(name, language)
    tags = {tag for tag, _ in page.elements}
    assert page.all("html") == [{"lang": language}]
    assert [len(page.all(tag)) for tag in ("main", "h1", "title", "header", "nav", "style")] == [1] * 6
    assert tags.isdisjoint({"script", "img", "link", "iframe", "object", "b", "i", "u"})
    for tag, attributes in page.elements:
        assert not any(name.startswith("on") or name in {"style", "src"} for name in attributes), tag
    for link in page.all("a"):
        assert re.match(r"https://|mailto:|\?lang=", link["href"] or "")
    for form in page.all("form"):
        assert form == {"method": "post"}, "to the same address, and by POST only"
    assert {button["name"] for button in page.all("button")} <= {"scope"}
    assert all(button["type"] == "submit" for button in page.all("button"))
    assert "{" not in page.text.replace(HOSTILE.legal_name, "").replace("{sender}", "")
    assert not re.search("[\u2068\u2069\u202e]", page.text)


def test_who_what_and_whom() -> None:
    page = shown("ask")
    for text in (SHOP.legal_name, SHOP.postal_address, *SHOP.contacts, "秋のニュース", "t***@e***.jp"):
        assert text in page.text
    assert "taro" not in page.text
    assert [button["value"] for button in page.all("button")] == ["topic", "all"]
    assert [button["value"] for button in shown("ask without topic").all("button")] == ["all"]
    assert [button["value"] for button in shown("topic").all("button")] == ["all"]
    assert shown("all").all("button") == shown("all before").all("button") == []
    assert {"href": "mailto:support@news.example.jp"} in page.all("a")


def test_who_cannot_be_served_learns_of_another_way() -> None:
    assert "下記の連絡先" in shown("down").text
    assert SHOP.contacts[0] in shown("down").text
    assert "下記の連絡先" not in shown("down nobody").text


def test_a_receipt_is_in_japans_time() -> None:
    assert "2027年1月15日 17:00:00（日本時間）" in shown("topic").text
    assert "15 January 2027, 17:00:00 (Japan Standard Time)" in shown("topic", "en").text
    assert "0c6f4a79c532" in shown("topic").text
    assert "受付番号" not in shown("topic before").text


def test_hostile_names_stay_text() -> None:
    page = shown("hostile")
    assert '<script>alert(1)</script>"&$title {sender} evil' in page.text
    assert "\"><script>x</script>&amp;'" in page.text
    assert "javascript:alert(1)" in page.text
    assert all(not (link["href"] or "").startswith("javascript") for link in page.all("a"))
    assert {"lang": "ja"} in shown("topic", "en").all("bdi"), "a Japanese name on an English page"


def test_a_contact_is_a_link_only_where_it_surely_is_one() -> None:
    for contact, href in (
        ("https://a.example/b?c=\"d'&e", None),
        ("https://a.example/b?c=d&e", "https://a.example/b?c=d&e"),
        ("http://a.example/", None),
        ("a@b.example", "mailto:a@b.example"),
        ("a@b.example?cc=x@y.example", None),
        ("03-1234-5678", None),
    ):
        sender = SenderDisplay("x", contacts=(contact,))
        text = PAGES.html(views.ask(PAGES.words["ja"], WISH, sender), "ja").decode()
        links = [link["href"] for link in Checked(text).all("a") if not (link["href"] or "").startswith("?")]
        assert links == ([href] if href else []), contact


def test_names_are_cleaned_and_addresses_masked() -> None:
    assert cleaned(" a\u202e\n\x00b\ud800 ") == "ab"
    assert cleaned("あ" * 500) == "あ" * 199 + "…"
    for address, expected in (
        ("taro@example.jp", "t***@e***.jp"),
        ("t@shop.example.co.jp", "t***@s***.jp"),
        ("a@localhost", "a***@l***"),
        ("太郎@例え.jp", "太***@例***.jp"),
        ('"a@b"@c.jp', '"***@c***.jp'),
        ("", "***@***"),
    ):
        assert masked(address) == expected


def test_both_languages_have_the_same_words() -> None:
    tables = tomllib.loads(files("engine.web").joinpath("words.toml").read_text(encoding="utf-8"))
    assert tables.keys() == {"ja", "en"} == read_words().keys()
    assert tables["ja"].keys() == tables["en"].keys()
    for key, text in tables["ja"].items():
        other = tables["en"][key]
        if isinstance(text, list):
            assert len(text) == len(other) == 3
            continue
        places = [{name for _, name, _, _ in string.Formatter().parse(each) if name} for each in (text, other)]
        assert all(names <= {"sender", "topic", "address"} for names in places), key
        assert places[0] == places[1] or key.endswith("_lead"), key


def test_no_word_is_left_over() -> None:
    source = "".join(
        files("engine.web").joinpath(name).read_text(encoding="utf-8") for name in ("views.py", "page.py", "page.html")
    )
    keys = tomllib.loads(files("engine.web").joinpath("words.toml").read_text(encoding="utf-8"))["ja"]
    built = ("done_", "before_", "confirmed_", "expired_")
    assert [
        key for key in keys if f'"{key}"' not in source and f"'{key}'" not in source and not key.startswith(built)
    ] == []


def test_the_policy_lets_in_exactly_this_style() -> None:
    text = PAGES.html(views.invalid(PAGES.words["ja"]), "ja").decode()
    style = text.partition("<style>")[2].partition("</style>")[0]
    assert PAGES.style_source == f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'"
    assert "url(" not in style
    assert "@import" not in style


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read() -> None:
    """WCAG 2.2: 4.5 for text (1.4.3), 3 for what is no text (1.4.11); here 7 (1.4.6) for most."""
    text = PAGES.html(views.invalid(PAGES.words["ja"]), "ja").decode()
    schemes = re.findall(r":root \{[^}]*--ground[^}]*\}", text)
    assert len(schemes) == 2
    for scheme in schemes:
        colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", scheme))
        for ground in ("ground", "sheet"):
            assert contrast(colour["ink"], colour[ground]) >= 7
            assert contrast(colour["deep"], colour[ground]) >= 7
            assert contrast(colour["soft"], colour[ground]) >= 5.5
            assert contrast(colour["mark"], colour[ground]) >= 3
            assert contrast(colour["good"], colour[ground]) >= 3
        assert contrast(colour["on-deep"], colour["deep"]) >= 7
        assert contrast(colour["on-deep"], colour["deep-over"]) >= 7
        assert contrast(colour["deep-over"], colour["tint"]) >= 7


def test_a_sender_that_has_left_is_shown_by_its_name() -> None:
    assert displayed({"shop": SHOP}, "shop") is SHOP
    assert displayed({}, "gone").legal_name == "gone"
