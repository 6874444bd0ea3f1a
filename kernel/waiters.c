// SPDX-License-Identifier: GPL-2.0
/*
 * waiters.c - sleeping for a condition, and waking
 */
#include "waiters.h"

void vdiset_waiters_init(struct vdiset_waiters *waiters)
{
	waiters->sole = NULL;
	init_waitqueue_head(&waiters->queue);
}

void vdiset_wake(struct vdiset_waiters *waiters)
{
	smp_mb(); /* (H) */
	vdiset_wake_them(waiters);
}

/* 0, or the time is over. */
noinline int vdiset_schedule_until(ktime_t end)
{
	if (schedule_hrtimeout_range(&end, current->timer_slack_ns,
				     HRTIMER_MODE_ABS))
		return 0;
	return -ETIMEDOUT;
}

/* Where somebody else sleeps alone already. */
noinline int vdiset_sleep_queued(struct vdiset_waiters *waiters, s64 ns,
				 ktime_t end, vdiset_ready_fn ready,
				 vdiset_sleeps_fn sleeps, void *object,
				 enum vdiset_side side, u32 seen)
{
	struct wait_queue_entry entry;
	int woken = ns ? 0 : -ETIMEDOUT;
	int rc;

	init_wait_entry(&entry, 0);
	for (;;) {
		/* (G) */
		if (prepare_to_wait_event(&waiters->queue, &entry,
					  TASK_INTERRUPTIBLE) && !woken)
			woken = -EINTR;
		rc = ready(object, side, seen);
		if (rc != VDISET_SLEEP)
			break;
		if (woken) {
			rc = woken;
			break;
		}
		woken = vdiset_schedule(ns, end);
		if (sleeps)
			sleeps(object, side, ktime_get());
	}
	finish_wait(&waiters->queue, &entry);
	return rc;
}
