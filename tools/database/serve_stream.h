/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * serve_stream.h - the stream of vdi serve: standard input or output, or a command
 *
 * The exit status of a command is a part of the result: a dump that fails is not a
 * backup. It is checked before the stream ends on the devices.
 */
#ifndef VDI_SERVE_STREAM_H
#define VDI_SERVE_STREAM_H

#include <sys/types.h>

#include "database.h"

struct child_errors;

struct serve_stream {
	/* options */
	char *const *argv;	/* the command; NULL = standard input or output */
	bool allow_empty;

	int fd;			/* of the stream; -1 = not open */
	pid_t pid;		/* 0 = no command was started */
	double ended;		/* when the command was seen terminated; 0 = not yet */
	struct child_errors *errors;
};

/* All functions: false after db_fail(). An abort of the set ends every wait. */

/* Open the stream or start the command. The set is joined. */
bool serve_open_stream(struct database *db);
/* The number of bytes of the input of a backup; 0 = unknown. */
uint64_t serve_input_size(const struct database *db);
/* Fill the buffer; *length is less than size only at the end of the input. */
bool serve_read(struct database *db, uint8_t *data, size_t size,
		 uint32_t *length);
/* The end of the input was read: was it a success? */
bool serve_check_input(struct database *db);
bool serve_write(struct database *db, const uint8_t *data, size_t size);
/* All data was written: close the output, and wait for the command. */
bool serve_end_output(struct database *db);
/* To be called in any case. Stops the command if it still runs. */
void serve_close_stream(struct database *db);

#endif /* VDI_SERVE_STREAM_H */
