// SPDX-License-Identifier: GPL-2.0
/*
 * wait.c - sleeping and waking
 *
 * A sleeper is in its place or queued before it evaluates its condition (barrier
 * G of the uAPI's ring rules, in vdiset_close_eyes), a kick looks for sleepers
 * after a full barrier (H, in vdiset_wake). So a condition made true before the
 * kick is seen by the sleeper, or the sleeper by the kick.
 *
 * Shared indices are read here only to decide whether to sleep.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "trace.h"
#include "vdiset.h"

/* Results of a condition besides an error. */
#define VDISET_SLEEP	0
#define VDISET_READY	1

/* One who sleeps: in the first place, or queued. */
struct vdiset_sleeper {
	struct vdiset_waiters *waiters;
	struct wait_queue_entry entry;
	bool sole;
};

void vdiset_waiters_init(struct vdiset_waiters *waiters)
{
	waiters->sole = NULL;
	init_waitqueue_head(&waiters->queue);
}

/*
 * The task cannot go while we look: it has cleared the place before it exits, and
 * is kept for those who did not see that until they leave RCU. Woken for nothing
 * it may be, as anybody may.
 */
static void vdiset_wake_sole(struct vdiset_waiters *waiters)
{
	struct task_struct *task;

	if (!READ_ONCE(waiters->sole))
		return;
	rcu_read_lock();
	task = READ_ONCE(waiters->sole);
	if (task)
		wake_up_process(task);
	rcu_read_unlock();
}

/* Everybody: no waiter is exclusive, and abort must reach them all. */
void vdiset_wake(struct vdiset_waiters *waiters)
{
	smp_mb(); /* (H) */
	vdiset_wake_sole(waiters);
	if (waitqueue_active(&waiters->queue))
		wake_up_all(&waiters->queue);
}

static __always_inline void vdiset_lie_down(struct vdiset_sleeper *sleeper,
					    struct vdiset_waiters *waiters)
{
	sleeper->waiters = waiters;
	sleeper->sole = !READ_ONCE(waiters->sole) &&
			!cmpxchg(&waiters->sole, NULL, current);
	if (!sleeper->sole)
		init_wait_entry(&sleeper->entry, 0);
}

/* Before the condition: 0, or there is a signal. */
static __always_inline int vdiset_close_eyes(struct vdiset_sleeper *sleeper)
{
	if (!sleeper->sole)
		return prepare_to_wait_event(&sleeper->waiters->queue,
					     &sleeper->entry,
					     TASK_INTERRUPTIBLE);
	set_current_state(TASK_INTERRUPTIBLE); /* (G) */
	return signal_pending(current) ? -ERESTARTSYS : 0;
}

static __always_inline void vdiset_get_up(struct vdiset_sleeper *sleeper)
{
	if (!sleeper->sole) {
		finish_wait(&sleeper->waiters->queue, &sleeper->entry);
		return;
	}
	__set_current_state(TASK_RUNNING);
	WRITE_ONCE(sleeper->waiters->sole, NULL);
}

/* 0, or the time is over. */
static int vdiset_schedule(ktime_t *end)
{
	if (!end)
		schedule();
	else if (!schedule_hrtimeout_range(end, current->timer_slack_ns,
					   HRTIMER_MODE_ABS))
		return -ETIMEDOUT;
	return 0;
}

/**
 * vdiset_sleep - wait for a condition
 * @waiters: where to wait
 * @now: ktime_get_ns(), where there is a longest wait
 * @ns: longest wait, negative for ever
 * @condition: gives VDISET_SLEEP, VDISET_READY or an error
 *
 * Gives 0, the error of @condition, -ETIMEDOUT or -EINTR. A macro, as
 * wait_event() is: @condition is evaluated again after each wake-up.
 *
 * A signal gives EINTR also where the handler asks for restarts: a database
 * must get the chance to look at what the signal was for, and a relative
 * time-out would start anew.
 */
#define vdiset_sleep(waiters, now, ns, condition)			\
({									\
	int __woken = (ns) ? 0 : -ETIMEDOUT;				\
	struct vdiset_sleeper __sleeper;				\
	ktime_t __end = 0;						\
	int __rc;							\
									\
	might_sleep();							\
	__rc = (condition);						\
	if (__rc == VDISET_SLEEP && !__woken) {				\
		if ((ns) > 0)						\
			__end = ktime_add_safe(now, ns);		\
		vdiset_lie_down(&__sleeper, waiters);			\
		do {							\
			if (vdiset_close_eyes(&__sleeper))		\
				__woken = -EINTR;			\
			__rc = (condition);				\
			if (__rc != VDISET_SLEEP || __woken)		\
				break;					\
			__woken = vdiset_schedule((ns) > 0 ? &__end :	\
						  NULL);		\
			__rc = (condition);				\
		} while (__rc == VDISET_SLEEP && !__woken);		\
		vdiset_get_up(&__sleeper);				\
	}								\
	if (__rc == VDISET_READY)					\
		__rc = 0;						\
	else if (__rc == VDISET_SLEEP)					\
		__rc = __woken;						\
	__rc;								\
})

static int vdiset_configured(const struct vdiset_set *set)
{
	u32 state = vdiset_set_state(set);

	if (state == VDISET_STATE_ABORTED)
		return -ECANCELED;
	return state >= VDISET_STATE_INITIALIZING ? VDISET_READY :
						    VDISET_SLEEP;
}

int vdiset_wait_configured(struct vdiset_set *set, s64 timeout_ns)
{
	return vdiset_sleep(&set->wait, timeout_ns > 0 ? ktime_get() : 0,
			    timeout_ns, vdiset_configured(set));
}

/* The state comes first: after the last event there is none. */
static int vdiset_server_ready(struct vdiset_set *set, u32 seen)
{
	u32 state = vdiset_set_state(set);

	if (state == VDISET_STATE_ABORTED)
		return -ECANCELED;
	if ((u32)atomic_read(&set->events) != seen)
		return VDISET_READY;
	return state == VDISET_STATE_TERMINATED ? -EPIPE : VDISET_SLEEP;
}

static bool vdiset_has_tail(u32 state)
{
	return state == VDISET_STATE_ACTIVE ||
	       state == VDISET_STATE_TERMINATED;
}

/* The device's state comes first: what is in the ring precedes its end. */
static int vdiset_device_ready(const struct vdiset_device *device,
			       enum vdiset_side side, u32 seen)
{
	const struct vdiset_region *peer =
		vdiset_device_region(device, vdiset_peer_side(side));
	u32 state = vdiset_device_state(device);

	if (READ_ONCE(device->set->state) == VDISET_STATE_ABORTED)
		return -ECANCELED;
	if (READ_ONCE(peer->tail) != seen)
		return VDISET_READY;
	return state == VDISET_DEVICE_CLOSED ? -EPIPE : VDISET_SLEEP;
}

/* Wake whoever waits on @side of the device, or for all its devices. */
static void vdiset_kick(struct vdiset_device *device, enum vdiset_side side)
{
	struct vdiset_set *set = device->set;

	trace_vdiset_kick(device, side);
	vdiset_wake(&device->wait[side]);
	if (side == VDISET_SERVER) {
		atomic_inc(&set->events);
		vdiset_wake(&set->server_wait);
	}
}

/*
 * Which side is slow? Each side's sleep is put on the account of the device it
 * waits for: a client's when there is no command, the server's when commands
 * are outstanding. Only sleep counts, not the looking before it.
 */
static void vdiset_falls_asleep(struct vdiset_device *device,
				enum vdiset_side side, u64 now)
{
	WRITE_ONCE(device->waiting_since[side], now);
}

static void vdiset_has_slept(struct vdiset_device *device,
			     enum vdiset_side side, u64 ns)
{
	atomic64_add(ns, &device->waited_ns[side]);
	WRITE_ONCE(device->waiting_since[side], 0);
}

/**
 * vdiset_device_waited - how long a side has waited for the other
 * @device: the device
 * @side: who waited
 *
 * In nanoseconds, with the sleep that is under way.
 */
u64 vdiset_device_waited(const struct vdiset_device *device,
			 enum vdiset_side side)
{
	u64 ns = atomic64_read(&device->waited_ns[side]);
	u64 since = READ_ONCE(device->waiting_since[side]);
	u64 now = ktime_get_ns();

	return since && now > since ? ns + now - since : ns;
}

/* Devices with commands outstanding, a bit each. */
static u64 vdiset_busy_devices(const struct vdiset_set *set)
{
	const struct vdiset_region *server, *client;
	u64 busy = 0;
	u32 i;

	for (i = 0; i < set->config.device_count; i++) {
		const struct vdiset_device *device = &set->device[i];

		server = vdiset_device_region(device, VDISET_SERVER);
		client = vdiset_device_region(device, VDISET_CLIENT);
		if (READ_ONCE(server->tail) != READ_ONCE(client->tail))
			busy |= 1ULL << i;
	}
	return busy;
}

static int vdiset_server_sleep(struct vdiset_set *set, s64 timeout_ns,
			       u32 seen)
{
	u64 since = ktime_get_ns();
	u64 busy = vdiset_busy_devices(set);
	u64 ns, left;
	int rc;

	for (left = busy; left; left &= left - 1)
		vdiset_falls_asleep(&set->device[__ffs64(left)], VDISET_SERVER,
				    since);
	rc = vdiset_sleep(&set->server_wait, since, timeout_ns,
			  vdiset_server_ready(set, seen));
	ns = ktime_get_ns() - since;
	for (left = busy; left; left &= left - 1)
		vdiset_has_slept(&set->device[__ffs64(left)], VDISET_SERVER,
				 ns);
	trace_vdiset_wait(set, VDISET_ALL_DEVICES, VDISET_SERVER, ns, rc);
	return rc;
}

static int vdiset_device_sleep(struct vdiset_device *device,
			       enum vdiset_side side, s64 timeout_ns, u32 seen)
{
	u64 since = ktime_get_ns();
	u64 ns;
	int rc;

	vdiset_falls_asleep(device, side, since);
	rc = vdiset_sleep(&device->wait[side], since, timeout_ns,
			  vdiset_device_ready(device, side, seen));
	ns = ktime_get_ns() - since;
	vdiset_has_slept(device, side, ns);
	trace_vdiset_wait(device->set, device->index, side, ns, rc);
	return rc;
}

static int vdiset_check_wait(u32 flags, s64 timeout_ns)
{
	if (!flags || (flags & ~(VDISET_WAIT_KICK | VDISET_WAIT_SLEEP)))
		return -EINVAL;
	if (!(flags & VDISET_WAIT_SLEEP) && timeout_ns)
		return -EINVAL;
	return 0;
}

static void vdiset_kick_clients(struct vdiset_set *set, u64 kick)
{
	for (; kick; kick &= kick - 1)
		vdiset_kick(&set->device[__ffs64(kick)], VDISET_CLIENT);
}

/*
 * The arguments of the two calls: what has the size known, as it nearly always
 * has, is read in line. What has another, or cannot all be read, goes the way of
 * the other requests, which says what is wrong with it.
 */
static int vdiset_copy_wait(struct vdiset_wait *args,
			    const struct vdiset_wait __user *uargs)
{
	u32 size;

	if (!user_read_access_begin(uargs, sizeof(*uargs)))
		return -EFAULT;
	unsafe_get_user(size, &uargs->size, slow);
	unsafe_get_user(args->flags, &uargs->flags, slow);
	unsafe_get_user(args->timeout_ns, &uargs->timeout_ns, slow);
	unsafe_get_user(args->kick, &uargs->kick, slow);
	unsafe_get_user(args->seen, &uargs->seen, slow);
	user_read_access_end();
	if (size == sizeof(*args))
		return 0;
	goto other_size;
slow:
	user_read_access_end();
other_size:
	return vdiset_copy_args(args, sizeof(*args),
				offsetofend(struct vdiset_wait, out_events),
				uargs, &size);
}

static int vdiset_copy_device_wait(struct vdiset_device_wait *args,
				   const struct vdiset_device_wait __user *uargs)
{
	u32 size;

	if (!user_read_access_begin(uargs, sizeof(*uargs)))
		return -EFAULT;
	unsafe_get_user(size, &uargs->size, slow);
	unsafe_get_user(args->flags, &uargs->flags, slow);
	unsafe_get_user(args->timeout_ns, &uargs->timeout_ns, slow);
	unsafe_get_user(args->seen, &uargs->seen, slow);
	unsafe_get_user(args->reserved, &uargs->reserved, slow);
	user_read_access_end();
	if (size == sizeof(*args))
		return 0;
	goto other_size;
slow:
	user_read_access_end();
other_size:
	return vdiset_copy_args(args, sizeof(*args),
				offsetofend(struct vdiset_device_wait, reserved),
				uargs, &size);
}

int vdiset_wait_ioctl(struct vdiset_party *party,
		      struct vdiset_wait __user *uargs)
{
	struct vdiset_wait args;
	struct vdiset_set *set;
	u64 devices;
	u32 state;
	int rc;

	rc = vdiset_copy_wait(&args, uargs);
	if (rc)
		return rc;
	if (!party)
		return -ENOTCONN;
	if (party->who.role != VDISET_ROLE_SERVER)
		return -EPERM;
	rc = vdiset_check_wait(args.flags, args.timeout_ns);
	if (rc)
		return rc;
	if (args.kick && !(args.flags & VDISET_WAIT_KICK))
		return -EINVAL;
	set = party->set;
	state = vdiset_set_state(set);
	devices = ~0ULL >> (VDISET_MAX_DEVICES - set->config.device_count);
	if (args.kick & ~devices)
		return -EINVAL;
	/* what was aborted before END_CONFIG has no rings to look at */
	if (state < VDISET_STATE_INITIALIZING ||
	    state == VDISET_STATE_ABORTED || READ_ONCE(party->left))
		return vdiset_state_error(set, state);

	/* masked, so that speculation past the check stays in the set, too */
	vdiset_kick_clients(set, args.kick & devices);
	if (args.flags & VDISET_WAIT_SLEEP)
		rc = vdiset_server_sleep(set, args.timeout_ns, args.seen);
	if (rc)
		return rc;
	return put_user(atomic_read(&set->events), &uargs->out_events);
}

int vdiset_device_wait_ioctl(struct vdiset_device_file *file,
			     const struct vdiset_device_wait __user *uargs)
{
	struct vdiset_device *device = file->device;
	enum vdiset_side side = file->side;
	struct vdiset_device_wait args;
	int rc;

	rc = vdiset_copy_device_wait(&args, uargs);
	if (rc)
		return rc;
	rc = vdiset_check_wait(args.flags, args.timeout_ns);
	if (rc)
		return rc;
	if (args.reserved)
		return -EINVAL;

	if (args.flags & VDISET_WAIT_KICK)
		vdiset_kick(device, vdiset_peer_side(side));
	if (args.flags & VDISET_WAIT_SLEEP)
		return vdiset_device_sleep(device, side, args.timeout_ns,
					   args.seen);
	if (READ_ONCE(device->set->state) == VDISET_STATE_ABORTED)
		return -ECANCELED;
	return 0;
}

/* Is there something in the ring that @side consumes? */
static bool vdiset_device_pending(const struct vdiset_device *device,
				  enum vdiset_side side)
{
	const struct vdiset_region *own = vdiset_device_region(device, side);
	const struct vdiset_region *peer =
		vdiset_device_region(device, vdiset_peer_side(side));

	return READ_ONCE(peer->tail) != READ_ONCE(own->head);
}

static bool vdiset_any_pending(const struct vdiset_set *set)
{
	u32 i;

	for (i = 0; i < set->config.device_count; i++) {
		if (vdiset_device_pending(&set->device[i], VDISET_SERVER))
			return true;
	}
	return false;
}

static __poll_t vdiset_poll_state(u32 state)
{
	if (state == VDISET_STATE_ABORTED)
		return EPOLLERR | EPOLLHUP;
	if (state == VDISET_STATE_TERMINATED)
		return EPOLLHUP;
	return 0;
}

__poll_t vdiset_file_poll(struct file *filp, poll_table *table)
{
	struct vdiset_file *file = filp->private_data;
	struct vdiset_party *party = vdiset_file_party(file);
	struct vdiset_set *set;
	__poll_t mask;
	u32 state;

	if (!party)
		return EPOLLERR;
	set = party->set;
	poll_wait(filp, &set->wait.queue, table);
	if (party->who.role == VDISET_ROLE_SERVER)
		poll_wait(filp, &set->server_wait.queue, table);
	smp_mb(); /* (G): poll_wait() has one in newer kernels only */

	state = vdiset_set_state(set);
	mask = vdiset_poll_state(state);
	switch (party->who.role) {
	case VDISET_ROLE_PRIMARY:
	case VDISET_ROLE_SECONDARY:
		if (vdiset_configured(set) == VDISET_READY)
			mask |= EPOLLIN | EPOLLRDNORM;
		break;
	case VDISET_ROLE_SERVER:
		if (vdiset_has_tail(state) && vdiset_any_pending(set))
			mask |= EPOLLIN | EPOLLRDNORM;
		break;
	}
	return mask;
}

__poll_t vdiset_device_poll(struct file *filp, poll_table *table)
{
	const struct vdiset_device_file *file = filp->private_data;
	struct vdiset_device *device = file->device;
	__poll_t mask = 0;

	poll_wait(filp, &device->wait[file->side].queue, table);
	smp_mb(); /* (G): poll_wait() has one in newer kernels only */

	if (vdiset_set_state(device->set) == VDISET_STATE_ABORTED)
		return EPOLLERR | EPOLLHUP;
	if (vdiset_device_state(device) == VDISET_DEVICE_CLOSED)
		mask |= EPOLLHUP;
	if (vdiset_device_pending(device, file->side))
		mask |= EPOLLIN | EPOLLRDNORM;
	return mask;
}
