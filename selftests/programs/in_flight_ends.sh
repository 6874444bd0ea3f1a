#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vdi backup and restore that end before the end, with reads and writes on the
# way: no room, an abort, a death, a damaged file.
#
# shellcheck disable=SC2317,SC2086,SC2034 # called by their names; words; tap.sh

# shellcheck source=selftests/programs/flight.sh
. ./flight.sh

# with several on the way: one fails, and the database hears of it
full() { # TYPE SIZE OPTIONS
	expect "a file system" file_system "$1" "$2"
	"$vdi" backup t -q --to "$1.mnt/b" --devices 2 $3 2> backup.err &
	limited "$vdi" serve backup t -q -x 65536 -c 32 < /dev/zero 2> serve.err
	is "serve backup ($1 $3)" 1 $?
	await $!
	is "backup ($1 $3)" 1 $?
	expect "why ($1 $3)" grep -q 'cannot write device-0..data: No space left' backup.err
	expect "the database knows ($1 $3)" grep -q 'ERROR_DISK_FULL\|space' serve.err
	is "what is left ($1 $3)" "" "$(find "$1.mnt" -mindepth 1 ! -name lost+found)"
	umount "$1.mnt"
	rm -rf "$1.mnt" "$1.image"
}

full_ext4() {
	full ext4 24M ""
	full ext4 24M "--no-direct"
	full ext4 24M "--in-flight 1"
}

full_btrfs() {
	grep -qw btrfs /proc/filesystems || {
		echo "# no btrfs"
		return
	}
	full btrfs 128M ""
}

# A backup without end, of which something was written.
start_endless() { # OPTIONS
	local i

	rm -rf b.partial
	"$vdi" backup t -q --to b $1 2> backup.err &
	client=$!
	limited "$vdi" serve backup t -q -x 65536 -c 32 < /dev/zero 2> serve.err &
	server=$!
	for ((i = 0; i < 600; i++)); do
		[ ! -s b.partial/device-00.data ] || return
		sleep 0.05
	done
	echo "# nothing was written"
	bad=1
}

killed() {
	local way

	for way in "" "--no-direct" "--devices 4"; do
		start_endless "$way"
		kill -9 $client
		await $server
		is "serve backup ($way)" 3 $?
		wait $client
		expect "why ($way)" grep -q 'unexpected end of' serve.err
		expect "no backup" [ ! -e b ]
		is "sets left ($way)" "" "$("$vdi" ls)"
	done
	# what it has left is no hindrance
	there_and_back b
}

aborted() {
	local way

	for way in "" "--no-direct" "--devices 4" "--in-flight 1"; do
		start_endless "$way"
		"$vdi" abort t -m enough
		await $server
		is "serve backup ($way)" 3 $?
		await $client
		is "backup ($way)" 3 $?
		expect "why ($way)" grep -q enough backup.err
		expect "nothing is left ($way)" [ ! -e b.partial ]
	done
}

interrupted() {
	local way

	for way in "" "--no-direct" "--devices 4"; do
		start_endless "$way"
		kill -TERM $client
		await $client
		is "backup ($way)" 130 $?
		await $server
		is "serve backup ($way)" 3 $?
		expect "nothing is left ($way)" [ ! -e b.partial ]
	done
}

# reads on the way into buffers that the database gives up
restore_aborted() {
	local i way

	there_and_back b
	mkfifo unread
	exec 9<> unread
	for way in "" "--no-direct" "--in-flight 1"; do
		for ((i = 0; i < 3; i++)); do
			"$vdi" restore t -q --from b $way 2> restore.err &
			client=$!
			# a pipe that is not read stands still when it is full
			timeout --foreground --kill-after=5 120 \
				"$vdi" serve restore t -q -x 65536 -c 32 > unread 2> serve.err &
			server=$!
			until "$vdi" ls | grep -q 'active.* [1-9][0-9.]* .*iB'; do
				kill -0 $client || break
				sleep 0.05
			done
			"$vdi" abort t
			await $client
			is "restore ($way)" 3 $?
			kill $server 2> /dev/null
			wait $server
		done
	done
	exec 9>&-
	rm unread
}

# One byte of the backup is changed and it is restored: $served, $restored.
restore_damaged() { # OFFSET OPTIONS
	local byte

	there_and_back b
	byte=$(od -An -tu1 -j "$1" -N 1 b/device-00.data)
	# shellcheck disable=SC2059 # it is all in the format
	printf "\\$(printf %03o $((byte ^ 255)))" | dd of=b/device-00.data bs=1 seek="$1" conv=notrunc status=none
	"$vdi" restore t -q --from b $2 2> restore.err &
	limited "$vdi" serve restore t -q > back 2> serve.err
	served=$?
	await $!
	restored=$?
	expect "why ($2)" grep -q 'checksum does not match' restore.err
	expect "the database knows ($2)" grep -q 'checksum does not match' serve.err
}

# The last byte fills the last block up: no data, but the manifest knows of it.
damaged() {
	local way size

	there_and_back b
	size=$(stat -c %s b/device-00.data)
	for way in "--direct" "--no-direct" "--in-flight 1"; do
		restore_damaged $((size - 1)) "$way"
		is "serve restore ($way)" 3 $served
		is "restore ($way)" 5 $restored
	done
}

# vdi serve has a checksum in its stream, too: whoever finds it first tells the
# other, who may have found it meanwhile.
damaged_data() {
	local way

	for way in "--direct" "--no-direct" "--in-flight 1"; do
		restore_damaged 1234567 "$way"
		case "$served $restored" in
		"3 5" | "5 3" | "5 5") ;;
		*) is "serve restore, restore ($way)" "3 5, 5 3 or 5 5" "$served $restored" ;;
		esac
	done
}

tests=(full_ext4 full_btrfs killed aborted interrupted restore_aborted damaged damaged_data)
run_tests
