# What every script sent to a host begins with. It arrives on the standard input of one `sh`, below the values that
# host/script.rs puts in front:
#   root     where the host's file system begins; empty but in tests
#   id       the install id of the RemoteMachine
#   owner    which RemoteMachine that is, for people
#   machine  the name of its Machine
#   limit    seconds to wait before answering `running`
# POSIX sh, and of the tools only what coreutils, util-linux and busybox all have.
set -u
umask 077
export LC_ALL=C
PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH

# A directory that neither `k0s reset` nor a reboot empties.
if [ "$(id -u)" = 0 ]; then base="$root/var/lib/k0smotron"; else base="$HOME/.k0smotron"; fi
# The lock is a link that points nowhere: `ln -s` makes it and says whose it is in one step.
lock="$base/host"
state="$base/install-$id"
sentinel="$root/run/cluster-api/bootstrap-success.complete"

# The one answer, and the end: a line of key=value pairs, then free text. Not for subshells and pipelines.
answer() {
    printf 'k0smotron-answer %s\n%s' "$1" "${2:-}"
    exit 0
}

abort() { answer "state=aborted" "$1"; }

# The end of what a step of the job printed.
printed() { tail -c 4096 "$job/output/$1" 2>/dev/null; }

# When process $1 started, in clock ticks since boot; nothing if it is not there, or only waits to be reaped.
started_at() {
    # The second field is the command's name, which may hold blanks and parentheses. Words are wanted.
    # shellcheck disable=SC2046
    set -- $(sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null)
    case ${1:-Z} in Z | X) ;; *) printf '%s' "${20}" ;; esac
}

# A process id alone is reused; with these it is not.
identity_of() {
    printf '%s:%s:%s' "$1" "$(started_at "$1")" "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
}

is_alive() {
    case $1 in [1-9]*:[1-9]*:*) [ "$(identity_of "${1%%:*}")" = "$1" ] ;; *) return 1 ;; esac
}

# Turns of a job are links `turn.1`, `turn.2`, … to the identity of whoever took it. Taking the next one is atomic,
# and nothing has to be removed when a holder died.
last_turn() {
    turn=0
    while [ -L "$1/turn.$((turn + 1))" ]; do turn=$((turn + 1)); done
}

take_turn() {
    ln -s "$(identity_of "$2")" "$1/turn.$((turn + 1))" 2>/dev/null
}

turn_holder() {
    readlink "$1/turn.$turn" 2>/dev/null
}

# The k0s units on this host, of any init system that `k0s install` writes for.
units() {
    for role in controller worker; do
        for unit in "$root/etc/systemd/system/k0s$role.service" "$root/etc/init.d/k0s$role" \
            "$root/etc/init/k0s$role.conf"; do
            if [ -e "$unit" ]; then printf '%s\n' "$unit"; fi
        done
    done
}

# The Machine that a unit was installed for: workers carry it as node label, controllers as autopilot's host name.
machine_of() {
    grep -oE '(k0smotron\.io/machine-name|AUTOPILOT_HOSTNAME)=[A-Za-z0-9.-]+' "$1" | head -n 1 | cut -d = -f 2
}

# Ends what is left of a job: its runner, and the command that the runner was at.
stop_job() {
    last_turn "$1"
    holder=$(turn_holder "$1")
    if is_alive "$holder"; then kill -9 "-${holder%%:*}" 2>/dev/null || kill -9 "${holder%%:*}"; fi
    command=$(cat "$1/command" 2>/dev/null)
    if is_alive "$command"; then kill -9 "-${command%%:*}" 2>/dev/null || kill -9 "${command%%:*}"; fi
}

# Writes standard input, base64, to the file $1 with mode $2 and owner $3 (empty: ours): beside it first, so that nobody
# reads half of it. $4: empty, or what tells apart the pieces that are added to the file.
file() {
    target=$1
    if [ -L "$target" ]; then target=$(readlink -f "$target"); fi
    if [ -d "$target" ]; then abort "$1 is a directory"; fi
    directory=${target%/*}
    if [ -n "$directory" ] && [ ! -d "$directory" ]; then
        (umask 022 && mkdir -p "$directory") || abort "cannot make the directory $directory"
    fi
    # Only what was not there before may go with the machine.
    if [ ! -e "$target" ]; then printf '%s\n' "$target" >>"$state/files"; fi
    new="$target.k0smotron~"
    {
        base64 -d >"$new.piece" &&
            # A piece is added once, however often the script comes.
            if [ -z "$4" ]; then mv -f "$new.piece" "$new"
            elif [ -e "$state/added-$4" ]; then rm -f "$new.piece"
            else { if [ -e "$target" ]; then cat "$target"; fi && cat "$new.piece"; } >"$new" && rm -f "$new.piece"
            fi &&
            if [ -e "$new" ]; then
                chmod "$2" "$new" && { [ -z "$3" ] || chown "$3" "$new"; } && mv -f "$new" "$target" &&
                    { [ -z "$4" ] || : >"$state/added-$4"; }
            fi
    } 2>"$state/error" || abort "cannot write $1: $(cat "$state/error")"
}

# A step of the job that is being put in place.
step() {
    base64 -d >"$job/steps/$1" 2>"$state/error" || abort "cannot write a step: $(cat "$state/error")"
}

# Runs the job in $job, unless it already runs, and returns when it is over. `stage` puts its steps in place.
# $1: seconds that one step may take; $2: `stop` or `go-on`, after a step that failed.
run_job() {
    command -v base64 >/dev/null && command -v setsid >/dev/null || abort "the host has no base64 or no setsid"
    mkdir -p "$job/steps" "$job/done" "$job/output" || abort "cannot write to $job"
    last_turn "$job"
    if ! is_alive "$(turn_holder "$job")"; then
        # If another session was faster, its runner is waited for.
        if take_turn "$job" $$; then
            turn=$((turn + 1))
            # A clean-up came in between, and may be over: what begins now would never be cleaned.
            if [ -e "$job/closed" ] || [ "$(readlink "$lock")" != "$id" ]; then answer "state=interrupted"; fi
            # A runner that was killed leaves its command behind.
            command=$(cat "$job/command" 2>/dev/null)
            if is_alive "$command"; then kill -9 "-${command%%:*}" 2>/dev/null; fi
            rm -f "$job/result" "$job/steps/"*
            stage
            case ${SHELL:-} in */sh | */bash | */dash | */ash | */ksh | */zsh) ;; *) SHELL=/bin/sh ;; esac
            export SHELL
            setsid sh "$state/runner" "$job" "$((turn + 1))" "$1" "$2" </dev/null >/dev/null 2>&1 &
            runner=$!
            # Until the runner holds the turn after ours, nobody else may begin.
            while [ ! -L "$job/turn.$((turn + 1))" ] && kill -0 "$runner" 2>/dev/null; do nap; done
        fi
    fi
    ends=$(($(date +%s) + limit)) naps=0
    while [ ! -e "$job/result" ]; do
        naps=$((naps + 1))
        if [ $((naps % 20)) = 0 ]; then
            if [ "$(date +%s)" -ge "$ends" ]; then answer "state=running"; fi
            last_turn "$job"
            holder=$(turn_holder "$job")
            # A turn that is still ours means that the runner did not even begin.
            if [ "$holder" = "$(identity_of $$)" ] || ! is_alive "$holder"; then
                if [ ! -e "$job/result" ]; then answer "state=interrupted"; fi
            fi
        fi
        nap
    done
    read -r result failed_step exit_status <"$job/result"
}

nap() { sleep 0.05 2>/dev/null || sleep 1; }
