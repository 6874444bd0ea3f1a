// SPDX-License-Identifier: LGPL-2.1-or-later
/* channel.c - a device file with its mapped rings, for both sides */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "channel.h"
#include "device_name.h"

static void *map(int fd, off_t offset, size_t size, int prot)
{
	void *at = mmap(NULL, size, prot, MAP_SHARED, fd, offset);

	return at == MAP_FAILED ? NULL : at;
}

static bool sane(const struct vdiset_open_device *dev)
{
	size_t region = vdi_ring_region_size(dev->out_depth);

	return dev->out_depth && dev->out_depth <= VDISET_MAX_DEPTH &&
	       !(dev->out_depth & (dev->out_depth - 1)) &&
	       dev->out_index < VDISET_MAX_DEVICES &&
	       dev->out_rw_size >= region && dev->out_ro_size >= region &&
	       dev->out_peer_offset >= sizeof(struct vdiset_state_page) &&
	       dev->out_peer_offset <= dev->out_ro_size - region;
}

static int map_rings(struct vdi_channel *ch,
		     const struct vdiset_open_device *dev)
{
	if (!sane(dev))
		return -EPROTO;
	ch->ro_size = dev->out_ro_size;
	ch->rw_size = dev->out_rw_size;
	ch->ro = map(ch->fd, VDISET_MMAP_RO, ch->ro_size, PROT_READ);
	if (!ch->ro)
		return -errno;
	ch->rw = map(ch->fd, VDISET_MMAP_RW, ch->rw_size,
		     PROT_READ | PROT_WRITE);
	if (!ch->rw)
		return -errno;
	ch->state = ch->ro;
	vdi_ring_init(&ch->ring, ch->rw,
		      (const char *)ch->ro + dev->out_peer_offset,
		      dev->out_depth);
	return 0;
}

/*
 * All devices were opened; if they were also closed, the call is out of order.
 */
int vdi_channel_fail_all_open(struct vdi_set *set)
{
	struct vdiset_status status = { .size = sizeof(status) };

	if (!vdi_set_ioctl(set, VDISET_STATUS, &status) &&
	    status.out_state == VDISET_STATE_TERMINATED)
		return vdi_set_fail(set, VD_E_PROTOCOL,
				    "open device: the set has terminated");
	return vdi_set_fail(set, VD_E_OPEN, "open device: every device is "
			    "open; the set has %u",
			    status.out_config.device_count);
}

static int fail_open(struct vdi_set *set, int err, const char *name)
{
	char names[VDI_MESSAGE_SIZE / 2];

	switch (err) {
	case -ENOENT:
		vdi_device_name_list(set, names, sizeof(names));
		return vdi_set_fail(set, VD_E_INVALID, "open device: no device "
				    "has the name %s; there are: %s", name,
				    names);
	case -EBUSY:
		return vdi_set_fail(set, VD_E_PROTOCOL, "open device: %s is "
				    "or was open", name);
	case -ENOSPC:
		return vdi_channel_fail_all_open(set);
	default:
		return vdi_set_fail_errno(set, err, "open device");
	}
}

/*
 * Opening a device cannot be undone. If the rings cannot be mapped, the set is
 * aborted, since no other process can serve the device.
 */
int vdi_channel_open(struct vdi_set *set, const char *name,
		     struct vdi_channel *ch)
{
	const char *kernel_name = vdi_name_of_device(set->name, name);
	struct vdiset_open_device dev = {
		.size = sizeof(dev),
		.name = (uintptr_t)kernel_name,
		.name_len = strlen(kernel_name),
	};
	int err, code;

	memset(ch, 0, sizeof(*ch));
	ch->fd = -1;
	err = vdi_set_ioctl(set, VDISET_OPEN_DEVICE, &dev);
	if (err)
		return fail_open(set, err, name);

	ch->fd = dev.out_fd;
	ch->index = dev.out_index;
	err = map_rings(ch, &dev);
	if (err) {
		vdi_set_abort(set, VDISET_REASON_SIGNAL, 0,
			      "the rings of a device cannot be mapped");
		code = vdi_set_fail_errno(set, err, "map the rings");
		vdi_channel_release(ch, false);
		return code;
	}
	return NOERROR;
}

/*
 * A forked child has inherited the descriptor, but not the mappings of the
 * rings: other mappings may be at their addresses.
 */
void vdi_channel_release(struct vdi_channel *ch, bool forked)
{
	if (ch->ro && !forked)
		munmap(ch->ro, ch->ro_size);
	if (ch->rw && !forked)
		munmap(ch->rw, ch->rw_size);
	if (ch->fd >= 0)
		close(ch->fd);
	ch->ro = NULL;
	ch->rw = NULL;
	ch->fd = -1;
}

uint64_t vdi_channel_area_size(const struct vdi_channel *ch)
{
	return __atomic_load_n(&ch->state->area_size, __ATOMIC_ACQUIRE);
}

/*
 * Errors do not matter: an abort has woken the peer, and the next call sees it.
 */
void vdi_channel_kick(const struct vdi_channel *ch)
{
	struct vdiset_device_wait wait = {
		.size = sizeof(wait),
		.flags = VDISET_WAIT_KICK,
	};

	ioctl(ch->fd, VDISET_DEVICE_WAIT, &wait);
}
