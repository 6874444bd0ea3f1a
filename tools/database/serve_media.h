/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * serve_media.h - loading media, and writing to media of limited capacity
 */
#ifndef VDI_SERVE_MEDIA_H
#define VDI_SERVE_MEDIA_H

#include "layout.h"

/* Put medium `ordinal` into the device's drive, where media can be changed. */
bool media_load(struct database *db, unsigned int device, uint32_t ordinal);
/* All devices: their first media, ready for data. */
bool media_begin_write(struct database *db);
/* Queue a whole slot of data; goes on to the next medium where one ends. */
bool media_write(struct database *db, struct slot *slot, unsigned int device,
		 uint32_t size);
/* A slot that is free: what was in it is stored. NULL is a db_fail(). */
struct slot *media_slot(struct database *db);
/* No more data comes: wait until all is stored, and end the media. */
bool media_end_write(struct database *db);

#endif /* VDI_SERVE_MEDIA_H */
