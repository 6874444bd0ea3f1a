// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_spin.c - the number of iterations before a sleep adapts to their success
 */
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "spin.h"

/* Restrict the process to one CPU, or to all that it had. */
static void use_cpus(const cpu_set_t *all, bool one)
{
	cpu_set_t set = *all;
	int cpu;

	for (cpu = 0; one && CPU_COUNT(&set) > 1; cpu++)
		CPU_CLR(cpu, &set);
	assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void test_spin_one_cpu(void **state)
{
	struct vdi_spin spin;
	cpu_set_t all;
	int i;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	use_cpus(&all, true);
	vdi_spin_init(&spin, 4096);
	for (i = 0; i < 10000; i++)
		assert_int_equal(vdi_spin_begin(&spin), 0);
	use_cpus(&all, false);
}

/* Number of @sleeps sleeps that are preceded by iterations, all in vain. */
static unsigned int lose(struct vdi_spin *spin, unsigned int sleeps)
{
	unsigned int looked = 0;

	while (sleeps--) {
		if (!vdi_spin_begin(spin))
			continue;
		looked++;
		vdi_spin_lost(spin);
	}
	return looked;
}

static void test_spin(void **state)
{
	struct vdi_spin spin;
	cpu_set_t all;
	int i;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	if (CPU_COUNT(&all) < 2)
		skip();
	vdi_spin_init(&spin, 0);
	assert_int_equal(lose(&spin, 10000), 0);

	/* after successes the budget grows, up to the limit */
	vdi_spin_init(&spin, 5000);
	for (i = 0; i < 50; i++) {
		assert_true(vdi_spin_begin(&spin) > 0);
		vdi_spin_won(&spin);
	}
	assert_int_equal(vdi_spin_begin(&spin), 5000);
	/* after failures it shrinks to 0, and tries become rare */
	assert_in_range(lose(&spin, 100), 6, 12);
	lose(&spin, 10000);
	assert_in_range(lose(&spin, 20000), 1, 8);
	/* after a success it grows again */
	while (!vdi_spin_begin(&spin))
		;
	for (i = 0; i < 10; i++)
		vdi_spin_won(&spin);
	assert_int_equal(vdi_spin_begin(&spin), 5000);

	/* no try at all when the process may use one CPU only */
	lose(&spin, 100);
	use_cpus(&all, true);
	assert_int_equal(lose(&spin, 20000), 0);
	use_cpus(&all, false);
}

static void test_spin_variable(void **state)
{
	(void)state;
	unsetenv("VDI_SPIN");
	assert_true(vdi_spin_default() > 0);
	setenv("VDI_SPIN", "0", 1);
	assert_int_equal(vdi_spin_default(), 0);
	setenv("VDI_SPIN", "16777216", 1);
	assert_int_equal(vdi_spin_default(), VDI_SPIN_MAX);
	setenv("VDI_SPIN", "123", 1);
	assert_int_equal(vdi_spin_default(), 123);
	setenv("VDI_SPIN", "-1", 1);
	assert_int_not_equal(vdi_spin_default(), 123);
	assert_true(vdi_spin_default() <= VDI_SPIN_MAX);
	setenv("VDI_SPIN", "12x", 1);
	assert_int_not_equal(vdi_spin_default(), 12);
	unsetenv("VDI_SPIN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_spin),
		cmocka_unit_test(test_spin_one_cpu),
		cmocka_unit_test(test_spin_variable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
