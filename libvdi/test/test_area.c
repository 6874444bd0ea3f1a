// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_area.c - mappings of the area, over a memfd
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../area.h"

#define PAGE	4096U

static void test_segments(void **state)
{
	int fd = memfd_create("area", MFD_CLOEXEC);
	struct vdi_area area;
	uint8_t *a, *b;
	uint64_t off;

	(void)state;
	assert_int_equal(ftruncate(fd, 100 * PAGE), 0);
	vdi_area_init(&area);
	assert_null(vdi_area_address(&area, 0, 0, 0));
	assert_int_equal(vdi_area_map(&area, fd, 10 * PAGE), 0);
	assert_int_equal(vdi_area_map(&area, fd, 5 * PAGE), 0);
	assert_int_equal(vdi_area_size(&area), 10 * PAGE);
	a = vdi_area_address(&area, PAGE, PAGE, 9 * PAGE);
	assert_non_null(a);
	assert_int_equal(((uintptr_t)a - PAGE) % VDI_AREA_ALIGN, 0);
	memset(a - PAGE, 1, 10 * PAGE);
	assert_int_equal(vdi_area_map(&area, fd, 100 * PAGE), 0);
	b = vdi_area_address(&area, 10 * PAGE, 0, 90 * PAGE);
	assert_non_null(b);
	assert_int_equal(((uintptr_t)b - 10 * PAGE) % VDI_AREA_ALIGN, 0);
	memset(b, 2, 90 * PAGE);
	assert_ptr_equal(vdi_area_address(&area, PAGE, PAGE, 1), a);

	/* outside, or over the border of two segments */
	assert_null(vdi_area_address(&area, PAGE, PAGE + 1, 1));
	assert_null(vdi_area_address(&area, PAGE, 0, 9 * PAGE + 1));
	assert_null(vdi_area_address(&area, 10 * PAGE, 1, 1));
	assert_null(vdi_area_address(&area, 100 * PAGE, 0, 1));
	assert_null(vdi_area_address(&area, UINT64_MAX, 0, 1));
	assert_null(vdi_area_address(&area, UINT64_MAX - 511, 512,
				     UINT32_MAX));
	assert_null(vdi_area_address(&area, 0, 0, UINT32_MAX));
	assert_null(vdi_area_address(&area, 0, UINT32_MAX, 0));

	assert_true(vdi_area_offset(&area, b + 7, 0, 1, &off));
	assert_int_equal(off, 10 * PAGE + 7);
	assert_true(vdi_area_offset(&area, a, PAGE, 9 * PAGE, &off));
	assert_int_equal(off, PAGE);
	assert_false(vdi_area_offset(&area, a, PAGE, 9 * PAGE + 1, &off));
	assert_false(vdi_area_offset(&area, b - 1, 0, 1, &off));
	assert_false(vdi_area_offset(&area, b + 90 * PAGE, 0, 1, &off));
	assert_false(vdi_area_offset(&area, (uint8_t *)&off, 0, 1, &off));
	assert_false(vdi_area_offset(&area, NULL, 0, 0, &off));
	vdi_area_unmap(&area);
	assert_null(vdi_area_address(&area, 0, 0, 0));
	close(fd);
}

/* A window holds what the segment does that it was made of. */
static void test_window(void **state)
{
	const struct vdi_segment seg = {
		.offset = 10 * PAGE,
		.size = 4 * PAGE,
		.base = (uint8_t *)(100 * (uintptr_t)PAGE),
	};
	struct vdi_window window = { 0 };

	(void)state;
	assert_false(vdi_window_holds(&window, 0, 0));
	vdi_window_set(&window, &seg, PAGE);
	assert_int_equal(window.offset, 11 * PAGE);
	assert_ptr_equal(window.base, seg.base + PAGE);
	assert_true(vdi_window_holds(&window, 0, 3 * PAGE));
	assert_true(vdi_window_holds(&window, 3 * PAGE - 1, 1));
	assert_false(vdi_window_holds(&window, 0, 3 * PAGE + 1));
	assert_false(vdi_window_holds(&window, 0, UINT32_MAX));
	assert_false(vdi_window_holds(&window, 1, 3 * PAGE));
	assert_false(vdi_window_holds(&window, 3 * PAGE, 1));
	assert_false(vdi_window_holds(&window, UINT64_MAX, 1));
	assert_false(vdi_window_holds(&window, UINT64_MAX, UINT32_MAX));
	vdi_window_set(&window, &seg, 5 * PAGE);
	assert_false(vdi_window_holds(&window, 0, 0));
}

static void test_errors(void **state)
{
	struct vdi_area area;

	(void)state;
	vdi_area_init(&area);
	assert_true(vdi_area_map(&area, -1, PAGE) < 0);
	assert_true(vdi_area_map(&area, -1, UINT64_MAX - PAGE + 1) < 0);
	assert_int_equal(vdi_area_size(&area), 0);
	vdi_area_unmap(&area);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
