# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# tap.sh - tests as shell functions, for the scripts of this directory
#
# To be sourced. The array "tests" has the names of the test functions. A test fails
# if one of its expectations fails. The function after_each, if defined, is called
# after each test and may contain expectations.

tests=()
bad=0
pause_on=${TMPDIR:-/tmp}/vdi-tap.$$

skip_all() { # WHY
	echo "TAP version 13"
	echo "1..0 # SKIP $1"
	exit 4
}

expect() { # TEXT COMMAND...
	local text=$1

	shift
	"$@" && return
	echo "# $text: failed: $*"
	bad=1
}

is() { # NAME WANTED GOT
	[ "$2" = "$3" ] && return
	echo "# $1: expected '$2', got '$3'"
	bad=1
}

# wait_until COMMAND...: repeats it until it succeeds. The limit ends a test that hangs.
wait_until() {
	local end=$((SECONDS + 600))

	until "$@"; do
		if [ $SECONDS -ge $end ]; then
			echo "# still fails after 600 s: $*"
			bad=1
			return 1
		fi
		pause 0.1
	done
}

# While a test waits, it leaves the processor to what it waits for: a program that is
# started in an emulated machine takes up to a tenth of a second. Nothing is ever written
# to the fifo. (A process substitution would change $!.)
pause() { # SECONDS
	[ -p "$pause_on" ] || mkfifo "$pause_on" || exit
	read -rt "$1" <> "$pause_on" || :
}

# The same for what scripts wait for most
lists() { # PATTERN
	local line list

	list=$("${vdi:?}" ls -v)
	while IFS= read -r line; do
		[[ ! $line =~ $1 ]] || return 0
	done <<< "$list"
	return 1
}

as_nobody() { # COMMAND...
	setpriv --reuid=nobody --regid=nogroup --clear-groups -- "$@"
}

no_sets() {
	[ -z "$("${vdi:?}" ls)" ]
}

run_tests() {
	local t count=0 failed=0

	echo "TAP version 13"
	echo "1..${#tests[@]}"
	for t in "${tests[@]}"; do
		count=$((count + 1))
		bad=0
		"$t"
		! declare -F after_each > /dev/null || after_each
		# kill all processes of the test that remain
		jobs -p | xargs -r kill -9 2> /dev/null
		wait 2> /dev/null
		if [ $bad = 0 ]; then
			echo "ok $count $t"
		else
			echo "not ok $count $t"
			failed=1
		fi
	done
	rm -f "$pause_on"
	exit $failed
}
