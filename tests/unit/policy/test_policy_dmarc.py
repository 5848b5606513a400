"""The walk up the tree, the record, the organization, alignment (RFC 9989)."""

from __future__ import annotations

import pytest

from engine.policy.dmarc import Dmarc, is_aligned, is_over, organization, policy_of, read_dmarc, walk

RECORD = Dmarc("none", "none", False, False, "u", False)


def record(**tags) -> Dmarc:
    text = "v=DMARC1" + "".join(f"; {name}={value}" for name, value in tags.items())
    found = read_dmarc([text.encode()])
    assert found is not None
    return found


def test_the_walk_goes_up_label_by_label() -> None:
    assert walk("Mail.News.Example.JP.") == ["mail.news.example.jp", "news.example.jp", "example.jp", "jp"]
    assert walk("jp") == ["jp"]


def test_a_long_name_is_asked_eight_times_at_most() -> None:
    names = walk("a.b.c.d.e.f.g.h.i.j.mail.example.com")
    assert len(names) == 8
    assert names[:2] == ["a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com"]
    assert names[-1] == "com"


def test_a_record_is_read_with_its_defaults() -> None:
    assert record(p="Reject") == Dmarc("reject", "reject", False, False, "u", False)
    assert record(p="reject", sp="none", adkim="s", aspf="S", psd="n", rua="mailto:a@b") == Dmarc(
        "reject", "none", True, True, "n", True
    )
    assert record(p="sometimes", sp="never", psd="x") == RECORD


@pytest.mark.parametrize(
    "texts",
    [
        [],
        [b"v=spf1 -all"],
        [b"v=DMARC2; p=none"],
        [b"V=DMARC1; p=none"],
        [b"p=none; v=DMARC1"],
        [b"v=DMARC1; p=none", b"v=DMARC1; p=reject"],
        [b"\xff\xfe"],
        [b""],
    ],
)
def test_what_is_no_record_or_two_is_none(texts) -> None:
    assert read_dmarc(texts) is None


def test_other_records_at_the_name_do_not_matter() -> None:
    assert read_dmarc([b"google-site-verification=x", b"v = DMARC1 ; p=none"]) == RECORD


def test_the_organization_is_where_the_topmost_record_stands() -> None:
    both = {"news.example.jp": RECORD, "example.jp": RECORD}
    assert organization("mail.news.example.jp", both) == "example.jp"
    assert organization("example.jp", {}) == "example.jp"


def test_psd_ends_the_search() -> None:
    own = {"news.example.jp": record(psd="n"), "example.jp": RECORD}
    assert organization("mail.news.example.jp", own) == "news.example.jp"
    public = {"co.example": record(psd="y")}
    assert organization("mail.shop.co.example", public) == "shop.co.example"
    assert organization("co.example", public) == "co.example"


def test_the_walk_is_over_at_a_psd() -> None:
    assert is_over("a.b", "x.a.b", record(psd="n"))
    assert is_over("a.b", "x.a.b", record(psd="y"))
    assert not is_over("a.b", "A.B.", record(psd="y"))
    assert not is_over("a.b", "x.a.b", RECORD)
    assert not is_over("a.b", "x.a.b", None)


def test_the_policy_is_the_domain_s_own_or_the_organization_s_for_subdomains() -> None:
    above = record(p="reject", sp="quarantine")
    assert policy_of("news.example.jp", {"news.example.jp": RECORD, "example.jp": above}) == (
        "news.example.jp", RECORD, "none",
    )  # fmt: skip
    assert policy_of("news.example.jp", {"example.jp": above}) == ("example.jp", above, "quarantine")
    public = record(p="reject", psd="y")
    assert policy_of("shop.co.example", {"co.example": public}) == ("co.example", public, "reject")
    assert policy_of("example.jp", {}) is None


def test_alignment_is_the_same_domain_or_the_same_organization() -> None:
    above = {"news.example.jp": "example.jp", "rp.example.jp": "example.jp", "other.jp": "other.jp"}
    assert is_aligned("news.example.jp", "RP.example.jp", strict=False, organizations=above)
    assert not is_aligned("news.example.jp", "rp.example.jp", strict=True, organizations=above)
    assert is_aligned("news.example.jp", "News.Example.jp.", strict=True, organizations={})
    assert not is_aligned("news.example.jp", "other.jp", strict=False, organizations=above)
