// SPDX-License-Identifier: LGPL-2.1-or-later
/* lock.c - the lock of a device under contention, and futexes */
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lock.h"

#define NS_PER_SEC	1000000000

/*
 * Sleep while *@word is @value, at most @ns nanoseconds; negative = without
 * limit. May return early: the caller checks the word again.
 */
void vdi_futex_wait(const uint32_t *word, uint32_t value, int64_t ns)
{
	const struct timespec longest = {
		.tv_sec = ns / NS_PER_SEC,
		.tv_nsec = ns % NS_PER_SEC,
	};

	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value,
		ns < 0 ? NULL : &longest, NULL, 0);
}

/* Wake one of the threads that sleep. */
void vdi_futex_wake(const uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Wake a thread that waits for a lock that was just released. Returns 0. */
int vdi_lock_wake(struct vdi_lock *lock)
{
	vdi_futex_wake(&lock->word);
	return 0;
}

/* A thread that has slept sets WANTED, since there may be others. */
void vdi_lock_wait(struct vdi_lock *lock)
{
	while (__atomic_exchange_n(&lock->word, VDI_LOCK_WANTED,
				   __ATOMIC_ACQUIRE) != VDI_LOCK_FREE)
		vdi_futex_wait(&lock->word, VDI_LOCK_WANTED, -1);
}
