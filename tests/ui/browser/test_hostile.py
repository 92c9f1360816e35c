"""Nothing that is stored has any effect in the browser, whatever it says."""

import json
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest

from tests.ui.browser.conftest import PHONE, WIDE, Open, Site

HOSTILE = {
    "script": "<script>window.hacked=1</script>",
    "closing": "\"'></a></td></textarea></title><script>window.hacked=1</script>",
    "image": '<img src=x onerror="window.hacked=1">',
    "svg": "<svg/onload=window.hacked=1><style>*{display:none}</style>",
    "address": "javascript:window.hacked=1//",
    "data": "data:text/html,<script>parent.hacked=1</script>",
    "elsewhere": '<img src="https://evil.example/x"><link rel=stylesheet href=//evil.example>',
    "frame": '<iframe src="https://evil.example"></iframe><base href="https://evil.example/">',
    "htmx": '<div hx-get="https://evil.example/" hx-trigger="load" hx-on::load="hacked=1">x</div>',
    "jinja": "{{ 7*7 }}{% for x in ().__class__.__mro__ %}{{ x }}{% endfor %}{# #}",
    "template": "${7*7} #{7*7} <%= 7*7 %> {{constructor.constructor('hacked=1')()}}",
    "entities": "&lt;b&gt; &amp;amp; &#x3c;script&#x3e;",
    "path": "../../static/..%2f..%2f?a=b&c=d#e;/\\\\evil.example",
    "bidi": "pay \u202eevil\u202c \u2066x\u2069 \u200b\u200d\ufeff",
    "marks": "Z\u0351\u036b\u0343\u036a\u0302a\u0488l\u0321g\u0340o " + "\u0301" * 60,
    "lines": "one\ntwo\rthree\ttab \u2028 \x1b[31mred\x07",
    "other": "日本語 العربية עברית 🧑🏽‍🚀 \U0010ffff é",
    "long": "W" * 700,
    "spaces": "  in spaces  ",
}

PAGES = (
    *("/", "/streams", "/streams?order=name", "/live", "/trace?correlation={}", "/?stream={}"),
    *("/?type={}", "/?metadata=key%3D{}", "/?tag={}", "/?category={}", "/streams?prefix={}"),
    *("/stream?stream={}", "/message?stream={}&version=1", "/stream?stream=no-{}"),
    *("/message?id={}", "/?since={}", "/trace?message={}", "/go?q={}", "/login?next={}"),
    *("/message?position={}", "/{}", "/static/{}", "/state?stream={}&version=1"),
)


def fill(site: Site, text: str) -> None:
    data = json.dumps({text: text, "list": [text, {text: [text]}], "n": 1})
    metadata: dict[str, object] = {"key": text, text: text}
    # A store refuses control characters in names.
    name = "".join(each for each in text if unicodedata.category(each) != "Cc")
    metadata["correlation_id"] = name[:200]
    for _ in range(2):
        site.write(name, name[:60], data, metadata=metadata, tags=[name[:60]])


def effects(site: Site) -> list[str]:
    """Anything in the page that a stored text has made."""
    return site.page.evaluate(  # type: ignore[no-any-return]
        """(address) => [
          ...(window.hacked === undefined ? [] : ["a script has run"]),
          ...[...document.querySelectorAll("a[href]")].map((a) => a.href)
            .filter((href) => !href.startsWith(address)),
          ...[...document.querySelectorAll("main script, main style, iframe, base, svg, main img")]
            .map((each) => each.outerHTML.slice(0, 100)),
          ...[...document.querySelectorAll("[hx-get]")].map((each) => each.getAttribute("hx-get"))
            .filter((path) => !path.startsWith("/")),
          ...[...document.querySelectorAll("*")].flatMap((each) => each.getAttributeNames())
            .filter((name) => name.startsWith("on") || name.startsWith("hx-on")),
        ]""",
        site.address,
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_stored_texts_have_no_effect(site: Site, name: str) -> None:
    text = HOSTILE[name]
    fill(site, text)
    for path in PAGES:
        site.open(path.format(quote(text, safe="")))
        assert effects(site) == [], path
    site.open("/message?position=2")
    for each in reversed(site.page.locator("details > summary").all()):  # the inner ones first
        each.click()
    site.open("/")
    site.page.locator("details.fold > summary").first.click()
    site.page.locator(".unfolded .payload").first.wait_for()
    assert effects(site) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_texts_that_come_live_have_no_effect(site: Site, name: str) -> None:
    site.open("/live")
    site.page.get_by_text("Live", exact=True).and_(site.page.locator("#feed-state")).wait_for()
    fill(site, HOSTILE[name])
    site.page.locator("#feed tbody tr").nth(1).wait_for()
    assert effects(site) == []
    site.page.locator("#feed .main-link").first.click()
    site.page.locator("#payload").wait_for()
    assert effects(site) == []


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_pages_with_such_texts_are_still_for_everybody(
    open_site: Open, size: tuple[int, int]
) -> None:
    site = open_site(size=size)
    for text in HOSTILE.values():
        fill(site, text)
    for path in ("/", "/streams", "/message?position=1", "/message?position=36", "/live"):
        site.open(path)
        assert site.violations() == []
        assert site.overflow() <= 0, path
        site.picture(f"hostile-{path[1:5] or 'messages'}-{size[0]}")


def test_texts_are_shown_as_they_are(site: Site) -> None:
    fill(site, HOSTILE["jinja"])
    fill(site, HOSTILE["bidi"])
    site.open("/message?position=1")
    heading: Any = site.page.locator("h1").text_content()
    assert heading == HOSTILE["jinja"][:60]
    site.open("/message?position=3")
    # Characters that turn the direction of a text are spelled out.
    assert "\\u202eevil" in site.page.locator("h1").text_content()
