# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
#
# timing.sh - the time of commands, and figures of it, for bench/stores and bench/compress.
# To be sourced. They set "work", a directory, and "SIZE", the MiB of the data, and have a
# function "die".
# shellcheck disable=SC2154 # work

# timed NAME COMMAND...: NAME_s = seconds, NAME_cpu = seconds of its CPU time
timed() {
	local name=$1 real user system
	local TIMEFORMAT='%R %U %S'
	shift
	{ time "$@" > "$work/out" 2>&1 || touch "$work/failed"; } 2> "$work/time"
	[ ! -e "$work/failed" ] || die "$1: $(tail -n 3 "$work/out")"
	read -r real user system < "$work/time"
	printf -v "${name}_s" '%s' "$real"
	printf -v "${name}_cpu" '%s' "$(awk -v U="$user" -v S="$system" 'BEGIN { print U + S }')"
}

# of SECONDS
rate() { awk -v M="$SIZE" -v S="$1" 'BEGIN { printf "%.0f\n", M / S }'; }
cost() { awk -v M="$SIZE" -v S="$1" 'BEGIN { printf "%.0f\n", S * 1000 * 1024 / M }'; }
sum() { awk -v A="$1" -v B="$2" 'BEGIN { print A + B }'; }
ratio() { awk -v A="$1" -v B="$2" 'BEGIN { printf "%.2f\n", A / B }'; }
median() {
	printf '%s\n' "$@" | sort -n | awk '{ a[NR] = $1 } END { print (a[int((NR + 1) / 2)] + a[int(NR / 2) + 1]) / 2 }'
}
