#!/usr/bin/env bash
# judge.sh PATIENCE : runs inside of a whole system: ./script.sh for no longer than PATIENCE seconds.
# If it fails, prints what the journal has about our units. Ends with its exit status.
timeout --kill-after=5 "${1:?seconds}" bash ./script.sh && exit
status=$?
echo "--- exit status $status; the journal ---"
journalctl --no-pager --output=short-precise --unit='patronus*'
echo '--- units that failed ---'
systemctl --failed --no-pager --no-legend
exit $status
