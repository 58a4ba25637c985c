# The built-in clean-up, run as a step on the host: stops k0s, lets it remove what it made, and verifies that nothing
# of it is left. Exits with 3 after saying what is. `root` is put in front; K0SMOTRON_INSTALL is the install's directory.
# `k0s etcd leave` is not called: a member leaves through the control plane before its machine is deleted, and on a
# host whose member has left already that command hangs for ever.
set -u
PATH="${PATH:+$PATH:}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
export PATH
left=''

# At most $1 seconds for the rest of the line.
within() {
    seconds=$1
    shift
    if command -v timeout >/dev/null; then timeout -s KILL "$seconds" "$@"; else "$@"; fi
}

leave() { left="$left$1; "; }

# The value of option $1 in the running unit. Only plain paths: anything else is not guessed at.
option() {
    printf '%s\n' "$arguments" | sed -n "s/^--$1=\(\/[A-Za-z0-9_.\/-]*\)\$/\1/p" | head -n 1
}

k0s='' data='' kubelet='' socket=''
for role in controller worker; do
    name="k0s$role"
    for unit in "$root/etc/systemd/system/$name.service" "$root/etc/init.d/$name" "$root/etc/init/$name.conf"; do
        [ -e "$unit" ] || continue
        # systemd: ExecStart=, OpenRC: command= and command_args=, SysV: cmd=. One argument a line, without quotes.
        arguments=$(grep -E '^(ExecStart=|command=|command_args=|cmd=)|^[[:space:]]*exec ' "$unit" |
            sed 's/^[a-zA-Z_]*=//' | tr -d "\"'" | tr ' \t' '\n\n')
        k0s=$(printf '%s\n' "$arguments" | grep -E '^/.*/k0s[^/]*$' | head -n 1)
        data=$(option data-dir)
        kubelet=$(option kubelet-root-dir)
        socket=$(printf '%s\n' "$arguments" | sed -n 's/^--cri-socket=\([A-Za-z0-9_.:\/-]*\)$/\1/p' | head -n 1)
    done
    # Whatever runs the tests has an init system that is none of ours.
    if [ -n "$root" ]; then continue; fi
    if [ -e "/etc/systemd/system/$name.service" ] && command -v systemctl >/dev/null; then
        within 20 systemctl stop "$name" || systemctl kill -s KILL "$name"
        # A worker may end with an error when it is stopped; systemd remembers that beyond the unit's end, and k0s
        # installs nothing over a failed service.
        systemctl reset-failed "$name" 2>/dev/null
    elif [ -e "/etc/init.d/$name" ]; then
        if command -v rc-service >/dev/null; then within 20 rc-service "$name" stop; else within 20 service "$name" stop; fi
    elif [ -e "/etc/init/$name.conf" ]; then
        within 20 initctl stop "$name"
    fi
done
data=${data:-$root/var/lib/k0s}
if [ ! -x "${k0s:-/nowhere}" ]; then
    k0s=''
    if [ -z "$root" ]; then k0s=$(command -v k0s); fi
fi

# Processes of k0s' own: the binary itself, and what it unpacked below its data directory. Containers have paths of
# their own; a k0s that runs inside one is none of ours.
processes() {
    here=$(readlink /proc/self/ns/pid)
    for process in /proc/[0-9]*; do
        program=$(readlink "$process/exe" 2>/dev/null) || continue
        [ "$(readlink "$process/ns/pid" 2>/dev/null)" = "$here" ] || continue
        case ${program%" (deleted)"} in
            "$data"/bin/*) printf '%s\n' "${process#/proc/}" ;;
            "${k0s:-/nowhere}") printf '%s\n' "${process#/proc/}" ;;
        esac
    done
}

has_unit() {
    for role in controller worker; do
        for unit in "$root/etc/systemd/system/k0s$role.service" "$root/etc/init.d/k0s$role" \
            "$root/etc/init/k0s$role.conf"; do
            if [ -e "$unit" ]; then return 0; fi
        done
    done
    return 1
}

has_data() { [ -d "$data" ] && [ -n "$(ls -A "$data")" ]; }

# Twice, since what holds a mount or a socket may take its time to go.
for attempt in 1 2; do
    has_unit || has_data || break
    if [ -z "$k0s" ]; then break; fi
    if [ "$attempt" = 2 ]; then sleep 1; fi
    set -- reset "--data-dir=$data"
    if [ -n "$kubelet" ]; then set -- "$@" "--kubelet-root-dir=$kubelet"; fi
    if [ -n "$socket" ]; then set -- "$@" "--cri-socket=$socket"; fi
    if within 45 "$k0s" "$@"; then break; fi
    for process in $(processes); do kill -9 "$process" 2>/dev/null; done
done

# Without the binary, or when it gave up half way, the units at least must not start anything again.
if has_unit; then
    for role in controller worker; do
        rm -f "$root/etc/systemd/system/k0s$role.service" "$root/etc/init.d/k0s$role" "$root/etc/init/k0s$role.conf"
    done
    if [ -z "$root" ] && [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
        within 20 systemctl daemon-reload
    fi
fi

# What we wrote: `k0s reset` knows nothing of it, and may never have been there to run.
if [ -e "$K0SMOTRON_INSTALL/files" ]; then
    while IFS= read -r path; do rm -f "$path"; done <"$K0SMOTRON_INSTALL/files"
fi
if [ -d "$data" ]; then find "$data" -depth -type d -exec rmdir {} + 2>/dev/null; fi

remaining=$(processes)
if [ -n "$remaining" ]; then
    for process in $remaining; do kill -9 "$process" 2>/dev/null; done
    # Mostly gone at once. Not every sleep knows fractions.
    for pause in 0.1 0.4 1; do
        sleep "$pause" 2>/dev/null || sleep 1
        remaining=$(processes | tr '\n' ' ')
        if [ -z "$remaining" ]; then break; fi
    done
    if [ -n "$remaining" ]; then leave "processes of k0s still run: $remaining"; fi
fi
if has_unit; then leave "the k0s service is still installed"; fi
if has_data; then leave "$data is not empty"; fi
if [ -n "$kubelet" ] && [ -d "$kubelet" ] && [ -n "$(ls -A "$kubelet")" ]; then leave "$kubelet is not empty"; fi
if [ -n "$left" ]; then
    printf 'not clean: %s\n' "${left%; }"
    exit 3
fi
