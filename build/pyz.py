#!/usr/bin/env python3
"""Build scitex-ssh.pyz: the command line, its dependencies and the shell program in one file.

    python build/pyz.py --out dist/scitex-ssh.pyz

The same sources make the same bytes, whatever the folder, the umask, the date and the builder's
Python. Nothing is written in the checkout but the two files of the result.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "scitex_ssh")
COMPILED = {".so", ".pyd", ".dylib", ".dll", ".a", ".o"}
MAIN = "import boot\n\nboot.run()\n"
EPOCH = 315532800  # 1980-01-01, the oldest date that a zip archive can hold


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("dist/scitex-ssh.pyz"), metavar="FILE")
    out: Path = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="scitex-ssh-pyz-") as name:
        work = Path(name)
        stage = work / "stage"
        install(own_wheel(work), stage)
        refuse_compiled(stage)
        content = repack(shiv(stage, work), header(stage))
    digest = publish(content, out)
    print(f"{out}  {len(content)} bytes  sha256 {digest}")
    return 0


def own_wheel(work: Path) -> Path:
    """Build the project from a copy: a build may leave things behind in the tree it builds."""
    copy = work / "project"
    copy.mkdir()
    for name in PROJECT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, copy)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", work, copy)
    (wheel,) = work.glob("scitex_ssh-*.whl")
    return wheel


def install(wheel: Path, stage: Path) -> None:
    """Fill the stage with pure Python only, and with nothing that names this machine."""
    target = ("--no-deps", "--no-compile", "--target", stage)
    # PyYAML: no wheel (they are compiled), no C part in the build, and no cache: pip would take a
    # compiled wheel from there although the variable is set.
    pip(
        "install",
        *("--no-cache-dir", "--no-binary", "pyyaml"),
        *("--require-hashes", "--requirement", HERE / "pyz-requirements.txt"),
        *target,
        PYYAML_FORCE_LIBYAML="0",
    )
    pip("install", "--no-index", *target, wheel)
    # bin/ holds the builder's interpreter path, *.dist-info the path of the wheel, _yaml only a
    # door to the C part.
    for leftover in (stage / "bin", stage / "_yaml", *stage.glob("*.dist-info")):
        shutil.rmtree(leftover)


def refuse_compiled(stage: Path) -> None:
    """One file for every CPU and every Python: stop at the first thing that is not."""
    compiled = [str(path) for path in stage.rglob("*") if path.suffix in COMPILED]
    if compiled:
        raise SystemExit(f"pyz: compiled files in a pure build: {', '.join(compiled)}")


def shiv(stage: Path, work: Path) -> Path:
    archive = work / "shiv.pyz"
    run(
        *(sys.executable, "-m", "shiv.cli", "--reproducible", "--uncompressed"),
        *("--entry-point", "scitex_ssh.cli:main"),
        *("--site-packages", stage, "--output-file", archive),
        SOURCE_DATE_EPOCH=str(EPOCH),
    )
    return archive


def header(stage: Path) -> bytes:
    """Return the text before the archive: the search for a Python, then the shell program."""
    sys.path.insert(0, str(stage))
    from scitex_ssh.backends.shell import generic_program

    program = generic_program().rstrip("\n")
    if not program.endswith("exit") and not program.endswith("exit; }"):
        raise SystemExit("pyz: the shell program must end in exit, or sh reads on into the archive")
    return f"{(HERE / 'pyz_header.sh').read_text()}{program}\n".encode()


def repack(archive: Path, header: bytes) -> bytes:
    """Put shiv's content behind the header, to be imported in place.

    shiv's own start unpacks into HOME: it dies where that cannot be written and waits for ever
    where it cannot be locked. Nothing is compressed: the sizes do not matter, and what a
    compressor makes depends on its version.
    """
    result = io.BytesIO(header)
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(result, "a") as new:
        files = {name: old.read(name) for name in old.namelist() if name.startswith("site-packages/")}
        files["__main__.py"] = MAIN.encode()
        files["boot.py"] = (HERE / "pyz_boot.py").read_bytes()
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # dated 1980-01-01
            entry.create_system = 3
            entry.external_attr = 0o100644 << 16
            new.writestr(entry, files[name])
    return result.getvalue()


def publish(content: bytes, out: Path) -> str:
    """Write beside and rename: whoever runs the old file meanwhile keeps it whole."""
    digest = hashlib.sha256(content).hexdigest()
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.{os.getpid()}")
    fresh.write_bytes(content)
    fresh.chmod(0o755)
    fresh.replace(out)
    out.with_name(f"{out.name}.sha256").write_text(f"{digest}  {out.name}\n")
    return digest


def pip(*args: str | Path, **env: str) -> None:
    run(sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *args, **env)


def run(*argv: str | Path, **env: str) -> None:
    """Run a command; what it says is shown only when it fails."""
    done = subprocess.run(
        [str(arg) for arg in argv],
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        raise SystemExit(f"pyz: {argv[1]} {argv[2]} failed ({done.returncode})")


if __name__ == "__main__":
    # The modes of what is staged end up nowhere, but hatchling and pip look at them.
    os.umask(0o022)
    raise SystemExit(main())
