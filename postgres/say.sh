# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# say.sh - the output of the demo. To be sourced.

say() {
	printf '\n\033[1m== %s\033[0m\n' "$*"
}

note() {
	printf '   %s\n' "$*"
}

# print the output of a command, marked as such
show() {
	"$@" 2>&1 | sed 's/^/   | /'
}

die() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}
