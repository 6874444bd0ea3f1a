#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows that vdi backup and restore work with several reads and writes of a device at a
# time, with and without O_DIRECT and io_uring, on file systems that support them in
# different ways.
#
# shellcheck disable=SC2317,SC2086,SC2034 # called by their names; words; tap.sh

# shellcheck source=selftests/programs/flight.sh
. ./flight.sh

every_way() { # DIR
	local way

	for way in "" "--no-direct" "--in-flight 1" "--in-flight 1 --no-direct" \
		"--in-flight 64"; do
		round_trip "$1" "$way"
	done
	# only the first block is aligned for O_DIRECT
	round_trip "$1" "" "" "-b 512 -x 65536"
	round_trip "$1" --no-direct "--devices 4" "-x 65536"
	round_trip "$1" "--in-flight 3" "--devices 4" "-b 512"
}

on_ext4() {
	file_system ext4 64M || return
	every_way ext4.mnt/b
	round_trip ext4.mnt/b --direct
	is "pages in the page cache" 0 "$cached"
	round_trip ext4.mnt/b "--direct --in-flight 1"
	is "pages in the page cache, --in-flight 1" 0 "$cached"
	# whole pages are written with O_DIRECT, the rest at the end without
	round_trip ext4.mnt/b --direct "" "-b 512"
	expect "at most the last page is cached: $cached" [ "$cached" -le 1 ]
}

on_btrfs() {
	grep -qw btrfs /proc/filesystems || {
		echo "# skipped: no btrfs"
		return
	}
	expect "file system is mounted" file_system btrfs 256M
	every_way btrfs.mnt/b
	round_trip btrfs.mnt/b --direct
	round_trip btrfs.mnt/b --direct "" "-b 512"
}

on_tmpfs() {
	expect "file system is mounted" file_system tmpfs
	every_way tmpfs.mnt/b
}

# a file system without O_DIRECT: not used by default, and refused if required
on_ramfs() {
	expect "file system is mounted" file_system ramfs
	round_trip ramfs.mnt/b
	round_trip ramfs.mnt/b "--in-flight 1"
	rm -rf ramfs.mnt/b
	"$vdi" backup t -q --to ramfs.mnt/b --direct 2> backup.err &
	limited "$vdi" serve backup t -q < in 2> serve.err
	is "serve backup --direct" 3 $?
	await $!
	is "backup --direct" 1 $?
	expect "reason" grep -q 'cannot open for O_DIRECT device-00.data' backup.err
	is "remaining files" "" "$(ls ramfs.mnt)"
}

disks() {
	round_trip b "" "--profile disk" "--verify"
	round_trip b --direct "--profile disk" "--verify -b 512"
	round_trip b "--no-direct --in-flight 1" "--profile disk" "--verify"
}

wrong_options() {
	local options

	for options in "--in-flight 0" "--in-flight 65" "--in-flight x" "--profile tape --direct"; do
		"$vdi" backup t --to b $options 2> wrong.err
		is "exit code of $options" 2 $?
	done
}

# -------------------------------------------------------- missing facilities

no_io_uring() {
	if [ ! -w $disabled ]; then
		echo "# skipped: this kernel cannot disable io_uring"
		return
	fi
	echo 2 > $disabled
	round_trip b
	round_trip b --no-direct "" "-b 512"
	round_trip b --direct "--profile disk" "--verify"
}

# RLIMIT_MEMLOCK is 0, so no memory can be registered
no_locked_memory() {
	local me=(setpriv --reuid 65534 --regid 65534 --clear-groups prlimit --memlock=0)
	local user=$work/user.mnt

	mkdir "$user"
	chmod 711 "$work"
	chown 65534:65534 "$user"
	"${me[@]}" "$vdi" backup t -q --to "$user/b" 2> backup.err &
	limited "${me[@]}" "$vdi" serve backup t -q < in 2> serve.err
	is "serve backup" 0 $?
	await $!
	is "backup" 0 $?
	"${me[@]}" "$vdi" restore t -q --from "$user/b" 2> restore.err &
	limited "${me[@]}" "$vdi" serve restore t -q > back 2> serve.err
	is "serve restore" 0 $?
	await $!
	is "restore" 0 $?
	expect "restored data" cmp in back
	rm -rf "$user"
}

tests=(on_ext4 on_btrfs on_tmpfs on_ramfs disks wrong_options no_io_uring no_locked_memory)
run_tests
