"""Errors that no other test meets, each by the function that finds it, on a machine that is so."""

from __future__ import annotations

import re

import pytest

from scitex_ssh.bastion import bastion_program
from tests.shell.shells import Shell, prelude

# The slug, and what is so: the functions and values of the prelude in whose place these stand.
OWN = "t_user=$me t_config=/c t_state_home=/s t_host=lab1"
WAY = (
    "t_login=a@gw t_known_name=gw t_key=/k t_bastion_host=gw t_bastion_port=22 t_folder=/none t_port=2222; "
    'said() { words=$(mktemp); echo "$1" >"$words"; ssh_cause "$words"; rm -f "$words"; };'
)
RAISED = {
    "keeper-missing": f"{OWN} t_keeper=screen; have() {{ false; }}; check_keeper",
    "keeper-none": "can_be_root() { false; }; find_standing() { false; }; locate() { t_shell=/bin/csh; }; "
    "check_own() { :; }; check_keeper() { problem profile-shell shell=/bin/csh user=alice; }; "
    "t_user=$me t_keeper=auto; choose_keeper",
    "bad-home": f"{OWN} t_config='/a b' t_keeper=cron; check_own",
    "proc-missing": f"{OWN} t_keeper=cron; birth() {{ :; }}; check_own",
    "user-manager-missing": f"{OWN}; check_systemd() {{ :; }}; linger_is_on() {{ :; }}; "
    "manager_answers() { false; }; check_user_manager",
    "keeper-lines-missing": "t_keeper=cron; crontab_has() { false; }; held_is_fit",
    "linger-missing": "t_keeper=systemd-user t_unit=u t_user=$me; linger_is_on() { false; }; keeper_is_fit",
    "keeper-outdated": "t_keeper=nohup; held_pid() { echo 1; }; held_is_current() { false; }; held_is_fit",
    "service-failed": "t_stage='' wait_seconds=0 t_unit='' t_service=x t_log=y; keeper_is_up() { false; }; "
    "supervisor_says() { :; }; wait_verified",
    "not-up": "t_stage='' wait_seconds=0 t_log=y; keeper_is_up() { :; }; "
    "supervisor_says() { :; }; wait_verified",
    "wrong-host": "t_port=2222 proven_forwards=' ' each=1 reach=alone; prove() { dialled=other; }; "
    "proven_now",
    "target-drops": "t_kind=remote t_target_port=22 t_target=localhost:22; listens_here() { :; }; "
    "closed_problem",
    "not-yours": "wanted='' tunnels=1 me=nobody; bind_1() { t_user=root; }; doctor_all",
    "bastion-lost": "t_login=a@gw; dialled=lost; spot=/nonexistent; prove() { :; }; "
    "last_words() { echo x; }; "
    "t_count=1 level='' seen_levels=''; weigh_forward; problem \"$cause\" host=gw login=a@gw why=\"$detail\"",
    "busy": "lock=/tmp; clock=$(mktemp); flock() { return 1; }; sleep() { :; }; "
    'seconds() { echo x >>"$clock"; echo $(($(wc -l <"$clock") * 70)); }; take_lock; rm -f "$clock"',
    "identity-clash": f"{WAY} said 'identity-clash: another machine with the same key holds the port'",
    "port-refused": f"{WAY} said 'Error: remote port forwarding failed for listen port 2222'",
    "ssh-failed": "t_login=a@gw t_known_name=gw t_key=/k t_bastion_host=gw "
    "t_bastion_port=22 t_folder=/nonexistent; "
    'words=$(mktemp); echo "ssh: it is raining" >"$words"; ssh_cause "$words"; rm -f "$words"',
}


@pytest.mark.parametrize("slug", sorted(RAISED))
def test_what_is_so_is_told(shell: Shell, slug: str) -> None:
    """By that slug, with every fact of its sentence and its next move."""
    said = shell.run(f"{prelude()}\nforget\nt_name=2222\n{RAISED[slug]}")
    slugs = re.findall(r"^  \[([a-z-]+)\]$", said.stderr, re.MULTILINE)
    assert slugs == [slug], said
    assert "?" not in said.stderr


# On a bastion, where a step of somebody's account or disk fails half-way.
FAILS = (
    "plain=1 prefix=plain_ dry_run=0 t_account=me t_name=lab1 t_key_file=/k t_lines='' t_publics=k; "
    "converge() { title='file /k' refused='no space'; return 1; }"
)
ON_A_BASTION = {
    "bastion-step": f"{FAILS}; keep=0 t_ports=2222; lines_of() {{ :; }}; check_ports() {{ :; }}; "
    "make_lines() { :; }; other_lines() { :; }; check_elsewhere() { :; }; authorize_one",
    "revoke-failed": f"{FAILS}; lines_of() {{ echo x; }}; other_lines() {{ :; }}; revoke_one",
}


@pytest.mark.parametrize("slug", sorted(ON_A_BASTION))
def test_what_fails_on_a_bastion_is_told(shell: Shell, slug: str) -> None:
    """By that slug, with every fact of its sentence and its next move."""
    said = shell.run(bastion_program(f"{ON_A_BASTION[slug]}; exit"))
    assert re.findall(r"^  \[([a-z-]+)\]$", said.stderr, re.MULTILINE) == [slug], said
    assert "?" not in said.stderr
