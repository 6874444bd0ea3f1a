// SPDX-License-Identifier: GPL-2.0
/*
 * poll.c - poll(2) of set files and device files
 */
#include <linux/poll.h>

#include "vdiset.h"

static bool vdiset_any_pending(const struct vdiset_set *set)
{
	u32 i;

	for (i = 0; i < set->config.device_count; i++) {
		if (vdiset_device_pending(&set->device[i], VDISET_SERVER))
			return true;
	}
	return false;
}

static bool vdiset_has_tail(u32 state)
{
	return state == VDISET_STATE_ACTIVE ||
	       state == VDISET_STATE_TERMINATED;
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
	smp_mb(); /* (G): poll_wait() contains a barrier in newer kernels only */

	state = vdiset_set_state(set);
	mask = vdiset_poll_state(state);
	switch (party->who.role) {
	case VDISET_ROLE_PRIMARY:
	case VDISET_ROLE_SECONDARY:
		if (!vdiset_configured(set))
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
	smp_mb(); /* (G): poll_wait() contains a barrier in newer kernels only */

	if (vdiset_set_state(device->set) == VDISET_STATE_ABORTED)
		return EPOLLERR | EPOLLHUP;
	if (vdiset_device_state(device) == VDISET_DEVICE_CLOSED)
		mask |= EPOLLHUP;
	if (vdiset_device_pending(device, file->side))
		mask |= EPOLLIN | EPOLLRDNORM;
	return mask;
}
