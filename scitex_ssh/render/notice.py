"""What is said before the first tunnel of a machine."""

from __future__ import annotations

NOTICE = """\
A reverse tunnel lets this machine be reached from outside, past firewalls that may be there on purpose.
Check the acceptable use policy of your organisation, and the terms of the networks on the way, before you
set one up: you answer for what it is used for.
"""
QUESTION = "Do they permit it?"
