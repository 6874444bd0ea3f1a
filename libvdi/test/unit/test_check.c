// SPDX-License-Identifier: LGPL-2.1-or-later
/* test_check.c - entries that break the rules are rejected, and no others */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "check.h"

static void test_command_check(void **state)
{
	const struct vdi_ring_limits limits = {
		.depth = 8, .max_transfer = 65536, .part_block = 511,
	};
	const struct vdiset_command good = {
		.code = VDC_Write, .tag = 7, .size = 65536, .buffer = 4096,
	};
	struct vdiset_command cmd = good;

	(void)state;
	assert_null(vdi_command_check(&cmd, &limits));
	cmd.tag = 8;
	assert_non_null(vdi_command_check(&cmd, &limits));
	cmd = good, cmd.size = 65024;
	assert_null(vdi_command_check(&cmd, &limits));
	assert_true(vdi_command_is_plain(&cmd, &limits));
	cmd.size = 65024 - 256;	/* not a multiple of blockSize */
	assert_non_null(vdi_command_check(&cmd, &limits));
	assert_false(vdi_command_is_plain(&cmd, &limits));
	cmd = good, cmd.size = 65537;
	assert_non_null(vdi_command_check(&cmd, &limits));
	cmd = good, cmd.size = -1;
	assert_non_null(vdi_command_check(&cmd, &limits));
	cmd = good, cmd.reserved = 1;
	assert_non_null(vdi_command_check(&cmd, &limits));
	cmd = good, cmd.buffer = VDISET_NO_BUFFER;
	assert_non_null(vdi_command_check(&cmd, &limits));
	cmd.size = 0;
	assert_null(vdi_command_check(&cmd, &limits));
	cmd.code = VDC_SkipMarks, cmd.size = -5;
	assert_null(vdi_command_check(&cmd, &limits));
	cmd.buffer = 0;
	assert_non_null(vdi_command_check(&cmd, &limits));
	cmd.code = VDC_Complete, cmd.size = 0, cmd.buffer = VDISET_NO_BUFFER;
	assert_non_null(vdi_command_check(&cmd, &limits));
}

static void test_completion_check(void **state)
{
	struct vdiset_completion done = { .bytes = 512 };

	(void)state;
	assert_null(vdi_completion_check(&done, VDC_Read, 512));
	assert_non_null(vdi_completion_check(&done, VDC_Read, 511));
	assert_null(vdi_completion_check(&done, VDC_Flush, 0));
	done.bytes = 1ULL << 32;
	assert_non_null(vdi_completion_check(&done, VDC_Flush, 0));
	done.bytes = 0, done.reserved = 1;
	assert_non_null(vdi_completion_check(&done, VDC_Read, 512));

	assert_false(vdi_completion_is_error(VDC_Write, 512, 0, 100));
	assert_true(vdi_completion_is_error(VDC_Write, 512, 112, 512));
	assert_false(vdi_completion_is_error(VDC_Write, 512, 1100, 512));
	assert_true(vdi_completion_is_error(VDC_Write, 512, 1100, 511));
	assert_false(vdi_completion_is_error(VDC_WriteMark, 0, 1100, 0));
	assert_true(vdi_completion_is_error(VDC_Read, 512, 38, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_command_check),
		cmocka_unit_test(test_completion_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
