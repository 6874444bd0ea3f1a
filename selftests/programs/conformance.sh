#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the conformance suite of selftests/conformance: libvdi against every statement
# of docs/conformance.md.

suite=../conformance/conformance
if ! [ -x "$suite" ]; then
	echo "TAP version 13"
	echo "1..0 # SKIP $suite is not built"
	exit 4
fi
exec "$suite"
