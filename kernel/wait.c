// SPDX-License-Identifier: GPL-2.0
/*
 * wait.c - the requests that kick the other side and sleep
 *
 * A waiting thread is queued before it evaluates its condition (barrier G of the ring
 * rules in the uAPI header; wait_event() contains it). A kick checks for waiting
 * threads after a full barrier (H; vdiset_wake() contains it). So either the thread
 * sees the condition that was true before the kick, or the kick sees the thread.
 *
 * The shared indices are read here only to decide whether to sleep.
 */
#include <linux/ktime.h>
#include <linux/sched/signal.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "trace.h"
#include "vdiset.h"

/* Result of a condition that is not true yet; otherwise 0 or an error. */
#define VDISET_SLEEP	1

/* for vdiset_copy_args() */
static_assert(sizeof(struct vdiset_wait) % sizeof(u64) == 0);
static_assert(sizeof(struct vdiset_device_wait) % sizeof(u64) == 0);

/*
 * Sleep until @ready, which is evaluated after each wake-up, is not VDISET_SLEEP.
 * Returns 0, the error of @ready, -ETIMEDOUT, or -EINTR.
 *
 * A signal returns EINTR even with SA_RESTART: a database must be able to react to
 * the signal, and a restarted call would begin its relative time-out again.
 */
#define vdiset_sleep(queue, timeout_ns, ready)				\
({									\
	const s64 __ns = (timeout_ns);					\
	int __woken = -ETIME;						\
	int __ready;							\
									\
	if (__ns < 0)							\
		__woken = wait_event_interruptible(queue,		\
				(__ready = (ready)) != VDISET_SLEEP);	\
	else if (__ns)							\
		__woken = wait_event_interruptible_hrtimeout(queue,	\
				(__ready = (ready)) != VDISET_SLEEP,	\
				__ns);					\
	else								\
		__ready = (ready);					\
	if (__ready == VDISET_SLEEP)					\
		__ready = __woken == -ETIME ? -ETIMEDOUT : -EINTR;	\
	__ready;							\
})

/* Has configuration ended? Returns 0, VDISET_SLEEP or an error. */
int vdiset_configured(const struct vdiset_set *set)
{
	u32 state = vdiset_set_state(set);

	if (state == VDISET_STATE_ABORTED)
		return -ECANCELED;
	return state >= VDISET_STATE_INITIALIZING ? 0 : VDISET_SLEEP;
}

int vdiset_wait_configured(struct vdiset_set *set, s64 timeout_ns)
{
	return vdiset_sleep(set->wait, timeout_ns, vdiset_configured(set));
}

/* The state is read first: no event follows the final state. */
static int vdiset_server_ready(const struct vdiset_set *set, u32 seen)
{
	u32 state = vdiset_set_state(set);

	if (state == VDISET_STATE_ABORTED)
		return -ECANCELED;
	if ((u32)atomic_read(&set->events) != seen)
		return 0;
	return state == VDISET_STATE_TERMINATED ? -EPIPE : VDISET_SLEEP;
}

/* The device's state is read first: its ring does not change after CLOSED. */
static __always_inline int vdiset_device_ready(const struct vdiset_device *device,
					       enum vdiset_side side, u32 seen)
{
	const struct vdiset_region *peer =
		vdiset_device_region(device, vdiset_peer_side(side));
	u32 state = vdiset_device_state(device);

	if (READ_ONCE(device->set->state) == VDISET_STATE_ABORTED)
		return -ECANCELED;
	if (READ_ONCE(peer->tail) != seen)
		return 0;
	return state == VDISET_DEVICE_CLOSED ? -EPIPE : VDISET_SLEEP;
}

/*
 * Statistics of which side is slow. A client waits for the server while it has no
 * command; the server waits for a client while commands are outstanding. A wait begins
 * when the side falls asleep, spinning not included, and ends with the kick, or else when
 * the side wakes: the time that a kicked thread needs to run is not the other side's. A
 * request that kicks and sleeps therefore reads the clock once.
 */
static __always_inline void vdiset_falls_asleep(struct vdiset_device *device,
						enum vdiset_side side,
						ktime_t now)
{
	if (!atomic64_read(&device->waiting_since[side]))
		atomic64_set(&device->waiting_since[side], now);
}

static __always_inline bool
vdiset_is_waiting(const struct vdiset_device *device, enum vdiset_side side)
{
	return atomic64_read(&device->waiting_since[side]);
}

/* End a wait. The kick and the woken thread may both try; only one counts it. */
static __always_inline void vdiset_has_waited(struct vdiset_device *device,
					      enum vdiset_side side,
					      ktime_t now)
{
	s64 since = atomic64_xchg(&device->waiting_since[side], 0);

	if (since && now > since)
		atomic64_add(now - since, &device->waited_ns[side]);
}

/**
 * vdiset_device_waited - how long a side has waited for the other one
 * @device: the device
 * @side: the side that waited
 *
 * Return: nanoseconds, including a wait that has not ended.
 */
u64 vdiset_device_waited(const struct vdiset_device *device,
			 enum vdiset_side side)
{
	u64 ns = atomic64_read(&device->waited_ns[side]);
	s64 since = atomic64_read(&device->waiting_since[side]);
	s64 now = ktime_get();

	return since && now > since ? ns + now - since : ns;
}

/* Wake the threads of @side that wait for the device or for any device of the set. */
static __always_inline void vdiset_kick(struct vdiset_device *device,
					enum vdiset_side side, ktime_t now)
{
	struct vdiset_set *set = device->set;

	trace_vdiset_kick(device, side);
	/* a kick without a new entry does not end the wait */
	if (vdiset_is_waiting(device, side) &&
	    vdiset_device_pending(device, side))
		vdiset_has_waited(device, side, now);
	if (side == VDISET_SERVER)
		atomic_inc(&set->events);
	vdiset_wake(&device->wait[side]);
	if (side == VDISET_SERVER)
		vdiset_wake(&set->server_wait);
}

/* The server waits for each device with outstanding commands. */
static void vdiset_server_sleeps(struct vdiset_set *set, ktime_t now)
{
	struct vdiset_device *device = set->device;
	u32 n;

	for (n = set->config.device_count; n; n--, device++) {
		if (READ_ONCE(device->region[VDISET_SERVER].head->tail) !=
		    READ_ONCE(device->region[VDISET_CLIENT].head->tail))
			vdiset_falls_asleep(device, VDISET_SERVER, now);
	}
}

static void vdiset_server_wakes(struct vdiset_set *set)
{
	struct vdiset_device *device = set->device;
	ktime_t now = 0;
	u32 n;

	for (n = set->config.device_count; n; n--, device++) {
		if (!vdiset_is_waiting(device, VDISET_SERVER))
			continue;
		if (!now)
			now = ktime_get();
		vdiset_has_waited(device, VDISET_SERVER, now);
	}
}

static int vdiset_server_sleep(struct vdiset_set *set, ktime_t now,
			       s64 timeout_ns, u32 seen)
{
	int rc;

	vdiset_server_sleeps(set, now);
	rc = vdiset_sleep(set->server_wait, timeout_ns,
			  vdiset_server_ready(set, seen));
	vdiset_server_wakes(set);
	if (trace_vdiset_wait_enabled())
		trace_vdiset_wait(set, VDISET_ALL_DEVICES, VDISET_SERVER,
				  ktime_get() - now, rc);
	return rc;
}

static int vdiset_device_sleep(struct vdiset_device *device,
			       enum vdiset_side side, ktime_t now,
			       s64 timeout_ns, u32 seen)
{
	int rc;

	vdiset_falls_asleep(device, side, now);
	rc = vdiset_sleep(device->wait[side], timeout_ns,
			  vdiset_device_ready(device, side, seen));
	if (vdiset_is_waiting(device, side))
		vdiset_has_waited(device, side, ktime_get());
	if (trace_vdiset_wait_enabled())
		trace_vdiset_wait(device->set, device->index, side,
				  ktime_get() - now, rc);
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

int vdiset_wait_ioctl(struct vdiset_party *party,
		      struct vdiset_wait __user *uargs)
{
	struct vdiset_wait args;
	struct vdiset_set *set;
	u32 size, state;
	u64 devices;
	ktime_t now;
	int rc;

	rc = vdiset_copy_args(&args, sizeof(args),
			      offsetofend(struct vdiset_wait, out_events),
			      uargs, &size);
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
	/* a set that was aborted before END_CONFIG has no rings */
	if (state < VDISET_STATE_INITIALIZING ||
	    state == VDISET_STATE_ABORTED || READ_ONCE(party->left))
		return vdiset_state_error(set, state);

	now = ktime_get();
	/* mask again, so that speculation past the check stays within the set */
	for (args.kick &= devices; args.kick; args.kick &= args.kick - 1)
		vdiset_kick(&set->device[__ffs64(args.kick)], VDISET_CLIENT,
			    now);
	if (args.flags & VDISET_WAIT_SLEEP) {
		rc = vdiset_server_sleep(set, now, args.timeout_ns, args.seen);
		if (rc)
			return rc;
	}
	return put_user((u32)atomic_read(&set->events), &uargs->out_events);
}

int vdiset_device_wait_ioctl(struct vdiset_device_file *file,
			     const struct vdiset_device_wait __user *uargs)
{
	struct vdiset_device *device = file->device;
	struct vdiset_device_wait args;
	ktime_t now;
	u32 size;
	int rc;

	rc = vdiset_copy_args(&args, sizeof(args),
			      offsetofend(struct vdiset_device_wait, reserved),
			      uargs, &size);
	if (rc)
		return rc;
	rc = vdiset_check_wait(args.flags, args.timeout_ns);
	if (rc)
		return rc;
	if (args.reserved)
		return -EINVAL;

	now = ktime_get();
	if (args.flags & VDISET_WAIT_KICK)
		vdiset_kick(device, vdiset_peer_side(file->side), now);
	if (args.flags & VDISET_WAIT_SLEEP)
		return vdiset_device_sleep(device, file->side, now,
					   args.timeout_ns, args.seen);
	if (READ_ONCE(device->set->state) == VDISET_STATE_ABORTED)
		return -ECANCELED;
	return 0;
}
