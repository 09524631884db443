"""The catalogue of every error a user can meet: slug, sentence, next move, exit status."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of every command (documented in docs/reference/exit-statuses.md)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    CONFIGURATION = 10
    UNREACHABLE = 20
    NOT_AUTHORISED = 21
    HOST_KEY = 22
    PORT_TAKEN = 23
    UNHEALTHY = 50
    INTERRUPTED = 130


@dataclass(frozen=True)
class Problem:
    """One entry of the catalogue.

    The texts name their facts as ``{fact}``; the same text serves Python and the generated shell programs,
    so a fact's name is a plain shell identifier.

    Attributes:
        slug: the stable name.
        status: the exit status that a command ends with.
        sentence: what went wrong, and why.
        next_move: what to do about it.
    """

    slug: str
    status: Exit
    sentence: str
    next_move: str

    def facts(self) -> tuple[str, ...]:
        """Names of the facts that the two texts mention, in order, each once."""
        return tuple(dict.fromkeys(re.findall(r"\{(\w+)\}", self.sentence + self.next_move)))


def _catalogue(*problems: Problem) -> dict[str, Problem]:
    return {problem.slug: problem for problem in problems}


CATALOGUE: Mapping[str, Problem] = _catalogue(
    # --- what was asked for -------------------------------------------------------------------
    Problem(
        "bad-port",
        Exit.USAGE,
        "{value} is not a port for {what}: a whole number from 1 to 65535 is needed.",
        "give a number such as 2222.",
    ),
    Problem(
        "port-privileged",
        Exit.USAGE,
        "port {port} is below 1024, and {user} on the bastion is not root: sshd will refuse it.",
        "choose a port from 1024 to 65535 with -p.",
    ),
    Problem(
        "bad-destination",
        Exit.USAGE,
        "{value} is not a bastion: {why}.",
        "write user@host, user@host:port or user@[IPv6]:port.",
    ),
    Problem(
        "bad-jump",
        Exit.USAGE,
        "{value} is not a host to jump over: {why}.",
        "write -J user@host:port,user@[IPv6]:port, the nearest first, and --jump-key for each that has "
        "a key of its own.",
    ),
    Problem(
        "bad-proxy",
        Exit.USAGE,
        "{value} is not a proxy: {why}.",
        "write http://proxy.example.com:3128 or socks5://proxy.example.com:1080.",
    ),
    Problem(
        "bad-target",
        Exit.USAGE,
        "{value} is not a target: {why}.",
        "write host:port or [IPv6]:port, such as localhost:22.",
    ),
    Problem(
        "bad-forward",
        Exit.USAGE,
        "{value} is nothing that {flag} can forward: {why}.",
        "write -R or -L [BIND:]PORT:HOST:PORT, -R or -D [BIND:]PORT, an IPv6 address in [brackets], or an "
        "absolute path where a Unix socket is meant.",
    ),
    Problem(
        "bad-discovery",
        Exit.CONFIGURATION,
        "{path} is no discovery file: {why}.",
        'look at it, or wait until the job has written it; it is a JSON object with "node": "gpu07" and, '
        'for each port, a name: "web_port": 8080.',
    ),
    Problem(
        "local-port-privileged",
        Exit.USAGE,
        "port {port} of this machine is below 1024, and a tunnel runs without the right to open it.",
        "choose a port from 1024 to 65535.",
    ),
    Problem(
        "bad-key-path",
        Exit.USAGE,
        "{value} is not the path of a key file: {why}.",
        "give the path of a private key, such as ~/.ssh/id_ed25519, with -s.",
    ),
    Problem(
        "bad-name",
        Exit.USAGE,
        "{value} is not a tunnel name: {why}.",
        "use up to 63 of a-z, 0-9, '_', '.' and '-', beginning with a letter or digit.",
    ),
    Problem(
        "bad-user",
        Exit.USAGE,
        "{value} is not a user of this machine: {why}.",
        "give the name of an account that exists, with --user.",
    ),
    Problem(
        "bad-public-key",
        Exit.USAGE,
        "{value} is not a public key: {why}.",
        "give the content of the .pub file of a key.",
    ),
    Problem(
        "bad-hook",
        Exit.USAGE,
        "{value} is not a command for on_up or on_down: {why}.",
        "give one line for the shell (logger 'tunnel is up').",
    ),
    Problem(
        "bad-keepalive",
        Exit.USAGE,
        "{value} is not a keepalive: {why}.",
        "use fast, default, patient, or INTERVALxCOUNT such as 5x2 (seconds, probes).",
    ),
    Problem(
        "bad-engine",
        Exit.USAGE,
        "{value} is not an engine: ssh and autossh are.",
        "leave --engine out, or say --engine ssh or --engine autossh.",
    ),
    Problem(
        "bad-keeper",
        Exit.USAGE,
        "{value} is not a keeper: auto, systemd, systemd-user, cron, profile, nohup, screen and tmux are.",
        "leave --keeper out, or name one of them.",
    ),
    Problem(
        "bad-field",
        Exit.USAGE,
        "{value} is not a field of a tunnel.",
        "use the fields {known}.",
    ),
    Problem(
        "name-twice",
        Exit.USAGE,
        "the tunnel {name} is wanted twice, here and by {other}.",
        "give each tunnel a port, or a name, of its own.",
    ),
    Problem(
        "tunnels-too-long",
        Exit.USAGE,
        "what is said of this host's tunnels makes a command of {size} bytes, and Linux takes {most}.",
        "give the host fewer tunnels or shorter values (a hook in a file of its own), or run setup on it.",
    ),
    Problem(
        "port-clash",
        Exit.USAGE,
        "port {port} is {other}'s, and {name} wants it too.",
        "give one of the two another port, or none: then one is chosen.",
    ),
    Problem(
        "name-clash",
        Exit.USAGE,
        "{one} and {other} would both be called {name} on their bastion.",
        "give one of them a host_name of its own in the inventory.",
    ),
    Problem(
        "no-bastion",
        Exit.USAGE,
        "the inventory has no bastion.",
        "put one into a group bastions: bastions = ['gw.example.com'].",
    ),
    Problem(
        "not-a-bastion",
        Exit.USAGE,
        "{value} is not in the group bastions of the inventory.",
        "name one that is, or put it there.",
    ),
    Problem(
        "fleet-file",
        Exit.CONFIGURATION,
        "{path} describes no fleet: {why}.",
        "correct it; nothing was touched. docs/how-to/fleet.md shows one.",
    ),
    Problem(
        "bad-fleet-field",
        Exit.CONFIGURATION,
        "{value} will not do: {why}.",
        "correct it; docs/reference/fleet.schema.json lists every field.",
    ),
    Problem(
        "pyinfra-missing",
        Exit.CONFIGURATION,
        "a fleet needs pyinfra, which this Python ({version}) does not have{why}.",
        "install scitex-ssh with pip into a Python 3.10 or newer, on this machine only; or run the scripts "
        "of scitex-ssh scripts on each host.",
    ),
    Problem(
        "fleet-incomplete",
        Exit.FAILED,
        "{well} of {all} machines went well; {rest}.",
        "look at what each of them said, and do it again: what is as it must be is left alone.",
    ),
    Problem(
        "last-way",
        Exit.USAGE,
        "{names} would be out of reach: this run comes there through the very tunnels that are to go.",
        "give the inventory another way to them (ssh_hostname), or say --data last_way=true where none is to "
        "be left; nothing was touched.",
    ),
    Problem(
        "bad-rotation",
        Exit.USAGE,
        "{value} is nothing that can be rotated.",
        "use rotate=keys, rotate=host_keys, or rotate=bastion for hosts whose data name another bastion now.",
    ),
    Problem(
        "missing-field",
        Exit.USAGE,
        "no {what} was given.",
        "give it with {how}.",
    ),
    Problem(
        "usage",
        Exit.USAGE,
        "{why}.",
        "see {command} --help.",
    ),
    Problem(
        "gone",
        Exit.USAGE,
        "{former} was a command of version 1 and is none any more.",
        "use {now}.",
    ),
    Problem(
        "no-such-tunnel",
        Exit.FAILED,
        "there is no tunnel {name} on this machine.",
        "scitex-ssh status lists the tunnels that there are.",
    ),
    Problem(
        "not-all-stand",
        Exit.UNHEALTHY,
        "of the tunnels that were asked for, some stand: {standing}; and some do not: {missing}.",
        "mend what is said above, then do the same again: what stands is left as it is.",
    ),
    Problem(
        "plan-changed",
        Exit.FAILED,
        "what would change is no longer what was shown, so nothing was changed.",
        "look at the new plan, and apply it with its own digest.",
    ),
    Problem(
        "extra-missing",
        Exit.CONFIGURATION,
        "{what} needs the package {package}, which this Python ({version}) does not have.",
        "with Python 3.10 or newer: pip install 'scitex-ssh[{extra}]'.",
    ),
    # --- what is allowed ----------------------------------------------------------------------
    Problem(
        "policy-denied",
        Exit.REFUSED,
        "{action} is denied for {host} by {path} ({place}).",
        "only {who} can allow it: scitex-ssh policy show tells what else applies.",
    ),
    Problem(
        "policy-unset",
        Exit.REFUSED,
        "nobody has allowed {action} for {host} yet: no configuration says anything of it.",
        "check that the rules of the networks concerned permit it, then say so once "
        "(scitex-ssh policy allow {action}), or for this time only (--yes; from Python, consent=True).",
    ),
    Problem(
        "policy-broken",
        Exit.REFUSED,
        "{path} is not as it must be, so nothing is allowed: {why}.",
        "correct it; docs/reference/configuration.md tells what may stand there.",
    ),
    Problem(
        "policy-unreadable",
        Exit.REFUSED,
        "{path} cannot be read, so nothing is allowed: {why}.",
        "check what it is, who owns it, and its mode: ls -l {path}.",
    ),
    Problem(
        "config-by-hand",
        Exit.CONFIGURATION,
        "{path} is written in a way that cannot be changed here without spoiling it.",
        "write it there yourself: {place}: {verdict}.",
    ),
    # --- this machine -------------------------------------------------------------------------
    Problem(
        "ssh-missing",
        Exit.CONFIGURATION,
        "there is no {program} on this machine.",
        "install it: apt-get install {package} (or your system's package of that name).",
    ),
    Problem(
        "ssh-too-old",
        Exit.CONFIGURATION,
        "the ssh of this machine is {version}, and 7.6 is the oldest that can keep a tunnel.",
        "install a newer OpenSSH client.",
    ),
    Problem(
        "systemd-missing",
        Exit.CONFIGURATION,
        "systemd does not run this machine, so it cannot keep a tunnel here.",
        "run this on a machine that systemd booted.",
    ),
    Problem(
        "sudo-missing",
        Exit.CONFIGURATION,
        "writing to {path} needs root, and there is no sudo on this machine.",
        "run the same command as root (setup then wants --user {user}); those for a bastion take --plain, "
        "for what an account can do alone.",
    ),
    Problem(
        "sudo-denied",
        Exit.REFUSED,
        "writing to {path} needs root, and sudo did not let {user} be root.",
        "ask for the right to use sudo, or have root run the same command (setup then wants --user {user}); "
        "those for a bastion take --plain, for what an account can do alone.",
    ),
    Problem(
        "script-unreadable",
        Exit.CONFIGURATION,
        "this program was given on standard input and cannot start itself again as root.",
        "save it to a file and run that, or run it as root (with pyinfra: _sudo=True).",
    ),
    Problem(
        "key-missing",
        Exit.CONFIGURATION,
        "there is no key file {key}.",
        "give the right path, or make a key: ssh-keygen -t ed25519 -f {key}.",
    ),
    Problem(
        "key-unreadable",
        Exit.CONFIGURATION,
        "{user} cannot read the key file {key}.",
        "check its owner and mode: ls -l {key}.",
    ),
    Problem(
        "key-too-open",
        Exit.CONFIGURATION,
        "the key file {key} has mode {mode}, and ssh ignores a key that others can read.",
        "chmod 600 {key}.",
    ),
    Problem(
        "home-too-open",
        Exit.UNHEALTHY,
        "others can write to {path}, so the sshd of this machine takes no key of {user} (StrictModes).",
        "chmod go-w {path}.",
    ),
    Problem(
        "key-public",
        Exit.CONFIGURATION,
        "{key} is a public key, and the private one is needed.",
        "give the file without .pub with -s.",
    ),
    Problem(
        "key-invalid",
        Exit.CONFIGURATION,
        "{key} is not a private key that ssh can read.",
        "give the path of a private key with -s, or make one: ssh-keygen -t ed25519.",
    ),
    Problem(
        "key-locked",
        Exit.CONFIGURATION,
        "the key {key} has a passphrase, and nobody is there to type it when the machine boots.",
        "use a key of its own for the tunnel: ssh-keygen -t ed25519 -N '' -f NEW_KEY.",
    ),
    Problem(
        "file-failed",
        Exit.FAILED,
        "{path} cannot be written or read: {why}.",
        "check the path, and who owns it.",
    ),
    Problem(
        "disk-full",
        Exit.FAILED,
        "there is no space left to write {path}.",
        "free some space (df -h {path}) and run the same command again.",
    ),
    Problem(
        "step-failed",
        Exit.FAILED,
        "the step '{title}' failed: {why}.",
        "what was there before is back; cure the cause and run the same command again.",
    ),
    Problem(
        "busy",
        Exit.FAILED,
        "another run of scitex-ssh on this machine has not ended for a minute ({lock} is held).",
        "wait for it, or look for it: fuser {lock}.",
    ),
    Problem(
        "service-failed",
        Exit.FAILED,
        "{unit} does not stay up: {why}.",
        "{log} tells more.",
    ),
    # --- who keeps the tunnel -----------------------------------------------------------------
    Problem(
        "made-elsewhere",
        Exit.CONFIGURATION,
        "tunnel {name} was made elsewhere, in {place}, and scitex-ssh removes only what it set up.",
        "end it there: disable the unit (systemctl disable --now), or take the line out and end its ssh.",
    ),
    Problem(
        "keeper-user",
        Exit.CONFIGURATION,
        "{keeper} keeps a tunnel of the user {user}, and somebody else is running this.",
        "run the same command as {user}, without sudo (with pyinfra: without _sudo), or choose "
        "--keeper systemd.",
    ),
    Problem(
        "keeper-missing",
        Exit.CONFIGURATION,
        "there is no {program} on this machine, and --keeper {keeper} needs it.",
        "install it (apt-get install {package}), or leave the choice to --keeper auto.",
    ),
    Problem(
        "keeper-none",
        Exit.CONFIGURATION,
        "nothing on this machine would start a tunnel of {user} again: no root, no systemd that lets {user} "
        "linger, no cron, and {why}.",
        "choose --keeper nohup, screen or tmux, which survive a logout and nothing else.",
    ),
    Problem(
        "bad-home",
        Exit.CONFIGURATION,
        "the folders {path} and {state} and the host name {host} have to stand in crontabs and shell "
        "scripts, and hold characters that cannot.",
        "set XDG_CONFIG_HOME and XDG_STATE_HOME to folders of letters, digits and . _ / @ + , : = - only.",
    ),
    Problem(
        "proc-missing",
        Exit.CONFIGURATION,
        "this machine does not tell when a process began (procfs is not mounted), so a tunnel "
        "could not be told "
        "from another process.",
        "mount procfs, or use --keeper systemd.",
    ),
    Problem(
        "linger-refused",
        Exit.REFUSED,
        "{user} may not linger here, so a tunnel kept by systemd-user would end at the last logout "
        "and not come "
        "back at boot.",
        "have root run: loginctl enable-linger {user}; or choose --keeper cron.",
    ),
    Problem(
        "linger-missing",
        Exit.UNHEALTHY,
        "{user} does not linger, so the tunnel ends at the last logout and does not come back at boot.",
        "loginctl enable-linger {user}.",
    ),
    Problem(
        "user-manager-missing",
        Exit.CONFIGURATION,
        "{user} lingers, but systemd runs no services for {user} (user@.service does not answer).",
        "have root look at: systemctl status user@$(id -u {user}); or choose --keeper cron.",
    ),
    Problem(
        "cron-denied",
        Exit.REFUSED,
        "{user} cannot have a crontab: {why}.",
        "have root {how}, or choose --keeper profile.",
    ),
    Problem(
        "cron-stopped",
        Exit.CONFIGURATION,
        "cron does not run on this machine, so nothing would start the tunnel.",
        "have root start it (systemctl start cron, service cron start), or choose --keeper profile.",
    ),
    Problem(
        "profile-shell",
        Exit.CONFIGURATION,
        "the login shell of {user}, {shell}, is none whose start-up files we know.",
        "choose --keeper cron, or nohup.",
    ),
    Problem(
        "keeper-logout",
        Exit.UNHEALTHY,
        "systemd ends on this machine what a login has started (KillUserProcesses=yes), the tunnel kept by "
        "{keeper} with it, since {user} does not linger.",
        "loginctl enable-linger {user}, then set the tunnel up again; or choose --keeper cron.",
    ),
    Problem(
        "keeper-lines-missing",
        Exit.UNHEALTHY,
        "the lines of tunnel {name} are missing in {place}, so nothing starts it again.",
        "scitex-ssh setup with the same flags writes them again.",
    ),
    Problem(
        "keeper-stopped",
        Exit.UNHEALTHY,
        "the process of tunnel {name}, kept by {keeper}, does not run.",
        "{start}, or scitex-ssh setup with the same flags.",
    ),
    Problem(
        "keeper-outdated",
        Exit.UNHEALTHY,
        "tunnel {name} runs with a configuration that is no longer the one on disk.",
        "scitex-ssh setup with the same flags starts it anew.",
    ),
    # --- the way to the bastion ---------------------------------------------------------------
    Problem(
        "bastion-unresolved",
        Exit.UNREACHABLE,
        "the name {host} does not resolve.",
        "check the spelling, or the name service: getent hosts {host}.",
    ),
    Problem(
        "bastion-alias",
        Exit.UNREACHABLE,
        "the name {host} does not resolve: it is an alias of your ~/.ssh/config, which a tunnel does "
        "not read.",
        "give what it stands for: -b {real}.",
    ),
    Problem(
        "bastion-refused",
        Exit.UNREACHABLE,
        "{host} answers, but nothing listens on its port {port}.",
        "check the port (user@host:PORT), and that sshd runs on the bastion.",
    ),
    Problem(
        "bastion-banned",
        Exit.UNREACHABLE,
        "a firewall at {host} rejects this address on port {port}: the refusal comes by ICMP, which "
        "no sshd sends.",
        "ask for the ban to be lifted (on the bastion: fail2ban-client unban ADDRESS), or wait for its end.",
    ),
    Problem(
        "bastion-timeout",
        Exit.UNREACHABLE,
        "{host} port {port} does not answer: packets are dropped on the way, or the machine is off.",
        "try another network, or ask which port is let through (22 is often closed, 443 seldom).",
    ),
    Problem(
        "bastion-filtered",
        Exit.UNREACHABLE,
        "{host} answers a ping, but its port {port} drops every packet from here.",
        "a firewall, or fail2ban after too many failed logins, does this: ask the administrator of "
        "the bastion, or try another port.",
    ),
    Problem(
        "bastion-unroutable",
        Exit.UNREACHABLE,
        "there is no way to {host} from here: {why}.",
        "check the network of this machine: ip route.",
    ),
    Problem(
        "bastion-not-ssh",
        Exit.UNREACHABLE,
        "{host} port {port} takes the connection but does not speak SSH.",
        "check the port: user@host:PORT.",
    ),
    Problem(
        "bastion-closed",
        Exit.UNREACHABLE,
        "{host} port {port} takes the connection and closes it before SSH begins.",
        "wait a minute: fail2ban, PerSourcePenalties or MaxStartups on the bastion do this.",
    ),
    Problem(
        "bastion-full",
        Exit.UNREACHABLE,
        "{host} turns connections away because too many others are logging in (MaxStartups).",
        "wait a minute; for good, raise MaxStartups in the sshd_config of the bastion.",
    ),
    Problem(
        "bastion-penalty",
        Exit.UNREACHABLE,
        "{host} turns this address away for a while, because logins from it have failed "
        "(PerSourcePenalties).",
        "find what fails to log in from your address, then wait; PerSourcePenaltyExemptList in the "
        "sshd_config of the bastion exempts it.",
    ),
    Problem(
        "bastion-lost",
        Exit.UNREACHABLE,
        "the connection to {host} was lost: {why}.",
        "nothing to do: it is tried again.",
    ),
    Problem(
        "host-key-unknown",
        Exit.HOST_KEY,
        "the host key of {host} is not known here ({fingerprint}).",
        "compare it with the bastion's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there); "
        "if they are the same, add --accept-new-host-key, or --host-key-fingerprint with it.",
    ),
    Problem(
        "host-key-differs",
        Exit.HOST_KEY,
        "the host key of {host} is {fingerprint}, not {expected}.",
        "compare it with the bastion's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there).",
    ),
    Problem(
        "host-key-changed",
        Exit.HOST_KEY,
        "the host key of {host} is not the one known here: another machine answers, or it was "
        "installed anew.",
        "if the change is known to be right, remove the old key (ssh-keygen -R '{known_name}') and "
        "the tunnel's own copy goes with scitex-ssh remove -n {name}.",
    ),
    Problem(
        "key-not-accepted",
        Exit.NOT_AUTHORISED,
        "{login} is not let in with the key {key}.",
        "append {key}.pub to ~/.ssh/authorized_keys of {login}, and check the user name; the log there "
        "(journalctl -u ssh) tells the rest: a locked account, AllowUsers, file modes.",
    ),
    Problem(
        "wrong-user",
        Exit.NOT_AUTHORISED,
        "the bastion does not let {login} in, but takes the same key for {user}.",
        "say -b {user}@... instead.",
    ),
    Problem(
        "account-expired",
        Exit.NOT_AUTHORISED,
        "the key is taken, but the account {login} is expired or its password must change.",
        "have the administrator there look at: chage -l USER.",
    ),
    Problem(
        "account-refused",
        Exit.NOT_AUTHORISED,
        "the key is taken, then the connection of {login} is closed: {why}.",
        "have the administrator there look at /etc/nologin and PAM's rules for the account "
        "(journalctl -u ssh).",
    ),
    Problem(
        "jump-forbidden",
        Exit.UNREACHABLE,
        "{hop} lets us in, but not on to {host} port {port}.",
        'the sshd of {hop} needs AllowTcpForwarding yes (or local), and permitopen="{host}:{port}" where '
        "the key's line there limits it.",
    ),
    Problem(
        "jump-dead-end",
        Exit.UNREACHABLE,
        "{hop} lets us in, but cannot reach {host} port {port}: {why}.",
        "check {host} and the port as {hop} sees them.",
    ),
    Problem(
        "proxy-tool-missing",
        Exit.CONFIGURATION,
        "nothing on this machine can speak to the proxy {proxy}.",
        "install nc of OpenBSD (Debian: apt install netcat-openbsd), or ncat.",
    ),
    Problem(
        "proxy-unreachable",
        Exit.UNREACHABLE,
        "the proxy {proxy} does not answer: {why}.",
        "check its address, and whether this machine may use it.",
    ),
    Problem(
        "proxy-refused",
        Exit.UNREACHABLE,
        "the proxy {proxy} does not connect us to {host} port {port}: {why}.",
        "ask who runs it to allow that port (443 is allowed most often), or have sshd listen on one that is.",
    ),
    Problem(
        "ssh-failed",
        Exit.UNREACHABLE,
        "ssh to {host} failed: {why}.",
        "ssh -v -F {config} -N bastion shows the whole talk.",
    ),
    # --- the port on the bastion --------------------------------------------------------------
    Problem(
        "port-taken",
        Exit.PORT_TAKEN,
        "the bastion's port {port} is held by somebody else ({evidence}).",
        "choose another port with -p.",
    ),
    Problem(
        "port-of-tunnel",
        Exit.PORT_TAKEN,
        "the bastion's port {port} is held by the tunnel {name} of this machine.",
        "change that one: -n {name}. Or choose another port with -p.",
    ),
    Problem(
        "port-stale",
        Exit.PORT_TAKEN,
        "the bastion's port {port} is held by a session that no longer answers.",
        "it is freed when the bastion's sshd notices; a new session of this tunnel ends it at once "
        "where the account may run commands. Or choose another port with -p.",
    ),
    Problem(
        "port-held-here",
        Exit.PORT_TAKEN,
        "the bastion's port {port} leads to this machine already, by another ssh: {evidence}.",
        "end that one (if a unit or crontab line keeps it, there), or choose another port with -p.",
    ),
    Problem(
        "cloned-host",
        Exit.PORT_TAKEN,
        "the bastion's port {port} answers with the host key of this machine, but nothing here "
        "forwards it: another machine has the same host key, as a copy of a disk image has.",
        "give one of the two new host keys: rm /etc/ssh/ssh_host_*, then ssh-keygen -A and systemctl "
        "restart ssh.",
    ),
    Problem(
        "identity-clash",
        Exit.PORT_TAKEN,
        "another machine holds the bastion's port {port} with the same key, as a copy of this one's disk "
        "would: the last to come has it.",
        "give one of the two a key and a port of its own (ssh-keygen -t ed25519, then setup -p), and "
        "remove its old tunnel: scitex-ssh remove -p {port}.",
    ),
    Problem(
        "forwarding-refused",
        Exit.REFUSED,
        "the bastion does not let {login} listen on port {port}, though nobody else holds it.",
        'the bastion needs AllowTcpForwarding yes (or remote), and permitlisten="localhost:{port}" '
        "if the key's line in authorized_keys has any permitlisten.",
    ),
    Problem(
        "forwarding-off",
        Exit.REFUSED,
        "the bastion forwards no port for {login} ({evidence}).",
        "have AllowTcpForwarding yes, and no DisableForwarding, set for {login} in the sshd_config "
        "of the bastion.",
    ),
    Problem(
        "key-no-forwarding",
        Exit.REFUSED,
        "the key's line in authorized_keys of {login} forbids forwarding (it has: {evidence}).",
        "add port-forwarding to the line where it says restrict, or take no-port-forwarding out.",
    ),
    Problem(
        "key-listens-elsewhere",
        Exit.REFUSED,
        "the key's line in authorized_keys of {login} has permitlisten for other ports than {port}.",
        'add permitlisten="localhost:{port}" to that line, or use its port with -p.',
    ),
    Problem(
        "listen-limited",
        Exit.REFUSED,
        "the sshd of the bastion lets {login} listen on other ports than {port} only ({evidence}).",
        "add localhost:{port} to PermitListen in its sshd_config, or use a port that is let with -p.",
    ),
    Problem(
        "port-refused",
        Exit.PORT_TAKEN,
        "the bastion does not let {login} listen on port {port}: it is held, or not allowed for this key.",
        'choose another port with -p, or have permitlisten="localhost:{port}" added to the key\'s line '
        "in authorized_keys.",
    ),
    Problem(
        "socket-refused",
        Exit.PORT_TAKEN,
        "the bastion does not let {login} listen on the socket {socket}: its file is there already, or it is "
        "not allowed.",
        "the bastion's sshd_config needs AllowStreamLocalForwarding yes, and StreamLocalBindUnlink yes where "
        "the account runs no commands.",
    ),
    Problem(
        "local-port-taken",
        Exit.PORT_TAKEN,
        "port {port} of this machine is taken by another program.",
        "choose another port to listen on, or find who has it: ss -ltnp.",
    ),
    Problem(
        "bind-refused",
        Exit.REFUSED,
        "the bastion listens on its localhost only, though {listen} was asked for.",
        "set GatewayPorts clientspecified in the bastion's sshd_config, or give the port {port} alone.",
    ),
    Problem(
        "bind-exposed",
        Exit.REFUSED,
        "the bastion opened port {port} on every address it has, though only its localhost was asked for.",
        "set GatewayPorts clientspecified (or no) in the bastion's sshd_config; if the world may have it, "
        "say so: -R '*:{port}:HOST:PORT'.",
    ),
    Problem(
        "far-end-refused",
        Exit.UNHEALTHY,
        "{listen} here is open, but {bastion} does not make the connection behind it: {why}.",
        "check the target as the bastion sees it, and AllowTcpForwarding and permitopen there.",
    ),
    Problem(
        "not-proven",
        Exit.UNHEALTHY,
        "the bastion took port {port}, but does not let this key dial it back, so nothing shows that "
        "it works.",
        'add permitopen="localhost:{port}" to the key\'s line in authorized_keys on the bastion, or '
        "say --accept-listening.",
    ),
    Problem(
        "permitopen-alone",
        Exit.UNHEALTHY,
        "the key's line in authorized_keys of {login} has permitopen but no permitlisten: permitopen "
        "limits what the key may dial, not where it may listen.",
        'write permitlisten="localhost:{port}",permitopen="localhost:{port}" there instead.',
    ),
    Problem(
        "dial-limited",
        Exit.UNHEALTHY,
        "the sshd of the bastion lets {login} hold port {port} but not dial it ({evidence}), so "
        "nothing shows that the tunnel works.",
        "add localhost:{port} to PermitOpen in its sshd_config (with AllowTcpForwarding yes), or say "
        "--accept-listening.",
    ),
    Problem(
        "target-refused",
        Exit.UNHEALTHY,
        "nothing answers at {target}, seen from this machine, so the tunnel leads nowhere.",
        "start it (for sshd: systemctl start ssh), or name another with --target.",
    ),
    Problem(
        "target-elsewhere",
        Exit.UNHEALTHY,
        "nothing answers at {target}, but the sshd of this machine listens on port {port}.",
        "name that one: --target localhost:{port}.",
    ),
    Problem(
        "target-drops",
        Exit.UNHEALTHY,
        "the tunnel stands, but the sshd of this machine drops connections from itself for now.",
        "wait a minute: PerSourcePenalties or MaxStartups do this. For good: PerSourcePenaltyExemptList "
        "127.0.0.1,::1 in its sshd_config.",
    ),
    Problem(
        "not-up",
        Exit.UNHEALTHY,
        "the tunnel {name} did not come up within {seconds} s: {why}.",
        "{log} tells more.",
    ),
    Problem(
        "wrong-host",
        Exit.UNHEALTHY,
        "port {port} of the bastion answers with another machine's host key.",
        "find out who holds it, or choose another port with -p.",
    ),
    # --- what doctor finds besides ------------------------------------------------------------
    Problem(
        "not-yours",
        Exit.REFUSED,
        "only {user} and root can examine this tunnel: its key is theirs.",
        "sudo scitex-ssh doctor with the same flags.",
    ),
    Problem(
        "unit-masked",
        Exit.UNHEALTHY,
        "the unit {unit} is masked, so systemd will not start it.",
        "systemctl unmask {unit}, and set the tunnel up again.",
    ),
    Problem(
        "unit-missing",
        Exit.UNHEALTHY,
        "the tunnel's folder is there but its unit {unit} is not.",
        "scitex-ssh setup with the same flags writes it again; scitex-ssh remove -n {name} clears the rest.",
    ),
    Problem(
        "unit-disabled",
        Exit.UNHEALTHY,
        "the unit {unit} is not enabled, so it will not start at boot.",
        "sudo systemctl enable --now {unit}.",
    ),
    Problem(
        "unit-stopped",
        Exit.UNHEALTHY,
        "the unit {unit} does not run ({why}).",
        "sudo systemctl restart {unit}; if it ends again, journalctl -u {unit} -n 20 tells why.",
    ),
    Problem(
        "unit-start-limited",
        Exit.UNHEALTHY,
        "systemd has given the unit {unit} up: it was started too often (start-limit-hit).",
        "sudo systemctl reset-failed {unit} && sudo systemctl start {unit}; a drop-in that sets "
        "StartLimitBurst is the cause (systemctl cat {unit}).",
    ),
    Problem(
        "unit-failing",
        Exit.UNHEALTHY,
        "systemd starts the unit {unit} again and again, and it ends each time ({why}).",
        "journalctl -u {unit} -n 20 tells why, and systemctl cat {unit} whether a drop-in changes it.",
    ),
    Problem(
        "unit-outdated",
        Exit.UNHEALTHY,
        "the unit {unit} runs with a configuration that is no longer the one on disk.",
        "sudo systemctl daemon-reload && sudo systemctl restart {unit}, or scitex-ssh setup again.",
    ),
    Problem(
        "no-take-back",
        Exit.UNHEALTHY,
        "the bastion runs no command for {login}, or hides processes from it (hidepid), and did not ask "
        "within {seconds} s whether a client is still there (ClientAliveInterval), so after a power cut a "
        "stale session can keep the port.",
        "let the key run /bin/sh there, or set ClientAliveInterval 5 and ClientAliveCountMax 3 in "
        "the bastion's sshd_config.",
    ),
    Problem(
        "half-rate",
        Exit.UNHEALTHY,
        "the sshd of the bastion ({version}) asks half as often as ClientAliveInterval says, so a "
        "stale session keeps the port twice as long.",
        "halve ClientAliveInterval there, or let the key run /bin/sh, which ends a stale session at once.",
    ),
    Problem(
        "connection-ended",
        Exit.UNHEALTHY,
        "the bastion ended the last {count} connections of {login} after {seconds} s each, though "
        "the tunnel was alive.",
        "set UnusedConnectionTimeout none in its sshd_config, which else ends idle tunnels, or let the key "
        "run /bin/sh, whose session counts as use.",
    ),
    Problem(
        "port-exposed",
        Exit.UNHEALTHY,
        "port {port} of {host} can be reached by everybody, not only from the bastion itself ({evidence}).",
        "set GatewayPorts no (or clientspecified) in the sshd_config of the bastion, unless that is "
        "what you want.",
    ),
    Problem(
        "clock-off",
        Exit.UNHEALTHY,
        "the clock of this machine and that of the bastion differ by {seconds} s.",
        "set the one that is wrong (timedatectl set-ntp true): certificates, key expiry and logs "
        "depend on it.",
    ),
    Problem(
        "port-ephemeral",
        Exit.UNHEALTHY,
        "port {port} is among those that the bastion hands out by itself ({range}), so any connection may "
        "take it.",
        "choose a port below, or reserve it on the bastion: sysctl net.ipv4.ip_local_reserved_ports={port}.",
    ),
    # --- the gateway --------------------------------------------------------------------------
    Problem(
        "bad-machine",
        Exit.USAGE,
        "{value} is not a name of a machine: {why}.",
        "use up to 128 of A-Z, a-z, 0-9, '.', '_', ':' and '-', beginning with a letter or digit.",
    ),
    Problem(
        "gateway-settings",
        Exit.CONFIGURATION,
        "the gateway cannot be started with {name}: {why}.",
        "see scitex-ssh gateway serve --help for what it can be.",
    ),
    Problem(
        "gateway-storage",
        Exit.FAILED,
        "the gateway's database {url} cannot be used: {why}.",
        "check that it is there, that its folder can be written, and its version.",
    ),
    Problem(
        "gateway-full",
        Exit.FAILED,
        "all ports of the gateway, {first} to {last}, are given out or held by other programs.",
        "widen the range, or revoke machines that are gone: scitex-ssh gateway list.",
    ),
    Problem(
        "gateway-token",
        Exit.NOT_AUTHORISED,
        "the gateway does not accept the token: {why}.",
        "ask its admin for a new one: scitex-ssh gateway token create.",
    ),
    Problem(
        "gateway-identity",
        Exit.REFUSED,
        "machine {name} was enrolled by somebody else, so it cannot be taken over.",
        "enrol under another name, or have the admin revoke that one.",
    ),
    Problem(
        "gateway-revoked",
        Exit.REFUSED,
        "machine {name} was revoked by an admin.",
        "enrol with a new key and a new token.",
    ),
    Problem(
        "gateway-unknown",
        Exit.FAILED,
        "the gateway knows no {what} {name}.",
        "scitex-ssh gateway list and scitex-ssh gateway token list show what it knows.",
    ),
    Problem(
        "gateway-name-taken",
        Exit.FAILED,
        "the name {name} is another {what}'s.",
        "choose another name.",
    ),
    Problem(
        "gateway-pending",
        Exit.REFUSED,
        "machine {name} is enrolled and waits for the approval of an admin.",
        "scitex-ssh gateway approve {name} on the bastion, then run the same command again.",
    ),
    Problem(
        "gateway-limit",
        Exit.REFUSED,
        "too much came from {address} within a minute, or too much that was wrong.",
        "wait {seconds} s, and check the token or key.",
    ),
    Problem(
        "gateway-request",
        Exit.USAGE,
        "the gateway cannot make sense of the request: {why}.",
        "see its openapi.json for what it takes.",
    ),
    Problem(
        "gateway-form",
        Exit.REFUSED,
        "a form of the gateway's page cannot be accepted: {why}.",
        "open the page anew, and send the form from there.",
    ),
    Problem(
        "gateway-server-keys",
        Exit.REFUSED,
        "the gateway makes no keys for machines; they make their own.",
        "use scitex-ssh setup --gateway on the machine, or start the gateway with --server-keys.",
    ),
    Problem(
        "gateway-plain-http",
        Exit.CONFIGURATION,
        "{host} can be reached from other machines, and HTTP without TLS shows every token to the network.",
        "give --tls-cert and --tls-key, serve on 127.0.0.1, or say --plain-http if you mean it.",
    ),
    Problem(
        "gateway-packages",
        Exit.CONFIGURATION,
        "the gateway needs packages that are not installed here: {why}.",
        "pip install 'scitex-ssh[gateway]' (Python 3.10 or newer).",
    ),
    Problem(
        "gateway-unreachable",
        Exit.UNREACHABLE,
        "the gateway {url} cannot be asked: {why}.",
        "check the address and the account; for an unknown host key see --accept-new-host-key.",
    ),
    Problem(
        "gateway-answer",
        Exit.FAILED,
        "the answer of {url} cannot be understood: {why}.",
        "check that it is a gateway of scitex-ssh, and its version.",
    ),
    Problem(
        "gateway-install",
        Exit.FAILED,
        "the gateway cannot be installed here: {why}.",
        "cure the cause and run the same command again, as root.",
    ),
    Problem(
        "gateway-wheels",
        Exit.CONFIGURATION,
        "{folder} holds no wheel of {needed} for the gateway.",
        "pip download --dest {folder} pip 'scitex-ssh[gateway]', with the bastion's own version of Python.",
    ),
    Problem(
        "gateway-session",
        Exit.FAILED,
        "machine {name} is revoked, but its session on port {port} goes on: only root can end it.",
        "sudo scitex-ssh gateway tick.",
    ),
    # --- this machine as a bastion ------------------------------------------------------------
    Problem(
        "bad-host",
        Exit.USAGE,
        "{value} is not a name for a host: {why}.",
        "use up to 28 of a-z, 0-9 and '-', beginning with a letter or digit.",
    ),
    Problem(
        "bastion-not-ready",
        Exit.CONFIGURATION,
        "this machine is not set up as a bastion, or is no longer as set-up left it.",
        "sudo scitex-ssh bastion setup (--dry-run shows what is missing).",
    ),
    Problem(
        "sshd-refused",
        Exit.FAILED,
        "sshd was not given its part for a bastion: {why}.",
        "what it was told before is in force; cure the cause and run the same command again.",
    ),
    Problem(
        "bastion-step",
        Exit.FAILED,
        "the step '{title}' failed: {why}.",
        "cure the cause and run the same command again; the steps before it stay.",
    ),
    Problem(
        "account-foreign",
        Exit.REFUSED,
        "the account {account} exists, and is not one that scitex-ssh made.",
        "give the host another name.",
    ),
    Problem(
        "key-elsewhere",
        Exit.REFUSED,
        "the key of {name} already stands in another line of {path}, and sshd heeds only the first.",
        "take that line away if it is not needed, or give the host a key of its own: ssh-keygen -t ed25519.",
    ),
    Problem(
        "port-of-other",
        Exit.PORT_TAKEN,
        "port {port} of this bastion is {other}'s.",
        "choose another port, or none and one is chosen; or scitex-ssh bastion revoke {other}.",
    ),
    Problem(
        "no-such-host",
        Exit.FAILED,
        "this bastion knows no host {name}.",
        "scitex-ssh bastion list shows those that it knows.",
    ),
    Problem(
        "revoke-failed",
        Exit.FAILED,
        "the key of {name} no longer opens anything new, but the step '{title}' failed: {why}.",
        "find out what it is (ss -ltnp, ps), end it, and revoke {name} again.",
    ),
    # --- commands and files on other machines -------------------------------------------------
    Problem(
        "bad-ssh-host",
        Exit.USAGE,
        "{value} is not a host: {why}.",
        "write the name of a Host block of ~/.ssh/config, user@host, user@host:port or user@[IPv6]:port.",
    ),
    Problem(
        "login-refused",
        Exit.NOT_AUTHORISED,
        "{host} lets nobody in with the keys that were offered.",
        "check the user name, and the keys: ssh -v {host} tells which were offered.",
    ),
    Problem(
        "known-key-missing",
        Exit.HOST_KEY,
        "the host key of {host} is not known here.",
        "log in once with ssh {host} and compare the fingerprint it shows, or add --accept-new-host-key.",
    ),
    Problem(
        "known-key-differs",
        Exit.HOST_KEY,
        "the host key of {host} is not the one known here: another machine answers, or it was "
        "installed anew.",
        "if the change is known to be right, remove the old key with ssh-keygen -R: ssh {host} shows how.",
    ),
    Problem(
        "remote-unreachable",
        Exit.UNREACHABLE,
        "ssh to {host} failed: {why}.",
        "ssh -v {host} shows the whole talk.",
    ),
    Problem(
        "remote-status",
        Exit.FAILED,
        "the command on {host} ended with {code}.",
        "look at what it printed.",
    ),
    Problem(
        "remote-timeout",
        Exit.FAILED,
        "the command on {host} did not end within {seconds} s, and was ended.",
        "give it more time with --timeout.",
    ),
    Problem(
        "copy-failed",
        Exit.FAILED,
        "{path} is not copied: {why}.",
        "mend that and run the same command again; what is copied already may be copied again.",
    ),
    Problem(
        "sftp-missing",
        Exit.FAILED,
        "{host} offers no SFTP: {why}.",
        "add 'Subsystem sftp internal-sftp' to its sshd_config, and let its shell print nothing at login.",
    ),
    Problem(
        "rsync-missing",
        Exit.FAILED,
        "there is no rsync on {host}.",
        "install the package rsync there, or copy with scitex-ssh copy -r.",
    ),
    Problem(
        "sync-deletes",
        Exit.REFUSED,
        "in {path} something would be deleted (files: {count}), and nobody is there to ask.",
        "look at them with --dry-run, then run the same command with --yes.",
    ),
    Problem(
        "sync-failed",
        Exit.FAILED,
        "rsync with {host} ended with {code}: {why}.",
        "look at what it printed; rsync(1) lists its exit values.",
    ),
    Problem(
        "call-interrupted",
        Exit.INTERRUPTED,
        "interrupted; what was begun on the other machine is ended with it.",
        "run the same command again when you want it done.",
    ),
    # --- keys ---------------------------------------------------------------------------------
    Problem(
        "key-exists",
        Exit.FAILED,
        "there is a file {path} already, and a key is never overwritten.",
        "choose another path, or put a new key in its place with scitex-ssh key rotate.",
    ),
    Problem(
        "old-key-kept",
        Exit.FAILED,
        "{path} is the old key of a rotation that has come to its end, and is never overwritten.",
        "delete it, or move it away; then do this again.",
    ),
    Problem(
        "bad-key-option",
        Exit.USAGE,
        "{value} is no option of a line of authorized_keys.",
        'write it as sshd(8) has it: restrict, or from="192.0.2.0/24", each with --restrict.',
    ),
    Problem(
        "authorize-failed",
        Exit.FAILED,
        "authorized_keys of {host} is as it was: {why}.",
        "log in there and look: ls -ld ~ ~/.ssh ~/.ssh/authorized_keys. A key whose line allows no commands "
        "needs another one that may edit it, with -i.",
    ),
    Problem(
        "key-not-proven",
        Exit.NOT_AUTHORISED,
        "{host} does not let the key {key} in, though its line is in authorized_keys there.",
        "look there at the modes (ls -ld ~ ~/.ssh: nobody else may write), at AuthorizedKeysFile and "
        "PubkeyAcceptedAlgorithms (sudo sshd -T), and at the options of the line.",
    ),
    Problem(
        "key-not-there",
        Exit.NOT_AUTHORISED,
        "authorized_keys of {host} has no line of the key {key}, so there is none to renew.",
        "let it in with scitex-ssh key authorize, or leave this host out.",
    ),
    Problem(
        "pin-unconfirmed",
        Exit.HOST_KEY,
        "{host} shows host keys that nobody has compared: {fingerprint}.",
        "compare one with its own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there), then say it "
        "with --fingerprint.",
    ),
    Problem(
        "no-known-hosts",
        Exit.CONFIGURATION,
        "ssh keeps no known hosts for {host}: its configuration says UserKnownHostsFile none.",
        "take that line out of ~/.ssh/config, or name a file with -o UserKnownHostsFile=FILE.",
    ),
    Problem(
        "no-such-skill",
        Exit.USAGE,
        "there is no guide {value}: {known} are there.",
        "scitex-ssh skills list tells what each is for.",
    ),
    Problem(
        "skill-differs",
        Exit.FAILED,
        "{path} is none of ours, so nothing was written.",
        "choose another folder, or move that file away.",
    ),
    # --- the rest -----------------------------------------------------------------------------
    Problem(
        "interrupted",
        Exit.INTERRUPTED,
        "interrupted; what was there before is back.",
        "run the same command again when you want it done.",
    ),
    Problem(
        "internal",
        Exit.FAILED,
        "something went wrong inside scitex-ssh: {why}.",
        "please report it with the output of the same command under SCITEX_SSH_DEBUG_MODE=1.",
    ),
)


class SSHError(Exception):
    """An error of the catalogue, with its facts as fields.

    Attributes:
        slug: the stable name, a key of `CATALOGUE`.
        facts: what the sentence names, text by fact name.
        where: the place in a configuration that is at fault (``tunnels[0].port``), or "".
    """

    def __init__(self, slug: str, *, where: str = "", **facts: object) -> None:
        self.slug = slug
        self.facts = {name: str(value) for name, value in facts.items()}
        self.where = where
        super().__init__(self.sentence)

    @property
    def problem(self) -> Problem:
        """The entry of the catalogue."""
        return CATALOGUE[self.slug]

    @property
    def status(self) -> Exit:
        """The exit status that a command ends with."""
        return self.problem.status

    @property
    def sentence(self) -> str:
        """What went wrong, and why."""
        text = fill(self.problem.sentence, self.facts)
        return f"At '{self.where}': {text}" if self.where else text

    @property
    def next_move(self) -> str:
        """What to do next."""
        return fill(self.problem.next_move, self.facts)

    def __reduce__(self) -> tuple[object, ...]:
        # What is passed between processes or copied is made again of its slug and facts.
        return _again, (type(self), self.slug, self.where, self.facts)

    def __str__(self) -> str:
        return f"{self.sentence}\n  Next: {self.next_move}\n  [{self.slug}]"


class InputError(SSHError, ValueError):
    """What was asked for cannot be right; nothing was touched."""


class PolicyError(SSHError, PermissionError):
    """It is not allowed; nothing was touched."""


class ReachError(SSHError, ConnectionError):
    """The bastion cannot be reached or does not let us in."""


class TunnelError(SSHError, RuntimeError):
    """The machine or the tunnel is not as it must be."""


def _again(family: type[SSHError], slug: str, where: str, facts: dict[str, str]) -> SSHError:
    return family(slug, where=where, **facts)


def fill(text: str, facts: Mapping[str, str]) -> str:
    """``text`` with each ``{fact}`` replaced; a fact nobody gave reads ``?``."""
    return re.sub(r"\{(\w+)\}", lambda match: facts.get(match.group(1), "?"), text)


def explain(slug: str) -> Problem:
    """The entry of the catalogue: what went wrong, and what to do next, with its facts in braces.

    Raises:
        InputError: for a slug that there is not.
    """
    if slug not in CATALOGUE:
        raise InputError("usage", why=f"there is no error {slug!a}", command="scitex-ssh explain")
    return CATALOGUE[slug]


def error(slug: str, *, where: str = "", **facts: object) -> SSHError:
    """The error of that slug, in the family that its exit status names."""
    families: dict[Exit, type[SSHError]] = {
        Exit.USAGE: InputError,
        Exit.REFUSED: PolicyError,
        Exit.UNREACHABLE: ReachError,
        Exit.NOT_AUTHORISED: ReachError,
        Exit.HOST_KEY: ReachError,
    }
    problem = CATALOGUE.get(slug)
    if problem is None:
        return TunnelError("internal", why=f"unknown error {slug} {facts}")
    return families.get(problem.status, TunnelError)(slug, where=where, **facts)
