"""The two readers of what a user gives, Python's and the shell's, give the same answers."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scitex_ssh.errors import InputError
from scitex_ssh.model import ENGINES, Forward, Keepalive, KeyPath, LocalUser, Port, Proxy
from scitex_ssh.model.destination import read_bastions
from scitex_ssh.model.forward import read_target, remote_socket
from scitex_ssh.model.tunnel import Hook, read_name
from scitex_ssh.model.way import read_jumps
from tests.shell.shells import Shell, prelude

Verdict = tuple[str, ...]

# How the shell reads each kind of input, and which variables then hold it.
SHELL = {
    "port": ("take_port {} -p", ("taken",)),
    "bastion": ("given_bastions=; take_bastions {}", ("given_bastions",)),
    "target": ("take_target {}", ("taken",)),
    "-R": ("take_forward -R {}", ("taken",)),
    "-L": ("take_forward -L {}", ("taken",)),
    "-D": ("take_forward -D {}", ("taken",)),
    "remote-socket": ("take_remote_socket {}", ("taken",)),
    "name": ("take_name {}", ("t_name",)),
    "key": ("take_key {}", ("t_key",)),
    "user": ("take_user {}", ("t_user",)),
    "keepalive": (
        "take_keepalive {}",
        ("t_alive_interval", "t_alive_count", "t_connect_timeout", "t_keepalive"),
    ),
    "engine": ("take_engine {}", ("t_engine",)),
    "jump": ("take_jumps {}", ("t_jumps",)),
    "jump-key": ("t_key=; take_jump_key {}", ("t_jump_keys",)),
    "proxy": ("take_proxy {}", ("t_proxy",)),
    "hook": ("take_hook {}", ("taken",)),
}


def _bastion(text: str) -> Verdict:
    # A line break of a value is a space in what the program tells.
    return ("".join(f"{each.user or '-'} {each.host} {each.port} " for each in read_bastions(text)),)


def _target(text: str) -> Verdict:
    return (str(read_target(text)),)


def _key(text: str) -> Verdict:
    # The commands make a relative path absolute before the model sees it.
    relative = text and not text.startswith(("/", "~"))
    return (str(KeyPath(f"{Path.cwd()}/{text}" if relative else text)),)


def _jumps(text: str) -> str:
    return " ".join(f"{each.user or '-'} {each.host} {each.port}" for each in read_jumps(text))


def _keepalive(text: str) -> Verdict:
    value = Keepalive.parse(text)
    return (str(value.interval), str(value.count), str(value.connect_timeout), str(value))


def _engine(text: str) -> Verdict:
    if text not in ENGINES:
        raise InputError("bad-engine", value=text)
    return (text,)


PYTHON: dict[str, Callable[[str], Verdict]] = {
    "port": lambda text: (str(Port(text)),),
    "bastion": _bastion,
    "target": _target,
    "-R": lambda text: (str(Forward.parse(text, "-R")),),
    "-L": lambda text: (str(Forward.parse(text, "-L")),),
    "-D": lambda text: (str(Forward.parse(text, "-D")),),
    "remote-socket": lambda text: (str(remote_socket(text).listen),),
    "name": lambda text: (str(read_name(text)),),
    "key": _key,
    "user": lambda text: (str(LocalUser(text)),),
    "keepalive": _keepalive,
    "engine": _engine,
    # A line break of a value is a space in what the program tells.
    "jump": lambda text: (_jumps(text),),
    "jump-key": _key,
    "proxy": lambda text: (str(Proxy.parse(text)),),
    "hook": lambda text: (str(Hook(text)),),
}


def words(text: str) -> list[str]:
    """The words of a line: a table that can be read."""
    return text.split()


V6 = words(
    "::1 :: fd95::1 FD95:0:0::1 1:2:3:4:5:6:7:8 1:0:0:4:0:0:0:8 0:0:3:4:0:0:7:8 1::8 1:2:3:4:5:6:7:: "
    "::2:3:4:5:6:7:8 1::3:4:5:6:7:8 0001:0020::0300 00001::1 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 1:::2 "
    "1::2::3 :1:2:3:4:5:6:7 1:2:3:4:5:6:7: : ::: ::g ::ffff:1.2.3.4 ::ffff:102:304 ::1.2.3.4 ::2:0 "
    "::0:1:2 ::ffff ::ffff:0:1 64:ff9b::1.2.3.4 64:ff9b::102:304 ::1.2.3.256 ::1.2.3 fe80::1%eth0 fe80::1%25 "
    "fe80::1 ::1/64 0:0:0:0:0:0:0:0 0::0 1:0:2:0:3:0:4:0 1::2:3:4:5:6:7:8"
)
V4 = words(
    "1.2.3.4 127.0.0.1 0.0.0.0 255.255.255.255 256.1.1.1 1.2.3 1.2.3.4.5 1.2.3.04 01.2.3.4 1..2.3 "
    "1. .1 1 127.1"
)
NAMES = [
    *V4,
    *words("gw GW.Example.COM gw.example.com. a-b a_b _a -a a- a..b .a a. x1 1x 0x7f.1 a.-b"),
    *words("a.b- xn--bcher-kva"),
    *("a" * 63, "a" * 64, ".".join(["a" * 49] * 5), ".".join(["a" * 50] * 5), ".".join(["a" * 51] * 5)),
    *("gw example", "gw ", " gw", "gw\n", "gw\nx", "gw\t", "g\x7fw", "b\u00fccher", "g\u0661", "\udcff"),
    *("$(id)", "`id`", "a;b", "a|b", "a&b", "*", "a?", "[a]", "a/b", "a\\b", 'a"b', "a'b", "%h", "$HOME", ""),
    *("-oProxyCommand=id", "gw,gw2", "a=b", "a#b", "~", "a@", "!a", "\u00ad", "gw\u2028", "gw\x85"),
]
HOSTS = [*NAMES, *(f"[{address}]" for address in V6), *V6]
PORTS = [
    *words("0 1 22 022 +22 -22 0x16 65535 65536 99999 100000 00000 1e3 22.0 ssh 2_2 2222"),
    *words("$((22)) 22;id *"),
    *words("9223372036854775808 18446744073709551638"),
    *("", " 22", "22 ", "22\n", "\n22", "2 2", "\u0662\u0662", "\udcb2"),
]
WITH_PORT = [f"{host}:{port}" for host in ("gw", "[fd95::1]", "1.2.3.4") for port in PORTS]
BRACKETS = words(
    "[] [:] [gw] [gw]:22 [1.2.3.4]:22 [::1 ::1] [::1]x [::1]x:22 [::1]:22:22 [[::1]] [::1]] [[::1]:22 "
    "[::1]]:22 [::1]:[2] [::1]:2] x[::1] x[::1]:22 [::1]: [ ] :22 : :: gw:22:22 gw::22 [::1]:022 [::1]:65536"
)
USERS = [
    *words("root a A_b a.b a-b a+b -a +a .a 1a a$ a$$ $a a@b @ a% a/b a:b a\\b a;b $(id)"),
    *words("`id` a'b * ~ a,b a=b"),
    *(
        "a" * 32,
        "a" * 33,
        "a" * 64,
        "a" * 65,
        "a b",
        "a\n",
        "a\nb",
        "",
        "b\u00fc",
        "\udcff",
        'a"b',
        "a\t",
        "a\x85",
    ),
]
BASTIONS = [
    *HOSTS,
    *WITH_PORT,
    *BRACKETS,
    *(f"{user}@gw" for user in USERS),
    *("u@fd95::1", "u@fd95::1:22", "u@[fd95::1]", "u@[fd95::1]:2222", "u@gw:22", "u@", "@gw", "a@b@gw"),
    *("ssh://u@gw", "ssh://u@[fd95::1]:22", "u@-oProxyCommand=id", "u@ gw", "u @gw", "u@gw\n", "u@gw:22\nx"),
    *words("a,b a,b,c a,,b ,a a, , a,b:0 a,a a,A u@a,v@a a,a:22 a,a:23 a:0,b [::1],[0::1] [::1],[::2]:23"),
    *words("a,b,-c a,b,a a,a,b:0"),
]
KEYS = [
    *words("/k /a/b ~/k ~/.ssh/id ~ ~root/k ~user k ./k ../k a/b / /a/ ~/ // /a// -k --"),
    *(
        "/a b",
        "/a'b",
        '/a"b',
        "/a%b",
        "/a$b",
        "/a`b",
        "/a\\b",
        "/a*b",
        "/a;b",
        "/$(id)",
        "/a#b",
        "/a@b@",
        "/ ",
    ),
    *(
        "/a\nb",
        "/a\n",
        "/a\tb",
        "/a\x7f",
        "/a\x01",
        "\n",
        "",
        " ",
        "/\u00e9",
        "/\U0001f511",
        "/a\x85b",
        "/a\x80",
    ),
    *(
        "/a\u2028b",
        "/a\u2029",
        "/a\u2027",
        "/a\u202a",
        "/a\u00a0b",
        "/\udcff",
        "/\udcc3",
        "/\udce2\udc80",
        "~/\udc80",
    ),
    *(
        "/\udced\udca0\udc80",
        "/\udcc0\udcaf",
        "/\udcf4\udc90\udc80\udc80",
        "/\U0010ffff",
        "/\ufffe",
        "/\u07ff\u0800",
    ),
    *(
        "/\ud7ff\ue000\uffff\U00010000",
        "/" + "a" * 4094,
        "/" + "a" * 4095,
        "/" + "\u00e9" * 2047,
        "/" + "\u00e9" * 2048,
    ),
    *("a\u2028", "a\n", "a/", "\udcff"),
]
KEEPALIVES = [
    *words("fast default patient Fast FAST 5x2 2x2 20x4 1x1 3600x100 3601x1 1x101 0x1 1x0"),
    *words("05x2 5x02 5X2 5x 5 x2 x"),
    *words("9999x999 10000x1 1x1000 +5x2 -5x2 5x2x2 5*2 5.0x2 0x5x2 99999999999999999999x2"),
    *(
        "",
        " 5x2",
        "5x2 ",
        "5 x2",
        "5x2\n",
        "5x2\nfast",
        "\u0665x2",
        "5\u00d72",
        "fast\n",
        "\udcff",
        "$(id)x1",
    ),
]
ENGINE_TEXTS = [
    "ssh",
    "autossh",
    "SSH",
    "",
    "ssh ",
    "ssh\n",
    "openssh",
    "*",
    "ssh|autossh",
    "-",
    "\udcff",
    "s\u017fh",
]
SOCKETS = [
    *words("/tmp/x /run/a.b/c-d_e+f /x /a//b /a/ / a a/b ../x /.. /.x ~/x /a@b /a%b /a$b /a*b /a:b /a;b"),
    *(
        "/a b",
        "/a\nb",
        "/a\n",
        "/\u00e9",
        "",
        "/" + "a" * 89,
        "/" + "a" * 90,
        "/\udcff",
    ),
]
SPECS = [
    *words("2222:localhost:22 *:80:a:1 :8080:a:1 0.0.0.0:8080:[::1]:80 [::1]:8080:[FD95::1]:80 1080 a:1080"),
    *words("*:1080 :1080 [::1]:1080 ::1080 0 0:localhost:22 *:0:localhost:22 a:0 00:a:1 022:a:1 65536:a:1"),
    *words("/tmp/x:h:1 /tmp/x:/tmp/y 8080:/run/x.sock b:8080:/run/x *:8080:/run/x /tmp/x /tmp/x:1 /tmp/x:"),
    *words(
        ": :: ::: :::: [::1] [::1]: x[::1]:1:a:2 [::1]x:1:a:2 [gw]:1:a:2 [::1:1:a:2 ::1]:1:a:2 [[::1]]:1:a:2"
    ),
    *words("1:a:2:3 1:a:2:3:4 1:2:3 a:b:c:d a:1:b:2 1:a:b 1:-a:2 1:a:-2 1:a:0 -a:1:a:2 1:*:2 1::2 1:[::1]"),
    *words("1:[::1]:2:3 80/a/1 a:1:b:2:c a:1:b:2:c:d a:1:b:2:c:d:e:f:g:h /x:a:1:2 /x:/y:/z 1:/x:2 1:[::1]:2"),
    *words("1:GW.Example.COM:2 A:1:B:2 1:1.2.3.4:5 1.2.3.4:1:a:5 1:1.2.3:5 5432:db:5432 $(id):1:a:2"),
    *(
        "",
        " ",
        "1 :a:2",
        "1:a:2\n",
        "1:a\n:2",
        "1:b\u00fccher:2",
        "\u0661:a:2",
        "\udcff",
        "1:a\t:2",
        "a b:1:a:2",
    ),
]
TUNNEL_NAMES = [
    *words("a 2222 lab1 lab-1 lab_1.x A Lab -a _a .a .. a/b a@b a:b default default1 $(id) *"),
    *("", "a b", "a\n", "\u00e9", "a" * 63, "a" * 64, "\udcff"),
]
JUMPS = [
    *BASTIONS,
    *words(
        "a,b u@a:2,[::1]:3,v@c , a, ,a a,,b a,b,c,d,e,f,g,h a,b,c,d,e,f,g,h,i a,-b a,b:0 [::1],[::2 a;b,c"
    ),
    *("a, b", "a,b\n", "a\n,b", "a,b\nc"),
]
PROXIES = [
    *(f"{kind}://{rest}" for kind in ("http", "socks5") for rest in [*WITH_PORT, *BRACKETS]),
    *words("http://u@h:1 socks5://u:p@h:1 http:// http://h http://h:1/ http:h:1 h:1 https://h:1 HTTP://h:1"),
    *words("socks://h:1 socks4://h:1 socks5h://h:1 http://[::1]:1/x http://http://h:1 ://h:1 @ u@h:1"),
    *("", " http://h:1", "http://h:1\n", "http://$(id):1", "http://h':1", "\udcff", "http://h\n@x:1"),
]
HOOKS = [
    *(
        "logger tunnel is up",
        " ",
        "",
        "  x ",
        "a\nb",
        "a\tb",
        "\x7f",
        "\x85",
        "\u2028",
        "\udcff",
        "\u00e9 \u4e2d",
    ),
    *("$(id)", "`id`", "'", '"', "\\", "%h", "-x", "x" * 1000, "x" * 1001, "\u00e9" * 500, "\u00e9" * 501),
]
TABLE = {
    "jump": JUMPS,
    "jump-key": KEYS,
    "proxy": PROXIES,
    "hook": HOOKS,
    "-R": [*SPECS, *SOCKETS],
    "-L": SPECS,
    "-D": SPECS,
    "remote-socket": [*SOCKETS, *TUNNEL_NAMES],
    "name": TUNNEL_NAMES,
    "port": PORTS,
    "bastion": BASTIONS,
    "target": [*HOSTS, *(f"{host}:22" for host in HOSTS), *WITH_PORT, *BRACKETS],
    "key": KEYS,
    "user": USERS,
    "keepalive": KEEPALIVES,
    "engine": ENGINE_TEXTS,
}
ASKED = [(kind, text) for kind, texts in TABLE.items() for text in dict.fromkeys(texts)]


def python_says(kind: str, text: str) -> Verdict:
    """What the model makes of it: its values, or the slug of the refusal."""
    try:
        return ("taken", *PYTHON[kind](text))
    except InputError as refusal:
        return ("refused", refusal.slug)


def shell_says(shell: Shell, asked: list[tuple[str, str]]) -> list[Verdict]:
    """What the emitted program makes of each, in one process."""
    lines = [prelude(), "machine=1"]
    for kind, text in asked:
        call, variables = SHELL[kind]
        values = " ".join(f'"${name}"' for name in variables)
        lines.append(f"(forget; {call.format(shlex.quote(text))} && tell taken {values}); echo")
    answer = shell.run("\n".join(lines), cwd=Path.cwd())
    assert answer.stderr == ""
    blocks = answer.stdout.split("\n\n") if asked else []
    return [_verdict(block) for block in blocks[: len(asked)]]


def _verdict(block: str) -> Verdict:
    kind, *fields = block.lstrip("\n").split("\t")
    return ("refused", fields[1]) if kind == "error" else (kind, *fields)


def differences(shell: Shell, asked: list[tuple[str, str]]) -> list[tuple[object, ...]]:
    """The inputs on which the two disagree, with what Python and what the shell says."""
    said = shell_says(shell, asked)
    assert len(said) == len(asked)
    return [
        (question, expected, answer)
        for question, answer in zip(asked, said)
        if (expected := python_says(*question)) != answer
    ]


def test_the_table_is_worth_its_name() -> None:
    """Hundreds of inputs are compared, and every kind has some that are taken and some refused."""
    verdicts = {(kind, python_says(kind, text)[0]) for kind, text in ASKED}
    assert verdicts == {(kind, word) for kind in SHELL for word in ("taken", "refused")}
    assert len(ASKED) >= 150


def test_both_read_the_table_alike(shell: Shell) -> None:
    """Python and the shell take and refuse the same inputs, for the same slug, as the same values."""
    for kind in TABLE:
        assert differences(shell, [question for question in ASKED if question[0] == kind]) == []


_PIECES = st.sampled_from(
    [*"abz019.-_@:[]/~ \t\n%$`'\"\\*?;&|<>(){}#!,=+^", "::", "]:", "fd95", "22", "gw", "65535", "x", "é"]
)
_TEXT = st.one_of(
    st.lists(_PIECES, max_size=12).map("".join),
    st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12),
    st.binary(max_size=8).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
)
_GROUPS = st.lists(st.sampled_from(["", "0", "0", "1", "ff", "00a", "FFFF", "10000"]), max_size=9)
_V6 = _GROUPS.map(":".join)
_ADDRESS = st.one_of(_TEXT, _V6, _V6.map("[{}]".format), _V6.map("[{}]:22".format))
_SPEC_PARTS = st.one_of(
    st.sampled_from(["", "*", "0", "22", "8080", "gw", "[::1]", "/x", "/run/y.sock", "localhost", "70000"]),
    _TEXT,
)
_ASKED = st.one_of(
    st.tuples(st.sampled_from(sorted(SHELL)), _TEXT),
    st.tuples(st.sampled_from(["bastion", "target"]), _ADDRESS),
    st.tuples(st.just("jump"), st.lists(_ADDRESS, max_size=4).map(",".join)),
    st.tuples(st.just("proxy"), st.builds("{}://{}".format, st.sampled_from(["http", "socks5"]), _ADDRESS)),
    st.tuples(
        st.sampled_from(["-R", "-L", "-D"]), st.lists(_SPEC_PARTS, min_size=1, max_size=5).map(":".join)
    ),
    st.tuples(st.just("key"), _TEXT.map("/{}".format)),
    st.tuples(st.just("bastion"), st.tuples(_TEXT, _TEXT).map("@".join)),
)


@pytest.mark.parametrize("amount", [40])
@settings(max_examples=8)
@given(data=st.data())
def test_both_read_anything_alike(shell: Shell, amount: int, data: st.DataObject) -> None:
    """Python and the shell agree on text that nobody thought of."""
    asked = data.draw(st.lists(_ASKED, min_size=amount, max_size=amount))
    assert differences(shell, asked) == []
