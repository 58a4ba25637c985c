#!/bin/sh
# Plays k0s where only the order and number of its calls matter: writes each call down, makes the unit and the files
# that others look for, and runs nothing.
echo "$*" >>/var/log/k0s-calls
case "$1" in
version) echo v1.36.3+k0s.2 ;;
install)
    unit=k0s$2
    exec_start="/usr/local/bin/k0s $2"
    shift 2
    for argument; do
        case "$argument" in
        --force) ;;
        *) exec_start="$exec_start $argument" ;;
        esac
    done
    mkdir -p /var/lib/k0s
    touch /var/lib/k0s/something
    printf '[Service]\nExecStart=%s\n[Install]\nWantedBy=multi-user.target\n' "$exec_start" \
        >"/etc/systemd/system/$unit.service"
    systemctl daemon-reload
    ;;
start) for unit in k0scontroller k0sworker; do
    [ ! -e "/etc/systemd/system/$unit.service" ] || systemctl start "$unit"
done ;;
stop) for unit in k0scontroller k0sworker; do
    [ ! -e "/etc/systemd/system/$unit.service" ] || systemctl stop "$unit"
done ;;
controller | worker) exec sleep infinity ;;
reset)
    rm -rf /var/lib/k0s/* /etc/systemd/system/k0scontroller.service /etc/systemd/system/k0sworker.service
    systemctl daemon-reload
    ;;
esac
