// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_alloc.c - the allocator against a model
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "alloc.h"
#include "area.h"

#define KIB	1024U
#define MAX	4096

/* The model: allocated buffers, and the size of the area. */
struct model {
	struct vdi_alloc alloc;
	uint64_t area;
	int count;
	struct {
		uint64_t offset;
		uint32_t size;
	} buf[MAX];
};

static void model_init(struct model *m, uint32_t prefix, uint32_t alignment)
{
	memset(m, 0, sizeof(*m));
	vdi_alloc_init(&m->alloc, prefix, alignment);
}

static void announce(struct model *m, uint32_t size, uint32_t alignment,
		     uint32_t count)
{
	struct vdi_slots *slots;
	uint64_t bytes;

	assert_int_equal(vdi_alloc_announce(&m->alloc, size, alignment, count,
					    m->area, &slots, &bytes), 0);
	vdi_alloc_commit(&m->alloc, slots);
	m->area += (bytes + 4095) & ~4095ULL;
}

static void check_place(const struct model *m, uint64_t offset, uint32_t size,
			uint32_t alignment)
{
	uint64_t start = offset - m->alloc.prefix;
	int i;

	assert_int_equal(offset % m->alloc.alignment, 0);
	if (alignment)
		assert_int_equal(offset % alignment, 0);
	assert_true(offset >= m->alloc.prefix);
	assert_true(offset + size <= m->area);
	for (i = 0; i < m->count; i++) {
		uint64_t other = m->buf[i].offset;

		assert_true(offset + size <= other - m->alloc.prefix ||
			    start >= other + m->buf[i].size);
	}
}

static int get(struct model *m, uint32_t size, uint32_t alignment)
{
	uint64_t offset;
	int err = vdi_alloc_get(&m->alloc, size, alignment, &offset);

	if (err)
		return err;
	check_place(m, offset, size, alignment);
	assert_true(m->count < MAX);
	m->buf[m->count].offset = offset;
	m->buf[m->count++].size = size;
	return 0;
}

static void put(struct model *m, int i)
{
	assert_int_equal(vdi_alloc_put(&m->alloc, m->buf[i].offset,
				       m->buf[i].size), 0);
	m->buf[i] = m->buf[--m->count];
}

static void put_all(struct model *m)
{
	while (m->count)
		put(m, rand() % m->count);
}

static void test_exact(void **state)
{
	static const uint32_t prefixes[] = { 0, 1, 512, 5000 };
	struct model *m = malloc(sizeof(*m));
	uint32_t i, align;

	(void)state;
	for (i = 0; i < 4; i++) {
		for (align = 512; align <= 64 * KIB; align *= 2) {
			model_init(m, prefixes[i], align);
			announce(m, 100 * KIB, 0, 10);
			assert_int_equal(vdi_alloc_available(&m->alloc,
							     100 * KIB, 0),
					 10);
			while (!get(m, 100 * KIB, 0))
				;
			assert_int_equal(m->count, 10);
			put_all(m);
			assert_int_equal(vdi_alloc_available(&m->alloc,
							     100 * KIB, 0),
					 10);
			vdi_alloc_destroy(&m->alloc);
		}
	}
	free(m);
}

static void test_no_waste(void **state)
{
	struct model *m = malloc(sizeof(*m));

	(void)state;
	model_init(m, 0, 512);
	announce(m, 1024 * KIB, 0, 8);
	assert_int_equal(m->area, 8192 * KIB);
	announce(m, 4 * KIB, 4 * KIB, 16);
	assert_int_equal(m->area, 8192 * KIB + 64 * KIB);
	vdi_alloc_destroy(&m->alloc);
	free(m);
}

static void test_bad_arguments(void **state)
{
	struct vdi_slots *slots;
	struct vdi_alloc a;
	uint64_t offset, bytes;

	(void)state;
	vdi_alloc_init(&a, 0, 512);
	assert_int_equal(vdi_alloc_get(&a, 1, 0, &offset), -ENOMEM);
	assert_int_equal(vdi_alloc_put(&a, 0, 1), -EINVAL);
	assert_int_equal(vdi_alloc_announce(&a, 0, 0, 1, 0, &slots, &bytes),
			 -EINVAL);
	assert_int_equal(vdi_alloc_announce(&a, 1, 3, 1, 0, &slots, &bytes),
			 -EINVAL);
	assert_int_equal(vdi_alloc_announce(&a, 1, 4 << 20, 1, 0, &slots,
					    &bytes), -EINVAL);
	assert_int_equal(vdi_alloc_announce(&a, UINT32_MAX, 0, UINT32_MAX, 0,
					    &slots, &bytes), -ENOMEM);
	assert_int_equal(vdi_alloc_announce(&a, 600, 0, 2, 0, &slots, &bytes),
			 0);
	vdi_alloc_discard(slots);
	assert_int_equal(vdi_alloc_available(&a, 600, 0), 0);
	assert_int_equal(vdi_alloc_announce(&a, 600, 0, 2, 0, &slots, &bytes),
			 0);
	vdi_alloc_commit(&a, slots);
	assert_int_equal(vdi_alloc_get(&a, 600, 0, &offset), 0);
	assert_int_equal(vdi_alloc_put(&a, offset + 512, 600), -EINVAL);
	assert_int_equal(vdi_alloc_put(&a, offset, 601), -EINVAL);
	assert_int_equal(vdi_alloc_put(&a, offset, 600), 0);
	assert_int_equal(vdi_alloc_put(&a, offset, 600), -EINVAL);
	vdi_alloc_destroy(&a);
}

struct shape {
	uint32_t size;
	uint32_t alignment;
	uint32_t count;
	uint32_t live;
};

/*
 * Announced buffers can always be allocated: allocate and free them at random,
 * with growth, and never more than were announced.
 */
static void guarantee(uint32_t prefix, uint32_t alignment)
{
	struct shape shape[] = {
		{ 1024 * KIB, 0, 4, 0 }, { 64 * KIB, 4096, 7, 0 },
		{ 700, 0, 20, 0 }, { 3 * 512, 64 * KIB, 3, 0 },
		{ 64 * KIB, 512, 2, 0 },
	};
	struct model *m = malloc(sizeof(*m));
	int which[MAX], round, i, k;

	model_init(m, prefix, alignment);
	for (i = 0; i < 5; i++)
		announce(m, shape[i].size, shape[i].alignment,
			 shape[i].count);
	for (round = 0; round < 20000; round++) {
		i = rand() % 5;
		if (shape[i].live < shape[i].count && rand() % 3) {
			which[m->count] = i;
			shape[i].live++;
			assert_int_equal(get(m, shape[i].size,
					     shape[i].alignment), 0);
		} else if (m->count) {
			k = rand() % m->count;
			shape[which[k]].live--;
			put(m, k);
			which[k] = which[m->count];
		}
		if (round % 5000 == 4999) {
			announce(m, shape[i].size, shape[i].alignment, 3);
			shape[i].count += 3;
		}
	}
	vdi_alloc_destroy(&m->alloc);
	free(m);
}

static void test_guarantee(void **state)
{
	(void)state;
	srand(1);
	guarantee(0, 512);
	guarantee(4096, 4096);
	guarantee(100, 1024);
}

static uint32_t random_size(void)
{
	return 1 + rand() % (1U << (rand() % 18));
}

/* Shapes that were not announced: no overlap, and all extents merge again. */
static void test_random_shapes(void **state)
{
	struct model *m = malloc(sizeof(*m));
	int round, run;

	(void)state;
	srand(2);
	for (run = 0; run < 4; run++) {
		model_init(m, run * 700, 512U << run);
		announce(m, 256 * KIB, 0, 8);
		announce(m, 64 * KIB, 0, 8);
		for (round = 0; round < 20000; round++) {
			if (rand() % 5 < 3 && m->count < MAX - 1)
				get(m, random_size(),
				    rand() % 4 ? 0 : 1U << (rand() % 18));
			else if (m->count)
				put(m, rand() % m->count);
		}
		put_all(m);
		assert_int_equal(vdi_alloc_available(&m->alloc, 256 * KIB, 0),
				 8);
		assert_int_equal(m->alloc.count, 16);
		vdi_alloc_destroy(&m->alloc);
	}
	free(m);
}

/* As many as are reported to be available can be allocated, and no more. */
static void test_available(void **state)
{
	struct model *m = malloc(sizeof(*m));
	uint32_t size, alignment;
	uint64_t n;
	int i, k;

	(void)state;
	srand(3);
	model_init(m, 512, 512);
	announce(m, 256 * KIB, 0, 4);
	announce(m, 16 * KIB, 0, 4);
	for (i = 0; i < 300; i++) {
		for (k = rand() % 10; k; k--)
			get(m, random_size(), 0);
		for (k = rand() % 8; k && m->count; k--)
			put(m, rand() % m->count);
		size = 4096 + random_size();
		alignment = 512U << rand() % 6;
		n = vdi_alloc_available(&m->alloc, size, alignment);
		while (n--)
			assert_int_equal(get(m, size, alignment), 0);
		assert_int_equal(get(m, size, alignment), -ENOMEM);
		put_all(m);
	}
	vdi_alloc_destroy(&m->alloc);
	free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_no_waste),
		cmocka_unit_test(test_bad_arguments),
		cmocka_unit_test(test_guarantee),
		cmocka_unit_test(test_random_shapes),
		cmocka_unit_test(test_available),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
