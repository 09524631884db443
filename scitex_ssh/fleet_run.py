"""pyinfra as a library: a fleet is looked at, made so, or told what it is."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyinfra
from gevent import iwait
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.operations import run_ops
from pyinfra.api.state import BaseStateCallback, StateStage
from pyinfra.context import ctx_config, ctx_host, ctx_inventory, ctx_state

from scitex_ssh import deploys
from scitex_ssh.errors import InputError
from scitex_ssh.facts.tunnels import Tunnels
from scitex_ssh.fleet import examine
from scitex_ssh.fleet_file import Machine
from scitex_ssh.operations import connections, summary

Tell = Callable[[str, str, str], None]
_PAINT = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Outcome:
    """What a run came to.

    Attributes:
        said: for each machine what was said of it, in order: a kind (``would-change``, ``changed``, ``ok``,
            ``failed``, ``diff``, ``error``) and words.
        unreached: machines that could not be logged in to.
        failed: machines that were reached, and where something failed.
        tunnels: what was seen of each host's tunnels.
    """

    said: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    unreached: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    tunnels: dict[str, list[Mapping[str, object]]] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether anything was changed, or would be."""
        return any(kind in ("changed", "would-change") for said in self.said.values() for kind, _ in said)


class _Progress(BaseStateCallback):
    """Each step of each machine as it ends."""

    def __init__(self, words: _Words) -> None:
        self.words = words

    def operation_host_success(  # type: ignore[override]  # pyinfra's own are static
        self, state: Any, host: Any, op_hash: str, retry_count: int = 0
    ) -> None:
        """A step that is done, or had nothing to do: pyinfra has said which just before."""
        self.words.tell(str(host.name), self.words.last.get(str(host.name), "ok"), _title(state, op_hash))

    def operation_host_error(  # type: ignore[override]
        self, state: Any, host: Any, op_hash: str, retry_count: int = 0, max_retries: int = 0
    ) -> None:
        """A step that failed."""
        self.words.tell(str(host.name), "failed", _title(state, op_hash))


class _Words(logging.Handler):
    """pyinfra's own words, by the machine that they are about."""

    def __init__(self, hosts: Iterable[Any], tell: Tell) -> None:
        super().__init__(logging.INFO)
        self.hosts = {str(host.name): host for host in hosts}
        self.tell = tell
        self.last: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        text = record.getMessage()
        # "[NAME] ...", in whichever colour.
        name = _PAINT.sub("", text).partition("] ")[0].removeprefix("[")
        if name in self.hosts:
            prefix = self.hosts[name].print_prefix
            if text.startswith(prefix):
                self.hear(name, text[len(prefix) :].rstrip(), record.levelno)

    def hear(self, name: str, words: str, level: int) -> None:
        """What is said of one machine."""
        kind, _, rest = words.partition(": ")
        if kind in ("would-change", "restored"):
            self.tell(name, kind, rest)
        elif words in ("No changes", "Success"):
            self.last[name] = "ok" if words == "No changes" else "changed"
        elif level >= logging.ERROR:
            self.tell(name, "error", words)
        elif words.startswith("  "):
            self.tell(name, "diff", words[2:])


def inventory_of(machines: Iterable[Machine], data: Mapping[str, Any]) -> Inventory:
    """pyinfra's inventory of these machines, with these data besides."""
    machines = list(machines)
    names = [(machine.name, {**machine.data}) for machine in machines]
    groups: dict[str, Any] = {
        group: ([machine.name for machine in machines if group in machine.groups], {})
        for group in ("bastions", "hosts")
    }
    return Inventory((names, {}), override_data=dict(data), **groups)  # type: ignore[no-untyped-call]


def errors(machines: Iterable[Machine]) -> list[InputError]:
    """Everything in a fleet that cannot be right, before any machine is touched."""
    machines = list(machines)
    # A file without any bastion has been told so.
    return examine(machines)[1] if any("bastions" in each.groups for each in machines) else []


def run(
    word: str, machines: Iterable[Machine], data: Mapping[str, Any], tell: Tell, timeout: int = 10
) -> Outcome:
    """Look at a fleet (``plan``), make it so (``apply``), or prove it anew (``status``).

    Args:
        data: for all machines, besides their own.
        tell: called with a machine's name, a kind and words, as soon as they are known.
        timeout: how long a machine may take to answer, in seconds.
    """
    outcome = Outcome()

    def note(name: str, kind: str, words: str) -> None:
        outcome.said.setdefault(name, []).append((kind, words))
        tell(name, kind, words)

    inventory = inventory_of(machines, data)
    config = Config(DIFF=True, CONNECT_TIMEOUT=timeout)  # type: ignore[no-untyped-call]
    state = State(inventory, config, check_for_changes=word == "plan")
    # Steps are put in order by where they stand in the deploy, as pyinfra's own command does it.
    pyinfra.is_cli = True
    summary.silent = True
    words = _Words(inventory, note)
    logger = logging.getLogger("pyinfra")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(words)
    state.add_callback_handler(_Progress(words))  # type: ignore[no-untyped-call]
    for context, value in ((ctx_config, config), (ctx_inventory, inventory), (ctx_state, state)):
        context.set(value)  # type: ignore[no-untyped-call]
    try:
        _converge(word, state, outcome)
    finally:
        logger.removeHandler(words)
        disconnect_all(state)
        connections.close(inventory)
    outcome.unreached, outcome.failed = summary.left_out(state)
    return outcome


def _converge(word: str, state: State, outcome: Outcome) -> None:
    state.set_stage(StateStage.Connect)
    try:
        connect_all(state)
        state.set_stage(StateStage.Prepare)
        if word == "status":
            _each(state, lambda: _look(outcome))
            return
        _each(state, deploys.fleet)
        if word == "apply":
            state.set_stage(StateStage.Execute)
            run_ops(state)
    except PyinfraError as problem:
        # No machine is left to go on with: each has said why.
        if "No hosts remaining" not in str(problem):
            raise


def _each(state: State, body: Callable[[], object]) -> None:
    """Run the body of a deploy for each machine that is reached, side by side."""

    def on(host: Any) -> Exception | None:
        try:
            with ctx_config.use(state.config.copy()), ctx_host.use(host):
                body()
        except Exception as problem:
            return problem
        return None

    for each in iwait([state.pool.spawn(on, host) for host in state.inventory.get_active_hosts()]):
        problem = each.get()
        if isinstance(problem, Exception):
            raise problem


def _look(outcome: Outcome) -> None:
    host = pyinfra.host
    if "bastions" not in host.groups:
        tunnels: list[Mapping[str, object]] = host.get_fact(Tunnels)
        outcome.tunnels[str(host.name)] = tunnels


def _title(state: Any, op_hash: str) -> str:
    return ", ".join(sorted(state.get_op_meta(op_hash).names)).rpartition(" | ")[2]
