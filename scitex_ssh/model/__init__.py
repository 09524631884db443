"""What is wanted: frozen, validated values that touch nothing."""

from scitex_ssh.model.destination import Address, Destination
from scitex_ssh.model.forward import Forward, Listen, SocketPath
from scitex_ssh.model.keepalive import PROFILES, Keepalive
from scitex_ssh.model.port import Port
from scitex_ssh.model.tunnel import ENGINES, KeyPath, LocalUser, Tunnel, TunnelName
from scitex_ssh.model.way import Proxy

__all__ = [
    "ENGINES",
    "PROFILES",
    "Address",
    "Destination",
    "Forward",
    "KeyPath",
    "Keepalive",
    "Listen",
    "LocalUser",
    "Port",
    "Proxy",
    "SocketPath",
    "Tunnel",
    "TunnelName",
]
