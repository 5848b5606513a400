"""Words by which lists are judged: roles, domains misspelt, domains of throw-away addresses. Guesses, none complete."""

from __future__ import annotations

from typing import Final

ROLES: Final = frozenset(
    """abuse admin administrator billing contact customer customerservice enquiry feedback ftp help helpdesk hostmaster
    hr info information inquiry it jimu jinji jobs legal list mail mailer-daemon marketing master media news newsletter
    no-reply nobody noc noreply office order orders ouen postmaster pr press privacy recruit register root sales saiyo
    security service shop soumu spam staff subscribe support sysadmin system team tech test toiawase unsubscribe
    usenet uucp webmaster www""".split()
)
"""Local parts that belong to a desk and not to a person, some of them traps."""

MISSPELT: Final = frozenset(
    """gmial.com gmai.com gmal.com gmaill.com gmail.co gmail.cm gmail.con gmail.jp gmail.co.jp gmail.ne.jp gamil.com
    gnail.com gmil.com googlemai.com
    yaho.co.jp yahoo.co.jo yahoo.co.ip yahoo.co yahoo.ne.jp yahooo.co.jp yhaoo.co.jp yahoo.cp.jp yahho.co.jp yaoo.co.jp
    docomo.ne.jo docomo.ne.ip docomo.co.jp docomo.jp docmo.ne.jp docomo.nejp docomo.ne.j dokomo.ne.jp docomone.jp
    ezweb.ne.jo ezweb.ne.ip ezweb.co.jp ezweb.jp ezwed.ne.jp ezweb.ne.j ezeweb.ne.jp
    softbank.ne.jo softbank.jp softbank.co.jp sofbank.ne.jp softbnak.ne.jp i.softbank.jo i.softbank.co.jp
    i.softbank.ne.jp i.sofbank.jp
    au.ne.jp au.co.jp
    hotmial.com hotmai.com hotmal.com hotmil.com hotmail.co hotmail.con hotmail.cm homail.com
    outlok.com outlook.co outlook.con outlook.co.jp outllook.com
    icloud.co icloud.con icloud.co.jp icoud.com iclod.com
    live.co.jp me.co msn.co""".split()
)
"""What people type for gmail.com, yahoo.co.jp, docomo.ne.jp, ezweb.ne.jp, softbank.ne.jp and others; some are traps."""

DISPOSABLE: Final = frozenset(
    """10minutemail.com 20minutemail.com discard.email dispostable.com emailondeck.com fakeinbox.com getairmail.com
    getnada.com grr.la guerrillamail.com guerrillamail.net guerrillamailblock.com inboxbear.com instaddr.ch
    instaddr.win maildrop.cc mailinator.com mailnesia.com mintemail.com mohmal.com mytemp.email nada.email
    sharklasers.com sute.jp spam4.me spambox.xyz temp-mail.org tempail.com tempmail.com tempmail.dev tempr.email
    throwawaymail.com trashmail.com trashmail.de yopmail.com yopmail.fr yopmail.net""".split()
)
"""Mailboxes for ten minutes."""
