// SPDX-License-Identifier: GPL-2.0-only
/*
 * place_chunks.c - an address in a chunk store, below which there are backups
 *
 *   NAME/manifest.json             the backup NAME
 *   NAME/data-ID/MEDIUM/00000001   its chunks
 *   NAME/data-ID/expired           vdi expire is removing these chunks
 *
 * Chunks that no manifest lists are an entry of their own, NAME/data-ID. There are no
 * locks: such chunks belong to a run that was killed, or to one that is writing now. Only
 * their age says which is likely.
 *
 * A backup is removed in these steps: store data-ID/expired, remove the manifest, remove
 * the chunks. Objects are listed in the order of their names, so the mark is removed last.
 * It tells what vdi expire has left from what vdi backup is writing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "place.h"

#define MARK		"expired"
#define MARK_TEXT	"vdi expire removes these chunks\n"
#define MAX_NAME	900		/* bytes of an entry's name; S3 allows 1024 in all */
#define KEY_SIZE	(MAX_NAME + 200)

static bool interrupted(void *context)
{
	(void)context;
	return vdi_signal_received();
}

/* ------------------------------------------------------------------- names */

/* Hidden names are ignored; "." and ".." could reach other objects. */
static bool good_name(const char *name)
{
	const char *c;

	for (c = name; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f || *c == '/')
			return false;
	}
	return *name && *name != '.' && strlen(name) <= MAX_NAME;
}

/* The last part of the name, if that is "data-ID"; NULL: the entry is a backup. */
static const char *data_part(const char *name)
{
	const char *last = strrchr(name, '/');

	last = last ? last + 1 : name;
	return !strncmp(last, "data-", 5) && chunk_id_is_valid(last + 5) ? last : NULL;
}

/* "NAME/OBJECT", relative to the address of the store */
static void make_key(const struct backup_place *p, const char *name, const char *object,
		     char key[KEY_SIZE])
{
	if (p->only) {
		name += strlen(p->only);
		name += *name == '/';
	}
	snprintf(key, KEY_SIZE, "%s%s%s", name, *name ? "/" : "", object);
}

/* Of the backup that would own the chunks of the entry NAME/data-ID. */
static void make_manifest_key(const struct backup_place *p, const char *name, char key[KEY_SIZE])
{
	char owner[MAX_NAME + 1];
	size_t n = data_part(name) - name;

	snprintf(owner, sizeof(owner), "%.*s", (int)(n ? n - 1 : 0), name);
	make_key(p, owner, MANIFEST_FILE, key);
}

/* "NAME/" without the slash. False: it is the name of an object. */
static bool cut_slash(const char *name, char out[KEY_SIZE])
{
	size_t n = strlen(name);

	if (!n || name[n - 1] != '/' || n > MAX_NAME)
		return false;
	snprintf(out, KEY_SIZE, "%.*s", (int)n - 1, name);
	return true;
}

/* "2026-11-30T01:02:03.456Z"; -1 = invalid */
static int64_t parse_time(const char *text)
{
	struct tm tm = { 0 };

	return strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) ? timegm(&tm) : -1;
}

static struct place_entry *find(const struct backup_place *p, const char *name, size_t length)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (!strncmp(p->entry[i].name, name, length) && !p->entry[i].name[length])
			return &p->entry[i];
	}
	return NULL;
}

/* ------------------------------------------------------------- enumeration */

struct enumeration {
	struct backup_place *place;
	bool memory;
};

static bool add_group(void *context, const char *name, uint64_t bytes, const char *changed)
{
	struct enumeration *n = context;
	char group[KEY_SIZE];

	(void)bytes;
	(void)changed;
	if (cut_slash(name, group) && good_name(group))
		n->memory = place_add(n->place, group);
	return n->memory;
}

static int report(const struct backup_place *p, enum chunk_result result)
{
	if (result == CHUNK_OK)
		return EXIT_OK;
	vdi_error("%s", result == CHUNK_STOPPED ? "interrupted" : chunk_why(p->chunks));
	return result == CHUNK_STOPPED ? EXIT_INTERRUPTED : EXIT_FAILED;
}

static int chunks_enumerate(struct backup_place *p)
{
	struct enumeration n = { .place = p, .memory = true };
	enum chunk_result result = chunk_look(p->chunks, "", add_group, &n);

	if (n.memory)
		return report(p, result);
	vdi_error("out of memory");
	return EXIT_FAILED;
}

/* ------------------------------------------------------- examining a backup */

struct contents {
	struct backup_place *place;
	const char *name;	/* of the entry */
	size_t skip;		/* the beginning of each key */
	bool manifest;
	uint64_t bytes;		/* of the manifest */
	int64_t changed;
	bool memory;
};

/* Chunks are entries, which are examined later. */
static bool note_content(void *context, const char *key, uint64_t bytes, const char *changed)
{
	struct contents *c = context;
	const char *name = key + c->skip;
	char group[KEY_SIZE], entry[2 * KEY_SIZE];

	if (!strcmp(name, MANIFEST_FILE)) {
		c->manifest = true;
		c->bytes = bytes;
		c->changed = parse_time(changed);
	} else if (cut_slash(name, group) && data_part(group) == group) {
		snprintf(entry, sizeof(entry), "%s/%s", c->name, group);
		if (strlen(entry) <= MAX_NAME)
			c->memory = place_add(c->place, entry);
	}
	return c->memory;
}

static void unreadable(struct backup_place *p, struct place_entry *e)
{
	place_set_state(e, BACKUP_UNREADABLE, chunk_why(p->chunks));
}

/* Is there any chunk of the backup? place_confirm() checks that all are. */
static void check_data(struct backup_place *p, struct place_entry *e)
{
	char name[2 * KEY_SIZE];
	int n;

	n = snprintf(name, sizeof(name), "%s/data-%s", e->name, e->manifest.id);
	if (!manifest_bytes(&e->manifest) || find(p, name, n))
		place_set_state(e, BACKUP_WHOLE, "");
	else
		place_set_state(e, BACKUP_DAMAGED, "its chunks are missing");
}

static bool read_manifest(struct backup_place *p, struct place_entry *e)
{
	enum chunk_result result;
	char key[KEY_SIZE], *text;
	const char *why;
	size_t size;
	int rc;

	make_key(p, e->name, MANIFEST_FILE, key);
	result = chunk_fetch(p->chunks, key, MANIFEST_MAX_SIZE, &text, &size);
	if (result == CHUNK_MISSING)
		return false;	/* removed meanwhile */
	if (result != CHUNK_OK) {
		unreadable(p, e);
		if (result == CHUNK_DAMAGED)
			e->state = BACKUP_DAMAGED;
		return true;
	}
	rc = manifest_parse(text, size, &e->manifest, &why);
	free(text);
	e->described = rc == EXIT_OK;
	if (e->described && !*e->manifest.id)
		why = "its manifest is that of a directory";
	if (e->described && *e->manifest.id)
		check_data(p, e);
	else
		place_set_state(e, BACKUP_DAMAGED, why);
	if (e->described)
		e->stored += manifest_bytes(&e->manifest);
	return true;
}

static bool examine_backup(struct backup_place *p, struct place_entry *e)
{
	struct contents c = { .place = p, .name = e->name, .memory = true };
	size_t index = e - p->entry;
	enum chunk_result result;
	char key[KEY_SIZE];

	make_key(p, e->name, "", key);
	c.skip = strlen(key);
	result = chunk_look(p->chunks, key, note_content, &c);
	e = &p->entry[index];	/* which moves when others are added */
	if (!c.memory) {
		place_set_state(e, BACKUP_UNREADABLE, "out of memory");
		return true;
	}
	if (result != CHUNK_OK) {
		unreadable(p, e);
		return true;
	}
	if (!c.manifest)
		return false;
	e->changed = c.changed;
	e->stored = c.bytes;
	return read_manifest(p, e);
}

/* ------------------------------------------- examining chunks of no backup */

struct count {
	size_t skip;
	uint64_t objects;
	uint64_t bytes;
	int64_t newest;
	bool mark;
};

static bool count_chunk(void *context, const char *key, uint64_t bytes, const char *changed)
{
	struct count *c = context;
	int64_t when = parse_time(changed);

	/* an unknown time must not make chunks look old */
	if (when < 0)
		when = time(NULL);
	c->objects++;
	c->bytes += bytes;
	if (when > c->newest)
		c->newest = when;
	if (!strcmp(key + c->skip, MARK))
		c->mark = true;
	return true;
}

/* Of a manifest that is damaged the ID is not known, so all chunks may be its own. */
static bool has_owner(const struct backup_place *p, const struct place_entry *e)
{
	const char *data = data_part(e->name);
	const struct place_entry *owner;

	if (data == e->name)
		return false;
	owner = find(p, e->name, data - e->name - 1);
	if (!owner)
		return false;
	if (owner->state == BACKUP_DAMAGED || owner->state == BACKUP_UNREADABLE)
		return true;
	return owner->described && !strcmp(owner->manifest.id, data + 5);
}

static void judge_age(struct place_entry *e)
{
	e->guessed = true;
	if (time(NULL) - e->changed < PLACE_PARTIAL_AGE)
		place_set_state(e, BACKUP_WRITING,
				"or interrupted; its last chunk was stored less than 24 hours ago");
	else
		place_set_state(e, BACKUP_REMAINS,
				"the vdi backup was interrupted; its last chunk was stored at least 24 hours ago");
}

static bool examine_data(struct backup_place *p, struct place_entry *e)
{
	struct count c = { .newest = -1 };
	char key[KEY_SIZE];

	if (has_owner(p, e))
		return false;
	make_key(p, e->name, "", key);
	c.skip = strlen(key);
	if (chunk_walk(p->chunks, key, count_chunk, &c) != CHUNK_OK) {
		unreadable(p, e);
		return true;
	}
	if (!c.objects)
		return false;	/* removed meanwhile */
	e->stored = c.bytes;
	e->changed = c.newest;
	if (c.mark)
		place_set_state(e, BACKUP_EXPIRED, "vdi expire was interrupted, or is removing it");
	else
		judge_age(e);
	return true;
}

static bool chunks_examine(struct backup_place *p, struct place_entry *e)
{
	return data_part(e->name) ? examine_data(p, e) : examine_backup(p, e);
}

/* ------------------------------------------------------------ confirmation */

struct check {
	const struct manifest *manifest;
	size_t skip;
	uint64_t good;
};

static const struct chunk_list *find_medium(const struct manifest *m, const char *name,
					    size_t length)
{
	unsigned int i, k;

	for (i = 0; i < m->count; i++) {
		const struct medium_list *media = &m->device[i].media;

		for (k = 0; k < media->count; k++) {
			if (!strncmp(media->file[k].name, name, length) &&
			    !media->file[k].name[length])
				return &media->file[k].chunks;
		}
	}
	return NULL;
}

/* MEDIUM/00000001 */
static bool check_chunk(void *context, const char *key, uint64_t bytes, const char *changed)
{
	const char *medium, *number;
	const struct chunk_list *list;
	struct check *c = context;
	unsigned long n;

	(void)changed;
	medium = key + c->skip;
	number = strchr(medium, '/');
	if (!number)
		return true;
	list = find_medium(c->manifest, medium, number - medium);
	n = strtoul(number + 1, NULL, 10);
	if (list && n >= 1 && n <= list->count && list->chunk[n - 1].bytes == bytes)
		c->good++;
	return true;
}

static uint64_t count_chunks(const struct manifest *m)
{
	unsigned int i, k;
	uint64_t sum = 0;

	for (i = 0; i < m->count; i++) {
		for (k = 0; k < m->device[i].media.count; k++)
			sum += m->device[i].media.file[k].chunks.count;
	}
	return sum;
}

static void chunks_confirm(struct backup_place *p, struct place_entry *e)
{
	struct check c = { .manifest = &e->manifest };
	uint64_t all = count_chunks(&e->manifest);
	char key[KEY_SIZE], data[64], why[128];

	snprintf(data, sizeof(data), "data-%s/", e->manifest.id);
	make_key(p, e->name, data, key);
	c.skip = strlen(key);
	if (chunk_walk(p->chunks, key, check_chunk, &c) != CHUNK_OK) {
		unreadable(p, e);
	} else if (c.good < all) {
		snprintf(why, sizeof(why), "%llu of %llu chunks are missing or have another size",
			 (unsigned long long)(all - c.good), (unsigned long long)all);
		place_set_state(e, BACKUP_DAMAGED, why);
	}
}

/* ----------------------------------------------------------------- removal */

static enum place_removal cannot(struct backup_place *p, enum chunk_result result, char *why,
				 size_t size)
{
	snprintf(why, size, "%s", result == CHUNK_STOPPED ? "interrupted" : chunk_why(p->chunks));
	return PLACE_KEPT;
}

/* The ID of the backup whose manifest this is; CHUNK_DAMAGED, too, has a message. */
static enum chunk_result read_id(struct backup_place *p, const char *key, char id[CHUNK_ID_SIZE])
{
	struct manifest m = { 0 };
	enum chunk_result result;
	const char *why;
	size_t size;
	char *text;

	*id = '\0';
	result = chunk_fetch(p->chunks, key, MANIFEST_MAX_SIZE, &text, &size);
	if (result != CHUNK_OK)
		return result;
	/* of one that is damaged the ID is empty, and equal to no other */
	if (manifest_parse(text, size, &m, &why) == EXIT_OK) {
		snprintf(id, CHUNK_ID_SIZE, "%s", m.id);
		manifest_free(&m);
	}
	free(text);
	return CHUNK_OK;
}

static enum place_removal remove_data(struct backup_place *p, const char *key, char *why,
				      size_t size)
{
	enum chunk_result result;
	unsigned int left;

	result = chunk_remove_all(p->chunks, key, &left);
	if (result == CHUNK_OK)
		return PLACE_REMOVED;
	if (!left || result == CHUNK_STOPPED)
		return cannot(p, result, why, size);
	snprintf(why, size, "%u object%s left: %s", left, left == 1 ? " is" : "s are",
		 chunk_why(p->chunks));
	return PLACE_KEPT;
}

static enum place_removal remove_backup(struct backup_place *p, const struct place_entry *e,
					char *why, size_t size)
{
	char manifest[KEY_SIZE], data[KEY_SIZE], mark[KEY_SIZE + 16], part[64];
	char id[CHUNK_ID_SIZE];
	enum chunk_result result;

	make_key(p, e->name, MANIFEST_FILE, manifest);
	result = read_id(p, manifest, id);
	if (result == CHUNK_MISSING)
		return PLACE_REMOVED;	/* by another vdi expire */
	if (result != CHUNK_OK)
		return cannot(p, result, why, size);
	if (strcmp(id, e->manifest.id)) {
		snprintf(why, size, "it was replaced or changed meanwhile");
		return PLACE_KEPT;
	}
	snprintf(part, sizeof(part), "data-%s/", id);
	make_key(p, e->name, part, data);
	snprintf(mark, sizeof(mark), "%s" MARK, data);
	/*
	 * If the mark cannot be stored, for example because the store is full, what a
	 * killed run leaves is removed by its age.
	 */
	if (chunk_put_text(p->chunks, mark, MARK_TEXT) == CHUNK_STOPPED)
		return cannot(p, CHUNK_STOPPED, why, size);
	result = chunk_remove(p->chunks, manifest);
	if (result != CHUNK_OK)
		return cannot(p, result, why, size);
	return remove_data(p, data, why, size);
}

/* Its backup may have been completed since it was examined. */
static enum place_removal remove_remains(struct backup_place *p, const struct place_entry *e,
					 char *why, size_t size)
{
	char key[KEY_SIZE], id[CHUNK_ID_SIZE];
	enum chunk_result result;

	make_manifest_key(p, e->name, key);
	result = read_id(p, key, id);
	if (result != CHUNK_OK && result != CHUNK_MISSING)
		return cannot(p, result, why, size);
	if (result == CHUNK_OK && (!*id || !strcmp(id, data_part(e->name) + 5))) {
		snprintf(why, size, "it has a manifest now");
		return PLACE_IN_USE;
	}
	make_key(p, e->name, "", key);
	return remove_data(p, key, why, size);
}

static enum place_removal chunks_remove(struct backup_place *p, struct place_entry *e, char *why,
					size_t size)
{
	return data_part(e->name) ? remove_remains(p, e, why, size) :
				    remove_backup(p, e, why, size);
}

static void chunks_close(struct backup_place *p)
{
	chunk_close(p->chunks);
	p->chunks = NULL;
}

const struct place_ops place_chunks_ops = {
	.enumerate = chunks_enumerate,
	.examine = chunks_examine,
	.confirm = chunks_confirm,
	.remove = chunks_remove,
	.close = chunks_close,
};

/* ----------------------------------------------------------------- opening */

struct kind {
	bool manifest;
	bool data;
	bool others;
};

static bool note_kind(void *context, const char *name, uint64_t bytes, const char *changed)
{
	struct kind *k = context;
	char group[KEY_SIZE];

	(void)bytes;
	(void)changed;
	if (!strcmp(name, MANIFEST_FILE))
		k->manifest = true;
	else if (cut_slash(name, group) && data_part(group) == group)
		k->data = true;
	else if (cut_slash(name, group))
		k->others = true;
	return !k->manifest;
}

/* The place is the address above, and has this one entry. */
static bool use_parent(struct backup_place *p)
{
	char *slash = strrchr(p->path, '/');

	p->only = strdup(slash + 1);
	*slash = '\0';
	return p->only;
}

int place_chunks_use(struct backup_place *p, struct chunk_store *store)
{
	enum chunk_result result;
	struct kind k = { 0 };
	size_t n;

	p->ops = &place_chunks_ops;
	p->chunks = store;
	p->path = strdup(chunk_address(store));
	if (!p->path) {
		vdi_error("out of memory");
		return EXIT_FAILED;
	}
	n = strlen(p->path);
	if (p->path[n - 1] == '/')
		p->path[n - 1] = '\0';
	chunk_keep_connection(store);
	chunk_stop_with(store, interrupted, NULL);
	result = chunk_look(store, "", note_kind, &k);
	if (result != CHUNK_OK)
		return report(p, result);
	if ((!k.manifest && (!k.data || k.others)) || use_parent(p))
		return EXIT_OK;
	vdi_error("out of memory");
	return EXIT_FAILED;
}

int place_chunks_open(struct backup_place *p, const char *path)
{
	char why[CHUNK_WHY_SIZE];
	struct chunk_store *store = chunk_open(path, NULL, why, sizeof(why));

	if (store)
		return place_chunks_use(p, store);
	vdi_error("%s", why);
	return EXIT_FAILED;
}

static bool note_any(void *context, const char *name, uint64_t bytes, const char *changed)
{
	(void)name;
	(void)bytes;
	(void)changed;
	*(bool *)context = true;
	return false;
}

int place_chunks_taken(const char *path)
{
	char why[CHUNK_WHY_SIZE];
	struct chunk_store *store = chunk_open(path, NULL, why, sizeof(why));
	enum chunk_result result;
	bool any = false;

	if (!store) {
		vdi_error("cannot back up: %s", why);
		return -1;
	}
	chunk_stop_with(store, interrupted, NULL);
	result = chunk_look(store, "", note_any, &any);
	if (result != CHUNK_OK)
		vdi_error("cannot back up: %s",
			  result == CHUNK_STOPPED ? "interrupted" : chunk_why(store));
	chunk_close(store);
	return result == CHUNK_OK ? any : -1;
}
