// SPDX-License-Identifier: GPL-2.0-only
/*
 * unpack.c - unpacks the records of a stream into files
 */
#include <archive.h>
#include <archive_entry.h>
#include <ctype.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "records.h"
#include "unpack.h"

#define MAX_PATH 1024	/* of an archive entry; MAXPGPATH of PostgreSQL */

/* --------------------------------------------------------------- archives */

static ssize_t archive_input(struct archive *a, void *context,
			     const void **buffer)
{
	struct unpack *u = context;
	const uint8_t *data = NULL;
	uint32_t size = 0;

	if (u->records.archive_ended)
		return 0;
	if (!records_data(u, RECORD_END_ARCHIVE, &data, &size)) {
		archive_set_error(a, EIO, "%s", u->db->message);
		return -1;
	}
	*buffer = data;
	return size;
}

/* Skip data after the end of the tar file. */
static bool skip_archive(struct unpack *u)
{
	const uint8_t *data;
	uint32_t size;

	while (!u->records.archive_ended) {
		if (!records_data(u, RECORD_END_ARCHIVE, &data, &size))
			return false;
	}
	return true;
}

/* ----------------------------------------------------------------- entries */

/* A name from the stream must not control the terminal. */
static const char *printable(const char *name)
{
	static char text[200];
	size_t i;

	for (i = 0; i < sizeof(text) - 1 && name[i]; i++)
		text[i] = iscntrl((unsigned char)name[i]) ? '?' : name[i];
	text[i] = '\0';
	return text;
}

static bool fail_entry(struct unpack *u, const char *name, const char *what)
{
	return db_fail(u->db, EXIT_DAMAGED, "%s: '%s' %s", u->archive,
		       printable(name), what);
}

bool unpack_fail_write(struct unpack *u, const struct place *place,
		       const char *name)
{
	return db_fail(u->db, EXIT_FAILED, "cannot write %s/%s: %s",
		       place->path, printable(name), strerror(errno));
}

static bool fail_archive(struct unpack *u, struct archive *a)
{
	const char *why = archive_error_string(a);

	return db_fail(u->db, EXIT_DAMAGED, "%s: %s", u->archive,
		       why ? why : "not a tar file");
}

/* Copy the path without "./" and trailing slashes; "" is the directory itself. */
static bool entry_path(struct unpack *u, struct archive_entry *entry,
		       char path[MAX_PATH])
{
	const char *from = archive_entry_pathname(entry);
	unsigned int depth = 0;
	char *to = path;

	if (!from || *from == '/' || strlen(from) >= MAX_PATH)
		return fail_entry(u, from ? from : "", "is not a valid file name");
	while (*from) {
		size_t length = strcspn(from, "/");

		if ((length == 2 && !strncmp(from, "..", 2)) ||
		    length > NAME_MAX || depth++ == BENEATH_MAX_DEPTH)
			return fail_entry(u, archive_entry_pathname(entry),
					  "is not a valid file name");
		if (length && !(length == 1 && *from == '.')) {
			if (to != path)
				*to++ = '/';
			memcpy(to, from, length);
			to += length;
		}
		from += length + strspn(from + length, "/");
	}
	*to = '\0';
	return true;
}

static bool make_directory(struct unpack *u, const struct place *place, int dir,
			   const char *name, const char *path, mode_t mode)
{
	int fd;
	bool ok;

	if (mkdirat(dir, name, 0700) && errno != EEXIST)
		return unpack_fail_write(u, place, path);
	fd = beneath_open(dir, name);
	/* the owner needs access to write the contents */
	ok = fd >= 0 && !fchmod(fd, mode | 0700);
	if (!ok)
		unpack_fail_write(u, place, path);
	if (fd >= 0)
		close(fd);
	if (place == &u->base && !strcmp(path, "global"))
		u->group_access = (mode & 0050) == 0050;
	return ok;
}

bool unpack_write_all(int fd, const void *data, size_t size)
{
	while (size) {
		ssize_t n = write(fd, data, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data = (const char *)data + n;
		size -= n;
	}
	return true;
}

/* A thread could not write a file, possibly another one. */
static bool fail_thread(struct unpack *u)
{
	int error;
	const char *name = file_threads_failure(u->threads, &error);

	return db_fail(u->db, EXIT_FAILED, "cannot write %s: %s", printable(name),
		       strerror(error));
}

/* Where the data of a file goes. */
struct output {
	const struct place *place;
	const char *path;
	int fd;
	struct thread_file *file;	/* NULL = to fd, by this thread */
};

static bool put(struct unpack *u, const struct output *out, const void *data, size_t size)
{
	if (out->file)
		return file_threads_put(out->file, data, size) || fail_thread(u);
	return unpack_write_all(out->fd, data, size) ||
	       unpack_fail_write(u, out->place, out->path);
}

static bool copy_data(struct unpack *u, const struct output *out, struct archive *in,
		      int64_t size)
{
	const void *block;
	int64_t done = 0;
	la_int64_t offset;
	size_t length;
	int rc;

	while ((rc = archive_read_data_block(in, &block, &length, &offset)) ==
	       ARCHIVE_OK) {
		if (offset != done || length > (uint64_t)(size - done))
			return fail_entry(u, out->path, "has holes");
		if (!put(u, out, block, length))
			return false;
		done += length;
	}
	if (rc != ARCHIVE_EOF)
		return fail_archive(u, in);
	return done == size || fail_entry(u, out->path, "is truncated");
}

/* A thread writes, closes and frees it. */
static bool hand_over(struct unpack *u, struct output *out, struct archive *in,
		      struct archive_entry *entry)
{
	char *name;
	bool ok;

	if (asprintf(&name, "%s/%s", out->place->path, out->path) < 0) {
		close(out->fd);
		return db_fail(u->db, EXIT_FAILED, "out of memory");
	}
	out->file = file_threads_begin(u->threads, out->fd, name,
				       archive_entry_perm(entry) & 0777,
				       archive_entry_mtime(entry));
	free(name);
	if (!out->file)
		return db_fail(u->db, EXIT_FAILED, "out of memory");
	ok = copy_data(u, out, in, archive_entry_size(entry));
	file_threads_end(out->file);
	return ok;
}

static bool write_here(struct unpack *u, struct output *out, struct archive *in,
		       struct archive_entry *entry)
{
	const struct timespec times[] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = archive_entry_mtime(entry) },
	};
	bool ok = copy_data(u, out, in, archive_entry_size(entry));

	if (ok && (fchmod(out->fd, archive_entry_perm(entry) & 0777) ||
		   futimens(out->fd, times)))
		ok = unpack_fail_write(u, out->place, out->path);
	if (close(out->fd) && ok)
		ok = unpack_fail_write(u, out->place, out->path);
	return ok;
}

static bool is_label(const struct unpack *u, const struct place *place, const char *path)
{
	return place == &u->base && !strcmp(path, LABEL_FILE);
}

static bool make_file(struct unpack *u, const struct place *place, int dir,
		      const char *name, const char *path, struct archive *in,
		      struct archive_entry *entry)
{
	struct output out = { .place = place, .path = path };

	if (archive_entry_size(entry) < 0)
		return fail_entry(u, path, "has no size");
	out.fd = beneath_create(dir, name);
	if (out.fd < 0)
		return unpack_fail_write(u, place, path);
	/* the label is read as soon as it is complete */
	return u->threads && !is_label(u, place, path) ? hand_over(u, &out, in, entry) :
							 write_here(u, &out, in, entry);
}

/* False after db_fail(): the caller does not want a backup with this label. */
static bool take_label(struct unpack *u)
{
	size_t size;
	char *text = unpack_read_file(u, LABEL_FILE, LABEL_MAX_SIZE, &size);

	if (!text)
		return db_fail(u->db, EXIT_FAILED, "cannot read %s/" LABEL_FILE ": %s",
			       u->base.path, strerror(errno));
	label_parse(text, &u->label);
	free(text);
	return !u->labelled || u->labelled(u);
}

/* Is it the link of a tablespace? unpack_finish() creates these links. */
static bool is_tablespace_link(const struct unpack *u,
			       const struct place *place, const char *path)
{
	const size_t length = sizeof(LINKS) - 1;

	return place == &u->base && !strncmp(path, LINKS, length) &&
	       path[length] == '/' &&
	       path[length + 1 + strspn(path + length + 1, "0123456789")] == '\0';
}

static bool make_entry(struct unpack *u, const struct place *place,
		       struct archive *in, struct archive_entry *entry)
{
	mode_t type = archive_entry_filetype(entry);
	char path[MAX_PATH], *slash;
	const char *name;
	int dir;
	bool ok;

	if (!entry_path(u, entry, path))
		return false;
	if (archive_entry_hardlink(entry) ||
	    (type != AE_IFREG && type != AE_IFDIR &&
	     !(type == AE_IFLNK && is_tablespace_link(u, place, path))))
		return fail_entry(u, path,
				  "is neither a file nor a directory, nor a link in " LINKS);
	if (type == AE_IFLNK)
		return true;
	if (!*path)
		return type == AE_IFDIR ||
		       fail_entry(u, path, "is not a valid file name");
	slash = strrchr(path, '/');
	name = slash ? slash + 1 : path;
	if (slash)
		*slash = '\0';
	dir = beneath_open(place->dir, slash ? path : "");
	if (slash)
		*slash = '/';
	if (dir < 0)
		return unpack_fail_write(u, place, path);
	if (type == AE_IFDIR)
		ok = make_directory(u, place, dir, name, path,
				    archive_entry_perm(entry) & 0777);
	else
		ok = make_file(u, place, dir, name, path, in, entry);
	close(dir);
	if (ok && is_label(u, place, path) && type == AE_IFREG)
		ok = take_label(u);
	return ok;
}

/* Only the filters that PostgreSQL uses; other filters may run programs. */
static struct archive *open_archive(struct unpack *u)
{
	struct archive *in = archive_read_new();

	if (!in) {
		db_fail(u->db, EXIT_FAILED, "out of memory");
		return NULL;
	}
	archive_read_support_format_tar(in);
	archive_read_support_filter_gzip(in);
	archive_read_support_filter_lz4(in);
	archive_read_support_filter_zstd(in);
	u->records.archive_ended = false;
	if (archive_read_open(in, u, NULL, archive_input, NULL) == ARCHIVE_OK)
		return in;
	fail_archive(u, in);
	archive_read_free(in);
	return NULL;
}

static bool unpack_archive(struct unpack *u, const struct place *place)
{
	struct archive *in = open_archive(u);
	struct archive_entry *entry;
	bool ok = in;
	int rc;

	while (ok && (rc = archive_read_next_header(in, &entry)) !=
	       ARCHIVE_EOF) {
		if (rc == ARCHIVE_OK)
			ok = make_entry(u, place, in, entry);
		else
			ok = fail_archive(u, in);
	}
	ok = ok && skip_archive(u);
	archive_read_free(in);
	return ok;
}

/* ------------------------------------------------------------- tablespaces */

static bool is_within(const char *path, const char *dir, const char *suffix)
{
	size_t length = strlen(dir), end = length + strlen(suffix);

	return !strncmp(path, dir, length) &&
	       !strncmp(path + length, suffix, end - length) &&
	       (path[end] == '\0' || path[end] == '/');
}

/* The new path of the tablespace at OLD. NULL after db_fail(). */
static const char *choose_path(struct unpack *u, const char *old)
{
	const char *path = NULL;
	int i;

	for (i = 0; i < u->mappings && !path; i++) {
		if (strcmp(u->mapping[i].from, old))
			continue;
		u->mapping[i].used = true;
		u->mapped = true;
		path = u->mapping[i].to;
	}
	if (!path && !u->allow_tablespaces) {
		db_fail(u->db, EXIT_FAILED,
			"the backup has a tablespace at %s: use -T to place it, or --allow-tablespaces to restore to this path",
			printable(old));
		return NULL;
	}
	if (!path)
		path = old;
	for (i = 0; path == old && old[i]; i++) {
		if (iscntrl((unsigned char)old[i])) {
			unpack_damaged(u, "has a tablespace without a usable path");
			return NULL;
		}
	}
	if (is_within(path, u->target, "") ||
	    is_within(path, u->target, ".partial")) {
		db_fail(u->db, EXIT_FAILED,
			"the tablespace directory %s is inside the data directory: use -T to place it elsewhere",
			printable(path));
		return NULL;
	}
	return path;
}

static bool check_oid(struct unpack *u, const char *oid)
{
	int i;

	if (strlen(oid) > 10)
		return unpack_damaged(u, "has an archive with an invalid name");
	for (i = 0; i < u->tablespaces; i++) {
		if (!strcmp(u->tablespace[i].oid, oid))
			return unpack_damaged(u, "has two archives of a tablespace");
	}
	return true;
}

/* The same, but beside the data directory, and for tablespace `oid`. The caller frees it. */
static char *path_aside(struct unpack *u, const char *oid)
{
	char *path;

	if (asprintf(&path, "%s-%s", u->aside, oid) >= 0)
		return path;
	db_fail(u->db, EXIT_FAILED, "out of memory");
	return NULL;
}

/* Create the place of tablespace `oid`, which was at `old`. NULL after db_fail(). */
static struct place *make_tablespace(struct unpack *u, const char *oid, const char *old)
{
	struct tablespace *t = &u->tablespace[u->tablespaces];
	char *aside = u->aside ? path_aside(u, oid) : NULL;
	const char *path = u->aside ? aside : choose_path(u, old);
	bool ok = path;

	if (path) {
		*t = (struct tablespace){ { .parent = -1, .dir = -1 }, strdup(oid) };
		u->tablespaces++;
		ok = (t->oid || db_fail(u->db, EXIT_FAILED, "out of memory")) &&
		     place_make(u->db, &t->place, path, aside);
	}
	free(aside);
	return ok ? &t->place : NULL;
}

/* Create the place of the tablespace at OLD, whose archive is "OID.tar". */
static bool add_tablespace(struct unpack *u, const char *archive,
			   const char *old, struct place **place)
{
	size_t digits = strspn(archive, "0123456789");
	char *clean, oid[16];
	bool ok;

	if (!digits || archive[digits] != '.' || digits >= sizeof(oid))
		return unpack_damaged(u, "has an archive with an invalid name");
	if (u->tablespaces == MAX_TABLESPACES)
		return db_fail(u->db, EXIT_FAILED, "the backup has more than %d tablespaces",
			       MAX_TABLESPACES);
	clean = unpack_clean_path(old);
	if (!clean)
		return unpack_damaged(u, "has a tablespace without a usable path");
	snprintf(oid, sizeof(oid), "%.*s", (int)digits, archive);
	ok = check_oid(u, oid) &&
	     (!u->combined || make_tablespace(u->combined, oid, clean));
	*place = ok ? make_tablespace(u, oid, clean) : NULL;
	free(clean);
	return *place;
}

static bool restore_archive(struct unpack *u, uint64_t length)
{
	char payload[RECORD_MAX_NAME + 1] = "";
	struct place *place = &u->base;
	const char *path;

	if (length > RECORD_MAX_NAME)
		return unpack_damaged(u, "has a name that is too long");
	if (!records_get(u, payload, length))
		return false;
	path = payload + strnlen(payload, length) + 1;
	if (path >= payload + length)
		return unpack_damaged(u, "has an archive without a name");
	snprintf(u->archive, sizeof(u->archive), "%.30s", printable(payload));
	if (u->manifest_only) {
		u->records.archive_ended = false;
		return skip_archive(u);
	}
	if (*path)
		return add_tablespace(u, payload, path, &place) &&
		       unpack_archive(u, place);
	if (u->base_seen)
		return unpack_damaged(u, "has two data directories");
	u->base_seen = true;
	return unpack_archive(u, place);
}

static bool restore_manifest(struct unpack *u)
{
	const char *name = u->manifest_only ? : "backup_manifest";
	const uint8_t *data;
	uint32_t size;
	int fd;
	bool ok;

	if (u->manifest_seen)
		return unpack_damaged(u, "has two manifests");
	u->manifest_seen = true;
	fd = beneath_create(u->base.dir, name);
	if (fd < 0)
		return unpack_fail_write(u, &u->base, name);
	u->records.archive_ended = false;
	do {
		ok = records_data(u, RECORD_END_MANIFEST, &data, &size);
		if (ok && size && !unpack_write_all(fd, data, size))
			ok = unpack_fail_write(u, &u->base, name);
	} while (ok && size);
	if (close(fd) && ok)
		ok = unpack_fail_write(u, &u->base, name);
	return ok;
}

static bool begin_backup(struct unpack *u)
{
	struct record_begin begin;
	uint64_t length;
	uint32_t type;

	if (!records_next(u, &type, &length))
		return false;
	if (type != RECORD_BEGIN_BACKUP || length != sizeof(begin))
		return unpack_damaged(u, "does not begin like a PostgreSQL backup");
	if (!records_get(u, &begin, sizeof(begin)))
		return false;
	if (le32toh(begin.version) != 1)
		return unpack_damaged(u, "has an unsupported version");
	u->pg_version = le32toh(begin.pg_version);
	u->system_id = le64toh(begin.system_id);
	return !u->begun || u->begun(u);
}

static bool end_backup(struct unpack *u, uint64_t length)
{
	struct records *r = &u->records;
	struct record_end end;

	if (length != sizeof(end))
		return unpack_damaged(u, "has an invalid end");
	if (!records_get(u, &end, sizeof(end)))
		return false;
	u->end_lsn = le64toh(end.end_lsn);
	if (!r->size && !restored_read(&r->restored, &r->data, &r->size))
		return false;
	return !r->size ||
	       unpack_damaged(u, "continues after the end of the backup");
}

static bool read_records(struct unpack *u)
{
	uint64_t length;
	uint32_t type;
	bool ok;

	if (!begin_backup(u))
		return false;
	for (;;) {
		if (!records_next(u, &type, &length))
			return false;
		if (type == RECORD_END_BACKUP)
			return end_backup(u, length);
		if (type == RECORD_BEGIN_ARCHIVE)
			ok = restore_archive(u, length);
		else if (type == RECORD_BEGIN_MANIFEST && !length)
			ok = restore_manifest(u);
		else
			ok = unpack_damaged(u, "has records out of order");
		if (!ok)
			return false;
	}
}

bool unpack_records(struct unpack *u, unsigned int threads)
{
	bool ok;

	if (threads) {
		u->threads = file_threads_start(threads);
		if (!u->threads)
			return db_fail(u->db, EXIT_FAILED, "cannot start threads: %s",
				       strerror(errno));
	}
	ok = read_records(u);
	if (ok && u->threads)
		ok = file_threads_drain(u->threads) || fail_thread(u);
	if (u->threads)
		file_threads_stop(u->threads);
	u->threads = NULL;
	return ok;
}

/* ----------------------------------------------------------------- cleanup */

bool unpack_remove(struct unpack *u)
{
	bool ok = true;
	int i;

	for (i = 0; i < u->tablespaces; i++)
		ok &= place_remove(&u->tablespace[i].place);
	if (u->base.path)
		ok &= place_remove(&u->base);
	return ok;
}

void unpack_free(struct unpack *u)
{
	int i;

	for (i = 0; i < u->tablespaces; i++) {
		place_free(&u->tablespace[i].place);
		free(u->tablespace[i].oid);
	}
	u->tablespaces = 0;
	if (u->base.path)
		place_free(&u->base);
}
