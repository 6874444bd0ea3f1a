// SPDX-License-Identifier: LGPL-2.1-or-later
/* device.c - the common part of a device: opening, retiring */
#include <stdlib.h>
#include <string.h>

#include "device.h"
#include "device_name.h"

#define CACHE_LINE	64

static void init(struct vdi_device *core, struct vdi_set *set,
		 const struct vdi_channel *ch,
		 const struct vdiset_config *config)
{
	core->set = set;
	core->ch = *ch;
	core->limits.depth = ch->ring.depth;
	core->limits.max_transfer = config->max_transfer_size;
	core->limits.part_block = config->block_size - 1;
	core->limits.features = config->features;
	core->prefix = config->prefix_zone_size;
	core->unaligned = config->alignment - 1;
	vdi_lock_init(&core->lock);
	vdi_gate_open(&core->gate);
}

/*
 * Open the first device that this side has not opened, and store its name. If
 * another process opens it first, the next one is tried.
 */
static int open_next(struct vdi_set *set, bool server, uint32_t count,
		     struct vdi_channel *ch, char name[VDI_NAME_BUF])
{
	bool opened;
	uint32_t i;
	int err, code;

	for (i = 0; i < count; i++) {
		err = vdi_device_name_read(set, i, server, name, &opened);
		if (!err && !opened && !*name)
			err = vdi_device_name_usual(set, i, name);
		if (err)
			return vdi_set_fail_errno(set, err, "open device");
		if (opened)
			continue;
		code = vdi_channel_open(set, name, ch);
		if (code != VD_E_PROTOCOL)
			return code;
	}
	return vdi_channel_fail_all_open(set);
}

static int open_channel(struct vdi_set *set, const char *wanted, bool server,
			uint32_t count, struct vdi_channel *ch,
			char name[VDI_NAME_BUF])
{
	int code;

	if (!wanted)
		return open_next(set, server, count, ch, name);
	code = vdi_set_check_name(set, "open device", wanted);
	if (code)
		return code;
	strcpy(name, wanted);
	return vdi_channel_open(set, name, ch);
}

/*
 * Open a device; @name NULL = the next one. *@out is the beginning of an object
 * of @size bytes and @entry_size bytes for each command of the queue; the rest
 * of it is zeroed.
 */
int vdi_device_open(struct vdi_set *set, const char *name, bool server,
		    const struct vdiset_config *config, size_t size,
		    size_t entry_size, struct vdi_device **out)
{
	char found[VDI_NAME_BUF];
	struct vdi_channel ch;
	int code;

	code = open_channel(set, name, server, config->device_count, &ch,
			    found);
	if (code)
		return code;
	size += ch.ring.depth * entry_size;
	size = (size + CACHE_LINE - 1) & ~(size_t)(CACHE_LINE - 1);
	*out = aligned_alloc(CACHE_LINE, size);
	if (!*out) {
		vdi_set_abort(set, VDISET_REASON_SIGNAL, 0,
			      "no memory for a device");
		vdi_channel_release(&ch, false);
		return vdi_set_fail(set, VD_E_MEMORY, "no memory");
	}
	memset(*out, 0, size);
	init(*out, set, &ch, config);
	strcpy((*out)->name, found);
	return NOERROR;
}

/*
 * The set is closed: wait for calls to end, and put the device on the list. In a
 * forked child, gate and lock are in the state in which threads of the parent
 * had them at the time of the fork.
 */
void vdi_device_retire(struct vdi_device *core, struct vdi_device **list,
		       bool forked)
{
	if (forked) {
		vdi_gate_init(&core->gate);
		vdi_lock_init(&core->lock);
	} else {
		vdi_gate_close(&core->gate);
	}
	vdi_channel_release(&core->ch, forked);
	core->next = *list;
	*list = core;
}

/*
 * Retired devices are kept until the object opens a device of its next set: a
 * thread that has not noticed the close gets an error instead of reading freed
 * memory.
 */
void vdi_device_free_retired(struct vdi_device **list)
{
	struct vdi_device *core;

	while ((core = *list)) {
		*list = core->next;
		free(core);
	}
}
