#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows under which conditions vdi backup publishes a backup: everything must be
# written, flushed and, where that was agreed, completed on every device. The database
# is tools/test/server, which executes the given steps.

# shellcheck disable=SC2317 # run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi
server=$top/build/tools/test/server

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$server" ] || skip_all "the test server is not built"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/backup.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# ends EXIT-CODE DEVICES [--complete] STEP...: a backup with a database that executes
# the steps. EXIT-CODE+: the backup was published before the failure, and remains.
ends() {
	local wanted=${1%+} published=${1#"${1%+}"} devices=$2 complete=()
	shift 2
	if [ "$1" = --complete ]; then
		complete=(--complete)
		shift
	fi
	rm -rf "${dir:?}"/*
	timeout 600 "$vdi" backup ends -n "$devices" --to "$dir/b" "${options[@]}" > "$dir/out" 2> "$dir/err" &
	timeout 600 "$server" "${complete[@]}" ends "$devices" "$@" > "$dir/server"
	wait $!
	is "exit code of vdi backup" "$wanted" $?
	if [ "$wanted" = 0 ] || [ -n "$published" ]; then
		expect "the backup exists" "$vdi" verify -q "$dir/b"
	else
		is "directories" '' "$(cd "$dir" && ls -d b* 2> /dev/null)"
		expect "a message is printed" test -s "$dir/err"
	fi
}

says() { # TEXT
	expect "stderr contains '$1'" grep -q -- "$1" "$dir/err"
}

options=()

flushed() {
	ends 0 1 0:w 0:w 0:f 0:c
	ends 0 2 0:w 1:w 0:f 1:f 0:c 1:c
}

not_flushed() {
	ends 1 1 0:w 0:w 0:c
	says 'without flushing'
	ends 1 1 0:w 0:f 0:w 0:c
	says 'without flushing'
	ends 1 2 0:w 1:w 0:f 0:c 1:c
	says 'ends1.* without flushing'
}

nothing_at_all() {
	ends 1 1 0:c
	says 'without flushing'
}

completed() {
	ends 0 1 --complete 0:w 0:f 0:x 0:c
	is "results at the server" '0:w 0
0:f 0
0:x 0
close NOERROR: success' "$(< "$dir/server")"
	ends 0 2 --complete 0:w 1:w 0:f 1:f 0:x+ 1:x 0:c 1:c
}

not_completed() {
	ends 1 1 --complete 0:w 0:f 0:c
	says 'without completing'
}

# a snapshot makes no difference
snapshot_not_completed() {
	options=(--snapshot-command true)
	ends 1 1 --complete 0:w 0:s 0:c
	says 'without completing'
	ends 0 1 --complete 0:w 0:s 0:x 0:c
	ends 0 1 0:w 0:s 0:c
	options=()
}

completed_not_flushed() {
	ends 1 1 --complete 0:w 0:x 0:c
	says 'without flushing'
	expect "the database receives the error" grep -qx '0:x 1117' "$dir/server"
}

# device 1 is closed with unflushed data while device 0 waits in Complete
other_device_closed() {
	ends 1 2 --complete 0:w 1:w 0:f 0:x+ nap 1:c wait 0:c
	says 'ends1.* without flushing'
	expect "the database receives the error" grep -qx '0:x+ 1117' "$dir/server"
}

# no device reports success after the data of another device was discarded
other_device_discarded() {
	options=(--discard)
	ends 1 2 --complete 0:w 1:w 1:d 1:f 0:f 0:x+ 1:x wait 0:c 1:c
	options=()
	says 'discarded'
	expect "no success" bash -c '! grep -qx "0:x+ 0" "$1"' sh "$dir/server"
}

written_after_complete() {
	ends 1+ 1 --complete 0:w 0:f 0:x 0:w 0:c
	says 'after it had completed'
	says 'holds the complete backup'
}

# DIR.partial that another run creates after DIR was published belongs to that run:
# neither directory is changed
partial_after_publishing() {
	local make="!mkdir $dir/b.partial && touch $dir/b.partial/device-00.data"
	ends 3+ 1 --complete 0:w 0:f 0:x "$make" abort
	says 'holds the complete backup'
	expect "the other directory is unchanged" test -f "$dir/b.partial/device-00.data"
	ends 1+ 2 --complete 0:w 1:w 0:f 1:f 0:x+ 1:x "$make" 0:w
	says 'after it had completed'
	expect "the other directory is unchanged" test -f "$dir/b.partial/device-00.data"
}

partial_renamed() {
	ends 1 1 0:w 0:f "!mv $dir/b.partial $dir/other" 0:c
	says 'b.partial is not the directory that was written'
}

# before DIR is published, every name must refer to the file that was written
file_removed() {
	ends 1 2 0:w 1:w 0:f 1:f "!rm $dir/b.partial/device-01.data" 0:c 1:c
	says 'b.partial/device-01.data was removed by another program'
	ends 1 1 --complete 0:w 0:f "!rm $dir/b.partial/device-00.data" 0:x 0:c
	says 'b.partial/device-00.data was removed by another program'
	expect "the database hears of it" bash -c '! grep -qx "0:x 0" "$1"' sh "$dir/server"
}

file_replaced() {
	ends 1 2 0:w 1:w 0:f 1:f "!cd $dir/b.partial && cp device-00.data x && mv x device-01.data" 0:c 1:c
	says 'b.partial/device-01.data was replaced or changed by another program'
}

discarded() {
	options=(--discard)
	ends 1 1 0:w 0:f 0:d 0:f 0:c
	says 'discarded'
	ends 0 1 0:w 0:d 0:w 0:f 0:c
	options=()
}

# The clock is set back while a device waits in Complete: the wait must use another
# clock, detect the death of the database, and respond to a signal.
clock_set_back() {
	local now
	# set by vm/run; the clock of a host must not be changed
	[ -n "${VDISET_OUT:-}" ] || return 0
	now=$(date +%s)
	ends 3 2 --complete 0:w 1:w 0:f 0:x+ nap "!date -s @$((now - 3600)) > /dev/null" abort
	date -s "@$((now + 10))" > /dev/null
	ends 0 1 --complete 0:w 0:f "!date -s @$((now - 3600)) > /dev/null" 0:x 0:c
	date -s "@$((now + 20))" > /dev/null
	expect "the duration does not depend on the clock" grep -Eq '"duration_ms": [0-9]{1,5},' "$dir/b/manifest.json"
}

aborted() {
	ends 3 1 0:w 0:f abort
	says 'as told'
}

# a slow Flush does not count as idle time; a database that sends nothing does
idle() {
	options=(--idle-timeout 2)
	ends 0 1 0:w nap 0:f nap 0:c
	ends 4 1 0:w nap nap nap nap 0:f 0:c
	options=()
	says 'no command arrived'
}

targets() {
	local err=$dir/err
	rm -rf "${dir:?}"/*
	for to in "$dir/." "$dir/.." /; do
		"$vdi" backup t --to "$to" -t 1 2> "$err"
		is "exit code for $to" 1 $?
		expect "reason for $to" grep -q 'cannot become a backup' "$err"
	done
	ln -s elsewhere "$dir/link"
	"$vdi" backup t --to "$dir/link" -t 1 2> "$err"
	is "exit code for a link" 1 $?
	expect "reason for a link" grep -q 'not a directory' "$err"
	mkdir "$dir/mnt"
	expect "file system is mounted" mount -t tmpfs none "$dir/mnt"
	"$vdi" backup t --to "$dir/mnt" -t 1 2> "$err"
	is "exit code for a mount point" 1 $?
	expect "reason for a mount point" grep -q 'is mounted' "$err"
	umount "$dir/mnt"
	mkdir -p "$dir/evil"
	ln -s evil "$dir/x.partial"
	touch "$dir/evil/device-00.data"
	"$vdi" backup t --to "$dir/x" -t 1 2> "$err"
	is "exit code for a symbolic link" 1 $?
	expect "the target of the link is unchanged" test -e "$dir/evil/device-00.data"
	mkdir "$dir/y.partial"
	chmod 777 "$dir/y.partial"
	"$vdi" backup t --to "$dir/y" -t 1 2> "$err"
	is "exit code for a directory with mode 777" 1 $?
	expect "reason" grep -q 'others may write' "$err"
}

# the end of the stream must fit on the medium for every capacity
media_of_any_size() {
	local options
	for options in '--profile tape --capacity 4M' '--profile tape --capacity 3M --eom-warning 0' \
		'--profile disk --removable --capacity 4M' '--removable --capacity 4M --eom-warning 0' \
		'--profile tape --capacity 4M --soft-filemarks 512 --eom-warning 0'; do
		rm -rf "${dir:?}"/*
		# shellcheck disable=SC2086 # several words
		timeout 600 "$vdi" backup sizes --to "$dir/b" -q $options 2> "$dir/err" &
		head -c 11000000 /dev/urandom > "$dir/in"
		timeout 600 "$vdi" serve backup sizes -q < "$dir/in" 2>> "$dir/err"
		is "serve with $options" 0 $?
		wait $!
		is "backup $options" 0 $?
		timeout 600 "$vdi" restore sizes --from "$dir/b" -q 2>> "$dir/err" &
		timeout 600 "$vdi" serve restore sizes -q > "$dir/back" 2>> "$dir/err"
		wait $!
		expect "restored data with $options" cmp "$dir/in" "$dir/back"
		[ "$bad" = 0 ] || sed 's/^/# /' "$dir/err"
	done
}

tests=(flushed not_flushed nothing_at_all completed not_completed snapshot_not_completed completed_not_flushed
	other_device_closed other_device_discarded written_after_complete
	partial_after_publishing partial_renamed file_removed file_replaced clock_set_back discarded aborted idle targets
	media_of_any_size)
run_tests
