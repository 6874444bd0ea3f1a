/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * serve_media.h - loading media, and writing to media of limited capacity
 */
#ifndef VDI_SERVE_MEDIA_H
#define VDI_SERVE_MEDIA_H

#include "layout.h"

/* Load medium `ordinal`, if media can be changed. */
bool media_load(struct database *db, unsigned int device, uint32_t ordinal);
/* Load the first medium of every device, and write what precedes the data. */
bool media_begin_write(struct database *db);
/* Queue a slot of data; continues on the next medium when one is full. */
bool media_write(struct database *db, struct slot *slot, unsigned int device,
		 uint32_t size);
/* A free slot, whose previous data is stored. NULL after db_fail(). */
struct slot *media_slot(struct database *db);
/* End of the data: wait until all is stored, and end the media. */
bool media_end_write(struct database *db);

#endif /* VDI_SERVE_MEDIA_H */
