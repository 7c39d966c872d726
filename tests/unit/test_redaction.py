from __future__ import annotations

import html
import json
import time
from urllib.parse import quote, quote_plus

import pytest

from pingstate.probes.redaction import redact, secret_variants


def test_secrets_are_redacted_however_they_are_spelled():
    secrets = secret_variants(["s3cret", 's3cret"\\x', "abc", "&", "*/*"])
    assert 's3cret\\"\\\\x' in secrets
    assert secrets == sorted(secrets, key=len, reverse=True)
    assert not {"abc", "&", "&amp;", "*/*", "*\\/*"} & set(secrets)
    assert redact('said s3cret, "s3cret\\"\\\\x" and s3cret"\\x', secrets) == 'said ***, "***" and ***'  # fmt: skip
    assert redact("cut off: s3cr\N{HORIZONTAL ELLIPSIS}", secrets) == "cut off: ***"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ('pa"ss\\ü/€𝄞', json.dumps('pa"ss\\ü/€𝄞')),
        ('pa"ss\\ü/€𝄞', json.dumps('pa"ss\\ü/€𝄞', ensure_ascii=False)),
        ("https://u/ü", json.dumps("https://u/ü").replace("/", "\\/")),
        ("pa\"ss'&<w>", html.escape("pa\"ss'&<w>")),
        ("pa\"ss'&<w>", "pa&#34;ss&#39;&amp;&lt;w&gt;"),
        ("pa\"ss'&<w>", "pa&quot;ss&#039;&amp;&lt;w&gt;"),
        ("pass/wörd +~x", quote("pass/wörd +~x", safe="")),
        ("pass/wörd +~x", quote_plus("pass/wörd +~x")),
    ],
)
def test_secret_is_redacted_where_a_target_has_escaped_it(secret, said):
    redacted = redact(f"no {said} here", secret_variants([secret]))
    assert redacted.replace('"', "") == "no *** here"


def test_redaction_of_a_large_body_takes_no_time():
    words = [f"word{number}" for number in range(20_000)]
    secrets = secret_variants([*words, " ".join(words), "s3cret" * 50_000])
    detail = (
        f"said {'s3cret' * 20}\N{HORIZONTAL ELLIPSIS} and word19999, word\N{HORIZONTAL ELLIPSIS}"
    )
    began = time.thread_time()
    assert redact(detail, secrets) == "said *** and ***, ***"
    assert time.thread_time() - began < 1.0
