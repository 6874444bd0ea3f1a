// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * test_lock.c - the lock of a device
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "lock.h"

#define THREADS	8
#define ROUNDS	20000

static struct vdi_lock lock;
static unsigned int inside, count;

static void test_alone(void **state)
{
	(void)state;
	assert_int_equal(lock.word, VDI_LOCK_FREE);
	vdi_lock(&lock);
	assert_int_equal(lock.word, VDI_LOCK_HELD);
	vdi_unlock(&lock);
	assert_int_equal(lock.word, VDI_LOCK_FREE);
	lock.word = VDI_LOCK_WANTED;	/* as a thread of the parent may have it */
	vdi_lock_init(&lock);
	assert_int_equal(lock.word, VDI_LOCK_FREE);
}

/* Not atomic without the lock, which is sometimes held for long. */
static void *add(void *arg)
{
	unsigned int i;

	(void)arg;
	for (i = 0; i < ROUNDS; i++) {
		vdi_lock(&lock);
		if (inside++)
			return &lock;
		count++;
		if (i % 64 == 0)
			sched_yield();
		inside--;
		vdi_unlock(&lock);
	}
	return NULL;
}

static void test_many(void **state)
{
	pthread_t thread[THREADS];
	void *failed;
	int i;

	(void)state;
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, add, NULL), 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(thread[i], &failed);
		assert_null(failed);
	}
	assert_int_equal(count, THREADS * ROUNDS);
	assert_int_equal(lock.word, VDI_LOCK_FREE);
}

static void *take_and_go(void *arg)
{
	(void)arg;
	vdi_lock(&lock);
	vdi_unlock(&lock);
	return NULL;
}

/* All threads sleep until it is free, and all get it. */
static void test_sleepers(void **state)
{
	pthread_t thread[THREADS];
	int i;

	(void)state;
	vdi_lock(&lock);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, take_and_go,
						NULL), 0);
	while (__atomic_load_n(&lock.word, __ATOMIC_RELAXED) != VDI_LOCK_WANTED)
		sched_yield();
	usleep(20000);
	vdi_unlock(&lock);
	for (i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(lock.word, VDI_LOCK_FREE);
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void test_futex(void **state)
{
	const uint32_t word = 5;
	int64_t start = now_ns();

	(void)state;
	vdi_futex_wait(&word, 4, -1);		/* another value: returns at once */
	vdi_futex_wait(&word, 5, 30000000);
	assert_true(now_ns() - start >= 30000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alone),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_sleepers),
		cmocka_unit_test(test_futex),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
