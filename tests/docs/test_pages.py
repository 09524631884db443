"""What the pages say exists, and what they link to is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scitex_ssh.errors import CATALOGUE, Exit

from . import pages

EVERY = pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
WRITTEN = pytest.mark.parametrize("page", pages.WRITTEN, ids=pages.name)


@EVERY
def test_internal_links_resolve(page: Path) -> None:
    """Every relative link leads to a file, and to a heading in it where it names one."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", pages.prose(page)):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in pages.anchors(target)):
            broken.append(link)
    assert broken == []


@WRITTEN
def test_every_page_is_in_the_index(page: Path) -> None:
    """Whoever begins at docs/README.md finds every page."""
    index = pages.ROOT / "docs/README.md"
    linked = {
        (index.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)\)", index.read_text("utf-8"))
    }
    assert page in {index, pages.ROOT / "README.md", *linked} or page.parent == pages.ROOT


def test_the_reference_is_up_to_date() -> None:
    """The pages that are written from the code are as the code is."""
    argv = [sys.executable, str(pages.ROOT / "build/docs.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_drift_is_found(tmp_path: Path) -> None:
    """The check is not one that always passes: a changed copy of a page fails it, with a diff."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("scitex_ssh", "docs", "tests", "build"):
        (copy / name).symlink_to(pages.ROOT / name)
    (copy / "docs").unlink()
    (copy / "build").unlink()
    for folder, names in (("docs/reference", pages.ROOT.glob("docs/reference/*")), ("build", ["docs.py"])):
        (copy / folder).mkdir(parents=True)
        for each in names:
            source = pages.ROOT / folder / Path(each).name
            (copy / folder / source.name).write_text(source.read_text("utf-8"), "utf-8")
    shutil.copytree(pages.ROOT / "build/reference", copy / "build/reference")
    (copy / "build/pyz_header.sh").write_text((pages.ROOT / "build/pyz_header.sh").read_text("utf-8"))
    page = copy / "docs/reference/errors.md"
    page.write_text(page.read_text("utf-8").replace("port-taken", "port-token"), "utf-8")
    argv = [sys.executable, str(copy / "build/docs.py"), "--check"]
    done = subprocess.run(argv, capture_output=True, text=True)
    assert done.returncode == 1
    assert "-## port-token\n+## port-taken\n" in done.stdout


def test_the_readme_lists_every_exit_status() -> None:
    """The short table has the statuses that there are."""
    text = (pages.ROOT / "README.md").read_text("utf-8")
    assert [int(status) for status in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)] == list(map(int, Exit))


@WRITTEN
def test_every_slug_is_one(page: Path) -> None:
    """A name in brackets, the way errors show theirs, is in the catalogue."""
    slugs = set(re.findall(r"`\[([a-z][a-z-]+)\]`|^  \[([a-z][a-z-]+)\]$", page.read_text("utf-8"), re.M))
    assert {first or second for first, second in slugs} <= set(CATALOGUE)


def test_troubleshooting_headings_are_error_texts() -> None:
    """A heading that is followed by a slug is that error's sentence, with facts filled in."""
    text = (pages.ROOT / "docs/how-to/troubleshoot.md").read_text("utf-8")
    sections = re.findall(r"^## (.*)\n\n(?:`\[([a-z-]+)\]`)?", text, re.MULTILINE)
    assert len([slug for _, slug in sections if slug]) >= 10
    for heading, slug in sections:
        if slug:
            parts = re.split(r"\{\w+\}", CATALOGUE[slug].sentence)
            assert re.fullmatch(".+".join(map(re.escape, parts)), heading), slug


def test_the_sandbox_page_explains_every_line() -> None:
    """Each line of the unit is on the page, and the page has no line that the unit has not."""
    unit = (pages.ROOT / "tests/golden/plain/unit").read_text("utf-8")
    page = (pages.ROOT / "docs/explanation/sandbox.md").read_text("utf-8")
    lines = {line for line in unit.splitlines() if re.match(r"[A-Z]\w+=", line)}
    about = {"Description", "Documentation", "ExecStart", "WantedBy"}
    wanted = {line for line in lines if line.partition("=")[0] not in about}
    explained = set(re.findall(r"`([A-Z]\w+=[^`]*)`", page))
    looser = {"ProtectHome=read-only", "ProtectSystem=full", "PrivateDevices=no"}
    assert explained - looser == wanted


# Where a page may point to. All else would be somebody's own place.
PATHS = re.compile(
    r"/(?:etc|run|proc|usr/(?:bin|sbin)|bin|dev)/|/(?:tmp|bin/sh|home/alice|var/log|etc|run)\b|/(?:32|64)\b"
    r"|/opt/scitex-ssh\b"
)
HOSTS = re.compile(r"(?:[\w-]+\.)*example\.com|github\.com/[\w/.-]*|no-color\.org|scitex\.ai|localhost")


@EVERY
def test_pages_name_no_private_place(page: Path) -> None:
    """Absolute paths are those of any Linux host, addresses are for documentation, hosts are examples."""
    text = page.read_text("utf-8")
    paths = re.findall(r"(?<![\w.~:)\]*<>`@\"|+-])/[\w.]+(?:/[\w.-]*)*", re.sub(r"\w+://[\w@.-]+", "", text))
    assert [path for path in paths if not PATHS.match(path)] == []
    hosts = re.findall(r"https?://([\w./-]+)", text)
    assert [host for host in hosts if not HOSTS.match(host)] == []
    addresses = re.findall(r"\b\d+\.\d+\.\d+\.\d+\b", text)
    allowed = r"127\.0\.0\.1|203\.0\.113\.\d+|192\.0\.2\.\d+|198\.51\.100\.\d+"
    assert [address for address in addresses if not re.fullmatch(allowed, address)] == []
