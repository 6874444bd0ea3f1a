// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_pace.c - the rate limit, with a clock that the tests set
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "pace.h"

#define SECOND INT64_C(1000000000)
#define MIB (UINT64_C(1) << 20)

/* Transfer as fast as is permitted until @until; returns the bytes. */
static uint64_t transfer(struct vdi_pace *pace, uint64_t rate, uint64_t size,
			 int64_t *now, int64_t until)
{
	uint64_t begin = pace->charged;
	int64_t left;

	while (*now < until) {
		vdi_pace_update(pace, rate, *now);
		pace->charged += size;
		while ((left = vdi_pace_left(pace, pace->charged))) {
			*now += left;
			vdi_pace_update(pace, rate, *now);
		}
	}
	return pace->charged - begin;
}

static void test_rate_is_kept(void **state)
{
	static const uint64_t rates[] = {
		1, 4096, 1000003, 50 * MIB, 20000 * MIB
	};
	static const uint64_t sizes[] = { 1, 512, 65536, 4 * MIB };
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			struct vdi_pace pace = { 0 };
			int64_t now = 12345;
			uint64_t sum;

			if (rates[i] / sizes[k] > 1000000)
				continue;	/* takes too long to count */
			sum = transfer(&pace, rates[i], sizes[k], &now,
				       now + 10 * SECOND);
			/* exactly, up to the rounding of each wait */
			assert_true(sum <= (now - 12345) / 1e9 * rates[i] +
				    sizes[k] + 1);
			assert_true(sum >= (now - 12345) / 1e9 * rates[i] * 0.99 -
				    sizes[k]);
		}
	}
}

static void test_no_limit(void **state)
{
	struct vdi_pace pace = { 0 };

	(void)state;
	vdi_pace_update(&pace, 0, 1);
	pace.charged += UINT64_MAX / 2;
	assert_int_equal(vdi_pace_left(&pace, pace.charged), 0);
}

/* What could have been transferred while nothing was to be done is not made up for. */
static void test_pause(void **state)
{
	struct vdi_pace pace = { 0 };
	int64_t now = 0;

	(void)state;
	vdi_pace_update(&pace, MIB, now);
	now += 3600 * SECOND;
	vdi_pace_update(&pace, MIB, now);
	assert_in_range(transfer(&pace, MIB, 65536, &now, now + SECOND), MIB,
			MIB + MIB / 4 + 65536);
}

static void test_change(void **state)
{
	struct vdi_pace pace = { 0 };
	uint64_t target;

	(void)state;
	vdi_pace_update(&pace, 1, 0);
	target = pace.charged += 100 * MIB;
	assert_int_equal(vdi_pace_left(&pace, target), 100 * MIB * SECOND + 1);
	/* half of it at the old rate of 10 MiB/s, and half at 100 MiB/s */
	vdi_pace_update(&pace, 10 * MIB, 0);
	vdi_pace_update(&pace, 100 * MIB, 5 * SECOND);
	assert_in_range(vdi_pace_left(&pace, target), SECOND / 2, SECOND / 2 + 1);
	/* no limit any more: nothing is owed, also after another limit */
	vdi_pace_update(&pace, 0, 5 * SECOND);
	assert_int_equal(vdi_pace_left(&pace, target), 0);
	vdi_pace_update(&pace, 1, 6 * SECOND);
	assert_int_equal(vdi_pace_left(&pace, target), 0);
}

/* A much lower rate after a high one that had earned in advance. */
static void test_lower(void **state)
{
	struct vdi_pace pace = { 0 };

	(void)state;
	vdi_pace_update(&pace, 1000 * MIB, 0);
	vdi_pace_update(&pace, 1000 * MIB, SECOND);
	vdi_pace_update(&pace, 1000, SECOND);
	vdi_pace_update(&pace, 1000, 100 * SECOND);
	/* 250 MiB in advance, and nothing more */
	pace.charged += 250 * MIB + 1000;
	assert_in_range(vdi_pace_left(&pace, pace.charged), SECOND, SECOND + 1);
}

/* Threads continue in the order in which they have charged. */
static void test_order(void **state)
{
	struct vdi_pace pace = { 0 };
	uint64_t first, second;

	(void)state;
	vdi_pace_update(&pace, MIB, 0);
	first = pace.charged += MIB;
	second = pace.charged += MIB;
	assert_in_range(vdi_pace_left(&pace, first), SECOND, SECOND + 1);
	assert_in_range(vdi_pace_left(&pace, second), 2 * SECOND, 2 * SECOND + 1);
	vdi_pace_update(&pace, MIB, SECOND);
	assert_int_equal(vdi_pace_left(&pace, first), 0);
	pace.charged += MIB;
	assert_in_range(vdi_pace_left(&pace, second), SECOND, SECOND + 1);
}

/* A process that reports any number delays the others by a bounded time. */
static void test_others(void **state)
{
	struct vdi_pace pace = { 0 };
	uint64_t target;
	int i;

	(void)state;
	vdi_pace_update(&pace, MIB, 0);
	vdi_pace_charge_others(&pace, 1000, 2 * MIB);
	assert_int_equal(pace.charged - pace.earned, 1000);
	for (i = 0; i < 100; i++) {
		vdi_pace_charge_others(&pace, UINT64_MAX - i, 2 * MIB);
		assert_int_equal(pace.charged - pace.earned, 2 * MIB);
	}
	target = pace.charged += MIB;
	assert_in_range(vdi_pace_left(&pace, target), 3 * SECOND, 3 * SECOND + 1);
	/* debt of this process itself is not reduced */
	vdi_pace_charge_others(&pace, 5, 2 * MIB);
	assert_int_equal(pace.charged, target);
	/* what was earned in advance is spent first */
	vdi_pace_update(&pace, MIB, 100 * SECOND);
	vdi_pace_charge_others(&pace, UINT64_MAX, 2 * MIB);
	assert_int_equal(pace.charged - pace.earned, 2 * MIB);
	vdi_pace_charge_others(&pace, UINT64_MAX, UINT64_MAX / 4);
	assert_int_equal(pace.charged - pace.earned, UINT64_MAX / 4);
}

/* A rate of all ones, a clock that stands still or goes back, a very long pause. */
static void test_extremes(void **state)
{
	struct vdi_pace pace = { 0 };

	(void)state;
	vdi_pace_update(&pace, UINT64_MAX, 100);
	vdi_pace_update(&pace, UINT64_MAX, 99);
	vdi_pace_update(&pace, UINT64_MAX, INT64_MAX);
	pace.charged += 4 * MIB;
	assert_in_range(vdi_pace_left(&pace, pace.charged), 0, 1);
	vdi_pace_update(&pace, 1, INT64_MAX);
	pace.charged += INT64_MAX;
	assert_true(vdi_pace_left(&pace, pace.charged) >= 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rate_is_kept),
		cmocka_unit_test(test_no_limit),
		cmocka_unit_test(test_pause),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_lower),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_extremes),
	};

	return cmocka_run_group_tests_name("pace", tests, NULL, NULL);
}
