# Make before break: where a tunnel that stands is to go to another bastion, the new one is made and proven beside
# it, from the folder of this run, before anything of the old one is touched. On the same bastion it cannot be:
# the port is one, and the old session has it. So it is with the ports of this machine, and it is done for a tunnel of
# one forward from a bastion's port.

# goes_elsewhere: the tunnel stands, on another bastion than the one wanted.
goes_elsewhere() {
    case $t_count:$t_kind:$t_listen:$t_former in *:older*) return 1 ;; 1:remote:[!/]*) ;; *) return 1 ;; esac
    tunnel_is_ours && [ "$(written bastion)" != "$t_bastion" ]
}

# prove_beside: true where it was proven, or cannot be tried.
prove_beside() {
    goes_elsewhere || return 0
    # Held by a session that may be our own: the other bastion may be the same one under another name.
    [ "$dialled" != mine ] || return 0
    if ! try_port; then
        [ "$dialled" = none ] || return 0
        problem forwarding-refused port="$t_port" login="$t_login"
        return
    fi
    # The folder is the user's by now, so nothing is written there by root.
    # shellcheck disable=SC2016  # expanded by the inner shell
    text_run | as_user sh -c 'mkdir "$1/state" && cat >"$1/run"' sh "$t_stage" || return 0
    besides="${besides-} $n"
    as_user sh "$t_stage/run" "$t_stage" "$t_stage/state" >/dev/null 2>&1 6>&- 7>&- &
    installed=$t_state
    t_state=$t_stage/state
    stood=0
    wait_verified || stood=1
    t_state=$installed
    if [ "$stood" = 0 ]; then event ok "the new tunnel is proven beside the old one"; else end_beside; fi
    return "$stood"
}

# end_beside: what prove_beside started for this tunnel. The user wrote whom to end, so it is the user who ends it.
end_beside() {
    # shellcheck disable=SC2016  # expanded by the inner shell
    as_user sh -c 'read -r child _ supervisor _ <"$1" && rm -f "$1" && kill "$supervisor" "$child"' sh \
        "$work/$t_name/state/child" 2>/dev/null || :
}

end_all_beside() {
    for n in ${besides-}; do
        recall "$n"
        end_beside
    done
    besides=
}
