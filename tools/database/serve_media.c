// SPDX-License-Identifier: GPL-2.0-only
/*
 * serve_media.c - writing to media of limited capacity
 *
 * Writes are queued ahead. When a device reports the end of its medium (1100) or
 * an error, its outstanding writes are waited for and processed in the order in
 * which they were sent. Data that was not stored is written to the next medium in
 * the same order. The data of a device is therefore one stream over all media.
 */
#include <string.h>

#include "descriptor.h"
#include "serve_media.h"

/* ----------------------------------------------------------- loading media */

bool media_load(struct database *db, unsigned int device, uint32_t ordinal)
{
	struct db_device *dev = &db->dev[device];
	bool supported;

	dev->medium = (struct db_medium){
		.ordinal = ordinal, .address = -1, .data_address = -1
	};
	if (!(db->config.features & VDF_Removable))
		return true;
	dev->warned = false;
	/* a client without VDC_Load may have the first medium loaded */
	if (ordinal > 1)
		return db_order(db, device, VDC_Load, ordinal, 0);
	return db_try(db, device, VDC_Load, ordinal, 0, &supported);
}

static bool next_medium(struct database *db, unsigned int device)
{
	struct db_device *dev = &db->dev[device];

	if (!dev->medium.bytes)
		return db_fail(db, EXIT_FAILED,
			       "medium %u of '%s' is too small for any data",
			       dev->medium.ordinal, dev->name);
	return db_clear_error(db, device) &&
	       db->layout->end_write(db, device, DESCRIPTOR_CONTINUES) &&
	       db_order(db, device, VDC_Flush, 0, 0) &&
	       media_load(db, device, dev->medium.ordinal + 1) &&
	       db->layout->begin_write(db, device);
}

bool media_begin_write(struct database *db)
{
	unsigned int i;

	for (i = 0; i < db->count; i++) {
		/* on a pipe, the loaded medium is the first */
		if (db->layout->media && !media_load(db, i, 1))
			return false;
		if (!db->layout->begin_write(db, i))
			return false;
	}
	return true;
}

/* ----------------------------------------------------------------- writing */

/*
 * If the size of the warning zone is known, outstanding writes and the blocks that
 * end the medium must fit into it. One write is always allowed.
 */
static bool has_room(const struct database *db, unsigned int device,
		     uint32_t size)
{
	const struct db_device *dev = &db->dev[device];
	uint64_t ending = db->block_size +
			  2 * (uint64_t)db->config.softFileMarkBlockSize;
	uint32_t zone = db->config.EOMWarningSize;

	if (dev->outstanding >= db->config.maxIODepth)
		return false;
	if (!zone || !(db->config.features & VDF_Removable) || !dev->writing)
		return true;
	return dev->writing + size + ending <= zone;
}

static bool send_write(struct database *db, struct slot *slot,
		       unsigned int device, uint32_t size)
{
	struct db_device *dev = &db->dev[device];
	int64_t position = 0;

	if (db->layout->positions) {
		position = dev->medium.position;
		dev->medium.position += size;
	}
	slot->pending = true;
	slot->again = false;
	return db_send(db, slot, device, VDC_Write, size, position);
}

/* The pending writes of a device, oldest first. */
static unsigned int get_pending(struct database *db, unsigned int device,
				struct slot **list)
{
	unsigned int i, j, n = 0;

	for (i = 0; i < db->buffer_count; i++) {
		struct slot *slot = &db->slots[i];

		if (!slot->pending || slot->device != device)
			continue;
		for (j = n++; j && list[j - 1]->order > slot->order; j--)
			list[j] = list[j - 1];
		list[j] = slot;
	}
	return n;
}

static bool refused_write(struct database *db, const struct slot *slot)
{
	const struct VDS_Command *cmd = &slot->cmd;

	if (cmd->completionCode != ERROR_SUCCESS)
		return db_fail_device(db, slot->device, "writing to",
				      cmd->completionCode);
	return db_fail(db, EXIT_FAILED,
		       "writing to '%s': only %u of %d bytes were stored",
		       db->dev[slot->device].name, cmd->bytesTransferred,
		       cmd->size);
}

static bool wholly_stored(const struct slot *slot)
{
	return slot->cmd.bytesTransferred == (uint32_t)slot->cmd.size &&
	       (slot->cmd.completionCode == ERROR_SUCCESS ||
		slot->cmd.completionCode == ERROR_END_OF_MEDIA);
}

static void count_stored(struct database *db, const struct slot *slot)
{
	struct db_device *dev = &db->dev[slot->device];

	dev->medium.bytes += slot->cmd.bytesTransferred;
	dev->total += slot->cmd.bytesTransferred;
	if (slot->cmd.bytesTransferred && slot->order >= dev->stored)
		dev->stored = slot->order + 1;
}

/* Data that is sent again would be stored after it, out of order. */
static bool stored_behind(struct database *db, unsigned int device)
{
	return db_fail(db, EXIT_FAILED,
		       "device '%s' stored data behind data that it had no room for",
		       db->dev[device].name);
}

/* The first write that did not fit: keep the part that was not stored. */
static bool keep_rest(struct database *db, struct slot *slot)
{
	uint32_t stored = slot->cmd.bytesTransferred;

	if (slot->cmd.completionCode != ERROR_END_OF_MEDIA ||
	    !(db->config.features & VDF_Removable))
		return refused_write(db, slot);
	if (stored % db->block_size)
		return db_fail(db, EXIT_FAILED,
			       "device '%s' stored %u bytes, which are not whole blocks",
			       db->dev[slot->device].name, stored);
	if (db->dev[slot->device].stored > slot->order)
		return stored_behind(db, slot->device);
	count_stored(db, slot);
	slot->cmd.size -= stored;
	memmove(slot->buffer, slot->buffer + stored, slot->cmd.size);
	return true;
}

/*
 * Process the writes of a device, which are all completed. Writes that must be
 * sent again remain in the list, with their sizes in cmd.size.
 */
static bool sort_out(struct database *db, unsigned int device,
		     struct slot **list, unsigned int *n)
{
	unsigned int i, left = 0;

	for (i = 0; i < *n; i++) {
		struct slot *slot = list[i];

		if (slot->again) {
			list[left++] = slot;
			continue;
		}
		if (!left && wholly_stored(slot)) {
			slot->pending = false;
			count_stored(db, slot);
			continue;
		}
		if (!left && !keep_rest(db, slot))
			return false;
		/* the library has completed the writes after it */
		if (left && slot->cmd.bytesTransferred)
			return stored_behind(db, device);
		if (left && slot->cmd.completionCode != ERROR_IO_DEVICE &&
		    slot->cmd.completionCode != ERROR_END_OF_MEDIA)
			return refused_write(db, slot);
		slot->again = true;
		list[left++] = slot;
	}
	*n = left;
	return true;
}

/* Stops at the end of the new medium; settle() is then called again. */
static bool send_again(struct database *db, unsigned int device,
		       struct slot **list, unsigned int n)
{
	const struct db_device *dev = &db->dev[device];
	unsigned int i;

	for (i = 0; i < n; i++) {
		uint32_t size = list[i]->cmd.size;

		while (!has_room(db, device, size)) {
			if (!db_step(db))
				return false;
		}
		if (dev->io_error || dev->warned)
			break;
		if (!send_write(db, list[i], device, size))
			return false;
	}
	return true;
}

/* The device has reported an error or a warning: continue if possible. */
static bool settle(struct database *db, unsigned int device)
{
	struct db_device *dev = &db->dev[device];
	struct slot **list = db->list;
	unsigned int n;

	if (!db_drain_device(db, device))
		return false;
	n = get_pending(db, device, list);
	if (!sort_out(db, device, list, &n))
		return false;
	if (!n && !dev->warned)
		return true;
	/* ignore the warning with a single medium, or if all data is written */
	if (!n && (db->finishing || !(db->config.features & VDF_Removable))) {
		dev->warned = false;
		return true;
	}
	return next_medium(db, device) && send_again(db, device, list, n);
}

bool media_write(struct database *db, struct slot *slot, unsigned int device,
		 uint32_t size)
{
	struct db_device *dev = &db->dev[device];

	for (;;) {
		if ((dev->io_error || dev->warned) && !settle(db, device))
			return false;
		if (has_room(db, device, size))
			break;
		if (!db_step(db))
			return false;
	}
	slot->order = dev->writes++;
	XXH3_64bits_update(dev->sum, slot->buffer, size);
	return send_write(db, slot, device, size);
}

/* Is a write completely stored, without an error or a warning? */
static bool is_settled(struct database *db, struct slot *slot)
{
	if (!slot->pending)
		return true;
	if (slot->again || slot->cmd.completionCode != ERROR_SUCCESS ||
	    !wholly_stored(slot))
		return false;
	count_stored(db, slot);
	slot->pending = false;
	return true;
}

struct slot *media_slot(struct database *db)
{
	uint32_t i;

	for (;;) {
		for (i = 0; i < db->buffer_count; i++) {
			struct slot *slot = &db->slots[i];

			if (slot->busy)
				continue;
			if (is_settled(db, slot))
				return slot;
			if (!settle(db, slot->device))
				return NULL;
		}
		if (!db_step(db))
			return NULL;
	}
}

/* Data that is sent again may reach the end of another medium. */
static bool settle_all(struct database *db, unsigned int device)
{
	do {
		if (!settle(db, device))
			return false;
	} while (get_pending(db, device, db->list));
	return true;
}

bool media_end_write(struct database *db)
{
	unsigned int i;

	db->finishing = true;
	for (i = 0; i < db->count; i++) {
		if (!settle_all(db, i))
			return false;
	}
	for (i = 0; i < db->count; i++) {
		if (!db->layout->end_write(db, i, DESCRIPTOR_LAST))
			return false;
	}
	return true;
}
