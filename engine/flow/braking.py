"""Automation's rulings carried out: a reply that matches makes a path slower, or rest, and says how it comes back.

Suspensions are directives as an operator's are, so that they show, survive a restart and can be resumed by hand; what
holds after them is the path's brake.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from engine.flow.path import Path
from engine.flow.steering import Steering, TooManyDirectives
from engine.mail.envelope import Recipient
from engine.policy.automation import Action, ActionKind, Automation, AutomationRule, Where
from engine.policy.directive import Scope, Verb
from engine.policy.outcome import Ruling
from engine.smtp.reply import Reply

log = logging.getLogger(__name__)


class Braking:
    def __init__(self, automation: Automation, steering: Steering, clock: Callable[[], float]) -> None:
        self.automation = automation
        self.fired: dict[str, int] = {}
        """By rule: as many as there are rules."""
        self._steering = steering
        self._clock = clock

    def observe(self, path: Path, recipient: Recipient | None, reply: Reply) -> None:
        """A refusal on this path; `recipient` None: the connection was refused."""
        if not self.automation.rules:
            return
        now = self._clock()
        domain = path.domain or (recipient.domain if recipient else "")
        where = Where(f"{path.source.name}->{path.site}", path.route.site, domain, path.provider)
        for rule in self.automation.observe(reply, where, now):
            self.fired[rule.name] = self.fired.get(rule.name, 0) + 1
            log.warning("site=%s rule=%s fires: %s", path.site, rule.name, ascii(str(reply))[1:-1][:200])
            for action in rule.actions:
                self._act(rule, action, path, recipient, reply, now)

    def _act(
        self, rule: AutomationRule, action: Action, path: Path, recipient: Recipient | None, reply: Reply, now: float
    ) -> None:
        if action.kind in (ActionKind.SET, ActionKind.SCALE):
            path.brake.apply(rule, action, now)
            path.rein()
            return
        site = path.route.site
        if action.kind is ActionKind.SUSPEND_SENDER:
            if recipient is None:
                return
            scope = Scope(site=site, sender=recipient.batch.sender)
        elif action.kind is ActionKind.SUSPEND_SITE:
            scope = Scope(site=site)
        else:
            scope = Scope(site=site, source=path.source.name)
        is_new = self._suspend(scope, rule.duration, reply, rule.name)
        if is_new and rule.back is not None:
            path.brake.begin_back(rule, now + rule.duration)
            path.rein()

    def suspend_sender(self, path: Path, recipient: Recipient, reply: Reply, ruling: Ruling) -> None:
        """A refusal of all that this sender sends there: its keys, its domain's name."""
        scope = Scope(site=path.route.site, sender=recipient.batch.sender)
        self._suspend(scope, ruling.suspend_sender, reply, f"reply rule {ruling.rule}")

    def _suspend(self, scope: Scope, seconds: float, reply: Reply, by: str) -> bool:
        """False: it stands already; the replies to what was on the wire only say it again."""
        if any((one.scope, one.by) == (scope, by) for one in self._steering.directives.values()):
            return False
        try:
            self._steering.put(Verb.SUSPEND, scope, seconds, " ".join(str(reply).split())[:200], by=by)
        except TooManyDirectives:
            log.error("%s cannot suspend %s: too many directives stand; resume some", by, scope)  # noqa: TRY400 - the text says it all
            return False
        return True
