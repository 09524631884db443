"""``python -m scitex_ssh``."""

import sys

from scitex_ssh.cli import main

sys.exit(main())
