"""What the test's DNS holds: domains that can be reached, and all the ways in which a domain cannot.

GOOD and BAD are what becomes of mail to them. The receivers are at 127.0.2.1 and 127.0.2.2; nobody listens at 127.0.2.9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FIRST, SECOND, NOBODY = "127.0.2.1", "127.0.2.2", "127.0.2.9"
GOOD = {
    "one.example": FIRST, "two.example": SECOND, "implicit.example": FIRST, "alias.example": FIRST,
    "many.example": SECOND, "unsigned.plain": FIRST, "日本.example": SECOND,
}  # fmt: skip
FINAL = {"null.example": "5.1.10", "nothing.example": "5.1.2", "txt.example": "5.1.2", "self.example": "5.4.6"}
LATER = ("private.example", "mapped.example", "loop.example", "literal.example", "any.bogus", "lame.example")
ZONES: Mapping[str, Sequence[str]] = {
    "example": [
        f"mx1 A {FIRST}",
        f"mx2 A {SECOND}",
        f"dead A {NOBODY}",
        "one MX 10 mx1",
        "two MX 10 dead",
        "two MX 20 mx2",
        f"implicit A {FIRST}",
        "alias CNAME one",
        "null MX 0 .",
        "txt TXT nothing",
        "self MX 10 out.shop",
        "private MX 10 mx.private",
        "mx.private A 10.1.2.3",
        "mapped MX 10 mx.mapped",
        "mx.mapped AAAA ::ffff:127.0.2.1",
        "loop CNAME loop2",
        "loop2 CNAME loop",
        f"literal MX 10 {FIRST}.",
        "lame NS ns.lame",
        f"ns.lame A {NOBODY}",
        "xn--wgv71a MX 10 mx2",
        "many MX 1 mx2",
        *(f"many MX {number} mx{number}.many" for number in range(10, 410)),
    ],
    "plain": [f"unsigned A {FIRST}"],
    "bogus": ["any MX 10 mx", f"mx A {FIRST}"],
}
