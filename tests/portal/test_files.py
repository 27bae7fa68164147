"""What the templates may hold, and the files that browsers fetch."""

import gzip
import re
import subprocess
from pathlib import Path

import pytest

from portal import assets

TEMPLATES = sorted(Path("portal/templates").rglob("*.html"))
SCRIPTS = sorted(Path("portal/static/js").glob("*.js"))

# Under a strict policy each of these is dead or blocked; the last two mean something else, or nothing, since htmx 4.
BANNED = {
    "an inline style": r"\sstyle\s*=",
    "a style element": r"<style",
    "an inline handler": r"\son[a-z]+\s*=",
    "an inline script": r"<script(?![^>]*\ssrc=)",
    "hx-on": r"\shx-on",
    "code in hx-vals or hx-headers": r"""=["']js(on)?:""",
    "a filter in hx-trigger": r"""hx-trigger=["'][^"']*\[""",
    "another host": r"""(src|href|action)=["']https?://""",
    "an attribute of htmx 2": r"\shx-(disabled-elt|vars|params|prompt|ext|disinherit|inherit|request|history|confirm|ws|sse)\b",
    "inherited attributes nobody asked for": r"\shx-(?!headers|status)[a-z-]+:inherited",
}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to("portal/templates")))
def test_a_template_holds_nothing_that_a_strict_policy_blocks(template):
    text = template.read_text()
    assert [what for what, pattern in BANNED.items() if re.search(pattern, text)] == []


def test_no_template_marks_text_as_safe():
    assert [path for path in TEMPLATES if re.search(r"\|\s*safe\b|autoescape", path.read_text())] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_our_scripts_make_no_markup_and_no_code_of_text(script):
    assert not re.search(r"\.innerHTML|\.outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", script.read_text())


def test_every_icon_in_use_is_in_the_sprite():
    drawn = set(re.findall(r'id="i-([a-z-]+)"', Path("portal/templates/ui/_sprite.html").read_text()))
    sources = [*TEMPLATES, *Path("portal").rglob("*.py")]
    used = {name for path in sources for name in re.findall(r'icon\("([a-z-]+)"', path.read_text())}
    assert used <= drawn


def test_third_party_files_are_as_they_were_published():
    for folder in ("portal/static", "tests/browser/vendor"):
        done = subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "kind", "most"),
    [
        ("portal.css", "text/css", 12_500),
        ("portal.js", "text/javascript", 21_000),
        ("theme.js", "text/javascript", 1_000),
        ("inter-variable.woff2", "font/woff2", 36_900),
        ("favicon.svg", "image/svg+xml", 1_000),
    ],
)
def test_a_file_is_small_and_kept_for_ever_under_its_version(client, name, kind, most):
    answer = client.get(f"/assets/{assets.fingerprint()}/{name}", headers={"Accept-Encoding": "gzip"})
    assert answer.status_code == 200
    assert answer.mimetype == kind
    assert len(answer.data) <= most
    assert answer.cache_control.immutable
    assert "Set-Cookie" not in answer.headers


def test_a_file_under_an_old_version_is_asked_for_again(client):
    answer = client.get("/assets/old/portal.css")
    assert answer.status_code == 200
    assert answer.cache_control.no_cache and not answer.cache_control.immutable


def test_a_whole_page_is_within_its_budget(nisha, made):
    from tests.factories import make_refund

    for _ in range(25):
        made(make_refund)
    assert len(gzip.compress(nisha.open("/refunds").data)) <= 15_000
    assert len(gzip.compress(nisha.open("/refunds", partial=True).data)) <= 8_000


def test_pages_carry_the_strict_policy(nisha):
    policy = nisha.open("/refunds").headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy and "style-src 'self';" in policy
    assert "unsafe" not in policy and "nonce" not in policy
