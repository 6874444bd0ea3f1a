# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# pg_files.sh - base backups of a real server as streams, without a set
#
# Sourced after pg_stream.sh and cluster.sh, with $work and $top. The restore program reads
# the files $work/streams/NAME; see postgres/test/set_of_file.c.
#
# shellcheck disable=SC2034,SC2154 # used and set there

pg_restore_file=$work/pg-restore-file
install -m 755 "$top/build/postgres/test/pg-restore-file" "$work"
install -d -m 777 "$work/streams"

# The record that begins a stream, with the version and the identifier of this server
begin_of_cluster() {
	local version id
	version=$(sql "show server_version_num")
	id=$(sql "select system_identifier from pg_control_system()")
	{ little_endian 4 1; little_endian 4 "$version"; little_endian 8 "$id"; } > "$work/begin"
}

# backup_file NAME [OPTION...]: pg_basebackup into tar files, and the stream of them. The
# manifest is in $work/NAME.manifest.
backup_file() {
	local name=$1 tar oid path
	shift
	rm -rf "$work/tar"
	install -d -o "$pg_user" "$work/tar"
	as_postgres "$pg_bin/pg_basebackup" -Ft -X fetch -c fast -D "$work/tar" "$@" > "$work/basebackup.log" 2>&1 ||
		{ sed 's/^/# /' "$work/basebackup.log"; bad=1; return 1; }
	begin_of_cluster
	little_endian 8 0 > "$work/end"
	little_endian 8 1 >> "$work/end"
	cp "$work/tar/backup_manifest" "$work/$name.manifest"
	chmod 644 "$work/$name.manifest"
	{
		record 1 "$work/begin"
		for tar in "$work"/tar/[0-9]*.tar; do
			[ -e "$tar" ] || continue
			oid=${tar##*/}
			oid=${oid%.tar}
			path=$(sql "select pg_tablespace_location($oid)")
			archive "$oid.tar" "$path" "$tar"
		done
		archive base.tar '' "$work/tar/base.tar"
		record 5
		record 3 "$work/tar/backup_manifest"
		record 6
		record 7 "$work/end"
	} > "$work/streams/$name"
	rm -rf "$work/tar"
}

# restore_file NAME... OPTIONS: as the user of the server, with output in restore.log, and
# with threads that write files as for $devices devices. The exit code is returned.
devices=3
restore_file() {
	rm -f "$work"/streams/*.outcome
	as_postgres env VDI_TEST_STREAMS="$work/streams" VDI_TEST_DEVICES="$devices" "$pg_restore_file" "$@" > "$work/restore.log" 2>&1
}
