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
        answer "state=clean"
    fi
    mkdir -p "$base" && ln -s "$id" "$lock" || abort "cannot write to $base"
fi
mkdir -p "$state" || abort "cannot write to $state"
if [ -d "$state/bootstrap" ]; then stop_job "$state/bootstrap"; fi
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
    rm -rf "$state"
    # Last: whoever finds no lock finds nothing of ours.
    rm -f "$lock"
    rmdir "$base" 2>/dev/null
    answer "state=clean"
fi
answer "state=$result step=${failed_step%%-*} exit=$exit_status" "$(printed "$failed_step")"
