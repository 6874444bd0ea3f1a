/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * writer.h - writes the stream of a backup to the devices of a set
 *
 * All functions report failures by ereport(ERROR). A set that was not completed is
 * aborted by vdiset_writer_abandon(), at the latest when the server resets
 * MessageContext, after every command and every error.
 */
#ifndef VDISET_WRITER_H
#define VDISET_WRITER_H

#include "postgres.h"

#include <libvdi.h>

/* From the target detail of BASE_BACKUP, and the settings. */
struct vdiset_options {
	char *set;			/* name of the set */
	int devices;			/* required number, 0 = any */
	int connect_timeout;		/* seconds to wait for the set, 0 = none */
	int max_transfer_size;		/* KiB */
	int buffer_count;		/* 0 = four per device */
	uid_t trusted[VDI_MAX_TRUSTED_USERS];	/* creators of sets to join */
	int trusted_count;		/* 0 = the server's own user and root */
};

struct vdiset_writer;

/* Join and configure the set, open all devices. */
struct vdiset_writer *vdiset_writer_open(const struct vdiset_options *options);
/* About how long the stream will be, for the progress that the backup program shows. */
void vdiset_writer_expect(struct vdiset_writer *writer, uint64 bytes);
/* Append to the stream; returns when the data is in shared buffers. */
void vdiset_writer_put(struct vdiset_writer *writer, const void *data,
		       size_t length);
/* End of the stream: wait until the backup program has made it durable. */
void vdiset_writer_flush(struct vdiset_writer *writer);
/* The backup succeeded: let the client confirm it, close the set. */
void vdiset_writer_complete(struct vdiset_writer *writer);
/* Abort the set unless it was completed. May be called twice. */
void vdiset_writer_abandon(struct vdiset_writer *writer);

#endif /* VDISET_WRITER_H */
