# Takes the host for this install, or goes on with what an earlier session began. `stage` follows above.
mkdir -p "$base" 2>/dev/null || abort "cannot write to $base"
# Whoever loses the race for the lock is told who won it.
holder=$(readlink "$lock" 2>/dev/null)
if [ -z "$holder" ]; then
    found=$(units | head -n 1)
    if [ -n "$found" ]; then
        if [ "$(machine_of "$found")" != "$machine" ]; then
            answer "state=in-use" "k0s is installed there ($found), and not for this machine"
        fi
        # Whoever looked after this machine before us finished bootstrapping it: it is ours as it stands.
        if [ -e "$sentinel" ]; then
            ln -s "$id" "$lock" && mkdir -p "$state" && printf '%s\n' "$owner" >"$state/owner" &&
                : >"$state/complete"
            answer "state=done adopted=yes"
        fi
    fi
    if ln -s "$id" "$lock" 2>/dev/null; then
        # Of a bootstrap before ours.
        rm -f "$sentinel"
        # systemd remembers a service that failed even when its unit is gone, and k0s installs nothing over one.
        if [ -z "$root$found" ] && [ -d /run/systemd/system ]; then
            systemctl reset-failed k0scontroller k0sworker </dev/null 2>/dev/null
        fi
        holder=$id
    else
        holder=$(readlink "$lock" 2>/dev/null)
    fi
fi
if [ "$holder" != "$id" ]; then
    by=$(cat "$base/install-$holder/owner" 2>/dev/null)
    answer "state=in-use" "it is held by ${by:-install $holder}"
fi
mkdir -p "$state" || abort "cannot write to $state"
if [ -e "$state/complete" ]; then answer "state=done"; fi
printf '%s\n' "$owner" >"$state/owner"
job="$state/bootstrap"
run_job "$step_seconds" stop
case $result in
    ok)
        if [ ! -e "$sentinel" ]; then answer "state=no-sentinel"; fi
        : >"$state/complete"
        # Commands and their output may hold secrets, and nobody asks for them any more.
        rm -f "$job/steps/"* "$job/output/"*
        answer "state=done"
        ;;
    *) answer "state=$result step=${failed_step%%-*} exit=$exit_status" "$(printed "$failed_step")" ;;
esac
