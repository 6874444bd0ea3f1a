#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# vdi backup and restore with several reads and writes of a device at a time,
# with and without O_DIRECT and io_uring, on file systems that differ in what
# they take.
#
# shellcheck disable=SC2317,SC2086,SC2034 # called by their names; words; tap.sh

# shellcheck source=selftests/programs/flight.sh
. ./flight.sh

every_way() { # DIR
	local way

	for way in "" "--no-direct" "--in-flight 1" "--in-flight 1 --no-direct" \
		"--in-flight 64"; do
		there_and_back "$1" "$way"
	done
	# no block but the first is where O_DIRECT wants it
	there_and_back "$1" "" "" "-b 512 -x 65536"
	there_and_back "$1" --no-direct "--devices 4" "-x 65536"
	there_and_back "$1" "--in-flight 3" "--devices 4" "-b 512"
}

on_ext4() {
	file_system ext4 64M || return
	every_way ext4.mnt/b
	there_and_back ext4.mnt/b --direct
	is "pages of it in memory" 0 "$cached"
	there_and_back ext4.mnt/b "--direct --in-flight 1"
	is "pages of it in memory, one at a time" 0 "$cached"
	# whole pages by O_DIRECT, what is left at the end not
	there_and_back ext4.mnt/b --direct "" "-b 512"
	expect "at most the last page in memory: $cached" [ "$cached" -le 1 ]
}

on_btrfs() {
	grep -qw btrfs /proc/filesystems || {
		echo "# no btrfs"
		return
	}
	expect "a file system" file_system btrfs 256M
	every_way btrfs.mnt/b
	there_and_back btrfs.mnt/b --direct
	there_and_back btrfs.mnt/b --direct "" "-b 512"
}

on_tmpfs() {
	expect "a file system" file_system tmpfs
	every_way tmpfs.mnt/b
}

# one that has no O_DIRECT: it is done without, or refused
on_ramfs() {
	expect "a file system" file_system ramfs
	there_and_back ramfs.mnt/b
	there_and_back ramfs.mnt/b "--in-flight 1"
	rm -rf ramfs.mnt/b
	"$vdi" backup t -q --to ramfs.mnt/b --direct 2> backup.err &
	limited "$vdi" serve backup t -q < in 2> serve.err
	is "serve backup --direct" 3 $?
	await $!
	is "backup --direct" 1 $?
	expect "why" grep -q 'cannot open for O_DIRECT device-00.data' backup.err
	is "what is left" "" "$(ls ramfs.mnt)"
}

disks() {
	there_and_back b "" "--profile disk" "--verify"
	there_and_back b --direct "--profile disk" "--verify -b 512"
	there_and_back b "--no-direct --in-flight 1" "--profile disk" "--verify"
}

wrong_options() {
	local options

	for options in "--in-flight 0" "--in-flight 65" "--in-flight x" "--profile tape --direct"; do
		"$vdi" backup t --to b $options 2> wrong.err
		is "exit code of $options" 2 $?
	done
}

# ------------------------------------------------------------ it is not there

no_io_uring() {
	if [ ! -w $disabled ]; then
		echo "# this kernel cannot disable it"
		return
	fi
	echo 2 > $disabled
	there_and_back b
	there_and_back b --no-direct "" "-b 512"
	there_and_back b --direct "--profile disk" "--verify"
}

# no memory may be registered
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
	expect "the same comes back" cmp in back
	rm -rf "$user"
}

tests=(on_ext4 on_btrfs on_tmpfs on_ramfs disks wrong_options no_io_uring no_locked_memory)
run_tests
