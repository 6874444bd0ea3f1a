// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * outcome.c - does what a client has seen amount to a whole backup or restore?
 *
 * The rules are those of the interface for a backup: the data of a device is
 * durable after a Flush that follows the last Write, a Snapshot includes it, and
 * where VDF_CompleteEnabled was agreed the server ends with Complete. A close
 * alone says nothing about the data.
 */
#include <stdio.h>

#include "client.h"

/* Is this how a medium asks to be changed? The data then follows on the next. */
static bool asks_for_medium(int code)
{
	return code == ERROR_END_OF_MEDIA || code == ERROR_EOM_OVERFLOW ||
	       code == ERROR_NO_MEDIA_IN_DRIVE;
}

/* Is this how a Read ends where the data ends? */
static bool ends_read(uint32_t command, int code)
{
	return command == VDC_Read &&
	       (code == ERROR_HANDLE_EOF || code == ERROR_FILEMARK_DETECTED ||
		code == ERROR_NO_DATA_DETECTED);
}

static void note_failure(struct vdi_history *history, uint32_t command,
			 int code)
{
	history->error_command = command;
	history->error_code = code;
	/* what a Flush could not write may be lost, even if the next succeeds */
	if (!history->failed_command && !asks_for_medium(code) &&
	    (command == VDC_Write || command == VDC_WriteMark ||
	     command == VDC_Flush)) {
		history->failed_command = command;
		history->failed_code = code;
	}
}

/*
 * Note a completion other than that of a transfer with success. @written: bytes
 * of all Writes so far, this command's included. With the device's lock held.
 */
void vdi_history_note(struct vdi_history *history, uint32_t command,
		      bool failed, int code, uint64_t written)
{
	if (failed) {
		note_failure(history, command, code);
		return;
	}
	switch (command) {
	case VDC_Flush:
	case VDC_Snapshot:
		history->flushed = true;
		history->flushed_at = written;
		break;
	case VDC_WriteMark:
		history->flushed = false;
		break;
	case VDC_Discard:
		history->discarded = true;
		history->discarded_at = written;
		break;
	case VDC_Complete:
		history->completed = true;
		break;
	}
}

static int fail_command(struct vdi_client_device *device, uint32_t command,
			int code)
{
	return vdi_set_fail(device->core.set, VD_E_IO_ERROR, "device '%s': %s "
			    "has failed: %s", device->core.name,
			    vdi_command_name(command),
			    vdi_completion_name(code));
}

static int judge_backup(struct vdi_client_device *device,
			const struct vdi_history *history)
{
	struct vdi_set *set = device->core.set;

	if (history->failed_command)
		return fail_command(device, history->failed_command,
				    history->failed_code);
	if (history->discarded && history->discarded_at == history->written)
		return vdi_set_fail(set, VD_E_PROTOCOL, "the server discarded "
				    "the data of device '%s'",
				    device->core.name);
	if (!history->flushed || history->flushed_at != history->written)
		return vdi_set_fail(set, VD_E_PROTOCOL, "the server finished "
				    "device '%s' without flushing its data: "
				    "no Flush has succeeded since the last "
				    "Write", device->core.name);
	return NOERROR;
}

static int judge_device(struct vdi_client_device *device)
{
	uint32_t features = device->core.limits.features;
	struct vdi_history history;
	bool in_error;
	int code = NOERROR;

	if (vdi_channel_aborted(&device->core.ch) ||
	    vdi_client_gave_up(device->client))
		return vdi_client_fail_abort(device->client);
	vdi_lock(&device->core.lock);
	history = device->history;
	in_error = device->in_error;
	vdi_unlock(&device->core.lock);

	if (features & VDF_WriteMedia)
		code = judge_backup(device, &history);
	if (!code && in_error &&
	    !ends_read(history.error_command, history.error_code))
		code = fail_command(device, history.error_command,
				    history.error_code);
	return code;
}

int vdi_client_device_outcome(struct vdi_client_device *device)
{
	int code;

	if (!device)
		return VD_E_INVALID;
	if (!vdi_device_enter(&device->core))
		return vdi_set_fail_gone(device->core.set, "outcome");
	code = judge_device(device);
	vdi_device_leave(&device->core);
	return code;
}

static bool answered_complete(struct vdi_client_device *device)
{
	bool completed;

	vdi_lock(&device->core.lock);
	completed = device->history.completed;
	vdi_unlock(&device->core.lock);
	return completed;
}

/*
 * Without client->lock, which comes after the locks of devices. Those that are
 * being opened meanwhile may be missing.
 */
static int judge_devices(struct vdi_client *client)
{
	struct vdi_client_device *device;
	uint32_t i, opened = 0;
	bool completed = false;
	int code;

	for (i = 0; i < client->config.device_count; i++) {
		device = __atomic_load_n(&client->devices[i], __ATOMIC_ACQUIRE);
		if (!device)
			continue;
		opened++;
		completed |= answered_complete(device);
		code = judge_device(device);
		if (code)
			return code;
	}
	if (!opened)
		return vdi_set_fail(&client->set, VD_E_PROTOCOL, "outcome: "
				    "this client has opened no device");
	/* it may have come on a device of another process */
	if ((client->config.features & VDF_CompleteEnabled) && !completed &&
	    opened == client->config.device_count)
		return vdi_set_fail(&client->set, VD_E_PROTOCOL, "the server "
				    "closed the set without completing the "
				    "backup: no VDC_Complete has succeeded");
	return NOERROR;
}

static int judge(struct vdi_client *client)
{
	struct vdiset_status status = { .size = sizeof(status) };
	int err;

	if (vdi_client_gave_up(client))
		return vdi_client_fail_abort(client);
	err = vdi_set_ioctl(&client->set, VDISET_STATUS, &status);
	if (err)
		return vdi_set_fail_errno(&client->set, err, "outcome");
	if (status.out_abort.reason)
		return vdi_set_fail_abort(&client->set);
	if (status.out_state != VDISET_STATE_TERMINATED)
		return vdi_set_fail(&client->set, VD_E_BUSY, "outcome: the "
				    "set is in state %s: the server has not "
				    "closed every device",
				    vdi_state_name(status.out_state));
	return judge_devices(client);
}

int vdi_client_outcome(struct vdi_client *client)
{
	int code;

	if (!client)
		return VD_E_INVALID;
	if (!vdi_set_enter(&client->set))
		return vdi_set_fail_gone(&client->set, "outcome");
	code = judge(client);
	vdi_set_leave(&client->set);
	return code;
}
