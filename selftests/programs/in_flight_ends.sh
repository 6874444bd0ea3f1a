#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows how vdi backup and restore fail while reads and writes are in flight: disk full,
# abort, death, damaged file.
#
# shellcheck disable=SC2317,SC2086,SC2034 # called by their names; words; tap.sh

# shellcheck source=selftests/programs/flight.sh
. ./flight.sh

# one of several writes in flight fails, and the database reports it
full() { # TYPE SIZE OPTIONS
	expect "file system is mounted" file_system "$1" "$2"
	"$vdi" backup t -q --to "$1.mnt/b" --devices 2 $3 2> backup.err &
	limited "$vdi" serve backup t -q -x 65536 -c 32 < /dev/zero 2> serve.err
	is "serve backup ($1 $3)" 1 $?
	await $!
	is "backup ($1 $3)" 1 $?
	expect "reason ($1 $3)" grep -q 'cannot write device-0..data: No space left' backup.err
	expect "the database reports it ($1 $3)" grep -q 'ERROR_DISK_FULL\|space' serve.err
	is "remaining files ($1 $3)" "" "$(find "$1.mnt" -mindepth 1 ! -name lost+found)"
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
		echo "# skipped: no btrfs"
		return
	}
	full btrfs 128M ""
}

# Starts a backup of an endless stream and waits until data was written.
start_endless() { # OPTIONS
	rm -rf b.partial
	"$vdi" backup t -q --to b $1 2> backup.err &
	client=$!
	limited "$vdi" serve backup t -q -x 65536 -c 32 < /dev/zero 2> serve.err &
	server=$!
	wait_until test -s b.partial/device-00.data
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
		is "remaining sets ($way)" "" "$("$vdi" ls)"
	done
	# the partial directory does not prevent the next backup
	round_trip b
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
		expect "no partial directory ($way)" [ ! -e b.partial ]
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
		expect "no partial directory ($way)" [ ! -e b.partial ]
	done
}

# abort during reads into buffers that the database then releases
restore_aborted() {
	local i way

	round_trip b
	mkfifo unread
	exec 9<> unread
	for way in "" "--no-direct" "--in-flight 1"; do
		for ((i = 0; i < 3; i++)); do
			"$vdi" restore t -q --from b $way 2> restore.err &
			client=$!
			# the pipe is not read, so writes to it block when it is full
			timeout --foreground --kill-after=5 600 \
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

# Changes one byte of the backup and restores it. Results: $served, $restored.
restore_damaged() { # OFFSET OPTIONS
	local byte

	round_trip b
	byte=$(od -An -tu1 -j "$1" -N 1 b/device-00.data)
	# shellcheck disable=SC2059 # the format has no arguments
	printf "\\$(printf %03o $((byte ^ 255)))" | dd of=b/device-00.data bs=1 seek="$1" conv=notrunc status=none
	"$vdi" restore t -q --from b $2 2> restore.err &
	limited "$vdi" serve restore t -q > back 2> serve.err
	served=$?
	await $!
	restored=$?
	expect "reason ($2)" grep -q 'checksum does not match' restore.err
	expect "the database reports it ($2)" grep -q 'checksum does not match' serve.err
}

# The last byte is padding of the last block, which is covered by the manifest only.
damaged() {
	local way size

	round_trip b
	size=$(stat -c %s b/device-00.data)
	for way in "--direct" "--no-direct" "--in-flight 1"; do
		restore_damaged $((size - 1)) "$way"
		is "serve restore ($way)" 5 $served
		is "restore ($way)" 5 $restored
	done
}

# The stream of vdi serve has checksums as well: either side may find the damage first.
damaged_data() {
	local way

	for way in "--direct" "--no-direct" "--in-flight 1"; do
		restore_damaged 1234567 "$way"
		is "serve restore ($way)" 5 $served
		is "restore ($way)" 5 $restored
	done
}

tests=(full_ext4 full_btrfs killed aborted interrupted restore_aborted damaged damaged_data)
run_tests
