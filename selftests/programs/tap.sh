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
		sleep 0.1
	done
}

# The same for what scripts wait for most
lists() { # PATTERN
	"${vdi:?}" ls -v | grep -q "$1"
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
	exit $failed
}
