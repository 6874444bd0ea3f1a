// SPDX-License-Identifier: GPL-2.0-only
/*
 * set_of_file.c - vdi-pg-restore without sets: the stream of set NAME is a file
 *
 * Replaces joining and reading a set, so that what the program does with a stream can be
 * tested without the module. The file is $VDI_TEST_STREAMS/NAME, and it has
 * $VDI_TEST_DEVICES devices (default 1). The outcome that the other
 * side would see is appended to NAME.outcome: the exit code of an abort, or 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database/reassemble.h"

#define PIECE (1 << 20)

const struct layout layout_pipe;

static uint8_t *stream;
static size_t stream_size, stream_at;

int vdi_load_module(char *text, size_t size)
{
	(void)text;
	(void)size;
	return NOERROR;
}

bool db_fail(struct database *db, int exit_code, const char *format, ...)
{
	va_list args;

	if (db->exit_code != EXIT_OK)
		return false;
	db->exit_code = exit_code;
	va_start(args, format);
	vsnprintf(db->message, sizeof(db->message), format, args);
	va_end(args);
	return false;
}

bool db_connect(struct database *db, uint32_t direction)
{
	const char *dir = getenv("VDI_TEST_STREAMS");
	char path[4096];
	struct stat st;
	int fd;

	(void)direction;
	snprintf(path, sizeof(path), "%s/%s", dir ? dir : ".", db->names.set);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		return db_fail(db, EXIT_TIMED_OUT, "%s: %s", path, strerror(errno));
	stream_size = st.st_size;
	stream_at = 0;
	stream = mmap(NULL, stream_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	close(fd);
	if (stream == MAP_FAILED)
		return db_fail(db, EXIT_FAILED, "%s: %s", path, strerror(errno));
	db->count = getenv("VDI_TEST_DEVICES") ? atoi(getenv("VDI_TEST_DEVICES")) : 1;
	db->started = vdi_now();
	return true;
}

static void note_outcome(const struct database *db, int outcome)
{
	const char *dir = getenv("VDI_TEST_STREAMS");
	char path[4096];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s.outcome", dir ? dir : ".", db->names.set);
	file = fopen(path, "a");
	if (!file)
		return;
	fprintf(file, "%d\n", outcome);
	fclose(file);
}

bool db_close_devices(struct database *db)
{
	note_outcome(db, 0);
	return true;
}

int db_end(struct database *db)
{
	if (db->exit_code != EXIT_OK) {
		note_outcome(db, db->exit_code);
		vdi_error("%s of '%s' failed: %s", db->verb, db->names.set, db->message);
	}
	if (stream)
		munmap(stream, stream_size);
	stream = NULL;
	return db->exit_code;
}

bool restored_again(struct restored *r, struct database *db)
{
	r->db = db;
	return true;
}

bool restored_read(struct restored *r, const uint8_t **data, uint32_t *size)
{
	size_t left = stream_size - stream_at;

	if (vdi_signal_pending())
		return db_fail(r->db, EXIT_INTERRUPTED, "interrupted");
	*size = left < PIECE ? left : PIECE;
	*data = stream + stream_at;
	stream_at += *size;
	r->db->moved += *size;
	return true;
}

bool restored_check_end(struct restored *r)
{
	(void)r;
	return true;
}

void restored_free(struct restored *r)
{
	(void)r;
}
