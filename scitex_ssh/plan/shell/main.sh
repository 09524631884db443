# The flags of a program whose tunnels are known.

usage_problem() {
    problem usage why="$1" command="$2"
    finish
}

# An empty one would trust any key.
take_fingerprint() {
    case $1 in
    SHA256:?*) accept_new=1 fingerprint="$fingerprint $1" ;;
    *) problem usage why="$(quoted "$1") is not a fingerprint (SHA256:...)" command="${program:-sh ${0##*/}}" ;;
    esac
}

options() {
    dry_run=0 accept_new=0 accept_listening=0 must_exist=0 wait_seconds=30 wanted='' fingerprint='' any_port=0 yes=0 wanted_text=''
    for option in "$@"; do
        case $option in
        --dry-run) dry_run=1 ;;
        --machine) machine=1 ;;
        --accept-new-host-key) accept_new=1 ;;
        # An empty one would trust any key.
        --host-key-fingerprint=SHA256:?*) accept_new=1 fingerprint="$fingerprint ${option#*=}" ;;
        --host-key-fingerprint=*) usage_problem "'${option#*=}' is not a fingerprint (SHA256:...)" "sh ${0##*/}" ;;
        --accept-listening) accept_listening=1 ;;
        --name=*) wanted="$wanted ${option#*=}" ;;
        --port=*) t_bastion_host='' && wanted="$wanted $(tunnels_on "${option#*=}")" ;;
        --foreground=*) foreground=${option#*=} ;;
        --text=*) wanted_text=${option#*=} ;;
        --any-port) any_port=1 ;;
        --must-exist) must_exist=1 ;;
        --yes) yes=1 ;;
        --help)
            printf 'usage: sh %s [--yes] [--dry-run] [--accept-new-host-key | --host-key-fingerprint=SHA256:...] [--accept-listening]\n' "${0##*/}"
            exit 0
            ;;
        --version)
            printf 'scitex-ssh %s\n' "$version"
            exit 0
            ;;
        *) usage_problem "it takes no '$option'" "sh ${0##*/}" ;;
        esac || finish
    done
}

# main setup|remove [FLAG]...
main() {
    word=$1
    shift
    options "$@"
    make_work || finish
    case $word in
    setup) setup_all "$@" ;;
    remove) remove_all "$@" ;;
    foreground) foreground_one ;;
    render) render_one ;;
    doctor) doctor_all ;;
    status)
        spread
        for n in $tunnels; do forget && "bind_$n" && located && wanted="$wanted $t_name"; done
        status_all
        ;;
    esac
}

# The text --text of the first tunnel, as set-up would write it. Nothing is looked at but what the text needs.
render_one() {
    forget
    bind_1
    # Whoever keeps a tunnel of that name now: what was asked for is shown.
    choose_keeper() { :; }
    fill_in || finish
    case $wanted_text in ssh_config) check_key || finish ;; esac
    "text_$wanted_text" >"$work/text"
    while IFS= read -r line; do show_line "$line"; done <"$work/text"
    finish
}

# One tunnel, kept by this very process, from a folder of the caller's, until it is asked to end.
foreground_one() {
    forget
    bind_1
    t_keeper=foreground
    derive && each_forward check_target && check_bastion && each_forward check_port && derive_forwards || finish
    mkdir -p "$t_state"
    text_ssh_config >"$t_folder/ssh_config"
    text_known_hosts >"$t_folder/known_hosts"
    text_description >"$t_folder/tunnel.json"
    text_run >"$t_folder/run"
    ln -sfn "$t_key" "$t_folder/key"
    put_jump_keys "$t_folder"
    sh "$t_folder/run" "$t_folder" "$t_state" 2>"$t_state/log" &
    keeper=$!
    trap 'kill "$keeper" 2>/dev/null; wait "$keeper"; finish' INT TERM HUP
    if wait_verified; then
        result "$proven"
        wait "$keeper"
    else
        kill "$keeper"
        wait "$keeper"
    fi
    finish
}
