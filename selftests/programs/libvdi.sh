#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Runs the tests of libvdi that need the module: both sides of the library against
# each other. The program is built with the library.

e2e=../libvdi/test/e2e
if ! [ -x "$e2e" ]; then
	echo "TAP version 13"
	echo "1..0 # SKIP $e2e is not built"
	exit 4
fi
exec "$e2e"
