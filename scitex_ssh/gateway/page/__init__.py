"""The page: who is there, for everyone on this machine; what an admin does, for who is signed in."""

from __future__ import annotations

from scitex_ssh.gateway.page.routes import add

__all__ = ["add"]
