// SPDX-License-Identifier: GPL-2.0-only
/*
 * layout_disk.c - layout on disks: header block at 0, data, end block
 *
 * Every transfer has a position. The header is written first, so that a client
 * that cannot store anything fails early. It is written again with the final
 * figures; a restore rejects a header without them. The end block is written
 * last: Flush truncates the file after the last write, and some clients take
 * "last" as the latest write, not as the one with the highest position.
 */
#include <inttypes.h>

#include "descriptor.h"

static bool begin_write(struct database *db, unsigned int device)
{
	db->dev[device].medium.position = db->block_size;
	return descriptor_put(db, device, DESCRIPTOR_HEADER, 0, 0, 0);
}

static bool end_write(struct database *db, unsigned int device, uint32_t flags)
{
	struct db_medium *medium = &db->dev[device].medium;
	struct descriptor block;

	/* data that was sent again is on another medium */
	medium->position = db->block_size + medium->bytes;
	medium->data_address = db->block_size;
	if (!descriptor_get(db, device, 0) ||
	    !descriptor_check_written(db, device, DESCRIPTOR_HEADER, &block) ||
	    !descriptor_put(db, device, DESCRIPTOR_HEADER, flags, 0, 0) ||
	    !descriptor_put(db, device, DESCRIPTOR_END, flags, medium->position,
			    medium->position))
		return false;
	medium->position += db->block_size;
	return true;
}

/* Does the client report the right position? *supported: it reports one. */
static bool check_position(struct database *db, unsigned int device, int code,
			   int whence, int64_t offset, int64_t wanted,
			   bool *supported)
{
	const struct db_device *dev = &db->dev[device];
	int64_t is;

	if (!db_try(db, device, code, whence, offset, supported))
		return false;
	is = dev->control.cmd.outPosition;
	/* until Flush the file may be longer, with older data */
	if (!*supported || is == wanted || (whence == VDC_End && is > wanted))
		return true;
	return db_fail(db, EXIT_FAILED,
		       "%s on '%s': the position is %" PRId64 ", not %" PRId64,
		       vdi_command_name(code), dev->name, is, wanted);
}

/*
 * Test each way to set the position that the client maintains. The last one moves
 * to the end of the data, because some clients truncate there on Flush.
 */
static bool leave(struct database *db, unsigned int device)
{
	int64_t block = db->block_size;
	int64_t end = db->dev[device].medium.position;
	const struct {
		int whence;
		int64_t offset;
		int64_t position;
	} moves[] = {
		{ VDC_End, 0, end },
		{ VDC_Beginning, block, block },
		{ VDC_Current, block, 2 * block },
		{ VDC_Current, -block, block },
		{ VDC_Beginning, end, end },
	};
	unsigned int i;
	bool can;

	for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++) {
		if (!check_position(db, device, VDC_SetPosition,
				    moves[i].whence, moves[i].offset,
				    moves[i].position, &can))
			return false;
		if (!can)
			return true;
		if (moves[i].whence != VDC_End &&
		    !check_position(db, device, VDC_GetPosition,
				    VDC_Beginning, 0, moves[i].position, &can))
			return false;
	}
	return true;
}

static bool begin_read(struct database *db, unsigned int device)
{
	struct db_medium *medium = &db->dev[device].medium;
	struct descriptor block;
	uint64_t bytes;

	if (!descriptor_get(db, device, 0) ||
	    !descriptor_check(db, device, DESCRIPTOR_HEADER, &block))
		return false;
	if (!block.flags)
		return db_fail_medium(db, device,
				      "holds a backup that was never finished");
	bytes = le64toh(block.bytes);
	/* with one block before the data and one after it */
	if (bytes > INT64_MAX - 2 * (uint64_t)db->block_size ||
	    bytes % db->block_size)
		return db_fail_medium(db, device,
				      "has an impossible size in its header");
	medium->position = db->block_size;
	medium->end = db->block_size + bytes;
	return true;
}

static bool end_read(struct database *db, unsigned int device,
		     const struct tally *tally, bool *last)
{
	struct db_medium *medium = &db->dev[device].medium;
	struct descriptor block;

	if (tally->code != ERROR_SUCCESS)
		return db_fail_medium(db, device, "ends before the end of its data");
	if (!descriptor_get(db, device, medium->end) ||
	    !descriptor_check(db, device, DESCRIPTOR_END, &block) ||
	    !descriptor_check_end(db, device, &block, tally))
		return false;
	medium->position = medium->end + db->block_size;
	*last = le32toh(block.flags) & DESCRIPTOR_LAST;
	return true;
}

static uint32_t next_read(struct database *db, unsigned int device,
			  int64_t *position)
{
	struct db_medium *medium = &db->dev[device].medium;
	int64_t size = medium->end - medium->position;

	if (size > db->max_transfer)
		size = db->max_transfer;
	*position = medium->position;
	medium->position += size;
	return size;
}

const struct layout layout_disk = {
	.name = "disk",
	.features = VDF_RandomAccess,
	.positions = true,
	.media = true,
	.begin_write = begin_write,
	.end_write = end_write,
	.leave = leave,
	.begin_read = begin_read,
	.end_read = end_read,
	.next_read = next_read,
};
