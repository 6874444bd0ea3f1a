// SPDX-License-Identifier: GPL-2.0-only
/*
 * descriptor.c - descriptor blocks: the header and the end block of a medium
 */
#include <stdio.h>
#include <string.h>

#include "descriptor.h"

static void make_block(struct database *db, unsigned int device,
		       enum descriptor_type type, uint32_t flags,
		       int64_t address, struct descriptor *block)
{
	const struct db_device *dev = &db->dev[device];
	uint64_t sum = flags & DESCRIPTOR_LAST ?
		       XXH3_64bits_digest(dev->sum) : 0;

	*block = (struct descriptor){
		.magic = htole64(DESCRIPTOR_MAGIC),
		.id = htole64(db->shape.id),
		.type = htole32(type),
		.flags = htole32(flags),
		.device = htole32(device),
		.devices = htole32(db->count),
		.block_size = htole32(db->block_size),
		.ordinal = htole32(dev->medium.ordinal),
		.soft_mark = htole32(db->config.softFileMarkBlockSize),
		.address = htole64(address),
		.data_address = htole64(dev->medium.data_address),
		.bytes = htole64(dev->medium.bytes),
		.total = htole64(dev->total),
		.total_xxh3 = htole64(sum),
	};
	block->block_xxh3 = htole64(XXH3_64bits(block,
			offsetof(struct descriptor, block_xxh3)));
}

bool descriptor_put(struct database *db, unsigned int device,
		    enum descriptor_type type, uint32_t flags, int64_t address,
		    int64_t position)
{
	struct db_device *dev = &db->dev[device];
	struct descriptor block;

	make_block(db, device, type, flags, address, &block);
	dev->medium.written[type] = block.block_xxh3;
	memset(dev->control.buffer, 0, db->block_size);
	memcpy(dev->control.buffer, &block, sizeof(block));
	return db_order(db, device, VDC_Write, db->block_size, position);
}

bool descriptor_get(struct database *db, unsigned int device, int64_t position)
{
	return db_command(db, device, VDC_Read, db->block_size, position);
}

static bool other_block_size(struct database *db, unsigned int device,
			     uint32_t size)
{
	return db_fail(db, EXIT_FAILED,
		       "the medium in '%s' was written with blocks of %u bytes: use --block-size %u",
		       db->dev[device].name, size, size);
}

static bool damaged_block(struct database *db, unsigned int device,
			  enum descriptor_type type)
{
	return db_fail_medium(db, device, type == DESCRIPTOR_HEADER ?
			      "has a damaged header" :
			      "has a damaged end block");
}

/* Is the rest of the block in the control slot zero? */
static bool rest_is_zero(const struct database *db, unsigned int device)
{
	const uint8_t *data = db->dev[device].control.buffer;
	uint32_t i = sizeof(struct descriptor);

	while (i < db->block_size && !data[i])
		i++;
	return i == db->block_size;
}

/* Is it the right medium? */
static bool check_identity(struct database *db, unsigned int device,
			   const struct descriptor *block)
{
	char text[64];

	if (!db->id_known) {
		db->shape.id = le64toh(block->id);
		db->id_known = true;
	}
	if (le64toh(block->id) != db->shape.id)
		return db_fail_medium(db, device, "belongs to another backup");
	if (le32toh(block->device) != device ||
	    le32toh(block->devices) != db->count)
		return db_fail_medium(db, device,
				      "belongs to another device: check the order and the number of devices");
	if (le32toh(block->ordinal) != db->dev[device].medium.ordinal) {
		snprintf(text, sizeof(text), "is missing: the drive holds number %u",
			 le32toh(block->ordinal));
		return db_fail_medium(db, device, text);
	}
	return true;
}

bool descriptor_check(struct database *db, unsigned int device,
		      enum descriptor_type type, struct descriptor *block)
{
	const struct VDS_Command *cmd = &db->dev[device].control.cmd;

	if (cmd->completionCode == ERROR_HANDLE_EOF ||
	    cmd->completionCode == ERROR_NO_DATA_DETECTED ||
	    cmd->completionCode == ERROR_FILEMARK_DETECTED)
		return db_fail_medium(db, device, type == DESCRIPTOR_HEADER ?
				      "has no header" :
				      "ends without its end block");
	if (cmd->completionCode != ERROR_SUCCESS)
		return db_fail_device(db, device, "reading from",
				      cmd->completionCode);
	if (cmd->bytesTransferred < sizeof(*block))
		return db_fail_medium(db, device,
				      "returned an incomplete block; check that --block-size is that of the backup");
	memcpy(block, db->dev[device].control.buffer, sizeof(*block));
	if (le64toh(block->magic) != DESCRIPTOR_MAGIC)
		return db_fail_medium(db, device,
				      type == DESCRIPTOR_HEADER ?
				      "was not written by vdi serve" :
				      "has no end block");
	if (le64toh(block->block_xxh3) !=
	    XXH3_64bits(block, offsetof(struct descriptor, block_xxh3)))
		return damaged_block(db, device, type);
	if (le32toh(block->block_size) != db->block_size)
		return other_block_size(db, device,
					le32toh(block->block_size));
	if (le32toh(block->type) != type ||
	    cmd->bytesTransferred != db->block_size || !rest_is_zero(db, device))
		return damaged_block(db, device, type);
	return check_identity(db, device, block);
}

/* The checksums of descriptors on the current medium are recorded. */
bool descriptor_check_written(struct database *db, unsigned int device,
			      enum descriptor_type type,
			      struct descriptor *block)
{
	if (!descriptor_check(db, device, type, block))
		return false;
	if (block->block_xxh3 == db->dev[device].medium.written[type])
		return true;
	return db_fail_medium(db, device, type == DESCRIPTOR_HEADER ?
			      "returned another header than was written" :
			      "returned another end block than was written");
}

bool descriptor_check_end(struct database *db, unsigned int device,
			  const struct descriptor *block,
			  const struct tally *tally)
{
	if (le64toh(block->bytes) != tally->medium_bytes ||
	    le64toh(block->total) != tally->total)
		return db_fail_medium(db, device,
				      "does not hold the amount of data that was written");
	if ((le32toh(block->flags) & DESCRIPTOR_LAST) &&
	    le64toh(block->total_xxh3) != tally->xxh3)
		return db_fail_medium(db, device,
				      "is damaged: the checksum of the data does not match");
	return true;
}
