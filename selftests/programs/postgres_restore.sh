#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Shows what vdi-pg-restore does with invalid streams and on file systems that fail.
# Needs the built tree two levels up, root, a user postgres and a loaded module, but no
# PostgreSQL server.

# shellcheck source=selftests/programs/tap.sh
. ./tap.sh
top=$(cd ../.. && pwd -P)
vdi=$top/build/tools/vdi
user=postgres
work=$(mktemp -d "${VDISET_SCRATCH:-${TMPDIR:-/tmp}}/vdi-pg-restore.XXXXXX")
trap 'jobs -p | xargs -r kill -9 2> /dev/null; umount "$work"/mnt* 2> /dev/null; rm -rf "$work"' EXIT

[ -c /dev/vdiset ] || skip_all "/dev/vdiset does not exist"
[ -x "$top/build/postgres/vdi-pg-restore" ] || skip_all "vdi-pg-restore is not built"
[ "$(id -u)" = 0 ] || skip_all "not root"
id -u $user > /dev/null 2>&1 || skip_all "there is no user $user"

install -m 755 "$top/build/postgres/vdi-pg-restore" "$work"
chmod 755 "$work"

# shellcheck source=selftests/programs/pg_stream.sh
. ./pg_stream.sh

serve() { # NAME
	"$vdi" restore pg -q --from "$work/$1" 2> "$work/appliance.log" &
	appliance=$!
}

# restore NAME OPTIONS...: as root. The exit codes are stored in $rc and $appliance_rc.
restore() {
	serve "$1"
	shift
	timeout 600 "$work/vdi-pg-restore" pg -q -t 600 "$@" > "$work/restore.log" 2>&1
	rc=$?
	wait $appliance
	appliance_rc=$?
}

show() {
	[ $bad = 0 ] || sed 's/^/# /' "$work/restore.log" "$work/appliance.log"
}

# Creates a directory of the user, for everything that a test restores.
new_place() {
	rm -rf "$work/place"
	install -d -o $user -m 755 "$work/place"
}

expect_no_files() {
	is "remaining files" "" "$(find "$work/place" -mindepth 1)"
}

after_each() {
	show
	is "remaining sets" "" "$("$vdi" ls 2> /dev/null)"
}

# ---------------------------------------------------------------- good streams

tests+=(owner_and_modes)
owner_and_modes() {
	new_tree
	new_place
	stream good 16384:/old/ts
	umask 077
	restore good -D "$work/place/data/" -T "/old//ts/=$work/place/ts/"
	umask 022
	is "vdi-pg-restore" 0 $rc
	is "vdi restore" 0 $appliance_rc
	is "files of other users" "" "$(find "$work/place" ! -user $user)"
	is "modes" "700 700 700 600 600" "$(cd "$work/place" && stat -c %a data ts data/global data/PG_VERSION data/backup_manifest | xargs)"
	is "link" "$work/place/ts" "$(readlink "$work/place/data/pg_tblspc/16384")"
	is "tablespace_map" "16384 $work/place/ts" "$(cat "$work/place/data/tablespace_map")"
	expect "data" cmp "$work/tree/base/1" "$work/place/data/base/1"
	expect "data of the tablespace" cmp "$work/ts/PG_15_202209061/1" "$work/place/ts/PG_15_202209061/1"
	is "existing files" "data ts" "$(cd "$work/place" && echo *)"
}

tests+=(messages_have_program_name)
messages_have_program_name() {
	new_tree
	new_place
	stream named
	serve named
	"$work/vdi-pg-restore" pg -t 600 -D "$work/place/data" > "$work/restore.log" 2>&1
	is "vdi-pg-restore" 0 $?
	wait $appliance
	is "vdi restore" 0 $?
	expect "summary" grep -q "^vdi-pg-restore: restored $work/place/data: 1 device, " "$work/restore.log"
	"$work/vdi-pg-restore" pg --no-such-option >> "$work/restore.log" 2>&1
	is "a wrong option" 2 $?
	is "other lines than messages and the help" "" "$(grep -v '^vdi-pg-restore: ' "$work/restore.log" |
		grep -vxFf <("$work/vdi-pg-restore" --help))"
}

tests+=(group_access)
group_access() {
	new_tree
	new_place
	find "$work/tree" "$work/ts" -type d -exec chmod 750 {} +
	find "$work/tree" "$work/ts" -type f -exec chmod 640 {} +
	stream group 16384:/old/ts
	restore group -D "$work/place/data" -T "/old/ts=$work/place/ts"
	is "vdi-pg-restore" 0 $rc
	is "modes" "750 750 750 640 640 640" "$(cd "$work/place" && stat -c %a data ts data/global data/PG_VERSION data/backup_manifest data/tablespace_map | xargs)"
}

tests+=(owner_option)
owner_option() {
	new_tree
	new_place
	stream good
	chown root "$work/place"
	"$work/vdi-pg-restore" pg -q -D "$work/place/data" 2> "$work/restore.log"
	is "below a directory of root" 2 $?
	expect "says what to do" grep -q '^vdi-pg-restore: .*use --owner' "$work/restore.log"
	"$work/vdi-pg-restore" pg -q -D "$work/place/data" --owner root 2> "$work/restore.log"
	is "--owner root" 2 $?
	chmod 777 "$work/place"
	restore good -D "$work/place/data" --owner $user
	is "--owner $user" 0 $rc
	is "owner" $user "$(stat -c %U "$work/place/data/PG_VERSION")"
	chmod 755 "$work/place"
	restore good -D "$work/place/other" --owner $user
	is "nothing is created as root" 1 $rc
	is "vdi restore" 3 $appliance_rc
	is "existing files" "data" "$(cd "$work/place" && echo *)"
}

tests+=(existing_directories)
existing_directories() {
	new_tree
	new_place
	stream spaced 16384:/old/ts
	install -d -o $user -m 700 "$work/place/data" "$work/place/ts"
	rm "$work/tree/PG_VERSION" "$work/base.tar"
	stream broken 16384:/old/ts
	restore broken -D "$work/place/data" -T "/old/ts=$work/place/ts"
	is "a broken stream" 5 $rc
	is "both directories remain, empty" "$work/place/data $work/place/ts" "$(find "$work/place" -mindepth 1 | sort | xargs)"
	restore spaced -D "$work/place/data" -T "/old/ts=$work/place/ts"
	is "a good stream" 0 $rc
	expect "restored" test -f "$work/place/data/PG_VERSION" -a -f "$work/place/ts/PG_15_202209061/1"
}

# ---------------------------------------------- recovery settings, the manifest alone

# postgres_recovery.sh shows what a server does with the settings.
tests+=(recovery_settings)
recovery_settings() {
	new_tree
	new_place
	printf "work_mem = '5MB'" > "$work/tree/postgresql.auto.conf"
	: > "$work/tree/standby.signal"
	stream recovery
	restore recovery -D "$work/place/data" --target-time '2026-11-30T12:00:00 UTC' --target-action promote \
		--restore-command "cp 'a b'/%f \"%p\""
	is "vdi-pg-restore" 0 $rc
	is "vdi restore" 0 $appliance_rc
	is "settings" "work_mem = '5MB'
restore_command = 'cp ''a b''/%f \"%p\"'
recovery_target_time = '2026-11-30 12:00:00+00'
recovery_target_action = 'promote'
recovery_target_timeline = 'latest'" "$(grep -v -e '^#' -e "= ''\$" "$work/place/data/postgresql.auto.conf")"
	is "signal files" recovery.signal "$(cd "$work/place/data" && echo ./*.signal | sed 's,\./,,g')"
	is "files of other users" "" "$(find "$work/place" ! -user $user)"
	restore recovery -D "$work/place/late" --target-lsn 0/0 --restore-command 'cp /a/%f %p'
	is "a position before the end of the backup" 1 $rc
	is "vdi restore" 3 $appliance_rc
	is "existing files" data "$(cd "$work/place" && echo *)"
}

tests+=(only_the_manifest)
only_the_manifest() {
	new_tree
	new_place
	stream good 16384:/old/ts
	restore good --manifest "$work/place/manifest"
	is "vdi-pg-restore" 0 $rc
	is "vdi restore" 0 $appliance_rc
	is "owner and mode" "$user 600" "$(stat -c '%U %a' "$work/place/manifest")"
	expect "contents" cmp "$work/manifest" "$work/place/manifest"
	is "existing files" manifest "$(ls "$work/place")"
}

tests+=(increment_is_refused)
increment_is_refused() {
	new_tree
	new_place
	printf 'START WAL LOCATION: 0/4000028 (file x)\nSTART TIMELINE: 1\nINCREMENTAL FROM LSN: 0/2000028\nINCREMENTAL FROM TLI: 1\n' \
		> "$work/tree/backup_label"
	stream increment
	restore increment -D "$work/place/data"
	is "vdi-pg-restore" 1 $rc
	is "vdi restore" 3 $appliance_rc
	expect "the message" grep -q 'based on the one that starts at 0/2000028 on timeline 1' "$work/restore.log"
	expect_no_files
	# the stream says that it is of version 15
	serve increment
	timeout 600 "$work/vdi-pg-restore" pg pg -q -D "$work/place/data" > "$work/restore.log" 2>&1
	is "two sets of version 15" 1 $?
	expect "the message" grep -q 'PostgreSQL 15, which has no incremental backups' "$work/restore.log"
	wait $appliance
	expect_no_files
}

# ----------------------------------------------------------------- tablespaces

tests+=(tablespaces_only_where_admitted)
tablespaces_only_where_admitted() {
	new_tree
	new_place
	stream spaced "16384:$work/place/old"
	restore spaced -D "$work/place/data"
	is "neither -T nor --allow-tablespaces" 1 $rc
	is "vdi restore" 3 $appliance_rc
	expect "says what to do" grep -q "tablespace at $work/place/old: use -T" "$work/restore.log"
	expect_no_files
	restore spaced -D "$work/place/data" -T "$work/place/odl=$work/place/new"
	is "-T that matches nothing" 1 $rc
	expect_no_files
	restore spaced -D "$work/place/data" -T "$work/place/odl=$work/place/new" --allow-tablespaces
	is "-T that matches nothing, --allow-tablespaces" 1 $rc
	is "vdi restore" 3 $appliance_rc
	expect "says which" grep -q "no tablespace at $work/place/odl" "$work/restore.log"
	expect_no_files
	restore spaced -D "$work/place/data" -T "$work/place/old=$work/place/data/ts"
	is "inside the data directory" 1 $rc
	expect_no_files
	restore spaced -D "$work/place/data" --allow-tablespaces
	is "--allow-tablespaces" 0 $rc
	expect "it is at its old path" test -f "$work/place/old/PG_15_202209061/1"
	for args in "-T /a=/b -T /a/=/c" "-T /a=/b -T /c=/b/" "-T a=/b" "-T /a=/b/../c" "-T /a"; do
		# shellcheck disable=SC2086
		"$work/vdi-pg-restore" pg -q -D "$work/place/x" $args 2> "$work/restore.log"
		is "$args" 2 $?
	done
}

tests+=(tablespace_of_root)
tablespace_of_root() {
	new_tree
	new_place
	install -d -m 755 "$work/cron.d"
	stream spaced "16384:$work/cron.d/x"
	restore spaced -D "$work/place/data" --allow-tablespaces
	is "below a directory of root" 1 $rc
	is "files" "" "$(ls "$work/cron.d")"
	stream spaced "16384:$work/cron.d"
	restore spaced -D "$work/place/data" --allow-tablespaces
	is "a directory of root" 1 $rc
	is "files" "" "$(ls "$work/cron.d")"
	expect_no_files
}

tests+=(crafted_tablespace_map)
crafted_tablespace_map() {
	new_tree
	new_place
	echo "16385 /etc" > "$work/tree/tablespace_map"
	stream map
	restore map -D "$work/place/data"
	is "vdi-pg-restore" 0 $rc
	is "tablespace_map" "" "$(cat "$work/place/data/tablespace_map")"
}

# ------------------------------------------------------------- crafted streams

refused() { # WHAT OPTIONS...
	local what=$1
	shift
	stream crafted
	restore crafted -D "$work/place/data" "$@"
	is "$what: vdi-pg-restore" 5 $rc
	is "$what: vdi restore" 5 $appliance_rc
	expect_no_files
	is "$what: the file outside" "outside" "$(cat "$work/outside/file")"
	is "$what: files outside" "file" "$(ls "$work/outside")"
}

tests+=(entries_that_are_refused)
entries_that_are_refused() {
	mkdir -p "$work/outside"
	echo outside > "$work/outside/file"
	new_place
	new_tree
	ln -s "$work/outside/file" "$work/tree/tablespace_map"
	refused "tablespace_map is a link" -T "/old=$work/place/new"
	new_tree
	rmdir "$work/tree/pg_tblspc"
	ln -s "$work/outside" "$work/tree/pg_tblspc"
	refused "pg_tblspc is a link"
	new_tree
	mkfifo "$work/tree/backup_manifest"
	refused "a FIFO"
	new_tree
	mknod "$work/tree/base/2" b 7 0
	refused "a block device"
	new_tree
	ln "$work/tree/PG_VERSION" "$work/tree/base/2"
	refused "a hard link"
	new_tree
	echo x > "$work/tree/escaped"
	pack "$work/base.tar" "$work/tree" -P --transform "s,^escaped,../../outside/escaped,"
	refused "a path with .."
	pack "$work/base.tar" "$work/tree" -P --transform "s,^escaped,$work/outside/escaped,"
	refused "an absolute path"
}

# A link in pg_tblspc without an archive is neither created nor followed.
tests+=(link_without_a_tablespace)
link_without_a_tablespace() {
	mkdir -p "$work/outside"
	new_place
	new_tree
	ln -s "$work/outside" "$work/tree/pg_tblspc/16384"
	stream link
	restore link -D "$work/place/data"
	is "vdi-pg-restore" 0 $rc
	is "links" "" "$(ls "$work/place/data/pg_tblspc")"
}

tests+=(modes_without_set_user_id)
modes_without_set_user_id() {
	new_place
	new_tree
	chmod 6755 "$work/tree/base/1"
	chmod 1777 "$work/tree/base"
	stream modes
	restore modes -D "$work/place/data"
	is "vdi-pg-restore" 0 $rc
	is "modes" "755 777" "$(cd "$work/place/data" && stat -c %a base/1 base | xargs)"
}

tests+=(streams_without_a_data_directory)
streams_without_a_data_directory() {
	local missing

	new_place
	new_tree
	{ record 1 "$work/begin"; record 7 "$work/end"; } > "$work/stream"
	store empty
	restore empty -D "$work/place/data"
	is "empty" 5 $rc
	is "empty: vdi restore" 5 $appliance_rc
	expect_no_files
	# the same as the user postgres
	"$vdi" restore pg -q --from "$work/empty" --group $user 2> "$work/appliance.log" &
	setpriv --reuid=$user --regid=$user --init-groups -- "$work/vdi-pg-restore" pg -q -D "$work/place/data" 2> "$work/restore.log"
	is "empty, as $user" 5 $?
	wait $!
	is "empty, as $user: vdi restore" 5 $?
	expect_no_files
	for missing in PG_VERSION global/pg_control backup_label; do
		new_tree
		rm "$work/tree/$missing"
		stream "without"
		restore without -D "$work/place/data"
		is "without $missing" 5 $rc
		is "without $missing: vdi restore" 5 $appliance_rc
		expect_no_files
	done
}

# ------------------------------------------------------- order and durability

# start_waiting OPTIONS...: vdi-pg-restore in the background. It sets its umask after it
# has checked DIR, and then waits for the set.
start_waiting() {
	"$work/vdi-pg-restore" pg -q -t 600 "$@" > "$work/restore.log" 2>&1 &
	waiting=$!
	until grep -q '^Umask:.*0077' /proc/$waiting/status 2> /dev/null; do
		kill -0 $waiting 2> /dev/null || break
		pause 0.05
	done
}

tests+=(vdi_restore_fails_when_links_fail)
vdi_restore_fails_when_links_fail() {
	new_tree
	new_place
	mkdir "$work/tree/pg_tblspc/16384"
	stream links 16384:/old
	restore links -D "$work/place/data" -T "/old=$work/place/ts"
	is "vdi-pg-restore" 1 $rc
	is "vdi restore" 3 $appliance_rc
	expect_no_files
}

tests+=(failed_rename_keeps_the_files)
failed_rename_keeps_the_files() {
	new_tree
	new_place
	stream spaced 16384:/old
	start_waiting -D "$work/place/data" -T "/old=$work/place/ts"
	mkdir "$work/place/data"
	: > "$work/place/data/file"
	serve spaced
	wait $waiting
	is "vdi-pg-restore" 1 $?
	wait $appliance
	is "vdi restore" 0 $?
	expect "the message names the files" grep -q "cannot rename $work/place/data.partial to .*complete and durable" "$work/restore.log"
	is "existing files" "data data.partial ts" "$(cd "$work/place" && echo *)"
	expect "data" cmp "$work/tree/base/1" "$work/place/data.partial/base/1"
	expect "data of the tablespace" cmp "$work/ts/PG_15_202209061/1" "$work/place/ts/PG_15_202209061/1"
}

# new_file_system DIR IMAGE MIB: mounts a new ext4
new_file_system() {
	modprobe -q loop
	truncate -s "$3M" "$2" && mkfs.ext4 -q -E lazy_itable_init=0 "$2" &&
		mkdir -p "$1" && mount -o loop "$2" "$1" && chown $user "$1"
}

# Data that is not durable is lost: EXT4_IOC_SHUTDOWN without a flush of the journal
power_cut() { # MOUNT-POINT IMAGE
	perl -e 'open(my $d, "<", $ARGV[0]) or die;
		my $flags = pack("L", 2);
		ioctl($d, 0x8004587d, $flags) or die "EXT4_IOC_SHUTDOWN: $!"' "$1" &&
		umount "$1" && mount -o loop "$2" "$1"
}

tests+=(tablespace_survives_a_power_cut)
tablespace_survives_a_power_cut() {
	new_tree
	new_place
	stream spaced 16384:/old
	new_file_system "$work/mnt" "$work/mnt.img" 64 || { echo "# no loop device"; bad=1; return; }
	restore spaced -D "$work/place/data" -T "/old=$work/mnt/ts"
	is "vdi-pg-restore" 0 $rc
	expect "power cut" power_cut "$work/mnt" "$work/mnt.img"
	expect "data of the tablespace" cmp "$work/ts/PG_15_202209061/1" "$work/mnt/ts/PG_15_202209061/1"
	umount "$work/mnt"
}

tests+=(data_directory_survives_a_power_cut)
data_directory_survives_a_power_cut() {
	new_tree
	stream base
	new_file_system "$work/mnt" "$work/mnt.img" 64 || { echo "# no loop device"; bad=1; return; }
	restore base -D "$work/mnt/data"
	is "vdi-pg-restore" 0 $rc
	expect "power cut" power_cut "$work/mnt" "$work/mnt.img"
	expect "data" cmp "$work/tree/base/1" "$work/mnt/data/base/1"
	umount "$work/mnt"
}

# The device of the tablespace is smaller than the file system: writeback fails, and
# only the flush reports it.
tests+=(writeback_error_of_a_tablespace)
writeback_error_of_a_tablespace() {
	new_tree
	new_place
	head -c 48000000 /dev/urandom > "$work/ts/PG_15_202209061/1"
	stream spaced 16384:/old
	mkdir -p "$work/mnt-small"
	mount -t tmpfs -o size=24M none "$work/mnt-small"
	new_file_system "$work/mnt" "$work/mnt-small/img" 128 || { echo "# no loop device"; bad=1; return; }
	restore spaced -D "$work/place/data" -T "/old=$work/mnt/ts"
	is "vdi-pg-restore" 1 $rc
	is "vdi restore" 3 $appliance_rc
	expect "the message names the file system" grep -q "$work/mnt" "$work/restore.log"
	is "data directory" "" "$(ls "$work/place")"
	umount "$work/mnt"
	umount "$work/mnt-small"
}

run_tests
