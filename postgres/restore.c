// SPDX-License-Identifier: GPL-2.0-only
/*
 * restore.c - vdi-pg-restore: a PostgreSQL data directory from a device set
 *
 * Plays the database's part of a restore: reads the devices that vdi restore
 * serves and unpacks the archives in them. The data directory gets its name
 * when all of it is there and durable; before, it is DIR.partial.
 */
#include <archive.h>
#include <archive_entry.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "database/reassemble.h"
#include "records.h"

#define MAX_MAPPINGS 64
#define MAX_TABLESPACES 1024

struct mapping {
	const char *from;
	const char *to;
};

/* The stream as records; libarchive pulls archives out of it. */
struct source {
	struct database *db;
	struct restored restored;
	const uint8_t *data;		/* what is left of the piece at hand */
	uint32_t size;
	uint64_t left;			/* of the DATA record's payload */
	bool archive_ended;
};

struct restore {
	struct database db;
	struct source source;
	const char *target;
	char *partial;
	int mappings;
	struct mapping mapping[MAX_MAPPINGS];
	int tablespaces;
	struct tablespace {
		char *oid;
		char *path;		/* where it is now */
		bool mapped;		/* and was not before */
	} tablespace[MAX_TABLESPACES];
};

static bool damaged(struct source *s, const char *what)
{
	return db_fail(s->db, EXIT_DAMAGED, "the stream %s", what);
}

/* Have at least one byte at hand. */
static bool fill(struct source *s)
{
	if (s->size)
		return true;
	if (!restored_read(&s->restored, &s->data, &s->size))
		return false;
	return s->size || damaged(s, "ends before the backup does");
}

static bool get(struct source *s, void *to, size_t length)
{
	while (length) {
		size_t part;

		if (!fill(s))
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

static bool get_record(struct source *s, uint32_t *type, uint64_t *length)
{
	struct record_header header;

	if (!get(s, &header, sizeof(header)))
		return false;
	if (le32toh(header.magic) != RECORD_MAGIC)
		return damaged(s, "is not a PostgreSQL backup");
	*type = le32toh(header.type);
	*length = le64toh(header.length);
	return true;
}

/* The next piece of an archive's or the manifest's data; size 0: its end. */
static bool get_data(struct source *s, uint32_t end, const uint8_t **data,
		     uint32_t *size)
{
	uint64_t length;
	uint32_t type;

	*size = 0;
	while (!s->left) {
		if (!get_record(s, &type, &length))
			return false;
		if (type == end) {
			s->archive_ended = true;
			return true;
		}
		if (type != RECORD_DATA)
			return damaged(s, "has records out of order");
		s->left = length;
	}
	if (!fill(s))
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
	struct source *s = context;
	const uint8_t *data = NULL;
	uint32_t size = 0;

	if (s->archive_ended)
		return 0;
	if (!get_data(s, RECORD_END_ARCHIVE, &data, &size)) {
		archive_set_error(a, EIO, "%s", s->db->message);
		return -1;
	}
	*buffer = data;
	return size;
}

/* What follows the end of the tar file inside the archive. */
static bool skip_archive(struct source *s)
{
	const uint8_t *data;
	uint32_t size;

	while (!s->archive_ended) {
		if (!get_data(s, RECORD_END_ARCHIVE, &data, &size))
			return false;
	}
	return true;
}

static bool fail_archive(struct restore *r, struct archive *a)
{
	return db_fail(&r->db, EXIT_FAILED, "unpacking: %s",
		       archive_error_string(a));
}

static bool copy_file(struct restore *r, struct archive *in,
		      struct archive *out)
{
	const void *block;
	size_t size;
	la_int64_t offset;
	int rc;

	for (;;) {
		rc = archive_read_data_block(in, &block, &size, &offset);
		if (rc == ARCHIVE_EOF)
			return true;
		if (rc != ARCHIVE_OK)
			return fail_archive(r, in);
		if (archive_write_data_block(out, block, size, offset) !=
		    ARCHIVE_OK)
			return fail_archive(r, out);
	}
}

static bool unpack_entries(struct restore *r, struct archive *in,
			   struct archive *out)
{
	struct archive_entry *entry;
	int rc;

	for (;;) {
		rc = archive_read_next_header(in, &entry);
		if (rc == ARCHIVE_EOF)
			return true;
		if (rc != ARCHIVE_OK)
			return fail_archive(r, in);
		if (archive_write_header(out, entry) != ARCHIVE_OK)
			return fail_archive(r, out);
		if (archive_entry_size(entry) > 0 && !copy_file(r, in, out))
			return false;
		if (archive_write_finish_entry(out) != ARCHIVE_OK)
			return fail_archive(r, out);
	}
}

/* Into the current directory, and never out of it. */
static bool unpack_archive(struct restore *r)
{
	int flags = ARCHIVE_EXTRACT_PERM | ARCHIVE_EXTRACT_TIME |
		    ARCHIVE_EXTRACT_SECURE_SYMLINKS |
		    ARCHIVE_EXTRACT_SECURE_NODOTDOT |
		    ARCHIVE_EXTRACT_SECURE_NOABSOLUTEPATHS;
	struct archive *in = archive_read_new();
	struct archive *out = archive_write_disk_new();
	bool ok = in && out;

	if (!ok) {
		db_fail(&r->db, EXIT_FAILED, "out of memory");
		goto out;
	}
	if (geteuid() == 0)
		flags |= ARCHIVE_EXTRACT_OWNER;
	archive_write_disk_set_options(out, flags);
	archive_read_support_format_tar(in);
	archive_read_support_filter_all(in);
	r->source.archive_ended = false;
	ok = archive_read_open(in, &r->source, NULL, archive_input, NULL) ==
	     ARCHIVE_OK;
	if (!ok)
		fail_archive(r, in);
	ok = ok && unpack_entries(r, in, out) && skip_archive(&r->source);
	if (archive_write_close(out) != ARCHIVE_OK && ok)
		ok = fail_archive(r, out);
out:
	archive_read_free(in);
	archive_write_free(out);
	return ok;
}

static const char *map_path(const struct restore *r, const char *path)
{
	int i;

	for (i = 0; i < r->mappings; i++) {
		if (!strcmp(r->mapping[i].from, path))
			return r->mapping[i].to;
	}
	return path;
}

static bool fail_path(struct restore *r, const char *doing, const char *path)
{
	return db_fail(&r->db, EXIT_FAILED, "cannot %s %s: %s", doing, path,
		       strerror(errno));
}

/* Note it: for its link, and to remove it should the restore fail. */
static bool add_tablespace(struct restore *r, const char *archive,
			   const char *path, bool mapped)
{
	struct tablespace *t = &r->tablespace[r->tablespaces];
	size_t digits = strspn(archive, "0123456789");

	if (!digits || archive[digits] != '.')
		return damaged(&r->source, "has an archive of a strange name");
	if (r->tablespaces == MAX_TABLESPACES)
		return db_fail(&r->db, EXIT_FAILED, "too many tablespaces");
	t->oid = strndup(archive, digits);
	t->path = strdup(path);
	t->mapped = mapped;
	r->tablespaces++;
	return (t->oid && t->path) ||
	       db_fail(&r->db, EXIT_FAILED, "out of memory");
}

/* A tablespace goes where it was, or where the user wants it; empty, please. */
static bool enter_tablespace(struct restore *r, const char *archive,
			     const char *old)
{
	const char *path = map_path(r, old);

	if (*path != '/')
		return damaged(&r->source, "has a tablespace without a path");
	if (rmdir(path) && errno != ENOENT)
		return fail_path(r, "use the tablespace directory", path);
	if (mkdir(path, 0700))
		return fail_path(r, "create", path);
	if (!add_tablespace(r, archive, path, path != old))
		return false;
	return !chdir(path) || fail_path(r, "enter", path);
}

/* As in the backup, or in the terms of tablespace_map when they have moved. */
static bool link_tablespaces(struct restore *r)
{
	FILE *map = NULL;
	bool ok = true;
	int i;

	for (i = 0; i < r->tablespaces; i++) {
		if (r->tablespace[i].mapped && !map)
			map = fopen("tablespace_map", "we");
		if (r->tablespace[i].mapped && !map)
			return fail_path(r, "write", "tablespace_map");
	}
	for (i = 0; ok && i < r->tablespaces; i++) {
		const struct tablespace *t = &r->tablespace[i];
		char link[64];

		snprintf(link, sizeof(link), "pg_tblspc/%.20s", t->oid);
		if (symlink(t->path, link) && errno != EEXIST)
			ok = fail_path(r, "create", link);
		if (map)
			fprintf(map, "%s %s\n", t->oid, t->path);
	}
	if (map && fclose(map) && ok)
		ok = fail_path(r, "write", "tablespace_map");
	return ok;
}

static bool restore_archive(struct restore *r, uint64_t length)
{
	char payload[RECORD_MAX_NAME + 1] = "";
	const char *path;
	int home;
	bool ok;

	if (length > RECORD_MAX_NAME)
		return damaged(&r->source, "has a name that is too long");
	if (!get(&r->source, payload, length))
		return false;
	path = payload + strnlen(payload, length) + 1;
	if (path >= payload + length)
		return damaged(&r->source, "has an archive without a name");

	home = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (home < 0)
		return fail_path(r, "open", r->partial);
	ok = (!*path || enter_tablespace(r, payload, path)) &&
	     unpack_archive(r);
	if (fchdir(home))
		ok = fail_path(r, "return to", r->partial);
	close(home);
	return ok;
}

static bool restore_manifest(struct restore *r)
{
	const uint8_t *data;
	uint32_t size;
	FILE *file;
	bool ok;

	file = fopen("backup_manifest", "wxe");
	if (!file)
		return fail_path(r, "create", "backup_manifest");
	r->source.archive_ended = false;
	do {
		ok = get_data(&r->source, RECORD_END_MANIFEST, &data, &size);
		if (ok && size && fwrite(data, 1, size, file) != size)
			ok = fail_path(r, "write", "backup_manifest");
	} while (ok && size);
	if (fclose(file) && ok)
		ok = fail_path(r, "write", "backup_manifest");
	return ok;
}

static bool begin_backup(struct source *s, uint64_t length)
{
	struct record_begin begin;

	if (length != sizeof(begin) || !get(s, &begin, sizeof(begin)))
		return damaged(s, "does not begin as a PostgreSQL backup");
	if (le32toh(begin.version) != 1)
		return damaged(s, "is of a version this program does not know");
	return true;
}

static bool restore_records(struct restore *r)
{
	struct source *s = &r->source;
	struct record_end end;
	uint64_t length;
	uint32_t type;

	if (!get_record(s, &type, &length))
		return false;
	if (type != RECORD_BEGIN_BACKUP)
		return damaged(s, "does not begin as a PostgreSQL backup");
	if (!begin_backup(s, length))
		return false;
	for (;;) {
		if (!get_record(s, &type, &length))
			return false;
		if (type == RECORD_END_BACKUP)
			break;
		if (type == RECORD_BEGIN_ARCHIVE) {
			if (!restore_archive(r, length))
				return false;
		} else if (type == RECORD_BEGIN_MANIFEST) {
			if (!restore_manifest(r))
				return false;
		} else {
			return damaged(s, "has records out of order");
		}
	}
	return length == sizeof(end) && get(s, &end, sizeof(end));
}

static bool at_end(struct source *s)
{
	if (s->size)
		return damaged(s, "goes on after the backup");
	if (!restored_read(&s->restored, &s->data, &s->size))
		return false;
	return !s->size || damaged(s, "goes on after the backup");
}

/* As root the files have their old owner; the directories follow them. */
static bool adopt_owner(struct restore *r)
{
	struct stat st;
	int i;

	if (geteuid() != 0)
		return true;
	if (stat("PG_VERSION", &st))
		return damaged(&r->source, "has no data directory in it");
	if (chown(".", st.st_uid, st.st_gid))
		return fail_path(r, "change the owner of", r->partial);
	for (i = 0; i < r->tablespaces; i++) {
		const char *path = r->tablespace[i].path;

		if (chown(path, st.st_uid, st.st_gid))
			return fail_path(r, "change the owner of", path);
	}
	return true;
}

static bool publish(struct restore *r)
{
	int fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && !syncfs(fd);

	if (fd >= 0)
		close(fd);
	if (!ok)
		return fail_path(r, "flush", r->partial);
	if (chdir("/") || rename(r->partial, r->target))
		return fail_path(r, "rename to", r->target);
	return true;
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_tree(const char *path)
{
	if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) &&
	    errno != ENOENT)
		vdi_error("%s is left behind: %s", path, strerror(errno));
}

static bool prepare(struct restore *r)
{
	struct stat st;

	if (!stat(r->target, &st) && rmdir(r->target)) {
		vdi_error("%s is not an empty directory: %s", r->target,
			  strerror(errno));
		return false;
	}
	if (mkdir(r->partial, 0700)) {
		vdi_error("cannot create %s: %s%s", r->partial,
			  strerror(errno), errno == EEXIST ?
			  "; it is of an earlier restore, remove it" : "");
		return false;
	}
	if (chdir(r->partial)) {
		vdi_error("cannot enter %s: %s", r->partial, strerror(errno));
		return false;
	}
	return true;
}

static bool run(struct restore *r)
{
	struct source *s = &r->source;
	bool ok;

	s->db = &r->db;
	ok = restored_begin(&s->restored, &r->db) && restore_records(r) &&
	     at_end(s) && restored_end(&s->restored);
	restored_free(&s->restored);
	return ok && link_tablespaces(r) && adopt_owner(r) && publish(r);
}

static void usage(FILE *out)
{
	fputs("usage: vdi-pg-restore NAME -D DIR [OPTIONS]\n\n"
	      "Rebuilds a PostgreSQL data directory from the virtual device set NAME, which\n"
	      "'vdi restore NAME --from BACKUP' serves.\n\n"
	      "  -D, --pgdata DIR          data directory to make; absolute, absent or empty\n"
	      "  -T, --tablespace-mapping OLD=NEW  put a tablespace elsewhere; may be repeated\n"
	      "      --from USER           join a set that USER created, by name or number, in\n"
	      "                            place of you and root; may be a list with commas\n"
	      "  -t, --timeout SEC         how long to wait for the set (default 60)\n"
	      "  -q, --quiet               no progress, no summary\n"
	      "  -h, --help                this text\n\n"
	      "exit codes: as for vdi\n", out);
}

static bool add_mapping(struct restore *r, char *text)
{
	char *equals = strchr(text, '=');

	if (!equals || equals == text || equals[1] != '/' ||
	    r->mappings == MAX_MAPPINGS)
		return false;
	*equals = '\0';
	r->mapping[r->mappings++] = (struct mapping){ text, equals + 1 };
	return true;
}

static int parse(struct restore *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "pgdata", required_argument, NULL, 'D' },
		{ "tablespace-mapping", required_argument, NULL, 'T' },
		{ "from", required_argument, NULL, 'F' },
		{ "timeout", required_argument, NULL, 't' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "D:T:t:qh", options,
				NULL)) != -1) {
		switch (c) {
		case 'D':
			r->target = optarg;
			break;
		case 'T':
			if (add_mapping(r, optarg))
				break;
			vdi_error("a mapping is OLD=NEW with absolute paths");
			return EXIT_USAGE;
		case 'F':
			if (vdi_users_add(&r->db.from, optarg))
				break;
			return EXIT_USAGE;
		case 't':
			if (vdi_parse_seconds(optarg, &r->db.timeout_ms))
				break;
			vdi_error("the time-out is a number of seconds");
			return EXIT_USAGE;
		case 'q':
			r->db.quiet = true;
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_OK);
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - 1 || !r->target || *r->target != '/') {
		vdi_error("%s", optind != argc - 1 ?
			  "exactly one NAME is needed" :
			  "-D with an absolute directory is needed");
		usage(stderr);
		return EXIT_USAGE;
	}
	r->db.names.set = argv[optind];
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	/* the target writes to pipes, so there is nothing else to read */
	static const struct profile *const profiles[] = { &profile_pipe, NULL };
	static struct restore r = {
		.db = {
			.profiles = profiles,
			.verb = "restore",
			.block_size = 4096,
			.max_transfer = 1 << 20,
			.timeout_ms = 60 * 1000,
		},
	};
	char text[256];
	int i, rc;

	vdi_occupy_standard_files();
	vdi_set_program("vdi-pg-restore");
	rc = parse(&r, argc, argv);
	if (rc != EXIT_OK)
		return rc;
	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}
	if (asprintf(&r.partial, "%s.partial", r.target) < 0 || !prepare(&r))
		return EXIT_FAILED;
	vdi_catch_signals();
	vdi_progress_start(&r.db.progress, r.db.quiet);
	run(&r);
	rc = db_end(&r.db);
	if (rc != EXIT_OK) {
		if (!chdir("/"))
			remove_tree(r.partial);
		for (i = 0; i < r.tablespaces; i++)
			remove_tree(r.tablespace[i].path);
	} else if (!r.db.quiet) {
		vdi_format_bytes(r.db.bytes, text, sizeof(text));
		printf("restored %s: %s from %u device%s\n", r.target, text,
		       r.db.count, r.db.count == 1 ? "" : "s");
	}
	for (i = 0; i < r.tablespaces; i++) {
		free(r.tablespace[i].oid);
		free(r.tablespace[i].path);
	}
	free(r.partial);
	return rc;
}
