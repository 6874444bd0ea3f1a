// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_area.c - mappings of the area, over a memfd
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "area.h"

#define PAGE	4096U
#define MIB	(1U << 20)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED	1
#else
#define SANITIZED	0
#endif

static bool locking;

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
	assert_int_equal(vdi_area_map(&area, fd, 10 * PAGE, &locking), 0);
	assert_int_equal(vdi_area_map(&area, fd, 5 * PAGE, &locking), 0);
	assert_int_equal(vdi_area_size(&area), 10 * PAGE);
	a = vdi_area_address(&area, PAGE, PAGE, 9 * PAGE);
	assert_non_null(a);
	assert_int_equal(((uintptr_t)a - PAGE) % VDI_AREA_ALIGN, 0);
	memset(a - PAGE, 1, 10 * PAGE);
	assert_int_equal(vdi_area_map(&area, fd, 100 * PAGE, &locking), 0);
	b = vdi_area_address(&area, 10 * PAGE, 0, 90 * PAGE);
	assert_non_null(b);
	assert_int_equal(((uintptr_t)b - 10 * PAGE) % VDI_AREA_ALIGN, 0);
	memset(b, 2, 90 * PAGE);
	assert_ptr_equal(vdi_area_address(&area, PAGE, PAGE, 1), a);

	/* outside of the area, or across the border of two segments */
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

/* A window contains what its segment does. */
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
	assert_true(vdi_area_map(&area, -1, PAGE, &locking) < 0);
	assert_int_equal(vdi_area_map(&area, -1, UINT64_MAX - PAGE + 1,
				      &locking), -ENOMEM);
	assert_false(locking);
	assert_int_equal(vdi_area_size(&area), 0);
	vdi_area_unmap(&area);
}

static unsigned int count_segments(const struct vdi_area *area)
{
	const struct vdi_segment *seg;
	unsigned int n = 0;

	for (seg = vdi_area_first(area); seg; seg = vdi_area_next(seg))
		n++;
	return n;
}

/* Number of lines of /proc/self/maps with this text, or of all (NULL). */
static unsigned int count_mappings(const char *text)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned int n = 0;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		n += !text || strstr(line, text);
	fclose(f);
	return n;
}

/*
 * Growth page by page: the number of segments and mappings is that of the
 * area's doublings.
 */
static void grow_by_pages(bool locked, unsigned int pages)
{
	int fd = memfd_create("growing-area", MFD_CLOEXEC);
	unsigned int before = count_mappings(NULL), i, segments;
	struct vdi_area area;

	assert_int_equal(ftruncate(fd, (off_t)pages * PAGE), 0);
	vdi_area_init(&area);
	area.locked = locked;
	for (i = 1; i <= pages; i++) {
		assert_int_equal(vdi_area_map(&area, fd, (uint64_t)i * PAGE,
					      &locking), 0);
		assert_int_equal(vdi_area_size(&area), (uint64_t)i * PAGE);
		/*
		 * the growth can be used, and its address has the same
		 * alignment
		 */
		assert_int_equal((uintptr_t)
				 vdi_area_address(&area, (i - 1) * PAGE, 0,
						  PAGE) % VDI_AREA_ALIGN,
				 (i - 1) * PAGE % VDI_AREA_ALIGN);
	}
	segments = count_segments(&area);
	assert_in_range(segments, 1, 18);
	assert_int_equal(count_mappings("growing-area"), segments);
	/* and mappings of reserved addresses; sanitizers map memory, too */
	if (!SANITIZED)
		assert_in_range(count_mappings(NULL), before,
				before + segments + 4);
	vdi_area_unmap(&area);
	assert_int_equal(count_mappings("growing-area"), 0);
	if (!SANITIZED)
		assert_in_range(count_mappings(NULL), 0, before + 2);
	close(fd);
}

static void test_growth(void **state)
{
	(void)state;
	grow_by_pages(false, 70000);	/* vm.max_map_count is 65530 */
}

static void test_growth_locked(void **state)
{
	const struct rlimit need = { 256 * PAGE, 256 * PAGE };
	struct rlimit limit;

	(void)state;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur < need.rlim_cur)
		return;
	grow_by_pages(true, 200);
}

/*
 * Growths larger and smaller than the reserved room, beside a thread that looks
 * up buffers.
 */
static void *look(void *arg)
{
	struct vdi_area *area = arg;
	uint64_t size, seen = 0;

	while (seen < 64 * MIB) {
		size = vdi_area_size(area);
		assert_true(size >= seen);
		seen = size;
		if (seen)
			assert_non_null(vdi_area_address(area, seen - PAGE, 0,
							 PAGE));
	}
	return NULL;
}

static void test_look_up_meanwhile(void **state)
{
	int fd = memfd_create("area", MFD_CLOEXEC);
	struct vdi_area area;
	uint64_t size, step;
	pthread_t thread;

	(void)state;
	assert_int_equal(ftruncate(fd, 64 * MIB), 0);
	vdi_area_init(&area);
	assert_int_equal(pthread_create(&thread, NULL, look, &area), 0);
	for (size = 0, step = PAGE; size < 64 * MIB; step = step * 7 % (MIB - 3)) {
		size += (step / PAGE + 1) * PAGE;
		if (size > 64 * MIB)
			size = 64 * MIB;
		assert_int_equal(vdi_area_map(&area, fd, size, &locking), 0);
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	vdi_area_unmap(&area);
	close(fd);
}

static uint64_t addresses(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	unsigned long pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	return (uint64_t)pages * sysconf(_SC_PAGESIZE);
}

/*
 * In a child: with addresses for the growth only, and then not even for that.
 */
static int child_of_few_addresses(int fd)
{
	struct rlimit limit = { .rlim_max = RLIM_INFINITY };
	struct vdi_area area;

	vdi_area_init(&area);
	if (vdi_area_map(&area, fd, 40 * MIB, &locking))
		return 1;
	limit.rlim_cur = addresses() + 8 * MIB;
	if (setrlimit(RLIMIT_AS, &limit))
		return 2;
	/* 44 MiB more, for later growths, would exceed the limit */
	if (vdi_area_map(&area, fd, 44 * MIB, &locking) ||
	    !vdi_area_address(&area, 40 * MIB, 0, 4 * MIB))
		return 3;
	if (vdi_area_map(&area, fd, 64 * MIB, &locking) != -ENOMEM || locking)
		return 4;
	if (vdi_area_size(&area) != 44 * MIB)
		return 5;
	/* nothing of it is left: it succeeds when there is room */
	limit.rlim_cur = RLIM_INFINITY;
	if (setrlimit(RLIMIT_AS, &limit) ||
	    vdi_area_map(&area, fd, 64 * MIB, &locking))
		return 6;
	return 0;
}

/* In a child: only the first part may be locked. */
static int child_of_little_locked(int fd)
{
	struct rlimit limit = { 8 * PAGE, 8 * PAGE };
	struct vdi_area area;

	vdi_area_init(&area);
	area.locked = true;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || (!geteuid() && seteuid(65534)))
		return 1;
	if (vdi_area_map(&area, fd, 4 * PAGE, &locking))
		return 2;
	if (vdi_area_map(&area, fd, 6 * PAGE, &locking))
		return 3;
	if (!vdi_area_map(&area, fd, 16 * PAGE, &locking) || !locking)
		return 4;
	if (vdi_area_size(&area) != 6 * PAGE)
		return 5;
	if (vdi_area_map(&area, fd, 8 * PAGE, &locking) || locking)
		return 6;
	return 0;
}

static void run_child(int (*fn)(int fd))
{
	int fd = memfd_create("area", MFD_CLOEXEC);
	int status;
	pid_t pid;

	assert_int_equal(ftruncate(fd, 64 * MIB), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid)
		_exit(fn(fd));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fd);
}

static void test_own_limits(void **state)
{
	(void)state;
	/* sanitizers need the whole address space, and disable mlock(2) */
	if (SANITIZED)
		return;
	run_child(child_of_few_addresses);
	run_child(child_of_little_locked);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments),
		cmocka_unit_test(test_window),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_growth),
		cmocka_unit_test(test_growth_locked),
		cmocka_unit_test(test_look_up_meanwhile),
		cmocka_unit_test(test_own_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
