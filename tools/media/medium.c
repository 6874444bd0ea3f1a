// SPDX-License-Identifier: GPL-2.0-only
/*
 * medium.c - common parts of all media: files, checksums, errors, end of medium
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "medium.h"

#define CHUNK (1U << 20)	/* size of a read by a check */

static const struct {
	const char *name;
	uint32_t features;
} profiles[] = {
	[MEDIUM_PIPE] = { "pipe", VDF_LikePipe },
	[MEDIUM_DISK] = { "disk", VDF_LikeDisk },
	[MEDIUM_TAPE] = { "tape", VDF_LikeTape },
};

#define NPROFILES (sizeof(profiles) / sizeof(profiles[0]))

const char *medium_profile_name(enum medium_profile profile)
{
	return profiles[profile].name;
}

bool medium_profile_parse(const char *text, enum medium_profile *out)
{
	size_t i;

	for (i = 0; i < NPROFILES; i++) {
		if (!strcmp(text, profiles[i].name)) {
			*out = i;
			return true;
		}
	}
	return false;
}

uint32_t medium_profile_features(enum medium_profile profile, bool removable)
{
	return profiles[profile].features | (removable ? VDF_Removable : 0);
}

enum medium_profile medium_profile_of(uint32_t features)
{
	if (features & VDF_RandomAccess)
		return MEDIUM_DISK;
	return features & VDF_FileMarks ? MEDIUM_TAPE : MEDIUM_PIPE;
}

/* --------------------------------------------------- files of a manifest */

static bool check_listed(int fd, const struct medium_file *file,
			 const struct stat *st, char *why, size_t size)
{
	struct file_identity now;

	if (file->identity.inode && !file_identify(fd, &now) &&
	    !file_same(&file->identity, &now)) {
		snprintf(why, size,
			 "it was replaced or changed by another program since the backup was opened");
		return false;
	}
	if ((uint64_t)st->st_size != file->bytes) {
		snprintf(why, size, "it has %lld bytes, not %llu",
			 (long long)st->st_size,
			 (unsigned long long)file->bytes);
		return false;
	}
	/* other checksums are compared when the file is read */
	if (!file->bytes && file->xxh3 != XXH3_64bits("", 0)) {
		snprintf(why, size, "its checksum does not match");
		return false;
	}
	return true;
}

int medium_open_listed(int dir, const struct medium_file *file,
		       enum drive_trouble *trouble, char *why, size_t size)
{
	struct stat st;
	int fd = file_open(dir, file->name, O_RDONLY, &st);

	*trouble = DRIVE_DAMAGED;
	if (fd < 0) {
		if (errno == ENOENT)
			snprintf(why, size, "it is missing");
		else if (errno == FILE_NOT_REGULAR)
			snprintf(why, size, "it is not a regular file");
		else {
			*trouble = DRIVE_FAILED;
			snprintf(why, size, "%s", strerror(errno));
		}
		return -1;
	}
	if (check_listed(fd, file, &st, why, size)) {
		*trouble = DRIVE_FINE;
		return fd;
	}
	close(fd);
	return -1;
}

/* ------------------------------------------------------------------ lists */

bool medium_list_add(struct medium_list *list, const char *name)
{
	struct medium_file *file;

	file = realloc(list->file, (list->count + 1) * sizeof(*file));
	if (!file)
		return false;
	list->file = file;
	file[list->count] = (struct medium_file){ .name = strdup(name) };
	if (!file[list->count].name)
		return false;
	list->count++;
	return true;
}

bool medium_list_copy(struct medium_list *to, const struct medium_list *from)
{
	unsigned int i;

	*to = (struct medium_list){ 0 };
	for (i = 0; i < from->count; i++) {
		if (!medium_list_add(to, from->file[i].name)) {
			medium_list_free(to);
			return false;
		}
		to->file[i].bytes = from->file[i].bytes;
		to->file[i].xxh3 = from->file[i].xxh3;
		to->file[i].given = from->file[i].given;
		to->file[i].given_xxh3 = from->file[i].given_xxh3;
		to->file[i].summed = true;
		to->file[i].identity = from->file[i].identity;
		if (!chunk_list_copy(&to->file[i].chunks,
				     &from->file[i].chunks)) {
			medium_list_free(to);
			return false;
		}
	}
	return true;
}

uint64_t medium_list_bytes(const struct medium_list *list)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < list->count; i++)
		sum += list->file[i].bytes;
	return sum;
}

uint64_t medium_list_given(const struct medium_list *list)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < list->count; i++)
		sum += list->file[i].given;
	return sum;
}

void medium_list_free(struct medium_list *list)
{
	unsigned int i;

	for (i = 0; i < list->count; i++) {
		free(list->file[i].name);
		chunk_list_free(&list->file[i].chunks);
	}
	free(list->file);
	*list = (struct medium_list){ 0 };
}

/* ---------------------------------------------------------------- trouble */

struct medium_file *drive_current_file(const struct drive *d)
{
	return &d->media.file[d->ordinal - 1];
}

const char *drive_medium_name(const struct drive *d)
{
	return drive_current_file(d)->name;
}

/*
 * The completion code for a system error: is the disk full or broken? EFBIG, a
 * limit on the size of files, counts as a full disk.
 */
static int code_for(int error)
{
	switch (error) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return ERROR_DISK_FULL;
	default:
		return ERROR_IO_DEVICE;
	}
}

void drive_failed(struct drive *d, const char *doing, int error)
{
	const char *name = d->ordinal && d->ordinal <= d->media.count ?
			   drive_medium_name(d) : "the medium";

	if (d->trouble != DRIVE_FINE)
		return;
	d->trouble = DRIVE_FAILED;
	d->trouble_code = code_for(error);
	snprintf(d->why, sizeof(d->why), "cannot %s %s: %s", doing, name,
		 strerror(error));
}

void drive_replaced(struct drive *d)
{
	if (d->trouble != DRIVE_FINE)
		return;
	d->trouble = DRIVE_FAILED;
	d->trouble_code = ERROR_IO_DEVICE;
	snprintf(d->why, sizeof(d->why),
		 "%s was replaced or changed by another program",
		 drive_medium_name(d));
}

void drive_trouble(struct drive *d, enum drive_trouble trouble,
		   const char *format, ...)
{
	va_list args;

	if (d->trouble != DRIVE_FINE)
		return;
	d->trouble = trouble;
	d->trouble_code = ERROR_IO_DEVICE;
	va_start(args, format);
	vsnprintf(d->why, sizeof(d->why), format, args);
	va_end(args);
}

void drive_damaged(struct drive *d, const char *format, ...)
{
	va_list args;
	int n;

	if (d->trouble != DRIVE_FINE)
		return;
	d->trouble = DRIVE_DAMAGED;
	d->trouble_code = ERROR_IO_DEVICE;
	n = snprintf(d->why, sizeof(d->why), "%s is damaged: ",
		     drive_medium_name(d));
	if (n < 0 || (size_t)n >= sizeof(d->why))
		return;
	va_start(args, format);
	vsnprintf(d->why + n, sizeof(d->why) - n, format, args);
	va_end(args);
}

/* Polled during long reads, whose result may not be needed any more. */
bool drive_stopped(const struct drive *d)
{
	return d->config.stop && d->config.stop(d->config.stop_context);
}

/* -------------------------------------------------------------- checksums */

/* A file that already has data must be read again for its checksum. */
void filesum_begin(struct filesum *sum, uint64_t upto)
{
	if (!sum->state)
		sum->state = XXH3_createState();
	sum->upto = 0;
	sum->broken = upto || !sum->state ||
		      XXH3_64bits_reset(sum->state) != XXH_OK;
}

void filesum_add(struct filesum *sum, uint64_t offset, const void *data,
		 size_t size)
{
	if (sum->broken)
		return;
	if (offset != sum->upto) {
		sum->broken = true;
		return;
	}
	XXH3_64bits_update(sum->state, data, size);
	sum->upto += size;
}

uint64_t filesum_digest(const struct filesum *sum, const void *tail,
			size_t size)
{
	XXH3_state_t *copy;
	uint64_t digest;

	if (!size)
		return XXH3_64bits_digest(sum->state);
	copy = XXH3_createState();
	if (!copy)
		abort();	/* 600 bytes: the program could not continue anyway */
	XXH3_copyState(copy, sum->state);
	XXH3_64bits_update(copy, tail, size);
	digest = XXH3_64bits_digest(copy);
	XXH3_freeState(copy);
	return digest;
}

/* ------------------------------------------------------------------ files */

static void advance(struct iovec **iov, int *count, size_t n)
{
	while (*count && n >= (*iov)->iov_len) {
		n -= (*iov)->iov_len;
		(*iov)++;
		(*count)--;
	}
	if (*count) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + n;
		(*iov)->iov_len -= n;
	}
}

/*
 * The checksum includes the data only if all of it was stored. A write that
 * fails half-way leaves bytes after the end, which seal() truncates.
 */
bool medium_write(struct drive *d, uint64_t offset, struct iovec *iov,
		  int count)
{
	struct medium *m = &d->medium;
	struct iovec all[2];
	uint64_t at = offset;
	int i, n = count;

	memcpy(all, iov, count * sizeof(*iov));
	m->dirty = true;
	m->changed = true;
	advance(&iov, &count, 0);
	while (count) {
		ssize_t done = pwritev(m->fd, iov, count, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			drive_failed(d, "write", done ? errno : EIO);
			return false;
		}
		at += done;
		advance(&iov, &count, done);
	}
	for (i = 0; i < n; i++) {
		filesum_add(&m->sum, offset, all[i].iov_base, all[i].iov_len);
		offset += all[i].iov_len;
	}
	return true;
}

ssize_t medium_read(struct drive *d, uint64_t offset, void *data, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = pread(d->medium.fd, (char *)data + done,
				  size - done, offset + done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			drive_failed(d, "read", errno);
			return -1;
		}
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

bool medium_read_all(struct drive *d, uint64_t offset, void *data,
		     size_t size)
{
	ssize_t n = medium_read(d, offset, data, size);

	if (n >= 0 && (size_t)n < size)
		drive_damaged(d, "it is truncated at byte %llu",
			      (unsigned long long)(offset + n));
	return n >= 0 && (size_t)n == size;
}

bool medium_truncate(struct drive *d, uint64_t size)
{
	struct stat st;

	if (fstat(d->medium.fd, &st) ||
	    ((uint64_t)st.st_size != size && ftruncate(d->medium.fd, size))) {
		drive_failed(d, "set the size of", errno);
		return false;
	}
	if (size < d->medium.sum.upto)
		d->medium.sum.broken = true;
	return true;
}

/* ---------------------------------------------------------- end of medium */

/*
 * A database ends a medium with filemarks and an end block, even after its data
 * has reached the capacity. The reserve leaves room for these.
 */
uint64_t medium_reserve(const struct drive *d)
{
	return 2 * ((uint64_t)d->config.block_size + d->config.soft_mark_size);
}

uint32_t medium_room(const struct drive *d, uint64_t used, uint32_t size)
{
	uint64_t room, limit = d->config.capacity;

	if (!limit)
		return size;
	if (size <= d->config.block_size)
		limit += medium_reserve(d);
	room = used < limit ? limit - used : 0;
	room -= room % d->config.block_size;
	return size <= room ? size : room;
}

/*
 * A write into the zone of EOMWarningSize bytes before the end is stored and
 * completed with a warning. The database may have that many bytes outstanding,
 * and all of them are stored. A write past the end is stored in part; the
 * database then writes the rest to the next medium. Another write after that is
 * completed with ERROR_EOM_OVERFLOW.
 */
int medium_write_code(struct drive *d, uint64_t used, uint32_t size,
		      uint32_t stored)
{
	if (stored < size) {
		if (d->medium.full && !stored)
			return ERROR_EOM_OVERFLOW;
		d->medium.full = true;
		return ERROR_END_OF_MEDIA;
	}
	if (d->config.capacity &&
	    used + d->config.eom_warning >= d->config.capacity)
		return ERROR_END_OF_MEDIA;
	return ERROR_SUCCESS;
}

/* ---------------------------------------------- common to pipes and disks */

void medium_store(struct drive *d, uint64_t at, struct transfer *t)
{
	struct medium *m = &d->medium;
	uint32_t size = t->cmd->size;

	t->write = true;
	t->at = at;
	t->size = medium_room(d, at, size);
	/* a write that stores nothing does not move the end */
	if (t->size)
		m->position = at + t->size;
	if (t->size && m->position > m->end)
		m->end = m->position;
	t->out.bytes = t->size;
	t->out.code = medium_write_code(d, at + t->size, size, t->size);
}

/* A failed write may have left bytes after the end, which are not data. */
void medium_fetch(struct drive *d, uint64_t at, struct transfer *t)
{
	struct medium *m = &d->medium;
	uint64_t there = at < m->end ? m->end - at : 0;

	t->read = true;
	t->at = at;
	t->size = t->cmd->size;
	if (there < t->size)
		t->size = there;
	m->position = at + t->size;
	t->out.bytes = t->size;
	if (t->size < (uint32_t)t->cmd->size)
		t->out.code = ERROR_HANDLE_EOF;
}

bool medium_check_bytes(struct drive *d, medium_tick *tick, void *context)
{
	uint8_t *buffer = malloc(CHUNK);
	uint64_t at = 0;
	bool ok = false;
	ssize_t n;

	if (!buffer) {
		drive_failed(d, "read", ENOMEM);
		return false;
	}
	while ((n = medium_read(d, at, buffer, CHUNK)) > 0) {
		filesum_add(&d->medium.sum, at, buffer, n);
		at += n;
		if (drive_stopped(d) || !tick(context, n))
			goto out;
	}
	ok = n == 0;
out:
	free(buffer);
	return ok;
}

bool medium_seal_bytes(struct drive *d)
{
	return medium_truncate(d, d->medium.end);
}

bool medium_blank_bytes(struct drive *d)
{
	return !d->medium.end;
}

void medium_release_bytes(struct drive *d)
{
	(void)d;
}
