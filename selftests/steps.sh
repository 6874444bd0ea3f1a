# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
#
# steps.sh - tests that are a sequence of steps, each of which needs those before it. To be
# sourced by scripts that set $log, the file for the output of a step.

# step TEXT COMMAND...: exits if COMMAND fails
step() {
	local text=$1 since=$SECONDS
	shift
	# not as part of a condition, which would disable -e
	(set -e; "$@") > "${log:?}" 2>&1 < /dev/null
	# shellcheck disable=SC2181
	if [ $? != 0 ]; then
		cat "$log"
		printf '  %-7s %s\n' FAIL "$text"
		exit 1
	fi
	printf '  %-7s %s (%d s)\n' CHECK "$text" $((SECONDS - since))
}

equal() { # WHAT EXPECTED FOUND
	[ "$2" = "$3" ] || { echo "$1: $3, not $2"; return 1; }
}
