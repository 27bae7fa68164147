"""README.md says what is so: the settings, their defaults, and the files it points to."""

import re
from pathlib import Path

import pytest

import config

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ROWS = re.findall(r"(?m)^\| (`[A-Z_`, ]+`) \| (.*?) \|", README)
DEFAULTS = {
    name: default
    for names, defaults in ROWS
    for name, default in zip(re.findall("`([A-Z_]+)`", names), re.findall("`([^`]+)`", defaults) + [""] * 9, strict=False)
}


def test_it_lists_every_setting_and_no_other():
    read = set(re.findall(r"\b(?:env|self)\.\w+\(\s*\"([A-Z_]{3,})\"", (ROOT / "config.py").read_text()))

    assert set(DEFAULTS) == read


def test_the_defaults_are_the_ones_that_hold(tmp_path):
    unset = config.load({"DATA_DIR": str(tmp_path)})
    written = {
        name: value for name, value in DEFAULTS.items() if value and name not in ("DATA_DIR", "SECRET_KEY", "DATABASE_URL", "PUBLIC_URL")
    }

    assert config.load({"DATA_DIR": str(tmp_path), **written}) == unset


@pytest.mark.parametrize(
    "target", re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"`((?:domain|docs|tests|adapters)/[\w/.]+)`", README)
)
def test_what_it_points_to_is_there(target):
    assert (ROOT / target).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)", README)) - {"alone", "and"}))
def test_each_make_target_it_names_exists(target):
    assert re.search(f"(?m)^{target}:", (ROOT / "Makefile").read_text())
