#!/bin/sh
# scitex-ssh, one file for two kinds of host. Behind this text stands a zip archive with the whole
# command line: a Python 3.9 or newer imports it in place, nothing is unpacked and nothing written.
# Without such a Python the rest of this text is the program: setup, status and remove in POSIX sh.
#
#   SCITEX_SSH_PYTHON=/path/to/python3   use this Python
#   SCITEX_SSH_PYTHON=search             try each Python before it is used
#   SCITEX_SSH_PYTHON=none               use the shell program
#
# -I: no PYTHON* variable and no package of the user's can get in the way; -S: no site-packages, all
# that is needed is in here; -B: leave no __pycache__. Importing with -c, and not running the archive,
# saves Python the import of runpy. The names are long because a plain one may be exported by the
# caller, and would reach ssh changed.
scitex_ssh_run='import sys; del sys.argv[0]; sys.path.insert(0, sys.argv[0]); import boot; boot.run()'
scitex_ssh_try='import sys; sys.path.insert(0, sys.argv[1]); import boot; sys.exit(not boot.usable())'
scitex_ssh_way=${SCITEX_SSH_PYTHON:-first}
[ -f "$0" ] || scitex_ssh_way=none # read from a pipe: there is no archive to import from

# The common case takes no second interpreter start: the first python3 on PATH is started at once,
# and hands over to `search` by itself when it is too old or incomplete (boot.py). A shim of pyenv or
# asdf is passed by: it is slow, and may stand for a Python that is not there.
if [ "$scitex_ssh_way" = first ]; then
    IFS=:
    set -f
    for scitex_ssh_dir in $PATH; do
        case $scitex_ssh_dir in */shims) continue ;; esac
        [ -f "$scitex_ssh_dir/python3" ] && [ -x "$scitex_ssh_dir/python3" ] &&
            exec "$scitex_ssh_dir/python3" -IBS -c "$scitex_ssh_run" "$0" "$@"
    done
    set +f
    unset IFS
    scitex_ssh_way=search
fi

case $scitex_ssh_way in
none) ;;
search)
    unset SCITEX_SSH_PYTHON
    for scitex_ssh_py in python3 python3.14 python3.13 python3.12 python3.11 python3.10 \
        python3.9 /usr/libexec/platform-python; do
        command -v "$scitex_ssh_py" >/dev/null 2>&1 || continue
        "$scitex_ssh_py" -IBS -c "$scitex_ssh_try" "$0" </dev/null >/dev/null 2>&1 || continue
        # shellcheck disable=SC2093  # it does not come back: the loop is for those that fail the try
        exec "$scitex_ssh_py" -IBS -c "$scitex_ssh_run" "$0" "$@"
    done
    ;;
*) exec "$scitex_ssh_way" -IBS -c "$scitex_ssh_run" "$0" "$@" ;;
esac

