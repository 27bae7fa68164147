"""docs/dependencies.md speaks of every direct package, at the version that is locked."""

import re
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
DIRECT = "".join((SETUP["options"]["install_requires"], *SETUP["options.extras_require"].values())).split()


@pytest.mark.parametrize("requirement", DIRECT)
def test_the_page_names_the_package_at_its_locked_version(requirement):
    name = re.split("[<>=]", requirement)[0]
    distribution = re.escape(name.partition("[")[0])
    locked = re.search(f"(?mi)^{distribution}==([^ ]+)", (ROOT / "requirements-dev.txt").read_text())

    assert locked, f"{name} is not in requirements-dev.txt: write the lock anew, as docs/dependencies.md says"
    assert f"| {name} | {locked[1]} |" in (ROOT / "docs" / "dependencies.md").read_text()


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-s3.txt", "requirements-dev.txt"])
def test_a_lock_file_names_no_host(lock):
    assert not re.search("://|--(index|find|trusted|extra)", (ROOT / lock).read_text())
