#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# How a backup may end: vdi backup against a database that does what it is told
# (tools/test/server). Only what is whole, flushed and, where that was agreed,
# completed on every device may become a backup.

# shellcheck disable=SC2317 # run_tests calls them

here=$(cd -- "$(dirname -- "$0")" && pwd -P)
# shellcheck source=selftests/programs/tap.sh
. "$here/tap.sh"
top=$(cd -- "$here/../.." && pwd -P)
vdi=$top/build/tools/vdi
server=$top/build/tools/test/server

[ -c /dev/vdiset ] || skip_all "there is no /dev/vdiset"
[ -x "$server" ] || skip_all "the test server is not built"

dir=$(mktemp -d "${VDISET_SCRATCH:-/tmp}/backup.XXXXXX")
trap 'rm -rf "$dir"' EXIT

# ends WANTED-EXIT DEVICES [--complete] STEP...: a backup of such a database.
# A + behind the exit code: the backup was there before the failure, and stays.
ends() {
	local wanted=${1%+} there=${1#"${1%+}"} devices=$2 complete=()
	shift 2
	if [ "$1" = --complete ]; then
		complete=(--complete)
		shift
	fi
	rm -rf "$dir"/*
	timeout 60 "$vdi" backup ends -n "$devices" --to "$dir/b" "${options[@]}" > "$dir/out" 2> "$dir/err" &
	timeout 60 "$server" "${complete[@]}" ends "$devices" "$@" > "$dir/server"
	wait $!
	is "exit code of vdi backup" "$wanted" $?
	if [ "$wanted" = 0 ] || [ -n "$there" ]; then
		expect "the backup is there" "$vdi" verify -q "$dir/b"
	else
		is "directories" '' "$(cd "$dir" && ls -d b* 2> /dev/null)"
		expect "why" test -s "$dir/err"
	fi
}

says() { # TEXT
	expect "stderr says '$1'" grep -q -- "$1" "$dir/err"
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
	is "what the server was told" '0:w 0
0:f 0
0:x 0
close NOERROR: success' "$(< "$dir/server")"
	ends 0 2 --complete 0:w 1:w 0:f 1:f 0:x+ 1:x 0:c 1:c
}

not_completed() {
	ends 1 1 --complete 0:w 0:f 0:c
	says 'without completing'
}

completed_not_flushed() {
	ends 1 1 --complete 0:w 0:x 0:c
	says 'without flushing'
	expect "the database hears of it" grep -qx '0:x 1117' "$dir/server"
}

# device 1 is closed with something that was not flushed, 0 waits in Complete
other_device_closed() {
	ends 1 2 --complete 0:w 1:w 0:f 0:x+ nap 1:c wait 0:c
	says 'ends1.* without flushing'
	expect "the database hears of it" grep -qx '0:x+ 1117' "$dir/server"
}

# nobody is told of success while another device's data was given up
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
	says 'holds all that the database sent'
}

# DIR.partial, which another run creates after DIR was published, is not this
# run's: neither it nor DIR is touched
partial_after_publishing() {
	local make="!mkdir $dir/b.partial && touch $dir/b.partial/device-00.data"
	ends 3+ 1 --complete 0:w 0:f 0:x "$make" abort
	says 'holds all that the database sent'
	expect "the other directory is untouched" test -f "$dir/b.partial/device-00.data"
	ends 1+ 2 --complete 0:w 1:w 0:f 1:f 0:x+ 1:x "$make" 0:w
	says 'after it had completed'
	expect "the other directory is untouched" test -f "$dir/b.partial/device-00.data"
}

partial_renamed() {
	ends 1 1 0:w 0:f "!mv $dir/b.partial $dir/other" 0:c
	says 'b.partial is not the directory that was written'
}

# what was written is what must be there under its name when DIR appears
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

# The clock is set back while a device waits in Complete: the wait must go on by
# another one, notice the death of the database, and be told of a signal.
clock_set_back() {
	local now
	# vm/run sets this: the clock of a host is left alone
	[ -n "${VDISET_OUT:-}" ] || return 0
	now=$(date +%s)
	ends 3 2 --complete 0:w 1:w 0:f 0:x+ nap "!date -s @$((now - 3600)) > /dev/null" abort
	date -s "@$((now + 10))" > /dev/null
	ends 0 1 --complete 0:w 0:f "!date -s @$((now - 3600)) > /dev/null" 0:x 0:c
	date -s "@$((now + 20))" > /dev/null
	expect "a duration that is none of the clock" grep -Eq '"duration_ms": [0-9]{1,5},' "$dir/b/manifest.json"
}

aborted() {
	ends 3 1 0:w 0:f abort
	says 'as told'
}

# a Flush that takes its time is no idleness; a silent database is
idle() {
	options=(--idle-timeout 2)
	ends 0 1 0:w nap 0:f nap 0:c
	ends 4 1 0:w nap nap nap nap 0:f 0:c
	options=()
	says 'no command came'
}

targets() {
	local err=$dir/err
	rm -rf "$dir"/*
	for to in "$dir/." "$dir/.." /; do
		"$vdi" backup t --to "$to" -t 1 2> "$err"
		is "exit code for $to" 1 $?
		expect "why not $to" grep -q 'cannot become a backup' "$err"
	done
	ln -s elsewhere "$dir/link"
	"$vdi" backup t --to "$dir/link" -t 1 2> "$err"
	is "exit code for a link" 1 $?
	expect "why not a link" grep -q 'not a directory' "$err"
	mkdir "$dir/mnt"
	expect "a file system" mount -t tmpfs none "$dir/mnt"
	"$vdi" backup t --to "$dir/mnt" -t 1 2> "$err"
	is "exit code for a mount point" 1 $?
	expect "why not a mount point" grep -q 'is mounted' "$err"
	umount "$dir/mnt"
	mkdir -p "$dir/evil"
	ln -s evil "$dir/x.partial"
	touch "$dir/evil/device-00.data"
	"$vdi" backup t --to "$dir/x" -t 1 2> "$err"
	is "exit code for a planted link" 1 $?
	expect "nothing of it is removed" test -e "$dir/evil/device-00.data"
	mkdir "$dir/y.partial"
	chmod 777 "$dir/y.partial"
	"$vdi" backup t --to "$dir/y" -t 1 2> "$err"
	is "exit code for an open directory" 1 $?
	expect "why not" grep -q 'others may write' "$err"
}

# the size of media does not decide whether what ends them fits
media_of_any_size() {
	local options
	for options in '--profile tape --capacity 4M' '--profile tape --capacity 3M --eom-warning 0' \
		'--profile disk --removable --capacity 4M' '--removable --capacity 4M --eom-warning 0' \
		'--profile tape --capacity 4M --soft-filemarks 512 --eom-warning 0'; do
		rm -rf "$dir"/*
		# shellcheck disable=SC2086 # these are several words
		timeout 100 "$vdi" backup sizes --to "$dir/b" -q $options 2> "$dir/err" &
		head -c 11000000 /dev/urandom > "$dir/in"
		timeout 100 "$vdi" serve backup sizes -q < "$dir/in" 2>> "$dir/err"
		is "serve with $options" 0 $?
		wait $!
		is "backup $options" 0 $?
		timeout 100 "$vdi" restore sizes --from "$dir/b" -q 2>> "$dir/err" &
		timeout 100 "$vdi" serve restore sizes -q > "$dir/back" 2>> "$dir/err"
		wait $!
		expect "the same comes back with $options" cmp "$dir/in" "$dir/back"
		[ "$bad" = 0 ] || sed 's/^/# /' "$dir/err"
	done
}

tests=(flushed not_flushed nothing_at_all completed not_completed completed_not_flushed
	other_device_closed other_device_discarded written_after_complete
	partial_after_publishing partial_renamed file_removed file_replaced clock_set_back discarded aborted idle targets
	media_of_any_size)
run_tests
