# Runs the steps of a job, detached from the connection that brought it here. Started as
#   setsid sh runner <job directory> <turn> <seconds a step may take> <stop|go-on>
# and leaves in the job's directory: done/<step> for each step that succeeded, output/<step>, and at the end one line
# in `result`: `ok`, or `failed|expired <step> <exit status>` for the first step that did not succeed.
set -u
umask 077
trap '' HUP
job=$1 turn=$2 seconds=$3 after_failure=$4
# Where the install keeps what it knows, for steps of ours.
export K0SMOTRON_INSTALL="${job%/*}"

# What tells process $1 from a later one with its number; the second field of stat may hold blanks and parentheses.
identity='printf "%s:%s:%s" "$1" "$(sed "s/^.*) //" "/proc/$1/stat" | cut -d " " -f 20)" \
    "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"'
# A command says who it is before it begins, so that nobody begins it again beside it.
begin='sh -c "$1" sh $$ >"$2/command" && umask 022 && cd "${HOME:-/}" && exec "$SHELL" "$3"'

# Exactly one runner per turn.
ln -s "$(sh -c "$identity" sh $$)" "$job/turn.$turn" 2>/dev/null || exit 0
# Whoever closed the job looked for a turn to end before this one was taken.
if [ -e "$job/closed" ]; then exit 0; fi

finish() {
    printf '%s\n' "$1" >"$job/result~"
    mv -f "$job/result~" "$job/result"
    exit 0
}

first_failure=''
for step in "$job"/steps/*; do
    name=${step##*/}
    if [ ! -e "$step" ] || [ -e "$job/done/$name" ]; then continue; fi
    # A session, so a process group, of its own: what the step started can be ended with it. Umask and directory are
    # those that a command given to ssh would find.
    setsid sh -c "$begin" sh "$identity" "$job" "$step" </dev/null >"$job/output/$name" 2>&1 &
    command=$!
    rm -f "$job/expired"
    # It outlives a runner that is killed, and the number of the command may be another's by the time it wakes.
    setsid sh -c 'its() {
            [ -d "$3" ] || exit
            said=$(cat "$3/command" 2>/dev/null)
            [ -z "$said" ] || [ "$said" = "$(sh -c "$4" sh "$2" 2>/dev/null)" ] || exit
        }
        sleep "$1"; its "$@"; : >"$3/expired"; kill -15 "-$2"; sleep 5; its "$@"; kill -9 "-$2"' \
        sh "$seconds" "$command" "$job" "$identity" </dev/null >/dev/null 2>&1 &
    watchdog=$!
    wait "$command"
    status=$?
    # The group exists only once the watchdog got as far as calling setsid.
    kill -9 "-$watchdog" 2>/dev/null || kill -9 "$watchdog" 2>/dev/null
    wait "$watchdog" 2>/dev/null
    rm -f "$job/command"
    if [ -e "$job/expired" ]; then
        # Not even the last process of the group survives its deadline.
        kill -9 "-$command" 2>/dev/null
        outcome="expired $name $status"
    elif [ "$status" = 0 ]; then
        : >"$job/done/$name"
        continue
    else
        outcome="failed $name $status"
    fi
    if [ "$after_failure" = stop ]; then finish "$outcome"; fi
    first_failure=${first_failure:-$outcome}
done
finish "${first_failure:-ok}"
