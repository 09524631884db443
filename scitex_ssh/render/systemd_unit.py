"""The systemd unit of one tunnel: the same text for each, but for its number and its user."""

from __future__ import annotations

from scitex_ssh.render.template import Template

UNIT = Template(
    """\
# Written by scitex-ssh: scitex-ssh setup changes it, scitex-ssh remove takes it away.
[Unit]
Description=SSH tunnel @name@
Wants=network-online.target
After=network-online.target nss-lookup.target
# Restart for ever: with the default, five quick failures end a tunnel for good.
StartLimitIntervalSec=0

[Service]
Type=exec
User=@user@
ExecStart=/bin/sh @folder@/run @folder@ /run/scitex-ssh/@name@ @unit_file@
# Wakes a tunnel that waits for its next attempt.
ExecReload=/bin/kill -USR1 $MAINPID
# "always": an ssh that is asked to end exits 0, and the tunnel must come back all the same.
Restart=always
RestartSec=1
TimeoutStopSec=5
# autossh ends with 1 when it is asked to stop.
SuccessExitStatus=1
RuntimeDirectory=scitex-ssh/@name@
RuntimeDirectoryMode=0755

# The key: systemd reads it as root and hands it over, so no home folder has to be seen.
@key_access@
# Nothing the tunnel runs may gain rights: ssh needs none.
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
PrivateUsers=yes
RestrictSUIDSGID=yes
# Nothing is written but /run/scitex-ssh/@name@. Looser: ProtectSystem=full.
ProtectSystem=strict
PrivateTmp=yes
PrivateMounts=yes
UMask=0077
RemoveIPC=yes
# No devices: ssh needs none (a key on a USB token would: set PrivateDevices=no).
PrivateDevices=yes
DevicePolicy=closed
# Other processes and the kernel's settings are out of sight.
ProtectProc=invisible
ProcSubset=pid
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
KeyringMode=private
# Only what ssh speaks: IPv4, IPv6, and Unix sockets for the name service.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
# Would break a program that makes code while it runs; ssh and sh do not.
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# A bound for what should need 3 MB and five processes.
MemoryMax=64M
TasksMax=24

[Install]
WantedBy=multi-user.target
"""
)

# With the credential, the home folder is empty for the unit. Where root may not read the key (a home
# on NFS with root_squash), the unit reads the home itself, read-only.
CREDENTIAL = Template("LoadCredential=key:@folder@/key\nProtectHome=yes")
READABLE_HOME = Template("ProtectHome=read-only")

# The same in a user's own systemd. Much of the sandbox is not there: it takes root, or unprivileged user
# namespaces, without which the unit would not start.
USER_UNIT = Template(
    """\
# Written by scitex-ssh: scitex-ssh setup changes it, scitex-ssh remove takes it away.
[Unit]
Description=SSH tunnel @name@
# A home may be shared among hosts, and the tunnel is one host's.
ConditionHost=@host@
# Restart for ever: with the default, five quick failures end a tunnel for good.
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart=/bin/sh @folder@/run @folder@ %t/scitex-ssh/@name@ @unit_file@
# Wakes a tunnel that waits for its next attempt.
ExecReload=/bin/kill -USR1 $MAINPID
# "always": an ssh that is asked to end exits 0, and the tunnel must come back all the same.
Restart=always
RestartSec=1
TimeoutStopSec=5
# autossh ends with 1 when it is asked to stop.
SuccessExitStatus=1
RuntimeDirectory=scitex-ssh/@name@
RuntimeDirectoryMode=0700

# Nothing the tunnel runs may gain rights: ssh needs none.
NoNewPrivileges=yes
UMask=0077
# Only what ssh speaks: IPv4, IPv6, and Unix sockets for the name service.
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
LockPersonality=yes
# Would break a program that makes code while it runs; ssh and sh do not.
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
# A bound for what should need five processes.
TasksMax=24

[Install]
WantedBy=default.target
"""
)
