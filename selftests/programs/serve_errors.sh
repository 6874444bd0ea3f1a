#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that vdi serve reports errors of every command and closes the devices.
#
# shellcheck disable=SC2317,SC2086,SC2154 # called by their names; numbers; ours

# shellcheck source=selftests/programs/serve_client.sh
. ./serve_client.sh

declare -A name=([38]=HANDLE_EOF [50]=NOT_SUPPORTED [112]=DISK_FULL [1100]=END_OF_MEDIA
	[1112]=NO_MEDIA_IN_DRIVE [1117]=IO_DEVICE [1129]=EOM_OVERFLOW)

# fails_at PROFILE COMMAND N CODE OPTIONS...: a backup in which the Nth COMMAND fails with
# CODE. The message names device and code; the devices are closed, so the client exits.
fails_at() {
	local p=$1 fault=$2:$3:$4 code=$4

	shift 4
	backup 1 0 "--profile $p --fault $fault" "${small[@]}" "$@"
	says "'t': ERROR_${name[$code]}:"
	expect "$p $fault" test $bad = 0
}

tests+=(errors_of_a_pipe)
errors_of_a_pipe() {
	local code

	for code in 112 1129 1117 1100 50 38; do
		fails_at pipe $WRITE 2 $code
	done
	fails_at pipe $FLUSH 1 112
}

tests+=(errors_of_a_disk)
errors_of_a_disk() {
	local n

	for n in 1 3 5 6 7; do	# header, data, end of data, header, end block
		fails_at disk $WRITE $n 112
	done
	fails_at disk $READ 1 1117
	fails_at disk $SETPOS 2 1117
	fails_at disk $GETPOS 1 1117
	fails_at disk $FLUSH 1 1117
	fails_at "disk --complete" $COMPLETE 1 1117
}

tests+=(errors_of_a_tape)
errors_of_a_tape() {
	local n

	for n in 1 3 5 6; do
		fails_at tape $WRITE $n 1117
	done
	for n in 1 2 3; do
		fails_at tape $MARK $n 1117
		fails_at tape $GETPOS $n 1117
	done
	fails_at tape $MARK 1 50
	fails_at tape $REWIND 1 50
	fails_at tape $REWIND 1 1117
	fails_at tape $LOAD 1 1112
	fails_at tape $SETPOS 1 1117 --verify
	fails_at tape $SKIPMARKS 1 1117 --verify
	fails_at tape $SKIPBLOCKS 1 1117 --verify
	fails_at tape $FLUSH 1 1117
}

tests+=(no_next_medium)
no_next_medium() {
	input=$work.big
	fails_at "tape --capacity 700000" $LOAD 2 1112
	fails_at "tape --capacity 700000" $CLEAR 1 1117
	backup 1 3 "--profile tape --capacity 4096" "${small[@]}"
	says 'too small'
	input=$work.in
}

tests+=(full_disk_without_next_medium)
full_disk_without_next_medium() {
	backup 1 0 "--profile disk --capacity 100000" "${small[@]}"
	says "writing to 't': ERROR_DISK_FULL"
}

# One of two devices has failed: on the other the client must not report success.
tests+=(failure_of_one_of_two)
failure_of_one_of_two() {
	backup 1 3 "--profile pipe --devices 2 --fault $WRITE:1:112" "${small[@]}"
	expect "client reports it" grep -q "writing to 't'" client.err
	# the other devices wait for Complete, which is not sent
	backup 1 0 "--profile pipe --devices 2 --complete --fault $WRITE:1:112" "${small[@]}"
	expect "no Complete" sh -c '! grep -q VDC_Complete backup.log'
	# one device was completed, the other was not
	backup 1 3 "--profile pipe --devices 2 --complete --fault $COMPLETE:1:1117" "${small[@]}"
}

tests+=(discard)
discard() {
	local p

	for p in pipe disk tape; do
		backup 1 0 "--profile $p --devices 2 --discard --fault $WRITE:2:112" "${small[@]}"
		is "$p: devices that discard" 2 "$(grep -c 'VDC_Discard .*-> 0' backup.log)"
		is "$p: remaining files" "" "$(find media -name 'd*')"
	done
	backup 5 0 "--profile disk --discard --fault $WRITE:2:flip" "${small[@]}" --verify
	logged 'VDC_Discard'
	# a client that offers Discard but fails it
	backup 1 3 "--profile pipe --discard --fault $WRITE:2:112 --fault $DISCARD:1:50" "${small[@]}"
}

tests+=(short_writes)
short_writes() {
	local p

	for p in pipe disk tape; do
		backup 1 3 "--profile $p --fault $WRITE:3:short" "${small[@]}"
		says 'of .* bytes'
	done
}

tests+=(stored_in_part)
stored_in_part() {
	local p

	for p in "pipe --removable" "disk --removable" tape; do
		backup 0 0 "--profile $p --fault $WRITE:3:part" "${small[@]}"
		expect "$p: a second medium" test -e media/d00.m2
		restore 0 0 "--profile $p" "${small[@]}"
		expect "$p: restored data" cmp "$input" out
		# later blocks were stored before: the order cannot be restored
		backup 1 3 "--profile $p --batch 8 --fault $WRITE:3:part" "${small[@]}" -c 8
		says 'stored data behind data'
	done
	for p in pipe disk; do
		backup 1 0 "--profile $p --fault $WRITE:3:part" "${small[@]}"
		says 'END_OF_MEDIA'
	done
}

tests+=(short_reads)
short_reads() {
	local p

	for p in pipe disk tape; do
		backup 0 0 "--profile $p" "${small[@]}"
		restore 0 0 "--profile $p --fault $READ:2:short" "${small[@]}"
		expect "$p: restored data" cmp "$input" out
		expect "$p" test $bad = 0
	done
}

tests+=(errors_while_reading)
errors_while_reading() {
	local p

	for p in pipe disk tape; do
		backup 0 0 "--profile $p" "${small[@]}"
		restore 1 0 "--profile $p --fault $READ:2:1117" "${small[@]}"
		says "reading from 't'"
		restore 5 3 "--profile $p --fault $READ:2:38" "${small[@]}"
	done
	restore 1 0 "--profile tape --fault $SKIPMARKS:1:1117" "${small[@]}"
	restore 1 0 "--profile tape --fault $REWIND:1:1117" "${small[@]}"
}

# A header with a valid checksum and impossible values
tests+=(impossible_sizes)
impossible_sizes() {
	local bytes

	backup 0 0 "--profile disk" "${small[@]}"
	# 2^63, 2^64 - 8192, 2^63 - 8192, not a multiple of the block size
	for bytes in 9223372036854775808 18446744073709543424 9223372036854767616 4097; do
		restore 5 3 "--profile disk --fault $READ:1:bytes=$bytes" "${small[@]}"
		says "medium 1 of 't' has an impossible size"
		expect "$bytes: no output" test ! -s out
	done
}

tests+=(wrong_positions)
wrong_positions() {
	backup 1 3 "--profile disk --fault $SETPOS:2:lost" "${small[@]}"
	says 'the position is'
	backup 1 3 "--profile tape --fault $SETPOS:1:lost" "${small[@]}" --verify
	says 'another address'
}

# The module is loaded, but its device is inaccessible. "in_another_dev MOUNT COMMAND..."
in_another_dev() {
	local mount=$1

	shift
	unshare -m sh -c "$mount /dev && exec \"\$@\"" sh "$@" < "$input" > out 2> serve.err
}

tests+=(no_device_node)
no_device_node() {
	local command

	for command in 'serve backup t -t 1' 'load' 'backup t --to made'; do
		in_another_dev 'mount -t tmpfs none' "$vdi" $command
		is "$command without the node" 6 $?
		says 'module vdiset is loaded, but .*PrivateDevices=no .*DeviceAllow='
		in_another_dev 'mount -o remount,bind,nodev' "$vdi" $command
		is "$command with nodev" 6 $?
		says 'cannot open /dev/vdiset: Permission denied: .*nodev'
	done
	in_another_dev 'mount -t tmpfs none' "$vdi" ls
	is "ls" 6 $?
	says 'cannot open /dev/vdiset: No such file'
	in_another_dev 'mount -t tmpfs none' "$vdi" info
	expect "info" grep -q 'module is loaded, but .* no /dev/vdiset' out
	expect "nothing about building it" sh -c '! grep -q "make\|dkms" out'
}

run_tests
