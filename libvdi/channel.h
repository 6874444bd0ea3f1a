/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* channel.h - a device file with its mapped rings, for both sides */
#ifndef VDI_CHANNEL_H
#define VDI_CHANNEL_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>

#include "ring.h"
#include "set.h"

struct vdi_channel {
	int fd;
	uint32_t index;			/* of the device in its set */
	void *ro;
	void *rw;
	size_t ro_size;
	size_t rw_size;
	const struct vdiset_state_page *state;
	struct vdi_ring ring;
};

int vdi_channel_fail_all_open(struct vdi_set *set);
int vdi_channel_open(struct vdi_set *set, const char *name,
		     struct vdi_channel *ch);
void vdi_channel_release(struct vdi_channel *ch, bool forked);

uint64_t vdi_channel_area_size(const struct vdi_channel *ch);
void vdi_channel_kick(const struct vdi_channel *ch);

/* Kick, sleep or both; sleeps while there is nothing to take. 0 or -errno. */
static inline int vdi_channel_wait(const struct vdi_channel *ch, uint32_t flags,
				   int64_t timeout_ns)
{
	struct vdiset_device_wait wait = {
		.size = sizeof(wait),
		.flags = flags,
		.timeout_ns = timeout_ns,
		.seen = ch->ring.head,
	};

	return ioctl(ch->fd, VDISET_DEVICE_WAIT, &wait) < 0 ? -errno : 0;
}

/*
 * Must the peer be kicked? To be called after a tail was published and barrier
 * (C). If so, the caller kicks with its next system call, and does nothing else
 * before: other threads that have published rely on this kick.
 */
static inline bool vdi_channel_must_kick(struct vdi_channel *ch)
{
	uint32_t sleep_seq = vdi_ring_wants_kick(&ch->ring);

	if (sleep_seq)
		vdi_ring_was_kicked(&ch->ring, sleep_seq);
	return sleep_seq;
}

/* Kick the peer if it sleeps, after a tail was published. From any thread. */
static inline void vdi_channel_notify(struct vdi_channel *ch)
{
	vdi_ring_barrier();	/* (C) */
	if (vdi_channel_must_kick(ch))
		vdi_channel_kick(ch);
}

static inline bool vdi_channel_aborted(const struct vdi_channel *ch)
{
	return __atomic_load_n(&ch->state->set_state, __ATOMIC_ACQUIRE) ==
	       VDISET_STATE_ABORTED;
}

/* The rate limit of the set in bytes per second; 0 = none. */
static inline uint64_t vdi_channel_rate(const struct vdi_channel *ch)
{
	return __atomic_load_n(&ch->state->rate, __ATOMIC_RELAXED);
}

/* Has the server closed the device? Entries in the ring come first. */
static inline bool vdi_channel_closed(const struct vdi_channel *ch)
{
	return __atomic_load_n(&ch->state->device_state, __ATOMIC_ACQUIRE) ==
	       VDISET_DEVICE_CLOSED;
}

#endif /* VDI_CHANNEL_H */
