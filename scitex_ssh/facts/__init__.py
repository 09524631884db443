"""The pyinfra back end: facts."""

from __future__ import annotations

from gevent import get_hub
from pyinfra.api.exceptions import PyinfraError

# A fact that fails on the last machine left ends a run. pyinfra says so in words, at its end; a traceback, in
# which gevent tells of whatever ends a greenlet, is for nobody.
get_hub().NOT_ERROR = (*get_hub().NOT_ERROR, PyinfraError)
