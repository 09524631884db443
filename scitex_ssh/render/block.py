"""The lines of one tunnel in files that are the user's: a crontab, the files that a login shell reads."""

from __future__ import annotations

from scitex_ssh.render.template import Template

# The same marks in every file; `marked` in plan/shell/keepers.sh looks for them.
BEGINS = "# >>> scitex-ssh tunnel @name@: scitex-ssh remove takes these lines away"
ENDS = "# <<< scitex-ssh tunnel @name@"

# No redirection and no quote: whatever SHELL= the crontab names can read it. "start" is silent.
CRONTAB = Template(
    f"""\
{BEGINS}
@reboot /bin/sh @folder@/start
* * * * * /bin/sh @folder@/start
{ENDS}
"""
)
# Only for a person's shell; in the background of a subshell, so that no job is announced and nobody waits.
# Without the trap, a terminal that closes at once would end it before it is out of that one's reach.
PROFILE = Template(
    f"""\
{BEGINS}
case $- in *i*) (trap '' HUP; /bin/sh @folder@/start </dev/null >/dev/null 2>&1 &) ;; esac
{ENDS}
"""
)
FISH = Template(
    f"""\
{BEGINS}
status is-interactive; and /bin/sh -c 'trap "" HUP; /bin/sh @folder@/start </dev/null >/dev/null 2>&1 &'
{ENDS}
"""
)
