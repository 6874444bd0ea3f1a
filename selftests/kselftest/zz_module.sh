#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Shows that the module cannot be unloaded while a file is open, and that it can be
# unloaded and loaded again when all are closed. The name sorts last, because all
# other tests need the module.

skip() {
	echo "TAP version 13"
	echo "1..0 # SKIP $1"
	exit 4
}

count=0
failed=0
result() { # STATUS TEXT
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count $2"
	else
		echo "not ok $count $2"
		failed=1
	fi
}

[ "$(id -u)" -eq 0 ] || skip "not root"
[ -d /sys/module/vdiset ] || skip "vdiset is not loaded"
[ -f "${VDISET_KO:-}" ] || skip "VDISET_KO does not name the module's file"

echo "TAP version 13"
echo "1..7"

# An open set file without a set prevents unloading.
exec 9<>/dev/vdiset
! rmmod vdiset 2>/dev/null
result $? "rmmod fails while a file is open"
[ -d /sys/module/vdiset ] && [ -c /dev/vdiset ]
result $? "the module is still loaded"
exec 9>&-

rmmod vdiset
result $? "rmmod succeeds when all files are closed"
[ ! -e /dev/vdiset ] && [ ! -d /sys/module/vdiset ]
result $? "the device node is removed"

insmod "$VDISET_KO"
result $? "the module loads again"
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -c /dev/vdiset ] && break
	sleep 0.2
done
[ -c /dev/vdiset ]
result $? "the device node exists again"

fast=0
for _ in 1 2 3 4 5; do
	rmmod vdiset && insmod "$VDISET_KO" || fast=1
done
result $fast "five unloads and loads in a row"

# The device node has the module's default permissions again, even if its mode was
# changed after the first load.
exit $failed
