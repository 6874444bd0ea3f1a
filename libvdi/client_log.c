// SPDX-License-Identifier: LGPL-2.1-or-later
/* client_log.c - what a client logs about its commands; see log.h */
#include "client.h"

/* With the lock held: command blocks that were completed are not to be used. */
void vdi_client_log_completed(struct vdi_client_device *device,
			      const struct vdi_completion *done,
			      unsigned int count)
{
	struct VDC_Command *cmd;
	int64_t now = vdi_now_ns();
	struct vdi_slot *slot;

	for (; count--; done++) {
		cmd = done->cmd;
		slot = (struct vdi_slot *)cmd;
		vdi_log(device->core.name, "complete command: %s, %u bytes, %s",
			vdi_command_name(slot->code), done->bytes,
			vdi_completion_name(done->code));
		if (slot->since && now - slot->since > VDI_LOG_LONG_NS)
			vdi_log(device->core.name, "this %s was held for %.1f s",
				vdi_command_name(slot->code),
				(now - slot->since) / 1e9);
		if (vdi_log_poisons()) {
			cmd->commandCode = -1;
			cmd->size = -1;
			cmd->buffer = VDI_POISON_POINTER;
		}
	}
}

void vdi_client_log_received(struct vdi_client_device *device,
			     struct VDC_Command **cmds, unsigned int count)
{
	int64_t now = vdi_now_ns();

	for (; count--; cmds++) {
		((struct vdi_slot *)*cmds)->since = now;
		vdi_log(device->core.name, "get command: %s, %d bytes, position "
			"%lld", vdi_command_name((*cmds)->commandCode),
			(*cmds)->size, (long long)(*cmds)->position);
	}
}

/* Called before each sleep; the sleep is no longer than until the next look. */
int64_t vdi_client_log_waiting(struct vdi_client_device *device, int64_t left)
{
	int64_t now = vdi_now_ns();
	struct vdi_slot *slot;
	uint32_t tag;

	vdi_lock(&device->core.lock);
	for (tag = 0; tag < device->core.limits.depth; tag++) {
		slot = &device->slots[tag];
		if (!slot->held || !slot->since ||
		    now - slot->since <= VDI_LOG_LONG_NS)
			continue;
		vdi_log(device->core.name, "%s has been held for %.1f s and is "
			"not completed", vdi_command_name(slot->code),
			(now - slot->since) / 1e9);
		slot->since = 0;	/* once */
	}
	vdi_unlock(&device->core.lock);
	return left < 0 || left > VDI_LOG_LONG_NS ? VDI_LOG_LONG_NS : left;
}

static void log_held(const struct vdi_client_device *device, const char *when)
{
	const struct vdi_slot *slot = device->slots;
	uint32_t tag;

	for (tag = 0; tag < device->core.limits.depth; tag++, slot++)
		if (__atomic_load_n(&slot->held, __ATOMIC_RELAXED))
			vdi_log(device->core.name, "%s is held when the set is "
				"%s", vdi_command_name(slot->code), when);
}

/* If calls are logged: the commands that this client has not completed. */
void vdi_client_log_held(struct vdi_client *client, const char *when)
{
	struct vdi_client_device *device;
	uint32_t i;

	for (i = 0; i < VDISET_MAX_DEVICES; i++) {
		device = __atomic_load_n(&client->devices[i], __ATOMIC_ACQUIRE);
		if (device)
			log_held(device, when);
	}
}
