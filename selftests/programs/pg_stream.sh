# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# pg_stream.sh - streams of a base backup, without a PostgreSQL server
#
# Sourced with $work, a directory of its own, and $vdi.
#
# shellcheck disable=SC2034,SC2154 # used and set there

# little_endian BYTES VALUE
little_endian() {
	local i byte text=
	for ((i = 0; i < $1; i++)); do
		printf -v byte '\\x%02x' $(($2 >> 8 * i & 255))
		text+=$byte
	done
	printf '%b' "$text"
}

# record TYPE [FILE]: a record of postgres/records.h
record() {
	local size=0
	[ $# -lt 2 ] || size=$(stat -c %s "$2")
	little_endian 4 0x50564452
	little_endian 4 "$1"
	little_endian 8 "$size"
	[ $# -lt 2 ] || cat "$2"
}

archive() { # NAME PATH TAR
	printf '%s\0%s\0' "$1" "$2" > "$work/payload"
	record 2 "$work/payload"
	record 3 "$3"
	record 4
}

{ little_endian 4 1; little_endian 4 150000; little_endian 8 1; } > "$work/begin"
{ little_endian 8 1; little_endian 8 1; } > "$work/end"
echo '{}' > "$work/manifest"

# The files of a data directory, as initdb would have made them; $work/tree.
new_tree() {
	rm -rf "$work/tree" "$work/ts" "$work"/*.tar
	install -d -m 700 "$work/tree" "$work/tree/global" "$work/tree/pg_tblspc" "$work/tree/base"
	(umask 077
	 cd "$work/tree" && echo 15 > PG_VERSION && echo control > global/pg_control &&
		echo label > backup_label && head -c 3000000 /dev/urandom > base/1)
	install -d -m 700 "$work/ts" "$work/ts/PG_15_202209061"
	head -c 1000000 /dev/urandom > "$work/ts/PG_15_202209061/1"
}

# pack TAR TREE [OPTION...]
pack() {
	local to=$1 tree=$2
	shift 2
	(cd "$tree" && find . -mindepth 1 -printf '%P\0' |
		tar -c --null --no-recursion -T - --owner=0 --group=0 "$@") > "$to"
}

# stream NAME [OID:PATH]...: a backup in $work/NAME of tree, and of ts at each PATH
stream() {
	local name=$1 ts
	shift
	[ -f "$work/base.tar" ] || pack "$work/base.tar" "$work/tree"
	[ -f "$work/ts.tar" ] || pack "$work/ts.tar" "$work/ts"
	{
		record 1 "$work/begin"
		for ts; do
			archive "${ts%%:*}.tar" "${ts#*:}" "$work/ts.tar"
		done
		archive base.tar '' "$work/base.tar"
		record 5
		record 3 "$work/manifest"
		record 6
		record 7 "$work/end"
	} > "$work/stream"
	store "$name"
}

# the bytes in $work/stream as a backup
store() { # NAME
	rm -rf "${work:?}/$1"
	"$vdi" backup pg -q --to "$work/$1" 2> "$work/appliance.log" &
	"$vdi" serve backup pg -q < "$work/stream" || bad=1
	wait $!
	is "vdi backup" 0 $?
}
