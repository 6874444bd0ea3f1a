#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows what vdi backup and restore store on disks, tapes, media of limited capacity and
# for snapshots, how they fail, and how damage is detected. Needs the built tree two
# levels up and a loaded module. profiles.sh has more tests of restored data.
#
# shellcheck disable=SC2317,SC2086,SC2034 # called by their names; words; tap.sh
# shellcheck disable=SC2059,SC2012 # an escape is wanted; names are ours

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
vdi=$(cd ../.. && pwd -P)/build/tools/vdi
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-media.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$vdi" ] || skip_all "vdi is not built"

head -c 3000000 /dev/urandom > "$work.in"
trap 'rm -rf "$work" "$work.in"' EXIT
in=$work.in

after_each() {
	is "remaining sets" "" "$("$vdi" ls)"
	[ $bad = 0 ] || for f in *.err; do
		[ ! -s "$f" ] || sed "s/^/# $f: /" "$f"
	done
	rm -rf "${work:?}"/*
}

wait_for() {
	wait_until lists "$1"
}

wait_for_file() {
	wait_until test -e "$1"
}

# A command that hangs fails its test only.
limited() { # COMMAND...
	timeout --foreground --kill-after=5 600 "$@"
}

await() { # PID
	timeout 600 tail --pid="$1" -s 0.05 -f /dev/null || {
		echo "# process $1 did not exit"
		bad=1
		kill -9 "$1"
	}
	wait "$1"
}

# Backs up to b with "CLIENT OPTIONS"; further arguments are options of vdi serve.
store() {
	local options=$1

	shift
	"$vdi" backup t -q --to b $options 2> backup.err &
	limited "$vdi" serve backup t -q "$@" < "$in" 2> serve.err
	is "serve backup" 0 $?
	await $!
	is "backup" 0 $?
}

# The exit codes are stored in serve_rc and restore_rc.
restore_backup() { # "CLIENT OPTIONS" SERVER OPTIONS...
	local options=$1

	shift
	"$vdi" restore t -q --from b $options 2> restore.err &
	limited "$vdi" serve restore t -q --timeout 5 "$@" > out 2> serve-restore.err
	serve_rc=$?
	await $!
	restore_rc=$?
}

round_trip_back() { # SERVER OPTIONS...
	restore_backup '' "$@"
	is "serve restore" 0 $serve_rc
	is "restore" 0 $restore_rc
	expect "restored data" cmp "$in" out
}

nothing_kept() {
	expect "no backup exists" test ! -e b -a ! -e b.partial
}

flip_byte() { # FILE OFFSET, from the end if negative
	local offset=$2 byte

	[ "$offset" -ge 0 ] || offset=$(($(stat -c %s "$1") + offset))
	byte=$(od -An -tu1 -j "$offset" -N 1 "$1")
	printf "\\x$(printf %x $((byte ^ 1)))" |
		dd of="$1" bs=1 seek="$offset" conv=notrunc status=none
}

# --------------------------------------------------------- stored files

tests+=(manifest_lists_media)
manifest_lists_media() {
	store "--profile tape --capacity 512K --devices 2" -x 64K
	expect "profile" grep -q '"profile": *"tape"' b/manifest.json
	expect "removable" grep -q '"removable": *true' b/manifest.json
	is "all files are listed" "$(cd b && ls device-*)" \
		"$(sed -n 's/.*"file": *"\(.*\)".*/\1/p' b/manifest.json | sort)"
	expect "several media" test -e b/device-01.medium-0003
	# the data, and a frame for each write; soft filemarks included
	expect "no medium exceeds its capacity" \
		test -z "$(find b -name 'device-*' -size +600k)"
	round_trip_back
}

tests+=(smallest_media)
smallest_media() {
	local p

	for p in "pipe --removable" "disk --removable" tape; do
		rm -rf b
		store "--profile $p --capacity 192K --eom-warning 64K" -x 64K -b 512
		expect "$p: many" test "$(ls b | wc -l)" -gt 15
		round_trip_back -b 512
	done
}

tests+=(disk_header_is_overwritten)
disk_header_is_overwritten() {
	local size

	store "--profile disk"
	expect "a disk" grep -q '"profile": *"disk"' b/manifest.json
	size=$(stat -c %s b/device-00.data)
	expect "all data is stored" test "$size" -gt 3000000
	expect "the manifest has the size" grep -q "\"bytes\": *$size" b/manifest.json
	round_trip_back
}

tests+=(instance)
instance() {
	"$vdi" backup t -q --instance I --to b 2> backup.err &
	wait_for 'created'
	expect "the name has the instance" sh -c "'$vdi' ls | grep -q '^I.*t '"
	limited "$vdi" serve backup t -q --instance I < "$in" 2> serve.err
	is "serve" 0 $?
	await $!
	is "backup" 0 $?
	"$vdi" restore t -q --instance I --from b 2> restore.err &
	limited "$vdi" serve restore t -q --instance I > out 2> serve-restore.err
	is "serve restore" 0 $?
	await $!
	is "restore" 0 $?
	expect "restored data" cmp "$in" out
}

# ------------------------------------------------------------------ damage

# Runs COMMAND on a backup with "OPTIONS": verify and restore must detect the damage.
damage() { # OPTIONS COMMAND...
	local options=$1

	shift
	store "$options" -x 64K
	"$@"
	limited "$vdi" verify -q b 2> verify.err
	is "verify" 5 $?
	expect "verify names the file" grep -q 'device-00' verify.err
	limited "$vdi" restore t -q --from b 2> restore.err
	is "restore, before a server connects" 5 $?
	expect "restore names the file" grep -q 'device-00' restore.err
}

tape="--profile tape --capacity 1M"

tests+=(tape_changed_byte)
tape_changed_byte() { damage "$tape" flip_byte b/device-00.medium-0002 123456; }

tests+=(tape_changed_label)
tape_changed_label() { damage "$tape" flip_byte b/device-00.medium-0001 33; }

tests+=(tape_changed_end)
tape_changed_end() { damage "$tape" flip_byte b/device-00.medium-0002 -1; }

tests+=(tape_truncated)
tape_truncated() { damage "$tape" truncate -s -64 b/device-00.medium-0002; }

tests+=(tape_missing)
tape_missing() { damage "$tape" rm b/device-00.medium-0003; }

swap_media() {
	mv b/device-00.medium-0001 b/swap
	mv b/device-00.medium-0002 b/device-00.medium-0001
	mv b/swap b/device-00.medium-0002
}

tests+=(tapes_swapped)
tapes_swapped() { damage "$tape" swap_media; }

tests+=(disk_changed_byte)
disk_changed_byte() { damage "--profile disk" flip_byte b/device-00.data 1234567; }

tests+=(disk_longer)
disk_longer() { damage "--profile disk" truncate -s +512 b/device-00.data; }

link_elsewhere() {
	mv b/device-00.data elsewhere
	ln -s ../elsewhere b/device-00.data
}

tests+=(medium_is_a_link)
medium_is_a_link() { damage "--profile disk" link_elsewhere; }

# The checksums on the tape detect the damage if the backup was not verified before.
tests+=(tape_damage_detected_while_reading)
tape_damage_detected_while_reading() {
	store "$tape" -x 64K
	flip_byte b/device-00.medium-0002 234567
	restore_backup --no-verify
	is "restore" 5 $restore_rc
	is "serve" 5 $serve_rc
	expect "restore names the file" grep -q 'device-00.medium-0002 is damaged: block' restore.err
	expect "serve reports the file" grep -q 'device-00.medium-0002' serve-restore.err
}

tests+=(removable_pipe_last_byte)
removable_pipe_last_byte() {
	store "--removable --capacity 1M" -x 64K
	flip_byte b/device-00.medium-0002 -1
	restore_backup ''
	is "restore" 5 $restore_rc
	is "serve" 5 $serve_rc
	expect "restore names the file" grep -q 'device-00.medium-0002 is damaged' restore.err
	expect "less data was restored" test "$(stat -c %s out)" -lt 2100000
}

tests+=(no_verify_of_valid_media)
no_verify_of_valid_media() {
	local p

	for p in disk tape; do
		rm -rf b
		store "--profile $p"
		restore_backup --no-verify
		is "$p: restore" 0 $restore_rc
		is "$p: serve" 0 $serve_rc
		expect "$p: restored data" cmp "$in" out
	done
}

tests+=(tape_with_other_blocks)
tape_with_other_blocks() {
	store "--profile tape" -b 4K
	restore_backup '' -b 8K
	is "restore" 1 $restore_rc
	is "serve" 3 $serve_rc
	expect "the message gives the reason" grep -q 'blocks of 4096 bytes.*8192' restore.err
}

# --------------------------------------------------------------- disk full

full() { # CLIENT OPTIONS...
	mkdir small
	expect "a small file system" mount -t tmpfs -o size=2m none small
	mountpoint -q small || return
	"$vdi" backup t -q --to small/b "$@" 2> backup.err &
	limited "$vdi" serve backup t -q -x 64K < "$in" 2> serve.err
	expect "$*: serve fails" test $? != 0
	await $!
	is "$*: backup" 1 $?
	expect "$*: backup names the file" grep -q 'device-0.*: No space left' backup.err
	expect "$*: serve says why" grep -q 'ERROR_DISK_FULL' serve.err
	expect "$*: no backup exists" test -z "$(ls small)"
	umount small
	rmdir small
}

tests+=(disk_full)
disk_full() {
	full --profile pipe
	full --profile disk
	full --profile tape
	full --profile tape --capacity 512K
	full --profile disk --devices 3
}

tests+=(file_size_limit)
file_size_limit() {
	(ulimit -f 1000; exec "$vdi" backup t -q --to b --profile disk 2> backup.err) &
	limited "$vdi" serve backup t -q < "$in" 2> serve.err
	expect "serve fails" test $? != 0
	await $!
	is "backup" 1 $?
	expect "the message gives the reason" grep -q 'File too large' backup.err
	nothing_kept
}

# --------------------------------------------------------------- interruption

tests+=(interrupted_with_several_media)
interrupted_with_several_media() {
	"$vdi" backup t -q --to b $tape --discard 2> backup.err &
	first=$!
	"$vdi" serve backup t -q -x 64K < /dev/zero 2> serve.err &
	second=$!
	wait_for_file b.partial/device-00.medium-0003
	kill -TERM $first
	await $first
	is "backup" 130 $?
	await $second
	is "serve" 3 $?
	nothing_kept
}

tests+=(interrupted_database_discards)
interrupted_database_discards() {
	"$vdi" backup t -q --to b $tape --discard 2> backup.err &
	first=$!
	"$vdi" serve backup t -q -x 64K < /dev/zero 2> serve.err &
	second=$!
	wait_for_file b.partial/device-00.medium-0003
	kill -TERM $second
	await $second
	is "serve" 130 $?
	await $first
	expect "backup fails" test $? != 0
	nothing_kept
}

tests+=(killed_with_several_media)
killed_with_several_media() {
	"$vdi" backup t -q --to b $tape 2> backup.err &
	first=$!
	"$vdi" serve backup t -q -x 64K < /dev/zero 2> serve.err &
	second=$!
	wait_for_file b.partial/device-00.medium-0003
	kill -9 $first
	await $second
	is "serve" 3 $?
	expect "no backup" test ! -e b
	# the next run replaces the partial directory
	store "--profile tape"
	is "files" 2 "$(ls b | wc -l)"
	round_trip_back
}

# --------------------------------------------------------------- snapshots

# Runs vdi backup by snapshot in the background, and the database. The exit codes are
# stored in backup_rc and serve_rc.
snapshot() { # CLIENT OPTIONS...
	echo metadata > meta
	"$vdi" backup t -q --to b "$@" 2> backup.err > backup.out &
	limited "$vdi" serve backup t -q --snapshot < meta 2> serve.err
	serve_rc=$?
	await $!
	backup_rc=$?
}

tests+=(snapshot_commands)
snapshot_commands() {
	# shellcheck disable=SC2016 # for the inner shell
	local print='echo "$VDI_COMMAND $VDI_SET $VDI_DEVICE $VDI_DIR" >> log; echo noise'

	snapshot --snapshot-command "$print" --prepare-command "$print"
	is "backup" 0 $backup_rc
	is "serve" 0 $serve_rc
	is "environment of the commands" "VDC_PrepareToFreeze t t $work/b
VDC_Snapshot t t $work/b" "$(cat log)"
	is "their output goes to stderr" "" "$(cat backup.out)"
	expect "and there" grep -q noise backup.err
	expect "manifest" grep -q '"snapshot": *true' b/manifest.json
	expect "verify" limited "$vdi" verify -q b
	rm log
	"$vdi" restore t -q --from b/ --mount-command "$print" 2> restore.err &
	limited "$vdi" serve restore t -q --snapshot > meta.back 2> serve.err
	is "serve restore" 0 $?
	await $!
	is "restore" 0 $?
	expect "metadata" cmp meta meta.back
	is "environment of the command" "VDC_MountSnapshot t t $work/b" "$(cat log)"
}

tests+=(snapshot_without_announcement)
snapshot_without_announcement() {
	snapshot --snapshot-command 'touch taken'
	is "backup" 0 $backup_rc
	is "serve" 0 $serve_rc
	expect "it was taken" test -e taken
}

tests+=(snapshot_command_fails)
snapshot_command_fails() {
	snapshot --snapshot-command 'exit 7'
	is "backup" 1 $backup_rc
	expect "serve fails" test $serve_rc != 0
	expect "the message gives the reason" grep -q 'VDC_Snapshot ended with exit code 7: exit 7' backup.err
	nothing_kept
	snapshot --snapshot-command 'kill -9 $$'
	is "backup" 1 $backup_rc
	expect "the message gives the reason" grep -q 'was killed by signal 9' backup.err
	nothing_kept
}

tests+=(prepare_command_fails)
prepare_command_fails() {
	snapshot --snapshot-command 'touch taken' --prepare-command false
	is "backup" 1 $backup_rc
	expect "serve fails" test $serve_rc != 0
	expect "the message gives the reason" grep -q 'VDC_PrepareToFreeze ended with exit code 1: false' backup.err
	expect "no snapshot" test ! -e taken
	nothing_kept
}

tests+=(database_without_snapshot)
database_without_snapshot() {
	"$vdi" backup t -q --to b --snapshot-command true 2> backup.err &
	limited "$vdi" serve backup t -q < "$in" 2> serve.err
	expect "serve fails" test $? != 0
	await $!
	is "backup" 1 $?
	expect "the message gives the reason" grep -q 'did not request a snapshot' backup.err
	nothing_kept
}

# True if the process has exited; it may not have been waited for.
is_gone() { # PID
	! grep -q '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status" 2> /dev/null
}

# A command that hangs is terminated, with its children, when the set ends.
hanging() { # EXIT CODE COMMAND...
	local code=$1 run=${hanging_command:-'sleep 1000 & echo $! > sleeping; wait'}

	shift
	echo metadata > meta
	"$vdi" backup t -q --to b --snapshot-command "$run" 2> backup.err &
	first=$!
	"$vdi" serve backup t -q --snapshot < meta 2> serve.err &
	second=$!
	wait_for_file sleeping
	"$@"
	await $first
	is "backup" "$code" $?
	await $second
	expect "serve fails" test $? != 0
	expect "the command is gone" is_gone "$(cat sleeping)"
	nothing_kept
}

tests+=(hanging_command_and_abort)
hanging_command_and_abort() {
	hanging 3 "$vdi" abort t --message 'enough of it'
	expect "the message names the cause" grep -q 'enough of it' backup.err
}

terminate_first() { kill -TERM $first; }

tests+=(hanging_command_and_signal)
hanging_command_and_signal() { hanging 130 terminate_first; }

# Processes of the group that outlive the shell are killed without a delay.
tests+=(hanging_child_of_command)
hanging_child_of_command() {
	local hanging_command='(trap "" TERM; exec sleep 1000) & echo $! > sleeping; wait'

	hanging 130 terminate_first
}

# The shell itself ignores SIGTERM. It has 5 seconds, or until the second signal.
interrupt_twice() {
	local from=$SECONDS

	kill -TERM $first
	sleep 0.5
	expect "it has time" kill -0 $first
	kill -TERM $first
	timeout 600 tail --pid=$first -s 0.05 -f /dev/null
	expect "it does not take all of it" test $((SECONDS - from)) -lt 5
}

tests+=(hanging_command_and_two_signals)
hanging_command_and_two_signals() {
	local hanging_command='trap "" TERM; echo $$ > sleeping; sleep 1000; sleep 1000'

	hanging 130 interrupt_twice
}

kill_second() { kill -9 $second; }

tests+=(hanging_command_and_dead_database)
hanging_command_and_dead_database() { hanging 3 kill_second; }

# While the command runs, the database is not idle.
tests+=(slow_command_does_not_time_out)
slow_command_does_not_time_out() {
	snapshot --snapshot-command 'sleep 3' --idle-timeout 1
	is "backup" 0 $backup_rc
	is "serve" 0 $serve_rc
}

tests+=(restore_needs_a_mount_command)
restore_needs_a_mount_command() {
	snapshot --snapshot-command true
	limited "$vdi" restore t -q --from b 2> err
	is "without the option" 2 $?
	expect "the message gives the reason" grep -q 'mount-command is required' err
	rm -rf b
	store ''
	limited "$vdi" restore t -q --from b --mount-command true 2> err
	is "with a superfluous option" 2 $?
}

tests+=(mount_command_fails)
mount_command_fails() {
	snapshot --snapshot-command true
	"$vdi" restore t -q --from b --mount-command 'exit 3' 2> restore.err &
	limited "$vdi" serve restore t -q --snapshot > out 2> serve.err
	expect "serve fails" test $? != 0
	await $!
	is "restore" 1 $?
	expect "the message gives the reason" grep -q 'VDC_MountSnapshot ended with exit code 3' restore.err
}

tests+=(database_does_not_mount)
database_does_not_mount() {
	snapshot --snapshot-command true
	"$vdi" restore t -q --from b --mount-command 'touch mounted' 2> restore.err &
	limited "$vdi" serve restore t -q > out 2> serve.err
	expect "serve fails" test $? != 0
	await $!
	expect "restore fails" test $? != 0
	expect "not mounted" test ! -e mounted
}

run_tests
