"""[senders.NAME.profile] and its mail_order: what %footer% is built from and what the display check looks for.

Every fault is told with its key (特定電子メール法 4条, 施行規則 9条; 特定商取引法 11条). What is allowed but will not
do for everybody is a caution: a check that is switched off, a name that ISO-2022-JP cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from engine.config.settings import SenderSettings
from engine.flow.display import LintMode
from engine.lint.facts import FULL
from engine.mail.profile import MailOrder, Profile, foreign_texts, profile_faults
from engine.tables import Problems, read_table, shown


def read_profile(table: object, where: str, problems: Problems) -> Profile | None:
    if not isinstance(table, Mapping):
        problems.add(where, f"{shown(table)} is not a table; write [{where}]")
        return None
    own = {key: value for key, value in table.items() if key != "mail_order"}
    profile = read_table(Profile, own, where, problems)
    order = (
        read_table(MailOrder, table["mail_order"], f"{where}.mail_order", problems) if "mail_order" in table else None
    )
    if profile is None:
        return None
    profile = replace(profile, mail_order=order)
    for key, value, wrong in profile_faults(profile):
        problems.add(f"{where}.{key}", f"{shown(value)}: {wrong}" if value else wrong)
    return profile


def display_cautions(name: str, sender: SenderSettings) -> Iterator[str]:
    """For `sokutatsu check`."""
    profile = sender.identity.profile
    if profile is None and sender.categories & FULL:
        yield (
            f"senders.{name} has no profile: there is no %footer%, and the display check accepts any address and any "
            f"contact (特定電子メール法 4条); add [senders.{name}.profile]"
        )
    if sender.lint is LintMode.OFF:
        yield (
            f"senders.{name}.lint is off: nothing looks at the display that 特定電子メール法 4条 asks for; a message "
            "without it is sent as it is"
        )
    for key, why in foreign_texts(profile or Profile(), sender.legal_name):
        yield f"senders.{name} {key}: {why}; %footer% cannot stand in messages of charset iso-2022-jp"
