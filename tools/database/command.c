// SPDX-License-Identifier: GPL-2.0-only
/*
 * command.c - single commands, and the commands that end a backup
 */
#include <stdio.h>

#include "database.h"

/* Time for the client to complete its commands after a failure. */
#define WIND_DOWN_SECONDS 30

bool db_command(struct database *db, unsigned int device, int code,
		int32_t size, int64_t position)
{
	struct slot *slot = &db->dev[device].control;

	if (!db_send(db, slot, device, code, size, position))
		return false;
	while (slot->busy) {
		if (!db_step(db))
			return false;
	}
	return true;
}

static bool failed(struct database *db, unsigned int device)
{
	const struct VDS_Command *cmd = &db->dev[device].control.cmd;
	char doing[64];

	snprintf(doing, sizeof(doing), "%s on",
		 vdi_command_name(cmd->commandCode));
	return db_fail_device(db, device, doing, cmd->completionCode);
}

/* Did the single command succeed? 1100 counts if all data was transferred. */
static bool succeeded(const struct db_device *dev)
{
	int code = dev->control.cmd.completionCode;

	return code == ERROR_SUCCESS ||
	       (code == ERROR_END_OF_MEDIA && !dev->io_error);
}

bool db_order(struct database *db, unsigned int device, int code,
	      int32_t size, int64_t position)
{
	const struct db_device *dev = &db->dev[device];

	if (!db_command(db, device, code, size, position))
		return false;
	if (!succeeded(dev))
		return failed(db, device);
	if (code == VDC_Write &&
	    dev->control.cmd.bytesTransferred != (uint32_t)size)
		return db_fail(db, EXIT_FAILED,
			       "device '%s' stored only %u of %d bytes of a block",
			       dev->name, dev->control.cmd.bytesTransferred,
			       size);
	return true;
}

bool db_try(struct database *db, unsigned int device, int code, int32_t size,
	    int64_t position, bool *supported)
{
	const struct db_device *dev = &db->dev[device];

	*supported = true;
	if (!db_command(db, device, code, size, position))
		return false;
	if (succeeded(dev))
		return true;
	if (dev->control.cmd.completionCode != ERROR_NOT_SUPPORTED)
		return failed(db, device);
	*supported = false;
	return db_clear_error(db, device);
}

bool db_clear_error(struct database *db, unsigned int device)
{
	struct db_device *dev = &db->dev[device];

	if (!dev->io_error)
		return true;
	if (!db_command(db, device, VDC_ClearError, 0, 0))
		return false;
	return !dev->io_error || failed(db, device);
}

bool db_all(struct database *db, int code)
{
	unsigned int i;

	for (i = 0; i < db->count; i++) {
		if (!db_send(db, &db->dev[i].control, i, code, 0, 0))
			return false;
	}
	if (!db_drain(db))
		return false;
	for (i = 0; i < db->count; i++) {
		if (!succeeded(&db->dev[i]))
			return failed(db, i);
	}
	return true;
}

bool db_complete(struct database *db)
{
	if (db->config.features & VDF_CompleteEnabled) {
		db->completing = true;
		if (!db_all(db, VDC_Complete))
			return false;
	}
	return db_close_devices(db);
}

bool db_finish_backup(struct database *db)
{
	return db_all(db, VDC_Flush) && db_complete(db);
}

static bool discard(struct database *db, unsigned int device)
{
	if (!db_clear_error(db, device))
		return false;
	return db_command(db, device, VDC_Discard, 0, 0) &&
	       succeeded(&db->dev[device]);
}

/*
 * May this device be closed without an abort? Only if the client cannot take the
 * close for success: it was told to discard the data, has reported an error
 * itself, or waits for VDC_Complete, which was not sent.
 */
static bool may_close(struct database *db, unsigned int device)
{
	if (db_writes(db) && (db->config.features & VDF_Discard))
		return discard(db, device);
	if (db->dev[device].refused)
		return true;
	return (db->config.features & VDF_CompleteEnabled) && !db->completing;
}

/*
 * The client gets some time to complete its commands. After that time the set is
 * aborted. A signal aborts it at once; the signal that caused the failure, if any,
 * has been taken before.
 */
bool db_wind_down(struct database *db)
{
	unsigned int i;

	if (vdi_signal_pending())
		return false;
	db->deadline = vdi_now() + WIND_DOWN_SECONDS;
	if (!db_drain(db))
		return false;
	for (i = 0; i < db->count; i++) {
		if (!may_close(db, i))
			return false;
	}
	return db_close_devices(db);
}
