"""Who the page says has sent the mail: the display items of 特定電子メール法 4条, 施行規則 9条, from the profile.

The postal address and the contact may stand on the page that the mail's link leads to (施行規則 9条2号, 3号); this is
that page. What the profile does not have is not shown, and nothing is made up for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Displayed(Protocol):
    @property
    def legal_name(self) -> str:
        """送信者の氏名又は名称."""
        ...

    @property
    def postal_address(self) -> str: ...

    @property
    def contacts(self) -> tuple[str, ...]:
        """Telephone numbers, mail addresses, https addresses for complaints and questions."""
        ...

    @property
    def mail_from(self) -> str:
        """The From address: what readers know the sender by."""
        ...


@dataclass(frozen=True, slots=True)
class SenderDisplay:
    legal_name: str
    postal_address: str = ""
    contacts: tuple[str, ...] = ()
    mail_from: str = ""


def displayed(senders: Mapping[str, Displayed], name: str) -> Displayed:
    """A sender that has left the configuration is shown by the name that its mail was sent under: its links work on."""
    return senders.get(name) or SenderDisplay(name)
