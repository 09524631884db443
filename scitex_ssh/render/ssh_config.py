"""The ssh_config of one tunnel: everything that the user gave, said once."""

from __future__ import annotations

from scitex_ssh.render.take_back import remote_command
from scitex_ssh.render.template import Template

# What ssh is told and why; each was seen to matter.
#   HostName, Port, User     apart, because user@[v6] on a command line is not understood
#   IdentityFile             a link in the tunnel's folder: any path can stand behind it, and no stale
#                            KEY.pub lies beside it to be offered instead
#   BatchMode                Debian's patch then sets ServerAliveInterval 300 unless one is given
#   StrictHostKeyChecking    pinned: accept-new would trust whoever answers first
#   RemoteForward localhost  the word: permitlisten compares strings
#   ControlMaster, ControlPath  a hidden master keeps the port after the visible ssh is dead
#   ProxyCommand             an ssh of this same file a hop, and not ProxyJump: that one would read the file
#                            of the words to the bastion, and mix the words of all hops under -v
#   ConnectTimeout           of all hops together: the nearest gives up first, and says why
#   ServerAlive              of a jump host far longer: the tunnel's own looks through it from end to end
#   IPQoS none               some routers drop what Debian 13's default marks
HEAD = """\
# Tunnel @name@, written by scitex-ssh: scitex-ssh setup changes it, scitex-ssh remove takes it away.
# To watch it by hand:  ssh -v -F @folder@/ssh_config -N tunnel
# bastion: @bastion@@way_notes@
@forward_notes@
# key: @key@
# user: @user@
# keeper: @keeper@@on_host@
# engine: @engine@
# keepalive: @keepalive@@hook_notes@
"""

BODY = f"""\
Host hold tunnel
    @forward_lines@
    ExitOnForwardFailure yes
Host hold
    RemoteCommand {remote_command("hold")}
Host release
    RemoteCommand {remote_command("release")}
Host hold tunnel release bastion
    HostName @bastion_host@
    Port @bastion_port@
    User @bastion_user@
    IdentityFile @folder@/key
    ConnectTimeout @reach_timeout@
    ProxyCommand @proxy_command@
@jump_blocks@Host *
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
    PreferredAuthentications publickey
    StrictHostKeyChecking yes
    UserKnownHostsFile @folder@/known_hosts
    GlobalKnownHostsFile /dev/null
    HashKnownHosts no
    CheckHostIP no
    UpdateHostKeys no
    VerifyHostKeyDNS no
    CanonicalizeHostname no
    ServerAliveInterval @alive_interval@
    ServerAliveCountMax @alive_count@
    ConnectionAttempts 1
    TCPKeepAlive yes
    RequestTTY no
    EscapeChar none
    ControlMaster no
    ControlPath none
    ForwardAgent no
    ForwardX11 no
    Tunnel no
    PermitLocalCommand no
    Compression no
    IPQoS none
    LogLevel INFO
"""

SSH_CONFIG = Template(HEAD + BODY)
