"""What can be imported: read from the sources' names, signatures and docstrings."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

from reference.text import ROOT, WIDTH, fence, page

REMOTE = [
    "scitex_ssh/remote/command.py",
    "scitex_ssh/remote/copy.py",
    "scitex_ssh/remote/sync.py",
    "scitex_ssh/remote/probe.py",
    "scitex_ssh/remote/terminal.py",
    "scitex_ssh/remote/results.py",
]
KEYS = [f"scitex_ssh/keys/{name}.py" for name in ("local", "authorize", "answers", "rotate", "known")]

# A command in Python, and those of its flags that are a call of their own.
IN_PYTHON = {
    "attach": 'scitex_ssh.attach("lab1", session="work")',
    "bastion authorize": 'scitex_ssh.bastions.authorize("lab1", [2222], "ssh-ed25519 AAAA...")',
    "bastion list": 'scitex_ssh.bastions.hosts()["hosts"]',
    "bastion revoke": 'scitex_ssh.bastions.revoke("lab1")',
    "bastion setup": "scitex_ssh.bastions.setup(hosts=100)",
    "bastion status": "scitex_ssh.bastions.status()",
    "config show": "scitex_ssh.defaults.every()",
    "copy": 'scitex_ssh.copy_to("lab1", ["a", "b"], "folder", recursive=True)',
    "doctor": "scitex_ssh.doctor(2222)",
    "doctor --bundle": 'scitex_ssh.bundle("support.tar.gz", scitex_ssh.doctor(2222))',
    "doctor --fix": "scitex_ssh.doctor(2222, fix=True)",
    "exec": 'scitex_ssh.exec_remote("lab1", "uname -a").stdout',
    "explain": 'scitex_ssh.explain("port-taken").next_move',
    "fleet apply": 'scitex_ssh.fleets.apply("fleet.yaml")',
    "fleet plan": 'scitex_ssh.fleets.plan("fleet.yaml")',
    "fleet status": 'scitex_ssh.fleets.status("fleet.yaml")',
    "forward": 'with scitex_ssh.forwards.hold("gw.example.com", "~/.ssh/id", local="5432:db:5432"): work()',
    "gateway approve": 'scitex_ssh.gateways.approve("lab1")',
    "gateway backup": 'scitex_ssh.gateways.backup("gateway.db")',
    "gateway export": 'scitex_ssh.gateways.export("json")',
    "gateway install": "scitex_ssh.gateways.install(http=True)",
    "gateway list": 'scitex_ssh.gateways.machines("active")',
    "gateway log": "scitex_ssh.gateways.audit(limit=20)",
    "gateway rename": 'scitex_ssh.gateways.rename("lab1", "lab2")',
    "gateway restore": 'scitex_ssh.gateways.restore("gateway.db")',
    "gateway revoke": 'scitex_ssh.gateways.revoke("lab1")',
    "gateway script": 'scitex_ssh.gateways.script("ssh://enrol@bastion")',
    "gateway show": 'scitex_ssh.gateways.machine("lab1"), scitex_ssh.gateways.connect("lab1")',
    "gateway tick": "scitex_ssh.gateways.tick()",
    "gateway token create": 'scitex_ssh.gateways.create_token("lab", uses=20, hours=48)',
    "gateway token list": "scitex_ssh.gateways.tokens()",
    "gateway token revoke": 'scitex_ssh.gateways.revoke_token("lab")',
    "key authorize": 'scitex_ssh.keys.authorize("lab1", "~/.ssh/id_ed25519")',
    "key check": 'scitex_ssh.keys.check("lab1")',
    "key fix": "scitex_ssh.keys.fix()",
    "key forget": 'scitex_ssh.keys.forget("lab1")',
    "key list": "scitex_ssh.keys.list_keys()",
    "key new": 'scitex_ssh.keys.new("~/.ssh/tunnel")',
    "key pin": 'scitex_ssh.keys.pin("lab1", fingerprint="SHA256:...")',
    "key rotate": 'scitex_ssh.keys.rotate(["lab1"], "~/.ssh/tunnel")',
    "policy allow": 'scitex_ssh.policy.allow("exec", "lab1")',
    "policy deny": 'scitex_ssh.policy.deny("exec", "lab1")',
    "policy show": 'scitex_ssh.policy.answer("exec", "lab1")',
    "probe": 'scitex_ssh.probe_remote("lab1", requires=["rsync"]).ok',
    "remove": "scitex_ssh.remove(2222)",
    "render": 'scitex_ssh.render_tunnel(2222, form="unit")',
    "script bastion": 'scitex_ssh.script("bastion")',
    "script remove": 'scitex_ssh.script("remove", 2222)',
    "script setup": 'scitex_ssh.script("setup", 2222, "tunnel@bastion", "~/.ssh/id_ed25519")',
    "script status": 'scitex_ssh.script("status")',
    "scripts": 'scitex_ssh.scripts("folder")',
    "setup": 'scitex_ssh.setup(2222, "tunnel@bastion", "~/.ssh/id_ed25519")',
    "setup --gateway": 'got = scitex_ssh.gateways.enrol("ssh://enrol@bastion", token); '
    "scitex_ssh.setup(got.port, got.bastion, got.key, host_key_fingerprint=got.fingerprints)",
    "skills get": 'scitex_ssh.skills.skill("setup-tunnel").text',
    "skills install": 'scitex_ssh.skills.install("skills")',
    "skills list": "scitex_ssh.skills.skills()",
    "ssh-config": "scitex_ssh.clients.config(scitex_ssh.clients.machine())",
    "status": "scitex_ssh.status()",
    "status --prometheus": 'scitex_ssh.metrics(scitex_ssh.status(), "scitex_ssh.prom")',
    "sync": 'scitex_ssh.sync_dir("folder/", "lab1:folder", delete=True)',
}
# What is for a shell or a person, or is a program that runs until it is ended: there is nothing to call.
NOT_IN_PYTHON = {"agent", "completion", "demo", "gateway serve", "list-python-apis", "man", "mcp *"}


def python() -> str:
    """The public names of the package, read from its sources."""
    import scitex_ssh
    from scitex_ssh import keys

    api = _module("scitex_ssh/api.py")
    errors_ = _module("scitex_ssh/errors.py")
    parts = [
        "# Python",
        "```python\nimport scitex_ssh\n\n"
        'result = scitex_ssh.setup(2222, "tunnel@bastion", "~/.ssh/id_ed25519")\n'
        "result.raise_for_error()\n```",
        "The functions do what the commands of their names do, and return a `Result`. Input that cannot "
        "be right raises `InputError`; everything else that goes wrong is in the result.",
    ]
    parts += [
        "## A command in Python",
        "\n".join(
            ["| Command | Python |", "|---|---|"]
            + [f"| `{command}` | `{call}` |" for command, call in sorted(IN_PYTHON.items())]
        ),
        "The rest has no call: `agent`, `mcp start` and `gateway serve` run until they are ended, and "
        "`completion`, `demo`, `list-python-apis`, `man` and the rest of `mcp` are for a person or a shell.",
    ]
    for name, node in [*api.items(), *_module("scitex_ssh/forms.py").items(), *errors_.items()]:
        if name in scitex_ssh.__all__ and isinstance(node, ast.FunctionDef):
            parts += _function(node, "##", f"scitex_ssh.{name}")
    parts += _class(api["Result"], "##", "scitex_ssh.Result")
    parts += _class(_module("scitex_ssh/health/fixes.py")["Fix"], "##", "scitex_ssh.Fix")
    parts += [
        "## Other machines",
        "What works on other machines returns a result whether it went well or not; `check=True`, or "
        "`raise_for_error()`, raises. All of it may be called from several threads at once.",
    ]
    for path in REMOTE:
        parts += _public(_module(path).items(), scitex_ssh)
    parts += [
        "## Keys",
        "In `scitex_ssh.keys`. What goes wrong is raised by `new`, `list_keys` and `check`, and is in the "
        "`Result` of the others.",
    ]
    for path in KEYS:
        parts += _public(_module(path).items(), keys)
    for title, name in (
        ("Forwards for a while", "forwards"),
        ("A bastion", "bastions"),
        ("A gateway", "gateways"),
        ("A client's side", "clients"),
        ("A fleet", "fleets"),
        ("What is allowed", "policy"),
        ("What stands for flags that are not given", "defaults"),
        ("Guides", "skills"),
    ):
        parts += [f"## {title}", f"In `scitex_ssh.{name}`."]
        module = getattr(scitex_ssh, name)
        path = Path(module.__file__).relative_to(ROOT)
        parts += _public([*_values(module), *_module(str(path)).items()], module)
    parts += [
        "## Errors",
        "One class a family; each is also the builtin that fits. [The catalogue](errors.md) names them all.",
    ]
    for name in ("SSHError", "InputError", "PolicyError", "ReachError", "TunnelError", "Problem"):
        parts += _class(errors_[name], "###", f"scitex_ssh.{name}")
    parts += [
        "## The rest",
        "`scitex_ssh.__version__` and `scitex_ssh.get_version()`: the version. `scitex_ssh.AVAILABLE`: True.",
    ]
    return page(parts)


def _public(nodes: Iterable[tuple[str, ast.AST]], module: ModuleType) -> Iterator[str]:
    """What a module shows of these, each under its public name."""
    for name, node in nodes:
        if name in module.__all__:
            make = _function if isinstance(node, ast.FunctionDef) else _class
            yield from make(node, "###", f"{module.__name__}.{name}")


def _values(module: ModuleType) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """The classes that a module shows and another one has."""
    for name in module.__all__:
        value = getattr(module, name)
        if isinstance(value, type) and value.__module__ != module.__name__:
            yield name, _module(value.__module__.replace(".", "/") + ".py")[name]


def pyinfra() -> str:
    """The operations, facts and deploys, read from their sources."""
    operations = _module("scitex_ssh/operations/tunnel.py")
    facts = _module("scitex_ssh/facts/tunnels.py")
    deploys = _module("scitex_ssh/deploys.py")
    gate = _module("scitex_ssh/operations/bastion.py")
    looks = _module("scitex_ssh/facts/bastion.py")
    parts = [
        "# pyinfra",
        "For Python 3.10 and newer. Operations need root on the host: `_sudo=True`, here or in the "
        "inventory. How to use them: [a fleet with pyinfra](../how-to/fleet.md).",
        "## Operations",
    ]
    for name in ("present", "absent"):
        parts += _function(operations[name], "###", f"scitex_ssh.operations.tunnel.{name}")
    for name in ("ready", "authorized", "revoked"):
        parts += _function(gate[name], "###", f"scitex_ssh.operations.bastion.{name}")
    entrance = _module("scitex_ssh/operations/gateway.py")
    parts += _function(entrance["installed"], "###", "scitex_ssh.operations.gateway.installed")
    parts += ["## Facts"]
    for name in ("Tunnels", "Drift"):
        parts += [f"### scitex_ssh.facts.tunnels.{name}", _markdown(ast.get_docstring(facts[name]) or "")]
    for name in ("Bastion", "BastionDrift", "TunnelKey", "Standing"):
        parts += [f"### scitex_ssh.facts.bastion.{name}", _markdown(ast.get_docstring(looks[name]) or "")]
    parts += ["## Deploys"]
    for name in ("fleet", "rotate", "bastion", "gateway", "tunnel", "remove", "status"):
        parts += _function(deploys[name], "###", f"scitex_ssh.deploys.{name}")
    return page(parts)


def _module(path: str) -> dict[str, ast.FunctionDef | ast.ClassDef]:
    """The functions and classes of a source file, by name."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))}


def _function(node: ast.AST, level: str, name: str) -> list[str]:
    assert isinstance(node, ast.FunctionDef)
    return [f"{level} {name}", fence(_signature(node, name.split(".")[-1]), "python"), _docstring(node)]


def _class(node: ast.AST, level: str, name: str) -> list[str]:
    """A class with its public methods that have something to say."""
    assert isinstance(node, ast.ClassDef)
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    parts = [f"{level} {name}", fence(f"class {node.name}({bases})", "python"), _docstring(node)]
    members = []
    for method in node.body:
        if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
            continue
        kind = [ast.unparse(decorator) for decorator in method.decorator_list]
        head = f"`{method.name}`" if "property" in kind else f"`{method.name}()`"
        members.append(f"- {head}: {_inline(ast.get_docstring(method) or '')}")
    return [*parts, "What it can tell:", "\n".join(members)] if members else parts


def _docstring(node: ast.FunctionDef | ast.ClassDef) -> str:
    return _markdown(ast.get_docstring(node) or "")


def _signature(node: ast.FunctionDef, name: str) -> str:
    """A call with a line a parameter, once it is longer than one line."""
    arguments = node.args
    words = [ast.unparse(each) for each in arguments.args]
    for index, default in enumerate(reversed(arguments.defaults), 1):
        words[-index] += f" = {ast.unparse(default)}"
    if arguments.kwonlyargs:
        words.append("*")
    for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults):
        words.append(ast.unparse(each) + (f" = {ast.unparse(default)}" if default else ""))
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{name}({', '.join(words)}){returns}"
    if len(line) <= WIDTH:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){returns}"


def _markdown(docstring: str) -> str:
    """A docstring of this project as Markdown: sections, lists of parameters, code blocks."""
    lines = _code_blocks(docstring.splitlines())
    text = []
    for line in lines:
        match = re.fullmatch(r"(Args|Raises|Attributes|Returns):", line)
        item = re.fullmatch(r"(?: {4}|\+ )(\w+): (.*)", line)
        if match:
            text.append(f"{match[1]}:\n")
        elif item:
            text.append(f"- `{item[1]}`: {item[2]}")
        else:
            text.append(re.sub(r"^ {8}", "  ", line))
    return _inline("\n".join(text))


def _code_blocks(lines: list[str]) -> Iterator[str]:
    """`.. code:: python` and what is indented below it, fenced; the title before it goes."""
    rest = iter([*lines, ""])
    for line in rest:
        if line != ".. code:: python":
            yield line
            continue
        block = []
        for inner in rest:
            if inner and not inner.startswith("    "):
                break
            block.append(inner[4:])
        yield fence("\n".join(block).strip("\n"), "python").replace("``", "\0")


def _inline(text: str) -> str:
    return text.replace("``", "`").replace("\0", "``")
