// SPDX-License-Identifier: GPL-2.0-only
/*
 * place.c - a place that holds backups, and what is there
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "place.h"
#include "common/json.h"

/* Clocks of hosts that share a place may differ. */
#define CLOCK_SLACK	300

/* Of the set's name in a directory name; a suffix and ".partial.lock" follow. */
#define MAX_PREFIX	200

const char *place_state_name(enum backup_state state)
{
	static const char *const names[] = {
		[BACKUP_WHOLE] = "whole",
		[BACKUP_DAMAGED] = "damaged",
		[BACKUP_UNREADABLE] = "unreadable",
		[BACKUP_INCOMPLETE] = "incomplete",
		[BACKUP_WRITING] = "being written",
		[BACKUP_REMAINS] = "incomplete",
		[BACKUP_EXPIRED] = "expired",
		[BACKUP_LOCK] = "lock file",
	};

	return names[state];
}

void place_set_state(struct place_entry *e, enum backup_state state,
		     const char *why)
{
	e->state = state;
	snprintf(e->why, sizeof(e->why), "%s", why);
}

bool place_in_future(const struct place_entry *entry, int64_t now)
{
	return entry->described && entry->manifest.finished > now + CLOCK_SLACK;
}

void place_format_time(int64_t seconds, char *buf, size_t size)
{
	time_t when = seconds;
	struct tm tm;

	if (seconds < 0 || !gmtime_r(&when, &tm) ||
	    !strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(buf, size, "-");
}

void place_format_name(const char *name, char buf[PLACE_TEXT])
{
	vdi_name_escape(name, strlen(name), buf, PLACE_TEXT);
}

void place_format_text(const char *text, char buf[PLACE_TEXT])
{
	size_t i;

	for (i = 0; i < PLACE_TEXT - 1 && text[i]; i++) {
		unsigned char c = text[i];

		buf[i] = c < ' ' || c == 0x7f ? '?' : c;
	}
	buf[i] = '\0';
}

/* ---------------------------------------------------------------- entries */

static const char *set_of(const struct place_entry *e)
{
	return e->described ? e->manifest.set : NULL;
}

bool place_same_set(const struct place_entry *a, const struct place_entry *b)
{
	const char *x = set_of(a), *y = set_of(b);

	return x && y ? !strcmp(x, y) : x == y;
}

static int compare_sets(const char *a, const char *b)
{
	if (a && b)
		return strcmp(a, b);
	return !a - !b;
}

static int compare(const void *first, const void *second)
{
	const struct place_entry *a = first, *b = second;
	int order = compare_sets(set_of(a), set_of(b));

	if (!order && a->described && b->described &&
	    a->manifest.finished != b->manifest.finished)
		order = a->manifest.finished < b->manifest.finished ? -1 : 1;
	return order ? : strcmp(a->name, b->name);
}

static void free_entry(struct place_entry *e)
{
	if (e->described)
		manifest_free(&e->manifest);
	free(e->name);
	free(e->path);
}

static bool is_listed(const struct backup_place *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (!strcmp(p->entry[i].name, name))
			return true;
	}
	return false;
}

char *place_beside(const struct backup_place *p, const char *name)
{
	const char *slash = p->path[strlen(p->path) - 1] == '/' ? "" : "/";
	char *path;

	return asprintf(&path, "%s%s%s", p->path, slash, name) < 0 ? NULL : path;
}

bool place_add(struct backup_place *p, const char *name)
{
	struct place_entry *e;

	if (is_listed(p, name))
		return true;
	e = reallocarray(p->entry, p->count + 1, sizeof(*e));
	if (!e)
		return false;
	p->entry = e;
	e += p->count;
	*e = (struct place_entry){ .name = strdup(name) };
	if (e->name)
		e->path = place_beside(p, name);
	if (!e->path) {
		free(e->name);
		return false;
	}
	p->count++;
	return true;
}

/* Remains of no known set belong to every selection but that of one set. */
static bool is_wanted(const struct backup_place *p, const struct place_entry *e)
{
	return !p->set || (e->described && !strcmp(e->manifest.set, p->set));
}

static int check_interrupt(void)
{
	if (!vdi_signal_received())
		return EXIT_OK;
	vdi_error("interrupted");
	return EXIT_INTERRUPTED;
}

/* Examining an entry may add another one, so that `entry` moves. */
static int examine_all(struct backup_place *p)
{
	int rc = check_interrupt();
	size_t i;

	for (i = 0; i < p->count && rc == EXIT_OK; i++) {
		bool there = p->ops->examine(p, &p->entry[i]);

		p->entry[i].listed = there && is_wanted(p, &p->entry[i]);
		rc = check_interrupt();
	}
	return rc;
}

int place_confirm(struct backup_place *p)
{
	int rc = EXIT_OK;
	size_t i;

	for (i = 0; p->ops->confirm && i < p->count && rc == EXIT_OK; i++) {
		if (p->entry[i].state != BACKUP_WHOLE)
			continue;
		p->ops->confirm(p, &p->entry[i]);
		rc = check_interrupt();
	}
	place_check_bases(p);
	return rc;
}

static void drop_unlisted(struct backup_place *p)
{
	size_t i, kept = 0;

	for (i = 0; i < p->count; i++) {
		if (p->entry[i].listed)
			p->entry[kept++] = p->entry[i];
		else
			free_entry(&p->entry[i]);
	}
	p->count = kept;
	if (kept)
		qsort(p->entry, kept, sizeof(*p->entry), compare);
}

static int find_bases(struct backup_place *p, int rc)
{
	if (rc != EXIT_OK || place_find_bases(p))
		return rc;
	vdi_error("out of memory");
	return EXIT_FAILED;
}

/* The driver was opened with this result. */
static int fill(struct backup_place *p, int rc)
{
	if (rc == EXIT_OK && p->only && !place_add(p, p->only)) {
		vdi_error("out of memory");
		rc = EXIT_FAILED;
	} else if (rc == EXIT_OK && !p->only) {
		rc = p->ops->enumerate(p);
	}
	if (rc == EXIT_OK)
		rc = examine_all(p);
	rc = find_bases(p, rc);
	if (rc == EXIT_OK)
		place_check_bases(p);
	drop_unlisted(p);
	return find_bases(p, rc);
}

static int open_path(struct backup_place *p, const char *path)
{
	return fill(p, chunk_is_address(path) ? place_chunks_open(p, path) :
						place_dir_open(p, path));
}

int place_open(struct backup_place *p, const char *path, const char *set)
{
	*p = (struct backup_place){ .set = set, .dir = -1 };
	return open_path(p, path);
}

int place_open_depth(struct backup_place *p, const char *path, unsigned int depth)
{
	*p = (struct backup_place){ .dir = -1, .depth = depth };
	return open_path(p, path);
}

int place_open_store(struct backup_place *p, struct chunk_store *store,
		     const char *set)
{
	*p = (struct backup_place){ .set = set, .dir = -1 };
	return fill(p, place_chunks_use(p, store));
}

struct place_entry *place_only(const struct backup_place *p)
{
	size_t i;

	for (i = 0; p->only && i < p->count; i++) {
		if (!strcmp(p->entry[i].name, p->only))
			return &p->entry[i];
	}
	return NULL;
}

void place_close(struct backup_place *p)
{
	size_t i;

	for (i = 0; i < p->count; i++)
		free_entry(&p->entry[i]);
	free(p->entry);
	if (p->ops)
		p->ops->close(p);
	free(p->only);
	free(p->path);
	*p = (struct backup_place){ .dir = -1 };
}

/* -------------------------------------------------------- selecting a backup */

/*
 * The youngest one. A date in the future is wrong, so such a backup is chosen only
 * if there is no other.
 */
static const struct place_entry *youngest(const struct backup_place *p,
					  int64_t now)
{
	const struct place_entry *best = NULL;
	size_t i;

	for (i = p->count; i--;) {
		const struct place_entry *e = &p->entry[i];

		if (e->state != BACKUP_WHOLE)
			continue;
		if (!place_in_future(e, now))
			return e;
		if (!best)
			best = e;
	}
	return best;
}

char *place_latest(const char *path, const char *set, int *rc)
{
	const struct place_entry *e;
	struct backup_place place;
	char *found = NULL;

	*rc = place_open(&place, path, set);
	if (*rc == EXIT_OK) {
		e = youngest(&place, time(NULL));
		found = e ? strdup(e->path) : NULL;
		if (!e)
			vdi_error("there is no whole backup of set '%s' in %s%s",
				  set, path, place.count ?
				  ", only damaged ones; see 'vdi list'" :
				  "; 'vdi list' shows the sets");
		if (e && place_in_future(e, time(NULL)))
			vdi_error("%s is dated in the future, and the only whole backup of set '%s'",
				  e->path, set);
		if (!found)
			*rc = EXIT_FAILED;
	}
	place_close(&place);
	return found;
}

/* ------------------------------------------------------- naming a new backup */

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

/*
 * The name of a set as the beginning of a file name: ASCII letters, digits, ".",
 * "_", "-" and other characters of UTF-8 are kept, anything else becomes "_", as
 * does a "." or "-" at the beginning.
 */
static void safe_name(const char *set, char *out)
{
	size_t left = strlen(set), used = 0;

	while (left) {
		size_t length = vdi_utf8_length(set, left);

		if (used + (length ? : 1) > MAX_PREFIX)
			break;
		if (length > 1) {
			memcpy(out + used, set, length);
			used += length;
		} else {
			out[used++] = is_plain(*set) ? *set : '_';
			length = 1;
		}
		set += length;
		left -= length;
	}
	out[used] = '\0';
	if (*out == '.' || *out == '-')
		*out = '_';
}

/*
 * Is the name in use, by a backup or by what a killed run has left? -1 after a
 * message.
 */
static int is_taken(const char *path)
{
	static const char *const suffixes[] = {
		"", ".partial", ".partial.lock", ".expired"
	};
	char *name;
	struct stat st;
	size_t i;
	int rc = 0;

	if (chunk_is_address(path))
		return place_chunks_taken(path);
	for (i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]) && !rc; i++) {
		if (asprintf(&name, "%s%s", path, suffixes[i]) < 0) {
			vdi_error("out of memory");
			return -1;
		}
		rc = !lstat(name, &st);
		if (!rc && errno != ENOENT) {
			vdi_error("cannot back up to %s: %s", path,
				  strerror(errno));
			rc = -1;
		}
		free(name);
	}
	return rc;
}

static char *make_path(const char *root, const char *prefix, const char *stamp,
		       unsigned int number)
{
	const char *slash = root[strlen(root) - 1] == '/' ? "" : "/";
	char *path, suffix[16] = "";

	if (number > 1)
		snprintf(suffix, sizeof(suffix), "-%u", number);
	if (asprintf(&path, "%s%s%s-%s%s", root, slash, prefix, stamp,
		     suffix) < 0) {
		vdi_error("out of memory");
		return NULL;
	}
	return path;
}

char *place_new_path(const char *root, const char *set, int64_t now)
{
	char prefix[MAX_PREFIX + 1], stamp[32];
	time_t when = now;
	unsigned int i;
	struct tm tm;

	if (!*root) {
		vdi_error("cannot back up: the name of the directory is empty");
		return NULL;
	}
	safe_name(set, prefix);
	gmtime_r(&when, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	for (i = 1; i <= 999; i++) {
		char *path = make_path(root, prefix, stamp, i);
		int taken = path ? is_taken(path) : -1;

		if (path && !taken)
			return path;
		free(path);
		if (taken < 0)
			return NULL;
	}
	vdi_error("cannot back up into %s: all names for %s-%s are in use",
		  root, prefix, stamp);
	return NULL;
}
