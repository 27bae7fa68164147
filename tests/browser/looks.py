"""What a view must be however it is looked at: WCAG 2.2 AA as far as a program can tell, and never wider than its window."""

from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Page, TimeoutError

AXE = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
RULES_OF_COLOUR = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}  # all that a theme can break
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
NARROWER = ({"width": 320, "height": 640}, {"width": 640, "height": 800})  # the latter: text twice as large


def breaches(page: Page, views: Mapping[str, Callable[[], object]]) -> dict[str, list[str]]:
    """What is wrong with each view, by its name: shown wide and on a phone, each in both themes, then narrower still.

    A theme changes nothing but colours, so the dark one is asked about them alone.
    """
    found: dict[str, list[str]] = {}
    page.add_init_script(AXE)
    for size in (WIDE, PHONE):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for name, show in views.items():
            look, wrong = f"{name}, {size['width']} wide", []
            page.emulate_media(color_scheme="light", reduced_motion="reduce")  # there is nothing to wait for then
            show()
            settled(page)
            wrong += axe(page)
            page.emulate_media(color_scheme="dark", reduced_motion="reduce")
            settled(page)
            wrong += [f"dark: {breach}" for breach in axe(page, RULES_OF_COLOUR)]
            for narrower in ({}, *(NARROWER if size is PHONE else ())):
                page.set_viewport_size({**size, **narrower})  # type: ignore[typeddict-item]
                if not fits(page):
                    wrong.append(f"it scrolls sideways at {narrower or size}")
            page.set_viewport_size(size)  # type: ignore[arg-type]
            if wrong:
                found[look] = wrong
    return found


def axe(page: Page, rules: Mapping[str, object] = RULES) -> list[str]:
    """Every breach of WCAG 2.2 AA and of good practice that axe finds, one line each."""
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(AXE)
    found = page.evaluate("(runOnly) => axe.run(document, {runOnly, resultTypes: ['violations']}).then((found) => found.violations)", rules)
    return [f"{breach['id']}: {node['target']} {node['failureSummary']}" for breach in found for node in breach["nodes"]]


def settled(page: Page) -> None:
    """Nothing under way: no request, no animation half done. What turns for ever, as a job that runs does, may."""
    page.wait_for_function("() => !document.querySelector('.htmx-request')")
    page.wait_for_function(
        "() => document.getAnimations().every((motion) => "
        "motion.playState !== 'running' || motion.effect.getTiming().delay || motion.effect.getTiming().iterations > 9)"
    )


def fits(page: Page) -> bool:
    """Whether it comes to rest within the window: what slides in may be outside it on its way."""
    try:
        page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth", timeout=3000)
    except TimeoutError:
        return False
    return True


def too_small_to_touch(page: Page) -> list[str]:
    """The controls under 24 pixels, unless a label around them takes the touch."""
    return page.evaluate(
        """() => [...document.querySelectorAll('button, input:not([type=hidden]), select, summary, main a.button, a.act, .tabs a')]
            .filter((part) => part.checkVisibility({visibilityProperty: true}) && part.getBoundingClientRect().height)
            .filter((part) => !part.closest('label') && Math.min(part.offsetWidth, part.offsetHeight) < 24)
            .map((part) => part.outerHTML.slice(0, 120))"""
    )
