"""One POSIX sh program of the steps of some tunnels: what every back end runs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from importlib.resources import files

from scitex_ssh.errors import CATALOGUE, Problem
from scitex_ssh.model import Destination, Port, Tunnel, TunnelName
from scitex_ssh.plan.step import Plan, Step
from scitex_ssh.render.notice import NOTICE, QUESTION
from scitex_ssh.render.template import Template

# The values of one tunnel, by the name of their shell variable without its ``t_``.
Binding = Mapping[str, str]

MODULES = (
    *("base", "policy", "steps", "keepers", "former", "forwards", "tunnel", "hops", "bastion", "proof"),
    *("kinds", "beside", "flow", "older", "status", "causes", "doctor"),
)
BEGINS = "# scitex-ssh program begins"


def program(
    plans: Mapping[str, Plan],
    fragments: Mapping[str, Template],
    *,
    entry: str,
    tunnels: Iterable[Binding] = (),
    extra: Iterable[str] = (),
    modules: Iterable[str] = MODULES,
    granted: str = "",
    version: str,
) -> str:
    """The text of a program whose last command is ``entry``.

    Args:
        entry: a shell command over the functions of the prelude, such as ``main setup "$@"``.
        tunnels: the tunnels that the program is for; none where its flags describe one.

    The others are those of `body`.
    """
    own = body(plans, fragments, extra=extra, modules=modules, granted=granted, version=version)
    return own + ending(entry, tunnels)


def body(
    plans: Mapping[str, Plan],
    fragments: Mapping[str, Template],
    *,
    extra: Iterable[str] = (),
    modules: Iterable[str] = MODULES,
    granted: str = "",
    version: str,
    bare: bool = False,
) -> str:
    """What a program for any tunnels begins with: all of it but its `ending`.

    Args:
        plans: the steps by the word for them and their keeper (``setup_systemd``, ``remove_cron``).
        fragments: short texts that the prelude puts into a tunnel's values.
        extra: modules besides the usual ones.
        modules: the usual ones, or others in their place.
        granted: what whoever makes it has read in the policy: ``1`` (allowed), ``unset`` (nothing is
            said); "" where the program has to read it on the host.
        version: what ``--version`` says.
        bare: without the comments of the prelude, for a program that nobody reads.
    """
    texts = {name: text for plan in plans.values() for name, text in plan.texts.items()}
    parts = [
        "#!/bin/sh",
        BEGINS,
        f"# Made by scitex-ssh {version}. Needs a POSIX sh and OpenSSH; --help tells what it takes.",
        "set -u",
        "LC_ALL=C",
        "export LC_ALL",
        f"version={version}",
        *(_bare(module(name)) if bare else module(name) for name in (*modules, *extra)),
        *(_text(name, text) for name, text in {**texts, **fragments}.items()),
        _plans(plans),
        _explain(CATALOGUE.values()),
        _text("notice", Template(NOTICE)),
        _text("question", Template(QUESTION)),
        f"granted={granted}",
    ]
    return "\n".join(parts) + "\n"


def ending(entry: str, tunnels: Iterable[Binding] = ()) -> str:
    """What a program ends with: its tunnels, and its command."""
    # The last line, by which the program also finds its own end in a file that holds more.
    return f"{_tunnels(tunnels)}\nbegin\n{{ {entry}; exit; }}\n"


def module(name: str) -> str:
    """One file of the prelude, as it is."""
    return files("scitex_ssh.plan").joinpath(f"shell/{name}.sh").read_text(encoding="utf-8")


def _bare(text: str) -> str:
    """Without the lines that are comments; in no file of the prelude does a text hold such a line."""
    return re.sub(r"(?m)^[ \t]*#.*\n", "", text)


def _text(name: str, text: Template) -> str:
    return f"text_{name}() {{ printf %s {text.shell()}; }}"


def _plans(plans: Mapping[str, Plan]) -> str:
    """Every step once, by a number of its own; a plan is a list of these numbers."""
    steps = {step: str(number) for number, step in enumerate(_distinct(plans), 1)}
    lines = [line for step, number in steps.items() for line in _step(number, step)]
    lines += [f"plan_{name}='{' '.join(steps[step] for step in plan.steps)}'" for name, plan in plans.items()]
    return "\n".join(lines)


def _distinct(plans: Mapping[str, Plan]) -> Iterable[Step]:
    return dict.fromkeys(step for plan in plans.values() for step in plan.steps)


def _step(name: str, step: Step) -> list[str]:
    return [
        f"title_{name}() {{ printf %s {step.title.shell()}; }}",
        f"phase_{name}={step.phase}",
        f"test_{name}() {{ {step.test}; }}",
        f"apply_{name}() {{ {step.apply}; }}",
        f"show_{name}() {{ {step.show or ':'}; }}",
    ]


def _explain(problems: Iterable[Problem]) -> str:
    """The shell function that sets an error's sentence, next move and exit status."""
    cases = "\n".join(
        f"    {problem.slug})\n"
        f"        problem_status={int(problem.status)}\n"
        f"        problem_sentence={_words(problem.sentence)}\n"
        f"        problem_next={_words(problem.next_move)}\n"
        "        ;;"
        for problem in problems
    )
    return f"explain() {{\n    case $1 in\n{cases}\n    esac\n}}"


def _words(text: str) -> str:
    """A double-quoted shell word of a catalogue text; its facts are the variables ``f_name``."""
    quoted = re.sub(r'([\\"$`])', r"\\\1", text)
    return '"' + re.sub(r"\{(\w+)\}", r"${f_\1-?}", quoted) + '"'


def _tunnels(tunnels: Iterable[Binding]) -> str:
    numbers = []
    lines = []
    for number, tunnel in enumerate(tunnels, 1):
        numbers.append(str(number))
        values = " ".join(f"t_{name}={shlex.quote(text)}" for name, text in tunnel.items())
        lines.append(f"bind_{number}() {{ {values}; }}")
    return "\n".join([*lines, f"tunnels='{' '.join(numbers)}'"])


def which(tunnel: TunnelName | Port, bastion: Destination | None = None) -> dict[str, str]:
    """The values that tell tunnels from others: a name, or a port, of any bastion or of this one."""
    values = {"name" if isinstance(tunnel, TunnelName) else "port": str(tunnel)}
    return values if bastion is None else {**values, **_parts(bastion)}


def _parts(bastion: Destination) -> dict[str, str]:
    return {
        "bastion_host": bastion.host,
        "bastion_port": str(bastion.port),
        "bastion_user": bastion.user or "",
    }


def bind(tunnel: Tunnel) -> dict[str, str]:
    """The values of a tunnel that are given, as shell variables without their ``t_``."""
    keepalive = tunnel.keepalive
    return {
        "name": tunnel.name,
        "forwards": "\n".join(map(str, tunnel.forwards)),
        **_parts(tunnel.bastion),
        "key": tunnel.key,
        "jumps": "\n".join(f"{each.user or '-'} {each.host} {each.port}" for each in tunnel.jumps),
        "jump_keys": "\n".join(tunnel.jump_keys),
        "proxy": "" if tunnel.proxy is None else str(tunnel.proxy),
        "on_up": tunnel.on_up or "",
        "on_down": tunnel.on_down or "",
        "user": tunnel.user or "",
        "engine": tunnel.engine,
        "keeper": tunnel.keeper,
        "keepalive": str(keepalive),
        "alive_interval": str(keepalive.interval),
        "alive_count": str(keepalive.count),
        "connect_timeout": str(keepalive.connect_timeout),
        **({} if tunnel.series is None else {"series": tunnel.series}),
    }
