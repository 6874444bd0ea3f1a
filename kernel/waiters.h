/* SPDX-License-Identifier: GPL-2.0 */
/*
 * waiters.h - sleeping for a condition, and waking
 *
 * A sleeper is in its place or queued before it evaluates its condition (barrier
 * G of the uAPI's ring rules), a kick looks for sleepers after a full barrier
 * (H). So a condition made true before the kick is seen by the sleeper, or the
 * sleeper by the kick.
 */
#ifndef VDISET_WAITERS_H
#define VDISET_WAITERS_H

#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/wait.h>

#include "vdiset.h"

/* Result of a condition besides an error and 0, when it is fulfilled. */
#define VDISET_SLEEP	1

/*
 * What a call waits for. Everything of it is handed from function to function in
 * registers: a structure would have to be cleared for each call.
 *
 * @ready: 0, an error, or VDISET_SLEEP: then, if it is there, @sleeps is called
 * each time after the first. Both are given the three values that follow.
 */
typedef int (*vdiset_ready_fn)(void *object, enum vdiset_side side, u32 seen);
typedef void (*vdiset_sleeps_fn)(void *object, enum vdiset_side side,
				 ktime_t now);

int vdiset_schedule_until(ktime_t end);
int vdiset_sleep_queued(struct vdiset_waiters *waiters, s64 ns, ktime_t end,
			vdiset_ready_fn ready, vdiset_sleeps_fn sleeps,
			void *object, enum vdiset_side side, u32 seen);

/*
 * The task cannot go while we look: it has cleared the place before it exits, and
 * is kept for those who did not see that until they let go of this processor.
 * Woken for nothing it may be, as anybody may.
 */
static __always_inline void vdiset_wake_sole(struct vdiset_waiters *waiters)
{
	struct task_struct *task;

	if (!READ_ONCE(waiters->sole))
		return;
	rcu_read_lock_sched();
	task = READ_ONCE(waiters->sole);
	if (task)
		wake_up_process(task);
	rcu_read_unlock_sched();
}

/*
 * Everybody: no waiter is exclusive, and abort must reach them all. After barrier
 * (H).
 */
static __always_inline void vdiset_wake_them(struct vdiset_waiters *waiters)
{
	vdiset_wake_sole(waiters);
	if (waitqueue_active(&waiters->queue))
		wake_up_all(&waiters->queue);
}

static __always_inline int vdiset_schedule(s64 ns, ktime_t end)
{
	if (ns > 0)
		return vdiset_schedule_until(end);
	schedule();
	return 0;
}

/**
 * vdiset_sleep - wait for a condition
 * @waiters: where to wait
 * @now: ktime_get(), where there is a longest wait
 * @ns: longest wait, negative for ever
 * @ready: the condition
 * @sleeps: what is to be done before a further sleep, or NULL
 * @object: for those two
 * @side: likewise
 * @seen: likewise
 *
 * Gives 0, the error of @ready, -ETIMEDOUT or -EINTR. In line, with @ready, where
 * nobody else waits, which is nearly always.
 *
 * A signal gives EINTR also where the handler asks for restarts: a database
 * must get the chance to look at what the signal was for, and a relative
 * time-out would start anew.
 */
static __always_inline int vdiset_sleep(struct vdiset_waiters *waiters,
					ktime_t now, s64 ns,
					vdiset_ready_fn ready,
					vdiset_sleeps_fn sleeps, void *object,
					enum vdiset_side side, u32 seen)
{
	ktime_t end = ns > 0 ? ktime_add_safe(now, ns) : 0;
	int woken = 0;
	int rc;

	if (READ_ONCE(waiters->sole) ||
	    cmpxchg(&waiters->sole, NULL, current))
		return vdiset_sleep_queued(waiters, ns, end, ready, sleeps,
					   object, side, seen);
	for (;;) {
		set_current_state(TASK_INTERRUPTIBLE); /* (G) */
		rc = ready(object, side, seen);
		if (rc != VDISET_SLEEP || !ns) {
			__set_current_state(TASK_RUNNING);
			if (rc == VDISET_SLEEP)
				rc = -ETIMEDOUT;
			break;
		}
		/* returns at once when there is a signal */
		woken = vdiset_schedule(ns, end);
		rc = ready(object, side, seen);
		if (likely(rc != VDISET_SLEEP))
			break;
		if (!woken && signal_pending(current))
			woken = -EINTR;
		if (woken) {
			rc = woken;
			break;
		}
		if (sleeps)
			sleeps(object, side, ktime_get());
	}
	WRITE_ONCE(waiters->sole, NULL);
	return rc;
}

#endif /* VDISET_WAITERS_H */
