"""How long until the command line answers? Side by side, in one run, as ratios.

    build/dev bench startup [--runs N] [--json FILE]

The unit is a bare `python3 -c pass` of the same Python on the same machine in the same minute, so
the ratios can be compared between machines, and the milliseconds cannot.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = "scitex-ssh==1.2.0"
DROP_CACHES = "sync; echo 3 >/proc/sys/vm/drop_caches"


@dataclass(frozen=True)
class Case:
    title: str
    command: str
    cold: bool = False


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=30, metavar="N", help="runs of each command")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scitex-ssh-bench-") as name:
        work = Path(name)
        cases = prepare(work)
        measured = measure(cases, options.runs, work)
    unit = measured[0]["mean"]
    rows = [
        {
            "what": case.title,
            "ms": round(result["mean"] * 1000, 1),
            "deviation_ms": round((result["stddev"] or 0) * 1000, 1),
            "ratio": round(result["mean"] / unit, 2),
            "exit_status": max(result["exit_codes"]),
        }
        for case, result in zip(cases, measured)
    ]
    print(table(rows))
    if options.json:
        machine = {"machine": platform.platform(), "python": python_version(), "runs": options.runs}
        options.json.write_text(json.dumps({**machine, "rows": rows}, indent=2) + "\n")
    return 0


def prepare(work: Path) -> list[Case]:
    """Install the two versions side by side, build the .pyz, and list what is to be timed."""
    new = install(work / "new", str(ROOT))
    old = install(work / "old", PUBLISHED)
    pyz = work / "scitex-ssh.pyz"
    quiet(sys.executable, ROOT / "build" / "pyz.py", "--out", pyz)
    key = work / "key"
    quiet("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    setup = f"setup --dry-run -p 2222 -b tunnel@bastion.example -s {key}"
    cases = [
        Case("python3 -c pass", f"{new}/python3 -c pass"),
        Case("python3 -c 'import click'", f"{new}/python3 -c 'import click'"),
        Case("scitex-ssh --version, installed", f"{new}/scitex-ssh --version"),
        Case("scitex-ssh.pyz --version, warm", f"{pyz} --version"),
        Case("scitex-ssh.pyz --version, cold", f"{pyz} --version", cold=True),
        Case("scitex-ssh.pyz --version, no Python", f"env SCITEX_SSH_PYTHON=none {pyz} --version"),
        Case("scitex-ssh status, installed", f"{new}/scitex-ssh status"),
        Case("scitex-ssh.pyz status", f"{pyz} status"),
        Case("scitex-ssh setup --dry-run, installed", f"{new}/scitex-ssh {setup}"),
        Case("scitex-ssh.pyz setup --dry-run", f"{pyz} {setup}"),
        Case(f"{PUBLISHED} --version", f"{old}/scitex-ssh --version"),
        Case(f"{PUBLISHED} status", f"{old}/scitex-ssh tunnel status"),
    ]
    if os.geteuid() != 0:
        print("not root: the cold start is left out, caches cannot be dropped", file=sys.stderr)
        cases = [case for case in cases if not case.cold]
    return cases


def base_python() -> Path:
    """The Python behind the environment that runs this: every command is measured with this one."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def python_version() -> str:
    return f"{platform.python_implementation()} {platform.python_version()}"


def install(folder: Path, requirement: str) -> Path:
    """Install a package with all its dependencies, as a user would, and return its bin folder."""
    quiet(base_python(), "-m", "venv", folder)
    quiet(folder / "bin" / "pip", "install", "--disable-pip-version-check", requirement)
    return folder / "bin"


def quiet(*argv: str | Path) -> None:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}bench: failed: {argv}")


def measure(cases: list[Case], runs: int, work: Path) -> list[dict]:
    """Run hyperfine once over all of them, in an idle home and with the base Python first."""
    home = work / "home"
    home.mkdir()
    path = work / "path"
    path.mkdir()
    (path / "python3").symlink_to(base_python())
    report = work / "report.json"
    argv = ["hyperfine", "--shell=none", "--ignore-failure", "--warmup=3", f"--runs={runs}"]
    argv += ["--style=none", f"--export-json={report}"]
    for case in cases:
        argv += ["--prepare", f"sh -c '{DROP_CACHES}'" if case.cold else "true"]
    env = {**os.environ, "HOME": str(home), "PATH": f"{path}:{os.environ['PATH']}"}
    env.pop("XDG_CONFIG_HOME", None)
    subprocess.run(
        [*argv, *(case.command for case in cases)],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    results: list[dict] = json.loads(report.read_text())["results"]
    return results


def table(rows: list[dict]) -> str:
    """The rows in Markdown; a status other than 0 is shown, since a failure may be fast."""
    lines = [
        f"Start-up, {python_version()}, {os.cpu_count()} CPUs",
        "",
        "| command | ms | ± | times a bare Python | exit status |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['what']} | {row['ms']} | {row['deviation_ms']} | {row['ratio']} | {row['exit_status']} |"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    if not shutil.which("hyperfine"):
        raise SystemExit("bench: needs hyperfine (Debian: apt-get install hyperfine)")
    raise SystemExit(main())
