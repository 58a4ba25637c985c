# Ends whatever this install does on the host, runs the clean-up, and gives the host up once that succeeded.
# `stage` follows above; owned=yes says that this machine is known to have been provisioned.
holder=$(readlink "$lock" 2>/dev/null)
if [ -n "$holder" ] && [ "$holder" != "$id" ]; then
    by=$(cat "$base/install-$holder/owner" 2>/dev/null)
    answer "state=foreign" "it is held by ${by:-install $holder}"
fi
if [ -z "$holder" ]; then
    # Never taken, given up already, or set up by whoever looked after this machine before us.
    found=$(units | head -n 1)
    if [ -n "$found" ]; then
        named=$(machine_of "$found")
        if [ "$named" != "$machine" ] && { [ -n "$named" ] || [ "$owned" != yes ]; }; then
            answer "state=foreign" "k0s is installed there ($found), and not for this machine"
        fi
    elif [ "$owned" != yes ]; then
        rm -rf "$state"
        answer "state=clean"
    fi
    mkdir -p "$base" && ln -s "$id" "$lock" || abort "cannot write to $base"
fi
# Closed first: a session that was cut off may only now come to begin.
mkdir -p "$state/bootstrap" && : >"$state/bootstrap/closed" || abort "cannot write to $state"
stop_job "$state/bootstrap"
job="$state/cleanup"
# What succeeded before is looked at again: it is quick, and a clean host is what is promised.
if [ -e "$job/result" ]; then rm -rf "$job"; fi
run_job "$step_seconds" go-on
if [ "$result" = ok ]; then
    # After the user's own commands, too.
    if [ -e "$state/files" ]; then
        while IFS= read -r path; do rm -f "$path"; done <"$state/files"
    fi
    rm -f "$sentinel"
    # The lock first: until its end a late session finds either the closed job or no lock.
    rm -f "$lock"
    rm -rf "$state"
    rmdir "$base" 2>/dev/null
    answer "state=clean"
fi
answer "state=$result step=${failed_step%%-*} exit=$exit_status" "$(printed "$failed_step")"
