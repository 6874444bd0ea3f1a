// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * main.c - both sides of libvdi over /dev/vdiset, in two processes and more
 *
 *   e2e [PATTERN]   run the tests, or those whose names match
 */
#include <stdlib.h>

#include "fixture.h"

int main(int argc, char **argv)
{
#define E2E_ENTRY(name) \
	cmocka_unit_test_setup_teardown(test_ ## name, set_up, tear_down),
	const struct CMUnitTest tests[] = { E2E_TESTS(E2E_ENTRY) };
#undef E2E_ENTRY

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
