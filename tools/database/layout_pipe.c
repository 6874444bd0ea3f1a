// SPDX-License-Identifier: GPL-2.0-only
/*
 * layout_pipe.c - layout on pipes: the data only
 */
#include "layout.h"

static bool begin(struct database *db, unsigned int device)
{
	(void)db;
	(void)device;
	return true;
}

static bool end_write(struct database *db, unsigned int device, uint32_t flags)
{
	(void)flags;
	return begin(db, device);
}

/* There is no end block: the stream itself shows whether it is complete. */
static bool end_read(struct database *db, unsigned int device,
		     const struct tally *tally, bool *last)
{
	(void)device;
	(void)tally;
	*last = !(db->config.features & VDF_Removable);
	return true;
}

static uint32_t next_read(struct database *db, unsigned int device,
			  int64_t *position)
{
	(void)device;
	*position = 0;
	return db->max_transfer;
}

const struct layout layout_pipe = {
	.name = "pipe",
	.features = VDF_LikePipe,
	.begin_write = begin,
	.end_write = end_write,
	.begin_read = begin,
	.end_read = end_read,
	.next_read = next_read,
};
