"""What must be true on the host, one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scitex_ssh.render.template import Template

# In this order over all tunnels: every file, then one daemon-reload, then the services, then the proof.
PHASES = ("files", "reload", "service", "restart", "proof")


@dataclass(frozen=True)
class Step:
    """One thing that must be true: two POSIX sh fragments over the shell functions of the prelude.

    Attributes:
        kind: the name of the constructor that made it.
        title: what it is, for people; may have gaps.
        test: true (exit status 0) when nothing is to be done; changes nothing, needs no root.
        apply: makes it true; atomic where a file is concerned.
        show: prints what ``apply`` would change (a diff), or is empty.
        phase: one of `PHASES`.
        path: the file concerned, or None.
        content: the wanted text of that file, or None.
    """

    kind: str
    title: Template
    test: str
    apply: str
    phase: str
    show: str = ""
    path: Template | None = None
    content: Template | None = None


@dataclass(frozen=True)
class Plan:
    """Steps in the order in which they are done, and the texts that they write, by name."""

    steps: tuple[Step, ...]
    texts: Mapping[str, Template]


def write_file(path: str, text: str, content: Template, *, mode: str, owner: str) -> Step:
    """The file at ``path`` has exactly this content, mode (``644``) and owner (``user:group``).

    ``text`` names the content among the plan's texts: the program holds it once.
    """
    where = Template(path)
    arguments = f"{where.shell()} {mode} {Template(owner).shell()} text_{text}"
    return Step(
        "write_file",
        Template(f"file {path}"),
        f"file_is {arguments}",
        f"put_file {arguments}",
        "files",
        f"show_file {arguments}",
        where,
        content,
    )


def directory(path: str, *, mode: str, owner: str) -> Step:
    """A folder, made with its parents if need be."""
    arguments = f"{Template(path).shell()} {mode} {Template(owner).shell()}"
    return Step(
        "directory",
        Template(f"folder {path}"),
        f"folder_is {arguments}",
        f"put_folder {arguments}",
        "files",
        path=Template(path),
    )


def symlink(path: str, target: str) -> Step:
    """A symbolic link to ``target``."""
    arguments = f"{Template(path).shell()} {Template(target).shell()}"
    return Step(
        "symlink",
        Template(f"link {path} -> {target}"),
        f"link_is {arguments}",
        f"put_link {arguments}",
        "files",
        path=Template(path),
    )


def jump_keys() -> Step:
    """A symbolic link ``key-N`` in the tunnel's folder to the key of each hop, and none besides."""
    return Step(
        "jump_keys",
        Template("links to the keys of the jump hosts in @folder@"),
        'jump_keys_are "$t_folder"',
        'put_jump_keys "$t_folder"',
        "files",
    )


def absent(path: str) -> Step:
    """No file, link or folder at ``path``."""
    where = Template(path)
    return Step(
        "absent",
        Template(f"no {path}"),
        f"nothing_at {where.shell()}",
        f"clear_away {where.shell()}",
        "files",
        path=where,
    )


def no_empty_folder(path: str) -> Step:
    """No empty folder at ``path``: what a set-up made on the way goes when the last tunnel goes."""
    where = Template(path)
    return Step(
        "no_empty_folder",
        Template(f"no empty folder {path}"),
        f"! folder_is_empty {where.shell()}",
        f"rmdir {where.shell()}",
        "reload",
        path=where,
    )


def units_loaded() -> Step:
    """systemd has read the units as they are on disk."""
    return Step(
        "units_loaded",
        Template("systemd has read @unit@"),
        'unit_is_loaded "$t_unit"',
        "reload_units",
        "reload",
    )


def unit_enabled() -> Step:
    """The unit starts at boot."""
    return Step(
        "unit_enabled",
        Template("@unit@ starts at boot"),
        'unit_is_enabled "$t_unit"',
        'manager -q enable "$t_unit"',
        "service",
    )


def unit_current() -> Step:
    """The unit runs, with the configuration that is on disk now.

    Level-triggered: the running process wrote down what it was started with, so a restart that a
    failed run still owes is seen by the next one.
    """
    return Step(
        "unit_current",
        Template("@unit@ runs with this configuration"),
        "unit_is_current",
        'manager restart "$t_unit"',
        "restart",
    )


def unit_absent() -> Step:
    """The unit neither runs, nor starts at boot, nor is remembered as failed."""
    return Step(
        "unit_absent",
        Template("@unit@ is stopped and not started at boot"),
        'unit_is_gone "$t_unit"',
        'stop_unit "$t_unit"',
        "files",
    )


def verified() -> Step:
    """The bastion's port answers with the host key of the target (see `scitex_ssh.health`)."""
    return Step(
        "verified",
        Template("@what@"),
        "is_verified",
        "wait_verified",
        "proof",
    )


def linger() -> Step:
    """The user's services run from boot on, whether the user is logged in or not."""
    return Step(
        "linger",
        Template("@user@ lingers: its services need no login"),
        "linger_is_on",
        "let_linger",
        "files",
    )


def linger_returned() -> Step:
    """Lingering that only a set-up wanted ends with the last tunnel of the user."""
    return Step(
        "linger_returned",
        Template("no lingering of @user@ for a tunnel's sake"),
        "! linger_is_owed",
        "end_linger",
        "reload",
    )


def cron_block(text: str, content: Template) -> Step:
    """The user's crontab has these lines between two marks; its other lines are as they were."""
    return Step(
        "cron_block",
        Template("lines in the crontab of @user@"),
        f"crontab_has text_{text}",
        f"put_in_crontab text_{text}",
        "service",
        f"show_crontab text_{text}",
        content=content,
    )


def no_cron_block() -> Step:
    """The user's crontab has no lines of this tunnel."""
    return Step(
        "no_cron_block",
        Template("no lines in the crontab of @user@"),
        "crontab_lacks",
        "take_from_crontab",
        "files",
        "show_crontab :",
    )


def block_in_file(path: str, text: str, content: Template, *, where: str = "") -> Step:
    """The file has these lines between two marks; all else in it, its mode and its owner are as they were.

    ``where`` is a shell command; the step is for the hosts on which it is true.
    """
    file = Template(path).shell()
    unless = f"! {where} || " if where else ""
    return Step(
        "block_in_file",
        Template(f"lines in {path}"),
        f"{unless}file_has {file} text_{text}",
        f"put_in_file {file} text_{text}",
        "service",
        f"show_block {file} text_{text}",
        Template(path),
        content,
    )


def no_block_in_file(path: str) -> Step:
    """The file has no lines of this tunnel; one that was made for them is gone."""
    file = Template(path).shell()
    return Step(
        "no_block_in_file",
        Template(f"no lines in {path}"),
        f"file_lacks {file}",
        f"take_from_file {file}",
        "files",
        f"show_block {file} :",
        Template(path),
    )


def sole_keeper() -> Step:
    """No other keeper has the tunnel: it ends before this one starts, and its rest goes after the proof."""
    return Step(
        "sole_keeper",
        Template("only @keeper@ keeps tunnel @name@"),
        "no_former",
        "former_does retire",
        "service",
        "show_former",
    )


def process_held() -> Step:
    """The supervisor runs, with the configuration that is on disk now."""
    return Step(
        "process_held",
        Template("tunnel @name@ runs with this configuration"),
        "held_is_current",
        "restart_held",
        "restart",
    )


def process_absent() -> Step:
    """Neither the supervisor runs nor an ssh that it left behind."""
    return Step(
        "process_absent",
        Template("tunnel @name@ is stopped"),
        "held_is_gone",
        "stop_held",
        "files",
    )
