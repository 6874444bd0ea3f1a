// SPDX-License-Identifier: GPL-2.0-only
/*
 * layout_tape.c - layout on tapes: header block, filemark, data, filemark, end
 * block, filemark
 *
 * The interface does not define the position of the tape after a read past a
 * filemark, and several reads are queued. The end block is therefore expected at
 * the current position first. If a queued read has moved past the filemark, the
 * tape is rewound and the end block is found by its filemark.
 */
#include "descriptor.h"

/* The address of the next block, -1 if the client does not report it. */
static bool get_address(struct database *db, unsigned int device,
			int64_t *address)
{
	bool supported;

	if (!db_try(db, device, VDC_GetPosition, 0, 0, &supported))
		return false;
	*address = supported ? db->dev[device].control.cmd.outPosition : -1;
	return true;
}

static bool begin_write(struct database *db, unsigned int device)
{
	struct db_medium *medium = &db->dev[device].medium;

	return db_order(db, device, VDC_Rewind, 0, 0) &&
	       get_address(db, device, &medium->address) &&
	       descriptor_put(db, device, DESCRIPTOR_HEADER, 0,
			      medium->address, 0) &&
	       db_order(db, device, VDC_WriteMark, 0, 0) &&
	       get_address(db, device, &medium->data_address);
}

static bool end_write(struct database *db, unsigned int device, uint32_t flags)
{
	int64_t address;

	return db_order(db, device, VDC_WriteMark, 0, 0) &&
	       get_address(db, device, &address) &&
	       descriptor_put(db, device, DESCRIPTOR_END, flags, address, 0) &&
	       db_order(db, device, VDC_WriteMark, 0, 0);
}

/* Move to the header: by its address if known, as when reading back. */
static bool find_header(struct database *db, unsigned int device)
{
	const struct db_device *dev = &db->dev[device];
	bool supported;

	if (dev->medium.address < 0)
		return db_order(db, device, VDC_Rewind, 0, 0);
	if (!db_try(db, device, VDC_SetPosition, 0, dev->medium.address,
		    &supported))
		return false;
	if (!supported)
		return db_order(db, device, VDC_Rewind, 0, 0);
	if (dev->control.cmd.outPosition == dev->medium.address)
		return true;
	return db_fail(db, EXIT_FAILED,
		       "VDC_SetPosition on '%s' moved to another address than requested",
		       dev->name);
}

static bool check_soft_marks(struct database *db, unsigned int device,
			     const struct descriptor *block)
{
	uint32_t soft = le32toh(block->soft_mark);

	if (soft == db->config.softFileMarkBlockSize)
		return true;
	return db_fail(db, EXIT_FAILED,
		       "the medium in '%s' was written with filemarks of %u bytes, the set has filemarks of %u (0 = hard filemarks)",
		       db->dev[device].name, soft,
		       db->config.softFileMarkBlockSize);
}

/* Skip the filemark; the data must have the same address as when written. */
static bool find_data(struct database *db, unsigned int device)
{
	const struct db_medium *medium = &db->dev[device].medium;
	int64_t address;

	if (!db_order(db, device, VDC_SkipMarks, 1, 0) ||
	    !get_address(db, device, &address))
		return false;
	if (medium->data_address < 0 || address < 0 ||
	    medium->data_address == address)
		return true;
	return db_fail(db, EXIT_FAILED,
		       "VDC_SkipMarks on '%s' moved to another address than that of the data",
		       db->dev[device].name);
}

static bool begin_read(struct database *db, unsigned int device)
{
	struct descriptor block;

	return find_header(db, device) && descriptor_get(db, device, 0) &&
	       descriptor_check(db, device, DESCRIPTOR_HEADER, &block) &&
	       check_soft_marks(db, device, &block) &&
	       find_data(db, device);
}

/* Read the end block, wherever the read that met the filemark stopped. */
static bool get_end(struct database *db, unsigned int device, bool beyond)
{
	const struct VDS_Command *cmd = &db->dev[device].control.cmd;

	if (beyond &&
	    (!db_order(db, device, VDC_Rewind, 0, 0) ||
	     !db_order(db, device, VDC_SkipMarks, 2, 0)))
		return false;
	if (!descriptor_get(db, device, 0))
		return false;
	if (beyond || cmd->completionCode != ERROR_FILEMARK_DETECTED)
		return true;
	/* the tape is still before the filemark */
	return db_clear_error(db, device) &&
	       db_order(db, device, VDC_SkipMarks, 1, 0) &&
	       descriptor_get(db, device, 0);
}

/* A tape that can move backwards must return the same block again. */
static bool check_backwards(struct database *db, unsigned int device,
			    const struct descriptor *end)
{
	struct descriptor block;
	bool supported;

	if (!db_try(db, device, VDC_SkipBlocks, -1, 0, &supported))
		return false;
	if (!supported)
		return true;
	if (!descriptor_get(db, device, 0) ||
	    !descriptor_check(db, device, DESCRIPTOR_END, &block))
		return false;
	if (block.block_xxh3 == end->block_xxh3)
		return true;
	return db_fail_medium(db, device, "returned another end block on the second read");
}

static bool end_read(struct database *db, unsigned int device,
		     const struct tally *tally, bool *last)
{
	struct descriptor block;

	if (tally->code != ERROR_FILEMARK_DETECTED)
		return db_fail_medium(db, device,
				      "ends without the filemark and the end block of a backup");
	if (!get_end(db, device, tally->beyond) ||
	    !descriptor_check(db, device, DESCRIPTOR_END, &block) ||
	    !descriptor_check_end(db, device, &block, tally))
		return false;
	*last = le32toh(block.flags) & DESCRIPTOR_LAST;
	return !db->read_back || check_backwards(db, device, &block);
}

static uint32_t next_read(struct database *db, unsigned int device,
			  int64_t *position)
{
	(void)device;
	*position = 0;
	return db->max_transfer;
}

const struct layout layout_tape = {
	.name = "tape",
	.features = VDF_LikeTape & ~VDF_Removable,
	.media = true,
	.begin_write = begin_write,
	.end_write = end_write,
	.begin_read = begin_read,
	.end_read = end_read,
	.next_read = next_read,
};
