"""What sshd of a bastion is told about the accounts of the hosts."""

from __future__ import annotations

from scitex_ssh.render.template import Template

GROUP = "scitex-ssh"
KEYS = "/etc/ssh/scitex-ssh"

# For all that come, the hosts or others:
#   MaxStartups         after a power cut the whole fleet comes at once; the default drops from 10 on
#   PerSourcePenalties  (from 9.8 on) many hosts come from one address; the wrong key of one must not shut out
#                       the rest, while a stranger that guesses is shut out all the same
GLOBAL = """\
MaxStartups @startups@
@penalties@"""

# For the accounts of the hosts. What is said here wins over the rest of sshd_config, so each is said, also
# where it is the default:
#   AuthorizedKeysFile   root's own files, outside of any home: a stolen key cannot lift its own limits
#   ForceCommand none    one here would stand in place of the key's own command
#   AllowTcpForwarding   both ways, the ports being named by the key: dialled to be proven, held to be used
#   AllowStreamLocalForwarding no   permitlisten does not see Unix sockets
#   GatewayPorts no      "yes" would make permitlisten's localhost any address
#   MaxSessions 1        hold, or release
#   ClientAlive          ends a session whose host is gone; sshd 9.2 to 9.4 take twice as long
MATCH = f"""\
Match Group {GROUP}
    AuthorizedKeysFile {KEYS}/%u
@keys_command@    AuthorizedPrincipalsFile none
    TrustedUserCAKeys none
    AuthenticationMethods publickey
    ForceCommand none
    ChrootDirectory none
    AllowTcpForwarding yes
    AllowStreamLocalForwarding no
    AllowAgentForwarding no
    X11Forwarding no
    PermitTunnel no
    PermitTTY no
    PermitUserRC no
    PermitOpen any
    PermitListen any
    GatewayPorts no
    MaxSessions 1
    Banner none
    ClientAliveInterval @alive@
    ClientAliveCountMax 3
"""

_BY = "# Written by scitex-ssh: scitex-ssh bastion setup changes it.\n"

# A file of its own where sshd_config includes such (8.2 and newer, unless its administrator took that out).
DROP_IN = Template(_BY + GLOBAL + MATCH)
# Else a marked block before everything, since the first word on a setting counts, and one behind everything.
HEAD_BLOCK = Template(f"# BEGIN scitex-ssh\n{_BY}{GLOBAL}# END scitex-ssh\n")
TAIL_BLOCK = Template(f"# BEGIN scitex-ssh\n{_BY}{MATCH}Match all\n# END scitex-ssh\n")
