#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# usage: write_cost.sh [DIR [TRANSFER]]
#
# The cost of vdi backup, compared with writing the same bytes from anonymous
# memory with the same engine (write_plain): CPU time for 128 MiB in transfers of
# TRANSFER bytes (default 1 MiB) to DIR, or to a temporary directory. It is the
# difference between 160 MiB and 32 MiB, so that start and end do not count. Needs
# the built tree and a loaded module. The figures are only meaningful with one
# processor on which every instruction takes the same time.
set -uo pipefail

top=$(cd -- "$(dirname -- "$0")/../.." && pwd -P)
vdi=$top/build/tools/vdi
plain=$top/build/tools/test/write_plain
dir=$(mktemp -d "${1:-${VDISET_SCRATCH:-/tmp}}/cost.XXXXXX") || exit
transfer=${2:-1048576}
small=$((32 << 20)) large=$((160 << 20))
TIMEFORMAT='%3U %3S'
trap 'rm -rf "$dir"' EXIT

backup_ms() { # BYTES OPTION
	head -c "$1" /dev/zero | "$vdi" serve backup cost -q -x "$transfer" -c 8 > /dev/null &
	{ time "$vdi" backup cost --to "$dir/b" -q "$2"; } 2>&1 |
		awk 'END { print ($1 + $2) * 1000 }'
	wait
	rm -rf "$dir/b"
}

plain_ms() { # BYTES OPTION...
	rm -f "$dir/p"
	"$plain" "$dir/p" "$1" "$transfer" 8 "${@:2}"
	rm -f "$dir/p"
}

slope() { # FUNCTION OPTION...
	local a b

	a=$("$1" $small "${@:2}")
	b=$("$1" $large "${@:2}")
	awk "BEGIN { print $b - $a }"
}

compare() { # OPTION OF VDI, OPTION OF WRITE_PLAIN...
	local p s b

	p=$(slope plain_ms "${@:2}")
	s=$(slope plain_ms "${@:2}" sum)
	b=$(slope backup_ms "$1")
	awk -v p="$p" -v s="$s" -v b="$b" -v o="$1" 'BEGIN {
		printf "%s: plain %.1f ms, and checksum %.1f ms, vdi backup %.1f ms\n", o, p, s, b
		printf "%s: vdi backup / plain with checksum = %.3f; ", o, b / s
		printf "without it, (backup - checksum) / plain = %.3f\n", (b - s + p) / p
	}'
}

# the first of each pays for what is loaded
backup_ms $small --no-direct > /dev/null
plain_ms $small > /dev/null
compare --no-direct
if "$plain" "$dir/p" 4096 4096 1 direct > /dev/null 2>&1; then
	compare --direct direct
fi
