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
#define LINKS "pg_tblspc"

/* ----------------------------------------------------------------- records */

static bool damaged(struct unpack *u, const char *what)
{
	return db_fail(u->db, EXIT_DAMAGED, "the stream %s", what);
}

/* Have at least one byte available. */
static bool fill(struct unpack *u)
{
	struct source *s = &u->source;

	if (s->size)
		return true;
	if (!restored_read(&s->restored, &s->data, &s->size))
		return false;
	return s->size || damaged(u, "ends before the end of the backup");
}

static bool get(struct unpack *u, void *to, size_t length)
{
	struct source *s = &u->source;

	while (length) {
		size_t part;

		if (!fill(u))
			return false;
		part = length < s->size ? length : s->size;
		memcpy(to, s->data, part);
		to = (char *)to + part;
		length -= part;
		s->data += part;
		s->size -= part;
	}
	return true;
}

static bool get_record(struct unpack *u, uint32_t *type, uint64_t *length)
{
	struct record_header header;

	if (!get(u, &header, sizeof(header)))
		return false;
	if (le32toh(header.magic) != RECORD_MAGIC)
		return damaged(u, "is not a PostgreSQL backup");
	*type = le32toh(header.type);
	*length = le64toh(header.length);
	return true;
}

/* The next piece of data of an archive or the manifest; size 0: end. */
static bool get_data(struct unpack *u, uint32_t end, const uint8_t **data,
		     uint32_t *size)
{
	struct source *s = &u->source;
	uint64_t length;
	uint32_t type;

	*size = 0;
	while (!s->left) {
		if (!get_record(u, &type, &length))
			return false;
		if (type == end) {
			s->archive_ended = true;
			return !length || damaged(u, "has records out of order");
		}
		if (type != RECORD_DATA)
			return damaged(u, "has records out of order");
		s->left = length;
	}
	if (!fill(u))
		return false;
	*data = s->data;
	*size = s->size < s->left ? s->size : s->left;
	s->data += *size;
	s->size -= *size;
	s->left -= *size;
	return true;
}

static ssize_t archive_input(struct archive *a, void *context,
			     const void **buffer)
{
	struct unpack *u = context;
	const uint8_t *data = NULL;
	uint32_t size = 0;

	if (u->source.archive_ended)
		return 0;
	if (!get_data(u, RECORD_END_ARCHIVE, &data, &size)) {
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

	while (!u->source.archive_ended) {
		if (!get_data(u, RECORD_END_ARCHIVE, &data, &size))
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

	for (i = 0; name[i] && i < sizeof(text) - 1; i++)
		text[i] = iscntrl((unsigned char)name[i]) ? '?' : name[i];
	text[i] = '\0';
	return text;
}

static bool fail_entry(struct unpack *u, const char *name, const char *what)
{
	return db_fail(u->db, EXIT_DAMAGED, "%s: '%s' %s", u->archive,
		       printable(name), what);
}

static bool fail_write(struct unpack *u, const struct place *place,
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
		return fail_write(u, place, path);
	fd = beneath_open(dir, name);
	/* the owner needs access to write the contents */
	ok = fd >= 0 && !fchmod(fd, mode | 0700);
	if (!ok)
		fail_write(u, place, path);
	if (fd >= 0)
		close(fd);
	if (place == &u->base && !strcmp(path, "global"))
		u->group_access = (mode & 0050) == 0050;
	return ok;
}

static bool write_all(int fd, const void *data, size_t size)
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

static bool copy_data(struct unpack *u, const struct place *place,
		      struct archive *in, int fd, const char *path,
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
			return fail_entry(u, path, "has holes");
		if (!write_all(fd, block, length))
			return fail_write(u, place, path);
		done += length;
	}
	if (rc != ARCHIVE_EOF)
		return fail_archive(u, in);
	return done == size || fail_entry(u, path, "is truncated");
}

static bool make_file(struct unpack *u, const struct place *place, int dir,
		      const char *name, const char *path, struct archive *in,
		      struct archive_entry *entry)
{
	const struct timespec times[] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = archive_entry_mtime(entry) },
	};
	int64_t size = archive_entry_size(entry);
	int fd;
	bool ok;

	if (size < 0)
		return fail_entry(u, path, "has no size");
	fd = beneath_create(dir, name);
	if (fd < 0)
		return fail_write(u, place, path);
	ok = copy_data(u, place, in, fd, path, size);
	if (ok && (fchmod(fd, archive_entry_perm(entry) & 0777) ||
		   futimens(fd, times)))
		ok = fail_write(u, place, path);
	if (close(fd) && ok)
		ok = fail_write(u, place, path);
	return ok;
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
		return fail_write(u, place, path);
	if (type == AE_IFDIR)
		ok = make_directory(u, place, dir, name, path,
				    archive_entry_perm(entry) & 0777);
	else
		ok = make_file(u, place, dir, name, path, in, entry);
	close(dir);
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
	u->source.archive_ended = false;
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
			damaged(u, "has a tablespace without a usable path");
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
		return damaged(u, "has an archive with an invalid name");
	for (i = 0; i < u->tablespaces; i++) {
		if (!strcmp(u->tablespace[i].oid, oid))
			return damaged(u, "has two archives of a tablespace");
	}
	return true;
}

/* Create the place of the tablespace at OLD, whose archive is "OID.tar". */
static bool add_tablespace(struct unpack *u, const char *archive,
			   const char *old, struct place **place)
{
	size_t digits = strspn(archive, "0123456789");
	struct tablespace *t = &u->tablespace[u->tablespaces];
	char *clean, *oid;
	const char *path;
	bool ok;

	if (!digits || archive[digits] != '.')
		return damaged(u, "has an archive with an invalid name");
	if (u->tablespaces == MAX_TABLESPACES)
		return db_fail(u->db, EXIT_FAILED, "the backup has more than %d tablespaces",
			       MAX_TABLESPACES);
	clean = unpack_clean_path(old);
	if (!clean)
		return damaged(u, "has a tablespace without a usable path");
	oid = strndup(archive, digits);
	ok = oid || db_fail(u->db, EXIT_FAILED, "out of memory");
	ok = ok && check_oid(u, oid);
	path = ok ? choose_path(u, clean) : NULL;
	if (path) {
		t->oid = oid;
		u->tablespaces++;
		ok = place_make(u->db, &t->place, path, false);
		*place = &t->place;
	} else {
		free(oid);
		ok = false;
	}
	free(clean);
	return ok;
}

static bool restore_archive(struct unpack *u, uint64_t length)
{
	char payload[RECORD_MAX_NAME + 1] = "";
	struct place *place = &u->base;
	const char *path;

	if (length > RECORD_MAX_NAME)
		return damaged(u, "has a name that is too long");
	if (!get(u, payload, length))
		return false;
	path = payload + strnlen(payload, length) + 1;
	if (path >= payload + length)
		return damaged(u, "has an archive without a name");
	snprintf(u->archive, sizeof(u->archive), "%.30s", printable(payload));
	if (*path)
		return add_tablespace(u, payload, path, &place) &&
		       unpack_archive(u, place);
	if (u->base_seen)
		return damaged(u, "has two data directories");
	u->base_seen = true;
	return unpack_archive(u, place);
}

static bool restore_manifest(struct unpack *u)
{
	static const char name[] = "backup_manifest";
	const uint8_t *data;
	uint32_t size;
	int fd;
	bool ok;

	if (u->manifest_seen)
		return damaged(u, "has two manifests");
	u->manifest_seen = true;
	fd = beneath_create(u->base.dir, name);
	if (fd < 0)
		return fail_write(u, &u->base, name);
	u->source.archive_ended = false;
	do {
		ok = get_data(u, RECORD_END_MANIFEST, &data, &size);
		if (ok && size && !write_all(fd, data, size))
			ok = fail_write(u, &u->base, name);
	} while (ok && size);
	if (close(fd) && ok)
		ok = fail_write(u, &u->base, name);
	return ok;
}

static bool begin_backup(struct unpack *u)
{
	struct record_begin begin;
	uint64_t length;
	uint32_t type;

	if (!get_record(u, &type, &length))
		return false;
	if (type != RECORD_BEGIN_BACKUP || length != sizeof(begin))
		return damaged(u, "does not begin like a PostgreSQL backup");
	if (!get(u, &begin, sizeof(begin)))
		return false;
	if (le32toh(begin.version) != 1)
		return damaged(u, "has an unsupported version");
	return true;
}

static bool end_backup(struct unpack *u, uint64_t length)
{
	struct source *s = &u->source;
	struct record_end end;

	if (length != sizeof(end))
		return damaged(u, "has an invalid end");
	if (!get(u, &end, sizeof(end)))
		return false;
	if (!s->size && !restored_read(&s->restored, &s->data, &s->size))
		return false;
	return !s->size || damaged(u, "continues after the end of the backup");
}

bool unpack_records(struct unpack *u)
{
	uint64_t length;
	uint32_t type;
	bool ok;

	if (!begin_backup(u))
		return false;
	for (;;) {
		if (!get_record(u, &type, &length))
			return false;
		if (type == RECORD_END_BACKUP)
			return end_backup(u, length);
		if (type == RECORD_BEGIN_ARCHIVE)
			ok = restore_archive(u, length);
		else if (type == RECORD_BEGIN_MANIFEST && !length)
			ok = restore_manifest(u);
		else
			ok = damaged(u, "has records out of order");
		if (!ok)
			return false;
	}
}

/* ------------------------------------------------------------------ finish */

/* Without these files the server does not start, or starts without recovery. */
static bool check_base(struct unpack *u)
{
	static const char * const names[] = {
		"PG_VERSION", "global/pg_control", "backup_label",
	};
	struct stat st;
	size_t i;
	int dir;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *slash = strchr(names[i], '/');

		dir = beneath_open(u->base.dir, slash ? "global" : "");
		if (dir < 0 ||
		    fstatat(dir, slash ? slash + 1 : names[i], &st,
			    AT_SYMLINK_NOFOLLOW) ||
		    !S_ISREG(st.st_mode) || !st.st_size) {
			if (dir >= 0)
				close(dir);
			return db_fail(u->db, EXIT_DAMAGED,
				       "the backup is not a data directory: it has no %s",
				       names[i]);
		}
		close(dir);
	}
	return true;
}

static bool check_mappings(struct unpack *u)
{
	int i;

	for (i = 0; i < u->mappings; i++) {
		if (!u->mapping[i].used)
			return db_fail(u->db, EXIT_FAILED,
				       "-T %s=%s: the backup has no tablespace at %s",
				       u->mapping[i].from, u->mapping[i].to,
				       u->mapping[i].from);
	}
	return true;
}

static bool make_links(struct unpack *u)
{
	bool ok = true;
	int dir, i;

	if (!u->tablespaces)
		return true;
	dir = beneath_open(u->base.dir, LINKS);
	if (dir < 0)
		return fail_write(u, &u->base, LINKS);
	for (i = 0; ok && i < u->tablespaces; i++) {
		const struct tablespace *t = &u->tablespace[i];

		if (symlinkat(t->place.path, dir, t->oid))
			ok = fail_write(u, &u->base, t->oid);
	}
	close(dir);
	return ok;
}

/* In the format of the server. */
static bool map_text(struct unpack *u, char **text, size_t *size)
{
	FILE *file = open_memstream(text, size);
	const char *c;
	int i;

	for (i = 0; file && i < u->tablespaces; i++) {
		fprintf(file, "%s ", u->tablespace[i].oid);
		for (c = u->tablespace[i].place.path; *c; c++) {
			if (*c == '\n' || *c == '\r' || *c == '\\')
				fputc('\\', file);
			fputc(*c, file);
		}
		fputc('\n', file);
	}
	if (file && !fclose(file))
		return true;
	return db_fail(u->db, EXIT_FAILED, "out of memory");
}

static bool holds(int fd, const char *text, size_t size)
{
	char *found = malloc(size + 1);
	ssize_t n = found ? read(fd, found, size + 1) : -1;
	bool same = n == (ssize_t)size && !memcmp(found, text, size);

	free(found);
	return same;
}

/*
 * The server creates its links again from tablespace_map, which must therefore name
 * the restored tablespaces, and nothing else.
 */
static bool write_map(struct unpack *u)
{
	static const char name[] = "tablespace_map";
	int fd = openat(u->base.dir, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char *text = NULL;
	size_t size = 0;
	bool ok;

	if (fd < 0 && errno == ENOENT && !u->mapped)
		return true;
	if (fd < 0 && errno != ENOENT)
		return fail_write(u, &u->base, name);
	ok = map_text(u, &text, &size);
	if (ok && (fd < 0 || !holds(fd, text, size))) {
		if (fd >= 0)
			close(fd);
		fd = beneath_create(u->base.dir, name);
		if (fd < 0 || !write_all(fd, text, size))
			ok = fail_write(u, &u->base, name);
	}
	if (fd >= 0 && close(fd) && ok)
		ok = fail_write(u, &u->base, name);
	free(text);
	return ok;
}

static bool set_mode(struct unpack *u, const struct place *place,
		     const char *name, mode_t mode)
{
	int fd = name ? openat(place->dir, name, O_RDONLY | O_NOFOLLOW |
			       O_NONBLOCK | O_CLOEXEC) : dup(place->dir);
	bool ok = fd >= 0 && !fchmod(fd, mode);

	if (!ok && name && errno == ENOENT)
		return true;
	if (!ok)
		fail_write(u, place, name ? name : "");
	if (fd >= 0)
		close(fd);
	return ok;
}

/* The archives have no entries for the directories themselves. */
static bool set_modes(struct unpack *u)
{
	mode_t directory = u->group_access ? 0750 : 0700;
	mode_t file = u->group_access ? 0640 : 0600;
	int i;

	for (i = 0; i < u->tablespaces; i++) {
		if (!set_mode(u, &u->tablespace[i].place, NULL, directory))
			return false;
	}
	return set_mode(u, &u->base, NULL, directory) &&
	       set_mode(u, &u->base, "backup_manifest", file) &&
	       set_mode(u, &u->base, "tablespace_map", file);
}

bool unpack_finish(struct unpack *u)
{
	return check_base(u) && check_mappings(u) && make_links(u) &&
	       write_map(u) && set_modes(u);
}

/* Not every file system supports fsync(2) of a directory. */
static bool sync_directory(int dir)
{
	return !fsync(dir) || errno == EINVAL || errno == EBADF;
}

/*
 * Each descriptor was opened before anything was written, so errors of writing back
 * are reported here even if another process has synced meanwhile. syncfs(2) flushes
 * the data. On some kernels it returns 0 for a file system that has shut down, for
 * which fsync(2) fails.
 */
static bool sync_place(struct unpack *u, const struct place *place,
		       bool file_system)
{
	if ((!file_system || !syncfs(place->dir)) &&
	    sync_directory(place->dir) &&
	    (!place->created || sync_directory(place->parent)))
		return true;
	return db_fail(u->db, EXIT_FAILED, "cannot flush %s: %s", place->path,
		       strerror(errno));
}

bool unpack_sync(struct unpack *u)
{
	static dev_t seen[MAX_TABLESPACES + 1];
	unsigned int count = 0, k;
	int i;

	for (i = -1; i < u->tablespaces; i++) {
		const struct place *place = i < 0 ? &u->base :
						    &u->tablespace[i].place;
		struct stat st;

		if (fstat(place->dir, &st))
			return fail_write(u, place, "");
		for (k = 0; k < count && seen[k] != st.st_dev; k++)
			;
		if (!sync_place(u, place, k == count))
			return false;
		if (k == count)
			seen[count++] = st.st_dev;
	}
	return true;
}

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
