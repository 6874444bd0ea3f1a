// SPDX-License-Identifier: GPL-2.0
/*
 * wait.c - sleeping and waking
 *
 * A sleeper is queued before it evaluates its condition (barrier G of the
 * uAPI's ring rules, in prepare_to_wait), a kick looks at the queue after a
 * full barrier (H, in vdiset_wake). So a condition made true before the
 * kick is seen by the sleeper, or the sleeper by the kick.
 *
 * Shared indices are read here only to decide whether to sleep.
 */
#include <linux/hrtimer.h>
#include <linux/ktime.h>
#include <linux/wait.h>

#include "trace.h"
#include "vdiset.h"

/* Results of a condition besides an error. */
#define VDISET_SLEEP	0
#define VDISET_READY	1

/**
 * vdiset_sleep - wait for a condition
 * @queue: where to wait
 * @now: ktime_get_ns(), where @ns is not negative
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
#define vdiset_sleep(queue, now, ns, condition)				\
({									\
	wait_queue_head_t *__queue = (queue);				\
	struct wait_queue_entry __entry;				\
	int __woken = (ns) ? 0 : -ETIMEDOUT;				\
	ktime_t __end;							\
	int __rc;							\
									\
	might_sleep();							\
	__rc = (condition);						\
	if (__rc == VDISET_SLEEP && !__woken) {				\
		__end = ktime_add_safe(now, ns);			\
		init_wait_entry(&__entry, 0);				\
		do {							\
			if (prepare_to_wait_event(__queue, &__entry,	\
						  TASK_INTERRUPTIBLE))	\
				__woken = -EINTR;			\
			__rc = (condition);				\
			if (__rc != VDISET_SLEEP || __woken)		\
				break;					\
			__woken = vdiset_schedule((ns) < 0 ? NULL :	\
						  &__end);		\
			__rc = (condition);				\
		} while (__rc == VDISET_SLEEP && !__woken);		\
		finish_wait(__queue, &__entry);				\
	}								\
	if (__rc == VDISET_READY)					\
		__rc = 0;						\
	else if (__rc == VDISET_SLEEP)					\
		__rc = __woken;						\
	__rc;								\
})

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

/*
 * After a barrier. Whoever kicks and then sleeps leaves its processor to the one
 * it wakes: that one need be neither moved nor run first.
 */
static void vdiset_kick_queue(wait_queue_head_t *wait, bool sleeps)
{
	if (!waitqueue_active(wait))
		return;
	if (sleeps)
		wake_up_interruptible_sync_poll(wait, EPOLLIN | EPOLLRDNORM);
	else
		wake_up_all(wait);
}

/* Wake whoever waits on @side of the device, or for all its devices. */
static void vdiset_kick(struct vdiset_device *device, enum vdiset_side side,
			bool sleeps)
{
	struct vdiset_set *set = device->set;

	trace_vdiset_kick(device, side);
	if (side == VDISET_SERVER)
		atomic_inc(&set->events);
	smp_mb(); /* (H) */
	vdiset_kick_queue(&device->wait[side], sleeps);
	if (side == VDISET_SERVER)
		vdiset_kick_queue(&set->server_wait, sleeps);
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

static void vdiset_kick_clients(struct vdiset_set *set, u64 kick, bool sleeps)
{
	for (; kick; kick &= kick - 1)
		vdiset_kick(&set->device[__ffs64(kick)], VDISET_CLIENT, sleeps);
}

/*
 * The arguments of the two calls: what has the size known, as it nearly always
 * has, takes one look at the caller's memory.
 */
#define vdiset_copy_wait_args(args, last, uargs)			\
({									\
	u32 __usize;							\
	int __rc = 0;							\
									\
	BUILD_BUG_ON(offsetof(typeof(*(args)), size));			\
	if (copy_from_user(args, uargs, sizeof(*(args))) ||		\
	    (args)->size != sizeof(*(args)))				\
		__rc = vdiset_copy_args(args, sizeof(*(args)),		\
					offsetofend(typeof(*(args)), last),\
					uargs, &__usize);		\
	__rc;								\
})

int vdiset_wait_ioctl(struct vdiset_party *party,
		      struct vdiset_wait __user *uargs)
{
	struct vdiset_wait args;
	struct vdiset_set *set;
	bool sleeps;
	u32 state;
	int rc;

	rc = vdiset_copy_wait_args(&args, out_events, uargs);
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
	if (set->config.device_count < 64 &&
	    args.kick >> set->config.device_count)
		return -EINVAL;
	/* what was aborted before END_CONFIG has no rings to look at */
	state = vdiset_set_state(set);
	if (state < VDISET_STATE_INITIALIZING ||
	    state == VDISET_STATE_ABORTED || READ_ONCE(party->left))
		return vdiset_state_error(set, state);

	sleeps = args.flags & VDISET_WAIT_SLEEP;
	vdiset_kick_clients(set, args.kick, sleeps);
	if (sleeps)
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
	bool sleeps;
	int rc;

	rc = vdiset_copy_wait_args(&args, reserved, uargs);
	if (rc)
		return rc;
	rc = vdiset_check_wait(args.flags, args.timeout_ns);
	if (rc)
		return rc;
	if (args.reserved)
		return -EINVAL;

	sleeps = args.flags & VDISET_WAIT_SLEEP;
	if (args.flags & VDISET_WAIT_KICK)
		vdiset_kick(device, vdiset_peer_side(side), sleeps);
	if (sleeps)
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
	poll_wait(filp, &set->wait, table);
	if (party->who.role == VDISET_ROLE_SERVER)
		poll_wait(filp, &set->server_wait, table);

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

	poll_wait(filp, &device->wait[file->side], table);

	if (vdiset_set_state(device->set) == VDISET_STATE_ABORTED)
		return EPOLLERR | EPOLLHUP;
	if (vdiset_device_state(device) == VDISET_DEVICE_CLOSED)
		mask |= EPOLLHUP;
	if (vdiset_device_pending(device, file->side))
		mask |= EPOLLIN | EPOLLRDNORM;
	return mask;
}
