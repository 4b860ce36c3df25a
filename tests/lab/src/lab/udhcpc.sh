#!/bin/sh
# What udhcpc does with an event ($1). METRIC is the metric of the default route.
# The address is also written to a file, which tells the lab that the client is done.
state=/run/lab/lease-$interface
case $1 in
deconfig)
    : > "$state"
    ip link set "$interface" up
    ip -4 address flush dev "$interface"
    ;;
bound | renew)
    [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
    ip -4 address replace "$ip/$mask" dev "$interface" \
        valid_lft "$lease" preferred_lft "$lease"
    # A second default route over this interface would be one of an earlier gateway.
    ip -4 route flush default dev "$interface"
    for gateway in $router; do
        ip -4 route replace default via "$gateway" dev "$interface" metric "$METRIC"
    done
    echo "$ip" > "$state.new"
    mv "$state.new" "$state"
    ;;
esac
