"""Of CSS what hides text: display, visibility, opacity, tiny type, clipping, moving off the screen, want of contrast.

Reads inline declarations and simple rules of style sheets (element, class, id); media queries and what needs a layout
are left alone. Contrast is WCAG 2's ratio; below 2:1 nobody reads it. Never raises on what is no CSS, costs a fixed
amount per character.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

Colour = tuple[int, int, int]
Rules = dict[str, dict[str, str]]
"""Simple selector -> declarations."""

MOST_RULES = 2000
LEAST_CONTRAST = 2.0
LEAST_TYPE = 8.0
LEAST_OPACITY = 0.5

_NUMBER = re.compile(r"(-?[0-9]{0,9}\.?[0-9]{1,9})\s{0,3}(px|pt|em|rem|%|vw|vh)?")
_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})(?![0-9a-f])")
_RGB = re.compile(
    r"rgba?\(\s{0,4}([0-9]{1,3})[\s,]{1,4}([0-9]{1,3})[\s,]{1,4}([0-9]{1,3})(?:[\s,/]{1,4}([0-9.]{1,6}))?"
)
_NAMED: Mapping[str, Colour] = {
    "white": (255, 255, 255), "black": (0, 0, 0), "red": (255, 0, 0), "green": (0, 128, 0), "blue": (0, 0, 255),
    "yellow": (255, 255, 0), "gray": (128, 128, 128), "grey": (128, 128, 128), "silver": (192, 192, 192),
    "lightgray": (211, 211, 211), "lightgrey": (211, 211, 211), "whitesmoke": (245, 245, 245),
    "gainsboro": (220, 220, 220), "snow": (255, 250, 250), "ivory": (255, 255, 240), "navy": (0, 0, 128),
    "orange": (255, 165, 0), "darkgray": (169, 169, 169), "darkgrey": (169, 169, 169), "dimgray": (105, 105, 105),
}  # fmt: skip
_PIXELS = {"px": 1.0, "pt": 4 / 3, "rem": 16.0, "": 1.0}
_BRACE = re.compile(r"([{}])")


@dataclass(frozen=True, slots=True)
class Look:
    """How text of an element looks, inherited from its parents."""

    colour: Colour | None = (0, 0, 0)
    ground: Colour | None = (255, 255, 255)
    """None: a picture, or what we cannot read."""
    size: float = 16.0
    opacity: float = 1.0
    hidden: str = ""
    """The declaration that hides it."""

    @property
    def why_hidden(self) -> str:
        """Empty: it can be read."""
        if self.hidden:
            return self.hidden
        if self.opacity < LEAST_OPACITY:
            return f"opacity {self.opacity:.2g}"
        if self.size < LEAST_TYPE:
            return f"font-size {self.size:.3g}px"
        if self.colour and self.ground and contrast(self.colour, self.ground) < LEAST_CONTRAST:
            return f"contrast {contrast(self.colour, self.ground):.2g}:1"
        return ""


def declarations(text: str) -> dict[str, str]:
    """`a: b; c: d` as a map, in lower case."""
    found = {}
    for entry in text.lower().split(";")[:200]:
        name, colon, value = entry.partition(":")
        if colon:
            found[name.strip()] = value.replace("!important", "").strip()
    return found


def read_sheet(text: str, rules: Rules) -> None:
    """Adds the simple rules of a <style> element; those inside of @media are left out."""
    depth, before, selector = 0, "", ""
    for piece in _BRACE.split(text):
        if piece == "{":
            depth += 1
            selector = before if depth == 1 else ""
        elif piece == "}":
            depth = max(0, depth - 1)
        elif depth == 1 and selector and "@" not in selector:
            for name in selector.lower().split(",")[:50]:
                if len(rules) < MOST_RULES:
                    rules.setdefault(name.strip(), {}).update(declarations(piece))
        before = piece if piece not in "{}" else ""


def look_of(parent: Look, styles: Mapping[str, str]) -> Look:
    """An element's own look, by its declarations."""
    if not styles:
        return parent
    colour, ground = parent.colour, parent.ground
    hidden = parent.hidden or _hides(styles)
    if "color" in styles:
        if styles["color"] == "transparent" or _is_clear(styles["color"]):
            hidden = hidden or "color: transparent"
        colour = read_colour(styles["color"]) or colour
    for name in ("background", "background-color"):
        value = styles.get(name, "")
        if value and value not in ("transparent", "none", "inherit", "initial") and not _is_clear(value):
            ground = None if "url(" in value or "gradient" in value else read_colour(value) or ground
    size = _size(styles.get("font-size", ""), parent.size)
    return Look(colour, ground, size, parent.opacity * _opacity(styles.get("opacity", "")), hidden)


def _hides(styles: Mapping[str, str]) -> str:  # noqa: PLR0911 - one per way to hide
    if styles.get("display") == "none":
        return "display: none"
    if styles.get("visibility") in ("hidden", "collapse"):
        return f"visibility: {styles['visibility']}"
    if styles.get("mso-hide") == "all":
        return "mso-hide: all"
    clipped = styles.get("overflow", "") in ("hidden", "clip")
    for name in ("height", "max-height", "width", "max-width"):
        length = _length(styles.get(name, ""))
        if length is not None and (length <= 0 or length < LEAST_TYPE) and (clipped or name.startswith("max")):
            return f"{name}: {styles[name][:20]}"
    if _far(styles.get("text-indent", "")):
        return f"text-indent: {styles['text-indent'][:20]}"
    if styles.get("position") in ("absolute", "fixed", "relative"):
        for name in ("left", "top", "right", "margin-left"):
            if _far(styles.get(name, "")):
                return f"{name}: {styles[name][:20]}"
    if styles.get("position") in ("absolute", "fixed") and "rect(0" in styles.get("clip", "").replace(" ", ""):
        return "clip: rect(0 …)"
    if re.match(r"inset\(\s{0,3}(?:50|100)%", styles.get("clip-path", "")):
        return "clip-path: inset(…)"
    return ""


def _far(value: str) -> bool:
    length = _length(value)
    return length is not None and abs(length) >= 900


def _length(value: str) -> float | None:
    match = _NUMBER.match(value)
    if match is None:
        return None
    return float(match[1]) * _PIXELS.get(match[2] or "", 16.0)


def _size(value: str, parent: float) -> float:
    match = _NUMBER.match(value)
    if match is None:
        return parent
    number, unit = float(match[1]), match[2] or ""
    if unit in ("em", "%"):
        return parent * number / (100 if unit == "%" else 1)
    return number * _PIXELS.get(unit, 16.0)


def _opacity(value: str) -> float:
    match = _NUMBER.match(value)
    if match is None:
        return 1.0
    return max(0.0, min(1.0, float(match[1]) / (100 if match[2] == "%" else 1)))


def _is_clear(value: str) -> bool:
    match = _RGB.search(value)
    return bool(match and match[4] and _opacity(match[4]) < LEAST_OPACITY)


def read_colour(value: str) -> Colour | None:
    """The first colour of a declaration's value; None when there is none that we know."""
    value = value.lower()
    if match := _HEX.search(value):
        digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
        return int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)
    if match := _RGB.search(value):
        return min(255, int(match[1])), min(255, int(match[2])), min(255, int(match[3]))
    return next((_NAMED[word] for word in value.split()[:8] if word in _NAMED), None)


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2, 1 to 21."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Colour) -> float:
    parts = [part / 255 for part in colour]
    linear = [part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4) for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
