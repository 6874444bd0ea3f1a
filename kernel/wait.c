// SPDX-License-Identifier: GPL-2.0
/*
 * wait.c - the requests that kick and sleep
 *
 * Shared indices are read here only to decide whether to sleep.
 */
#include <linux/ktime.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#include "trace.h"
#include "vdiset.h"
#include "waiters.h"

int vdiset_configured(void *object, enum vdiset_side side, u32 seen)
{
	u32 state = vdiset_set_state(object);

	if (state == VDISET_STATE_ABORTED)
		return -ECANCELED;
	return state >= VDISET_STATE_INITIALIZING ? 0 : VDISET_SLEEP;
}

int vdiset_wait_configured(struct vdiset_set *set, s64 timeout_ns)
{
	return vdiset_sleep(&set->wait, timeout_ns > 0 ? ktime_get() : 0,
			    timeout_ns, vdiset_configured, NULL, set,
			    VDISET_CLIENT, 0);
}

/* The state comes first: after the last event there is none. */
static __always_inline int vdiset_server_ready(void *object,
					       enum vdiset_side side, u32 seen)
{
	struct vdiset_set *set = object;
	u32 state = vdiset_set_state(set);

	if (state == VDISET_STATE_ABORTED)
		return -ECANCELED;
	if ((u32)atomic_read(&set->events) != seen)
		return 0;
	return state == VDISET_STATE_TERMINATED ? -EPIPE : VDISET_SLEEP;
}

/* The device's state comes first: what is in the ring precedes its end. */
static __always_inline int vdiset_device_ready(void *object,
					       enum vdiset_side side, u32 seen)
{
	const struct vdiset_device *device = object;
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
 * Which side is slow? Each side's wait is put on the account of the device it
 * waits for: a client's when there is no command, the server's when commands
 * are outstanding. It begins when the side falls asleep, and not with the looks
 * before; it ends with the kick, or else when the side wakes: how long a kicked
 * side is on its way is not for the other to answer for. So a call that kicks and
 * sleeps reads the clock once for both.
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

/* Whoever finds it first. */
static __always_inline void vdiset_has_waited(struct vdiset_device *device,
					      enum vdiset_side side,
					      ktime_t now)
{
	s64 since = atomic64_xchg(&device->waiting_since[side], 0);

	if (since && now > since)
		atomic64_add(now - since, &device->waited_ns[side]);
}

/**
 * vdiset_device_waited - how long a side has waited for the other
 * @device: the device
 * @side: who waited
 *
 * In nanoseconds, with the wait that is under way.
 */
u64 vdiset_device_waited(const struct vdiset_device *device,
			 enum vdiset_side side)
{
	u64 ns = atomic64_read(&device->waited_ns[side]);
	s64 since = atomic64_read(&device->waiting_since[side]);
	s64 now = ktime_get();

	return since && now > since ? ns + now - since : ns;
}

/* Wake whoever waits on @side of the device, or for all its devices. */
static __always_inline void vdiset_kick(struct vdiset_device *device,
					enum vdiset_side side, ktime_t now)
{
	struct vdiset_set *set = device->set;

	trace_vdiset_kick(device, side);
	if (vdiset_is_waiting(device, side))
		vdiset_has_waited(device, side, now);
	if (side == VDISET_CLIENT) {
		smp_mb(); /* (H) */
		vdiset_wake_them(&device->wait[VDISET_CLIENT]);
	} else {
		atomic_inc(&set->events);
		smp_mb__after_atomic(); /* (H) */
		vdiset_wake_them(&device->wait[VDISET_SERVER]);
		vdiset_wake_them(&set->server_wait);
	}
}

/* The server waits on the devices with commands outstanding. */
static void vdiset_server_sleeps(void *object, enum vdiset_side side,
				 ktime_t now)
{
	struct vdiset_set *set = object;
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

static __always_inline int vdiset_server_sleep(struct vdiset_set *set,
					       ktime_t now, s64 timeout_ns,
					       u32 seen)
{
	int rc;

	vdiset_server_sleeps(set, VDISET_SERVER, now);
	rc = vdiset_sleep(&set->server_wait, now, timeout_ns,
			  vdiset_server_ready, vdiset_server_sleeps, set,
			  VDISET_SERVER, seen);
	vdiset_server_wakes(set);
	if (trace_vdiset_wait_enabled())
		trace_vdiset_wait(set, VDISET_ALL_DEVICES, VDISET_SERVER,
				  ktime_get() - now, rc);
	return rc;
}

static void vdiset_device_sleeps(void *object, enum vdiset_side side,
				 ktime_t now)
{
	vdiset_falls_asleep(object, side, now);
}

static __always_inline int vdiset_device_sleep(struct vdiset_device *device,
					       enum vdiset_side side,
					       ktime_t now, s64 timeout_ns,
					       u32 seen)
{
	int rc;

	vdiset_falls_asleep(device, side, now);
	rc = vdiset_sleep(&device->wait[side], now, timeout_ns,
			  vdiset_device_ready, vdiset_device_sleeps, device,
			  side, seen);
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

static noinline int vdiset_wait(struct vdiset_party *party, u32 flags,
				s64 timeout_ns, u64 kick, u32 seen,
				struct vdiset_wait __user *uargs)
{
	struct vdiset_set *set;
	u32 state, events;
	u64 devices;
	ktime_t now;
	int rc;

	if (!party)
		return -ENOTCONN;
	if (party->who.role != VDISET_ROLE_SERVER)
		return -EPERM;
	rc = vdiset_check_wait(flags, timeout_ns);
	if (rc)
		return rc;
	if (kick && !(flags & VDISET_WAIT_KICK))
		return -EINVAL;
	set = party->set;
	state = vdiset_set_state(set);
	devices = ~0ULL >> (VDISET_MAX_DEVICES - set->config.device_count);
	if (kick & ~devices)
		return -EINVAL;
	/* what was aborted before END_CONFIG has no rings to look at */
	if (state < VDISET_STATE_INITIALIZING ||
	    state == VDISET_STATE_ABORTED || READ_ONCE(party->left))
		return vdiset_state_error(set, state);

	now = ktime_get();
	/* masked, so that speculation past the check stays in the set, too */
	for (kick &= devices; kick; kick &= kick - 1)
		vdiset_kick(&set->device[__ffs64(kick)], VDISET_CLIENT, now);
	if (flags & VDISET_WAIT_SLEEP) {
		rc = vdiset_server_sleep(set, now, timeout_ns, seen);
		if (rc)
			return rc;
	}
	events = atomic_read(&set->events);
	if (!user_write_access_begin(&uargs->out_events,
				     sizeof(uargs->out_events)))
		return -EFAULT;
	unsafe_put_user(events, &uargs->out_events, fault);
	user_write_access_end();
	return 0;
fault:
	user_write_access_end();
	return -EFAULT;
}

/*
 * The arguments of the two calls: what has the size known, as it nearly always
 * has, is read in line. What has another, or cannot all be read, goes the way of
 * the other requests, which says what is wrong with it.
 */
static noinline int vdiset_wait_copied(struct vdiset_party *party,
				       struct vdiset_wait __user *uargs)
{
	struct vdiset_wait args;
	u32 size;
	int rc;

	rc = vdiset_copy_args(&args, sizeof(args),
			      offsetofend(struct vdiset_wait, out_events),
			      uargs, &size);
	if (rc)
		return rc;
	return vdiset_wait(party, args.flags, args.timeout_ns, args.kick,
			   args.seen, uargs);
}

int vdiset_wait_ioctl(struct vdiset_party *party,
		      struct vdiset_wait __user *uargs)
{
	u32 size, flags, seen;
	s64 timeout_ns;
	u64 kick;

	if (!user_read_access_begin(uargs, sizeof(*uargs)))
		return -EFAULT;
	unsafe_get_user(size, &uargs->size, fault);
	unsafe_get_user(flags, &uargs->flags, fault);
	unsafe_get_user(timeout_ns, &uargs->timeout_ns, fault);
	unsafe_get_user(kick, &uargs->kick, fault);
	unsafe_get_user(seen, &uargs->seen, fault);
	user_read_access_end();
	if (likely(size == sizeof(*uargs)))
		return vdiset_wait(party, flags, timeout_ns, kick, seen,
				   uargs);
	return vdiset_wait_copied(party, uargs);
fault:
	user_read_access_end();
	return vdiset_wait_copied(party, uargs);
}

static noinline int vdiset_device_wait(struct vdiset_device_file *file,
				       u32 flags, s64 timeout_ns, u32 seen,
				       u32 reserved)
{
	struct vdiset_device *device = file->device;
	ktime_t now;
	int rc;

	rc = vdiset_check_wait(flags, timeout_ns);
	if (rc)
		return rc;
	if (reserved)
		return -EINVAL;

	now = ktime_get();
	/* with the side known, twice */
	if (file->side == VDISET_CLIENT) {
		if (flags & VDISET_WAIT_KICK)
			vdiset_kick(device, VDISET_SERVER, now);
		if (flags & VDISET_WAIT_SLEEP)
			return vdiset_device_sleep(device, VDISET_CLIENT, now,
						   timeout_ns, seen);
	} else {
		if (flags & VDISET_WAIT_KICK)
			vdiset_kick(device, VDISET_CLIENT, now);
		if (flags & VDISET_WAIT_SLEEP)
			return vdiset_device_sleep(device, VDISET_SERVER, now,
						   timeout_ns, seen);
	}
	if (READ_ONCE(device->set->state) == VDISET_STATE_ABORTED)
		return -ECANCELED;
	return 0;
}

static noinline int
vdiset_device_wait_copied(struct vdiset_device_file *file,
			  const struct vdiset_device_wait __user *uargs)
{
	struct vdiset_device_wait args;
	u32 size;
	int rc;

	rc = vdiset_copy_args(&args, sizeof(args),
			      offsetofend(struct vdiset_device_wait, reserved),
			      uargs, &size);
	if (rc)
		return rc;
	return vdiset_device_wait(file, args.flags, args.timeout_ns, args.seen,
				  args.reserved);
}

int vdiset_device_wait_ioctl(struct vdiset_device_file *file,
			     const struct vdiset_device_wait __user *uargs)
{
	u32 size, flags, seen, reserved;
	s64 timeout_ns;

	if (!user_read_access_begin(uargs, sizeof(*uargs)))
		return -EFAULT;
	unsafe_get_user(size, &uargs->size, fault);
	unsafe_get_user(flags, &uargs->flags, fault);
	unsafe_get_user(timeout_ns, &uargs->timeout_ns, fault);
	unsafe_get_user(seen, &uargs->seen, fault);
	unsafe_get_user(reserved, &uargs->reserved, fault);
	user_read_access_end();
	if (likely(size == sizeof(*uargs)))
		return vdiset_device_wait(file, flags, timeout_ns, seen,
					  reserved);
	return vdiset_device_wait_copied(file, uargs);
fault:
	user_read_access_end();
	return vdiset_device_wait_copied(file, uargs);
}
