/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * device.h - the common part of a device of a client and of a server
 *
 * struct vdi_client_device and struct vdi_server_device begin with it.
 */
#ifndef VDI_DEVICE_H
#define VDI_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "channel.h"
#include "check.h"
#include "gate.h"
#include "lock.h"
#include "set.h"

struct vdi_device {
	struct vdi_set *set;
	struct vdi_device *next;	/* in the list of retired devices */
	struct vdi_gate gate;		/* closed for good once retired */
	struct vdi_channel ch;
	struct vdi_ring_limits limits;
	uint32_t prefix;
	uint32_t unaligned;		/* no buffer's offset has these bits */

	struct vdi_lock lock;		/* for window and the sides' fields */
	struct vdi_window window;
	char name[VDI_NAME_BUF];	/* for messages */
};

/* Reasons in the abort record when such an index was read. */
#define VDI_BAD_HEAD	"the peer's head index is impossible"
#define VDI_BAD_TAIL	"the peer's tail index is impossible"

int vdi_device_open(struct vdi_set *set, const char *name, bool server,
		    const struct vdiset_config *config, size_t size,
		    size_t entry_size, struct vdi_device **out);
void vdi_device_retire(struct vdi_device *core, struct vdi_device **list,
		       bool forked);
void vdi_device_free_retired(struct vdi_device **list);

/*
 * Begin a call; false if the set was closed, or belongs to the parent process.
 */
static inline bool vdi_device_enter(struct vdi_device *core)
{
	if (!vdi_gate_enter(&core->gate))
		return false;
	if (vdi_set_mine(core->set))
		return true;
	vdi_gate_leave(&core->gate);
	return false;
}

static inline void vdi_device_leave(struct vdi_device *core)
{
	vdi_gate_leave(&core->gate);
}

#endif /* VDI_DEVICE_H */
