"""SSH keys: made, listed, let in elsewhere, tried, renewed; and the host keys that are trusted here."""

from scitex_ssh.keys.answers import Answer, check
from scitex_ssh.keys.authorize import authorize
from scitex_ssh.keys.known import forget, pin
from scitex_ssh.keys.local import Key, fix, list_keys, new
from scitex_ssh.keys.rotate import rotate

__all__ = ["Answer", "Key", "authorize", "check", "fix", "forget", "list_keys", "new", "pin", "rotate"]
