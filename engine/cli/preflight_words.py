"""What each finding of the preflight means and what to do, in Japanese and English: code -> words.

A test holds the codes of the checks and these words to each other.
"""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, tuple[str, str]]] = {
    "from.foreign": (
        "差出人アドレスが他社（フリーメール・携帯電話会社）のドメインです。自社のドメインを使用してください",
        "The From address is at a mailbox provider's domain; use a domain of your own",
    ),
    "from.records": ("差出人ドメインにメールを届けられます", "The From domain takes mail"),
    "from.no_records": (
        "差出人ドメインに MX も A もありません。docomo などが受信を拒否します",
        "The From domain has neither MX nor A: docomo and others refuse it",
    ),
    "from.null_mx": (
        "差出人ドメインがメールを受け取らないと宣言しています（null MX）。返信による配信停止も届きません",
        "The From domain says that it takes no mail (null MX); replies, refusals among them, cannot arrive",
    ),
    "envelope.null_mx": (
        "エンベロープのドメインがメールを受け取らないと宣言しています（null MX）。エラーメールが戻りません",
        "The envelope domain says that it takes no mail (null MX): bounces cannot come back",
    ),
    "from.mx_nowhere": (
        "差出人ドメインの MX のホスト名に IP アドレスがありません",
        "No MX host of the From domain has an address",
    ),
    "envelope.mx_nowhere": (
        "エンベロープのドメインの MX のホスト名に IP アドレスがありません",
        "No MX host of the envelope domain has an address",
    ),
    "from.answers": ("差出人アドレスはメールを受け取ります", "The From address takes mail"),
    "from.unanswered": (
        "差出人アドレスがメールを受け取りません。返信できるアドレスにしてください",
        "The From address takes no mail; use one that can be replied to",
    ),
    "from.not_asked": (
        "差出人アドレスがメールを受け取るか確認できませんでした",
        "Whether the From address takes mail could not be found out",
    ),
    "blocklist.clean": ("ブロックリストに登録されていません", "Not on the blocklist"),
    "blocklist.listed": (
        "送信元 IP アドレスがブロックリストに登録されています。原因を取り除き、解除を申請してください",
        "The address is on a blocklist; find the cause, mend it, and ask to be taken off",
    ),
    "blocklist.refused": (
        "ブロックリストが問い合わせを受け付けません。公開 DNS ではなく自前のリゾルバーを使うか、契約してください",
        "The blocklist refuses our questions: ask through a resolver of your own, or subscribe",
    ),
    "envelope.records": ("エンベロープのドメインにメールを届けられます", "The envelope domain takes mail"),
    "envelope.no_records": (
        "エンベロープ（MAIL FROM）のドメインに MX も A もありません。エラーメールが戻りません",
        "The envelope domain has neither MX nor A: bounces cannot come back",
    ),
    "spf.envelope.pass": ("SPF に合格しました（MAIL FROM）", "SPF passes (MAIL FROM)"),
    "spf.envelope.none": ("SPF レコードがありません（MAIL FROM）", "No SPF record (MAIL FROM)"),
    "spf.envelope.neutral": (
        "SPF レコードにこの送信元がありません（MAIL FROM）",
        "The SPF record does not name this address (MAIL FROM)",
    ),
    "spf.envelope.softfail": (
        "SPF がこの送信元を認めていません（~all、MAIL FROM）",
        "SPF softly refuses this address (MAIL FROM)",
    ),
    "spf.envelope.fail": ("SPF がこの送信元を拒否しています（MAIL FROM）", "SPF refuses this address (MAIL FROM)"),
    "spf.envelope.permerror": ("SPF レコードに誤りがあります（MAIL FROM）", "The SPF record is wrong (MAIL FROM)"),
    "spf.from.pass": ("差出人ドメインでも SPF に合格しました", "SPF passes for the From domain, too"),
    "spf.from.none": (
        "差出人ドメインに SPF レコードがありません。docomo・au は差出人ドメインも調べます",
        "The From domain has no SPF record: docomo and au look there, too",
    ),
    "spf.from.neutral": (
        "差出人ドメインの SPF レコードにこの送信元がありません",
        "The From domain's SPF record does not name this address",
    ),
    "spf.from.softfail": (
        "差出人ドメインの SPF がこの送信元を認めていません（~all）",
        "The From domain's SPF softly refuses this address",
    ),
    "spf.from.fail": (
        "差出人ドメインの SPF がこの送信元を拒否しています",
        "The From domain's SPF refuses this address",
    ),
    "spf.from.permerror": (
        "差出人ドメインの SPF レコードに誤りがあります",
        "The From domain's SPF record is wrong",
    ),
    "dkim.pass": ("DKIM 署名を検証できました", "DKIM verifies"),
    "dkim.no_key": ("署名用の鍵が設定されていません", "No key to sign with is configured"),
    "dkim.missing": (
        "DKIM の公開鍵が DNS にありません。ドメインの管理者であることも確認できません",
        "DNS has no record for this key; the domain is not proven yours either",
    ),
    "dkim.many": (
        "DKIM のレコードが複数あります。1 件だけにしてください",
        "Several DKIM records at one name; leave one",
    ),
    "dkim.other_key": ("DNS の公開鍵が手元の鍵と一致しません", "DNS has another key than ours"),
    "dkim.refused": ("DKIM の検証に失敗しました", "A probe signed with this key does not verify"),
    "dkim.testing": (
        "DKIM が試験中（t=y）と宣言されています。t=y を外してください",
        "The record says t=y: only testing; remove it",
    ),
    "dkim.short": (
        "DKIM の鍵が短すぎます。2048 ビットの鍵に替えてください",
        "The key is short; use one of 2048 bits",
    ),
    "dmarc.found": ("DMARC レコードがあります", "There is a DMARC record"),
    "dmarc.missing": (
        "DMARC レコードがありません。Gmail・Yahoo・Microsoft・docomo が求めています",
        "No DMARC record: Gmail, Yahoo, Microsoft and docomo want one",
    ),
    "dmarc.no_reports": (
        "DMARC の集計レポートを受け取る宛先（rua=）がありません",
        "DMARC reports go nowhere (no rua=)",
    ),
    "dmarc.dkim_aligned": (
        "DKIM の署名ドメインが差出人ドメインと整合しています",
        "DKIM is aligned with the From domain",
    ),
    "dmarc.dkim_unaligned": (
        "DKIM の署名ドメインが差出人ドメインと整合していません。senders の domain を直してください",
        "DKIM is not aligned with the From domain; set the sender's domain",
    ),
    "dmarc.spf_aligned": (
        "SPF のドメインが差出人ドメインと整合しています",
        "SPF is aligned with the From domain",
    ),
    "dmarc.spf_unaligned": (
        "SPF のドメインが差出人ドメインと整合していません。return_path_domain を同じ組織のドメインにしてください",
        "SPF is not aligned with the From domain; set return_path_domain to a domain of the same organization",
    ),
    "ptr.confirmed": ("逆引きと正引きが一致しています", "The reverse name leads back"),
    "ptr.missing": (
        "送信元 IP アドレスに逆引きがありません。回線・クラウド事業者に設定を依頼してください",
        "The address has no reverse name; ask whoever gave it to you",
    ),
    "ptr.unconfirmed": (
        "逆引きの名前を正引きしても送信元に戻りません",
        "The reverse name does not lead back to the address",
    ),
    "ptr.generic": (
        "逆引きが事業者の自動割り当ての名前です。家庭用回線とみなされることがあります",
        "The reverse name is a provider's automatic one: taken for a home line by some",
    ),
    "helo.differs": (
        "HELO の名前と逆引きの名前が違います。ehlo_name と逆引きを揃えてください",
        "The greeting and the reverse name differ; make them the same",
    ),
    "source.unknown": (
        "受信側から見える送信元 IP アドレスが分かりません。preflight.addresses に書いてください",
        "The address that receivers see is not known; write it into preflight.addresses",
    ),
    "unsubscribe.missing": (
        "unsubscribe_url がありません。Gmail・Yahoo は広告メールにワンクリック解除を求めています",
        "No unsubscribe_url: Gmail and Yahoo want one-click unsubscribing of advertising",
    ),
    "tls.in_order": ("解除ページの TLS 証明書は有効です", "TLS of the unsubscribe host is in order"),
    "tls.refused": (
        "解除ページの TLS 証明書を検証できません",
        "The certificate of the unsubscribe host does not verify",
    ),
    "tls.unreachable": ("解除ページに接続できません", "The unsubscribe host cannot be reached"),
    "tls.expires": (
        "解除ページの TLS 証明書の期限が近づいています",
        "The certificate of the unsubscribe host is about to expire",
    ),
    "optout.page": ("受信拒否のページが開きます", "The opt-out page opens"),
    "optout.mail": (
        "受信拒否のメールアドレスのドメインはメールを受け取ります",
        "The opt-out address's domain takes mail",
    ),
    "optout.login": (
        "受信拒否のページがログインを求めています。ログインなしで手続きできるようにしてください",
        "The opt-out page wants a login; let people opt out without one",
    ),
    "optout.moved": (
        "受信拒否のURLが別の場所へ転送されます。転送のないURLを unsubscribe_url にしてください（RFC 8058 3.1）",
        "The opt-out URL redirects; name a URL that does not (RFC 8058 3.1)",
    ),
    "optout.unknown_token": (
        "受信拒否のページが、架空のトークンに対してエラーを返しました。実際のリンクでもご確認ください",
        "The opt-out page answered a made-up token with an error; try a real link too",
    ),
    "optout.error": (
        "受信拒否のページが開きません。サーバーを直してください",
        "The opt-out page does not open; mend its server",
    ),
    "optout.unreachable": (
        "受信拒否のページに接続できません",
        "The opt-out page cannot be reached",
    ),
    "optout.certificate": (
        "受信拒否のページの TLS 証明書を検証できません",
        "The certificate of the opt-out page does not verify",
    ),
    "optout.no_host": (
        "受信拒否のURLのホスト名が DNS にありません",
        "DNS does not know the host of the opt-out URL",
    ),
    "optout.private": (
        "受信拒否のURLのホストは外部から接続できないアドレスです",
        "The host of the opt-out URL has an address that nobody outside can reach",
    ),
    "optout.mail_dead": (
        "受信拒否のメールアドレスのドメインはメールを受け取りません",
        "The domain of the opt-out address takes no mail",
    ),
    "dns.failed": (
        "DNS から回答がありません。時間をおいて再度実行してください",
        "DNS did not answer; run it again later",
    ),
}
