"""Is what the law wants displayed there, where readers see it? (特定電子メール法 4条, 施行規則 7条-9条; 特定商取引法)

check() looks at a message as a terminal shows it and gives findings; it refuses nothing itself. What needs the network
(does the opt-out page answer, is the address in DNS) is not asked here: net/landing.py does, for who wants it.
"""

from engine.lint.check import check, octets_of, opt_out_links, rule_texts
from engine.lint.finding import Finding, Severity
from engine.lint.sample import sample

__all__ = ["Finding", "Severity", "check", "octets_of", "opt_out_links", "rule_texts", "sample"]
