// SPDX-License-Identifier: GPL-2.0-only
/*
 * restore.c - unpacking of vdi-pg-restore, on any stream
 *
 * An input is the bytes of a stream, or instructions to build a stream whose
 * records and tar headers are well-formed, but with arbitrary names, types, links
 * and modes. For any input, nothing outside the data directory and the allowed
 * tablespaces changes, only directories, regular files and the links of the
 * tablespaces are created, and all of them can be removed.
 */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../libvdi/fuzz/fuzz.h"
#include "records.h"
#include "unpack.h"

#define MAX_STREAM (1 << 18)

static char top[64];		/* contains the directories below */
static char target[80];		/* the data directory, in a private directory */
static char moved[80];		/* the new path of a mapped tablespace */
static char outside[80];	/* must not change */

static uint8_t stream[MAX_STREAM];
static size_t stream_size, stream_at;
static struct fuzz_input *pieces;
static struct unpack *current;

/* ------------------------------------- replacements for the set and messages */

bool restored_read(struct restored *r, const uint8_t **data, uint32_t *size)
{
	size_t left = stream_size - stream_at;

	(void)r;
	*size = 1 + fuzz_below(pieces, 4096);
	if (*size > left)
		*size = left;
	*data = stream + stream_at;
	stream_at += *size;
	return true;
}

bool db_fail(struct database *db, int exit_code, const char *format, ...)
{
	va_list args;

	if (db->exit_code)
		return false;
	db->exit_code = exit_code;
	va_start(args, format);
	vsnprintf(db->message, sizeof(db->message), format, args);
	va_end(args);
	return false;
}

void vdi_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int vdi_thread_start(pthread_t *thread, void *(*run)(void *argument),
		     void *argument)
{
	return pthread_create(thread, NULL, run, argument);
}

int vdi_invalid(const char *what, const char *argument, const char *rule)
{
	vdi_error("invalid %s '%s': must be %s", what, argument, rule);
	return EXIT_USAGE;
}

/* --------------------------------------------------------------- the fixture */

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_directory(void)
{
	nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_directory(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[128];
	int fd;

	snprintf(top, sizeof(top), "%.40s/restore.XXXXXX", tmp ? tmp : "/tmp");
	fuzz_assert(mkdtemp(top));
	atexit(remove_directory);
	snprintf(path, sizeof(path), "%s/in", top);
	fuzz_assert(!mkdir(path, 0700));
	snprintf(target, sizeof(target), "%s/in/data", top);
	snprintf(moved, sizeof(moved), "%s/in/moved", top);
	snprintf(outside, sizeof(outside), "%s/outside", top);
	fuzz_assert(!mkdir(outside, 0700));
	snprintf(path, sizeof(path), "%s/canary", outside);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
	fuzz_assert(fd >= 0 && write(fd, "canary", 6) == 6);
	close(fd);
	umask(077);
}

static unsigned int entries;

static int count_entry(const char *path, const struct stat *st, int type,
		       struct FTW *ftw)
{
	(void)path;
	(void)st;
	(void)type;
	(void)ftw;
	entries++;
	return 0;
}

static unsigned int count_tree(const char *path)
{
	entries = 0;
	fuzz_assert(!nftw(path, count_entry, 16, FTW_PHYS));
	return entries;
}

static void check_outside(void)
{
	char path[128], text[16];
	struct stat st;
	int fd;

	fuzz_assert(count_tree(outside) == 2);
	snprintf(path, sizeof(path), "%s/canary", outside);
	fd = open(path, O_RDONLY | O_NOFOLLOW);
	fuzz_assert(fd >= 0 && read(fd, text, sizeof(text)) == 6);
	fuzz_assert(!memcmp(text, "canary", 6));
	fuzz_assert(!fstat(fd, &st) && st.st_nlink == 1);
	fuzz_assert((st.st_mode & 07777) == 0640);
	close(fd);
}

static void check_link(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	char link[64] = "", wanted[192];
	char to[128];
	ssize_t n = readlink(path, to, sizeof(to));
	bool found = false;
	int i;

	snprintf(link, sizeof(link), "/pg_tblspc/%.20s", name);
	snprintf(wanted, sizeof(wanted), "%s.partial%s", target, link);
	fuzz_assert(!strcmp(path, wanted));
	for (i = 0; i < current->tablespaces; i++) {
		const struct tablespace *t = &current->tablespace[i];

		if (!strcmp(t->oid, name))
			found = n == (ssize_t)strlen(t->place.path) &&
				!memcmp(to, t->place.path, n);
	}
	fuzz_assert(found);
}

static int check_entry(const char *path, const struct stat *st, int type,
		       struct FTW *ftw)
{
	(void)type;
	(void)ftw;
	fuzz_assert(!(st->st_mode & 07000));
	if (S_ISLNK(st->st_mode))
		check_link(path);
	else
		fuzz_assert(S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));
	return 0;
}

/* ----------------------------------------------------------------- a stream */

static void put(const void *data, size_t size)
{
	if (size > MAX_STREAM - stream_size)
		size = MAX_STREAM - stream_size;
	if (size)
		memcpy(stream + stream_size, data, size);
	stream_size += size;
}

static void put_record(uint32_t type, const void *payload, size_t size)
{
	struct record_header header = {
		htole32(RECORD_MAGIC), htole32(type), htole64(size)
	};

	put(&header, sizeof(header));
	put(payload, size);
}

static const char *take_name(struct fuzz_input *in)
{
	static const char * const names[] = {
		"PG_VERSION", "global", "pg_control", "backup_label", "base",
		"tablespace_map", "backup_manifest", "pg_tblspc", "16384", "1",
		"..", ".", "", "canary", "outside", "x",
	};
	static char text[128];
	unsigned int parts = 1 + fuzz_below(in, 4);

	text[0] = '\0';
	if (!fuzz_below(in, 16))
		strcat(text, "/");
	while (parts--) {
		strcat(text, names[fuzz_below(in, 16)]);
		if (parts || !fuzz_below(in, 8))
			strcat(text, "/");
	}
	return text;
}

static void put_entry(const char *name, char type, mode_t mode,
		      const char *link, const void *data, size_t size)
{
	uint8_t block[512] = "";
	char *header = (char *)block;
	unsigned int i, sum = 0;

	snprintf(header, 100, "%s", name);
	snprintf(header + 100, 8, "%07o", mode & 07777);
	snprintf(header + 108, 8, "%07o", 0);
	snprintf(header + 116, 8, "%07o", 0);
	snprintf(header + 124, 12, "%011o", (unsigned int)size);
	snprintf(header + 136, 12, "%011o", 0);
	memset(header + 148, ' ', 8);
	header[156] = type;
	snprintf(header + 157, 100, "%s", link);
	memcpy(header + 257, "ustar\00000", 8);
	for (i = 0; i < sizeof(block); i++)
		sum += block[i];
	snprintf(header + 148, 8, "%06o", sum);
	put_record(RECORD_DATA, block, sizeof(block));
	if (!size)
		return;
	memset(block, 0, sizeof(block));
	memcpy(block, data, size);
	put_record(RECORD_DATA, block, sizeof(block));
}

static void put_any_entry(struct fuzz_input *in)
{
	static const char types[] = "0000555512346gxLKS7";
	char type = types[fuzz_below(in, sizeof(types) - 1)];
	mode_t mode = fuzz_below(in, 3) ? 0600 : fuzz_below(in, 010000);
	char link[128] = "", name[128];
	uint8_t data[64];
	size_t size = type == '5' ? 0 : fuzz_below(in, sizeof(data));

	strcpy(name, take_name(in));
	if (type == '1' || type == '2')
		strcpy(link, fuzz_below(in, 2) ? outside : take_name(in));
	if (type == '2')
		size = 0;
	fuzz_bytes(in, data, size);
	put_entry(name, type, mode, link, data, size);
}

/* The files that unpack_finish() requires. */
static void put_base(void)
{
	put_entry("PG_VERSION", '0', 0600, "", "15\n", 3);
	put_entry("backup_label", '0', 0600, "", "label\n", 6);
	put_entry("global", '5', 0750, "", NULL, 0);
	put_entry("global/pg_control", '0', 0600, "", "control", 7);
	put_entry("pg_tblspc", '5', 0700, "", NULL, 0);
}

static void put_archive(struct fuzz_input *in)
{
	const char *paths[] = { "/old", "/old/", outside, moved, target,
				"relative", "/", top };
	unsigned int n = fuzz_below(in, 8);
	static const uint8_t end[1024];
	char payload[256];
	int length;

	if (fuzz_below(in, 2))
		length = snprintf(payload, sizeof(payload), "base.tar%c", 0);
	else
		length = snprintf(payload, sizeof(payload), "%u.tar%c%s",
				  16384 + fuzz_below(in, 3), 0,
				  paths[fuzz_below(in, 8)]);
	put_record(RECORD_BEGIN_ARCHIVE, payload, length + 1);
	if (fuzz_below(in, 4))
		put_base();
	while (n--)
		put_any_entry(in);
	put_record(RECORD_DATA, end, sizeof(end));
	put_record(RECORD_END_ARCHIVE, NULL, 0);
}

static void build_stream(struct fuzz_input *in)
{
	struct record_begin begin = { .version = htole32(1) };
	struct record_end end = { .end_timeline = htole32(1) };
	unsigned int n = 1 + fuzz_below(in, 4);

	put_record(RECORD_BEGIN_BACKUP, &begin, sizeof(begin));
	while (n--)
		put_archive(in);
	if (fuzz_below(in, 2)) {
		put_record(RECORD_BEGIN_MANIFEST, NULL, 0);
		put_record(RECORD_DATA, "{}", 2);
		put_record(RECORD_END_MANIFEST, NULL, 0);
	}
	put_record(RECORD_END_BACKUP, &end, sizeof(end));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct database db;
	static struct unpack u;
	struct recovery recovery = { .restore_command = "cp %f %p", .immediate = true };
	struct fuzz_input in = { data, size };
	unsigned int how = fuzz_take(&in, 1);
	char partial[96], path[96];
	bool ok;

	if (!*top)
		make_directory();
	db = (struct database){ .exit_code = EXIT_OK };
	u = (struct unpack){ .db = &db, .target = target };
	current = &u;
	stream_size = 0;
	stream_at = 0;
	pieces = &in;
	if (how & 1)
		build_stream(&in);
	else
		put(in.at, in.left);
	if (how & 2) {
		u.mapping[0] = (struct mapping){ "/old", moved, false };
		u.mappings = 1;
	}
	if (how & 8)
		u.recovery = &recovery;
	/* a raw stream may contain any path of this host */
	u.allow_tablespaces = (how & 5) == 5;
	snprintf(partial, sizeof(partial), "%s.partial", target);
	fuzz_assert(place_make(&db, &u.base, partial, true));
	ok = unpack_records(&u, how & 16 ? 2 : 0) && unpack_finish(&u);
	fuzz_assert(ok == (db.exit_code == EXIT_OK));
	fuzz_assert(ok || *db.message);
	check_outside();
	fuzz_assert(!nftw(partial, check_entry, 16, FTW_PHYS));
	if (!access(moved, F_OK))
		fuzz_assert(!nftw(moved, check_entry, 16, FTW_PHYS));
	fuzz_assert(unpack_remove(&u));
	unpack_free(&u);
	snprintf(path, sizeof(path), "%s/in", top);
	fuzz_assert(count_tree(path) == 1);
	fuzz_assert(count_tree(top) == 4);
	return 0;
}
