/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * writer.h - the server process's side of a set: a stream over its devices
 *
 * All functions report failure by ereport(ERROR). A set that was not completed
 * is aborted by vdiset_writer_abandon(), at the latest when the server resets
 * MessageContext, which it does after every command and every error.
 */
#ifndef VDISET_WRITER_H
#define VDISET_WRITER_H

#include "postgres.h"

#include <libvdi.h>

/* What BASE_BACKUP's target detail and the settings say. */
struct vdiset_options {
	char *set;			/* name of the set */
	int devices;			/* required number, 0 = any */
	int connect_timeout;		/* seconds to wait for the set, 0 = none */
	int max_transfer_size;		/* KiB */
	int buffer_count;		/* 0 = four per device */
	uid_t trusted[VDI_MAX_TRUSTED_USERS];	/* whose sets are joined */
	int trusted_count;		/* 0 = the server's own user and root */
};

struct vdiset_writer;

/* Connect, configure, open all devices. */
struct vdiset_writer *vdiset_writer_open(const struct vdiset_options *options);
/* Append to the stream; returns when the data is in shared buffers. */
void vdiset_writer_put(struct vdiset_writer *writer, const void *data,
		       size_t length);
/* The stream is whole: wait until the backup program has made it durable. */
void vdiset_writer_flush(struct vdiset_writer *writer);
/* The backup is good: have it confirmed, close the set. */
void vdiset_writer_complete(struct vdiset_writer *writer);
/* Abort the set unless it was completed. May be called twice. */
void vdiset_writer_abandon(struct vdiset_writer *writer);

#endif /* VDISET_WRITER_H */
