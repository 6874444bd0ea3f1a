/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock.h - the lock of a device
 *
 * It is taken twice for each command or batch, nearly always without
 * contention: then locking and unlocking are one inline atomic operation each.
 * It is for threads of one process, and not recursive. A zeroed lock is free.
 */
#ifndef VDI_LOCK_H
#define VDI_LOCK_H

#include <stdbool.h>
#include <stdint.h>

enum {
	VDI_LOCK_FREE,
	VDI_LOCK_HELD,
	VDI_LOCK_WANTED		/* held, and a thread may sleep */
};

struct vdi_lock {
	uint32_t word;
};

void vdi_lock_wait(struct vdi_lock *lock);
int vdi_lock_wake(struct vdi_lock *lock);
void vdi_futex_wait(const uint32_t *word, uint32_t value, int64_t ns);
void vdi_futex_wake(const uint32_t *word);

/*
 * Also for a forked child, whose copy may be locked by a thread of its parent.
 */
static inline void vdi_lock_init(struct vdi_lock *lock)
{
	__atomic_store_n(&lock->word, VDI_LOCK_FREE, __ATOMIC_RELAXED);
}

static inline bool vdi_trylock(struct vdi_lock *lock)
{
	uint32_t free = VDI_LOCK_FREE;

	return __builtin_expect(__atomic_compare_exchange_n(&lock->word, &free,
				VDI_LOCK_HELD, false, __ATOMIC_ACQUIRE,
				__ATOMIC_RELAXED), 1);
}

static inline void vdi_lock(struct vdi_lock *lock)
{
	if (!vdi_trylock(lock))
		vdi_lock_wait(lock);
}

/* Returns 0, so that a caller can end with it as a tail call. */
static inline int vdi_unlock(struct vdi_lock *lock)
{
	uint32_t old = __atomic_exchange_n(&lock->word, VDI_LOCK_FREE,
					   __ATOMIC_RELEASE);

	if (__builtin_expect(old == VDI_LOCK_WANTED, 0))
		return vdi_lock_wake(lock);
	return 0;
}

#endif /* VDI_LOCK_H */
