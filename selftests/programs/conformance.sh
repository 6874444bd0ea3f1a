#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# The specification, statement by statement, against libvdi; docs/conformance.md
# lists the tests. Sources in selftests/conformance.

suite=../conformance/conformance
if ! [ -x "$suite" ]; then
	echo "TAP version 13"
	echo "1..0 # SKIP $suite is not built"
	exit 4
fi
exec "$suite"
