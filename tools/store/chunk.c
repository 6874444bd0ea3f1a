// SPDX-License-Identifier: GPL-2.0-only
/*
 * chunk.c - chunk stores: the backup as a whole
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "chunk.h"
#include "common/common.h"

#define MANIFEST	"manifest.json"
#define ID_BYTES	16
#define CLEAN_UP_TIME	30	/* seconds of retries to remove a chunk after a failure */
#define START_TIME	30	/* the same, of the first request of a command */
#define SETTLE_TIME	15	/* seconds to find out whether a manifest is stored */

static const struct scheme {
	const char *name;
	const struct chunk_driver *(*driver)(char *why, size_t size);
} schemes[] = { { "s3", chunk_s3_driver } };

/* ------------------------------------------------------------------- lists */

bool chunk_list_add(struct chunk_list *list, uint32_t bytes, uint64_t xxh3)
{
	struct chunk *chunk;

	/* grows when the count is 0 or a power of two */
	if (!(list->count & (list->count - 1))) {
		size_t room = list->count ? 2 * (size_t)list->count : 1;

		chunk = realloc(list->chunk, room * sizeof(*chunk));
		if (!chunk)
			return false;
		list->chunk = chunk;
	}
	list->chunk[list->count++] = (struct chunk){
		.bytes = bytes,
		.xxh3 = xxh3,
	};
	return true;
}

bool chunk_list_copy(struct chunk_list *to, const struct chunk_list *from)
{
	unsigned int i;

	*to = (struct chunk_list){ 0 };
	for (i = 0; i < from->count; i++) {
		if (!chunk_list_add(to, from->chunk[i].bytes,
				    from->chunk[i].xxh3)) {
			chunk_list_free(to);
			return false;
		}
	}
	return true;
}

uint64_t chunk_list_bytes(const struct chunk_list *list)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < list->count; i++)
		sum += list->chunk[i].bytes;
	return sum;
}

void chunk_list_free(struct chunk_list *list)
{
	free(list->chunk);
	*list = (struct chunk_list){ 0 };
}

/* ---------------------------------------------------------------- sessions */

bool chunk_stopped(const struct chunk_store *store)
{
	return store->stop && store->stop(store->stop_context);
}

bool chunk_session_stopped(const struct chunk_session *s)
{
	if (s->cancel && *s->cancel)
		return true;
	return !s->unstoppable && chunk_stopped(s->store);
}

bool chunk_session_sleep(const struct chunk_session *s, double seconds)
{
	double end = vdi_now() + seconds;
	struct timespec step = { .tv_nsec = 50 * 1000000 };

	do {
		if (chunk_session_stopped(s))
			return false;
		nanosleep(&step, NULL);
	} while (vdi_now() < end);
	return true;
}

enum chunk_result chunk_fail(struct chunk_session *s, enum chunk_result result,
			     const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(s->why, sizeof(s->why), format, args);
	va_end(args);
	return result;
}

/* An address that does not work is reported soon. */
static void set_start_deadline(struct chunk_session *s)
{
	unsigned int timeout = s->store->options.timeout;

	s->deadline = vdi_now() + (timeout < START_TIME ? timeout : START_TIME);
}

/* A session for a single request of the whole store. */
static struct chunk_session *begin(struct chunk_store *store)
{
	struct chunk_session *s = store->kept ? : store->driver->connect(store);

	store->kept = NULL;
	*store->why = '\0';
	if (!s)
		snprintf(store->why, sizeof(store->why), "%s: out of memory",
			 store->address);
	return s;
}

static enum chunk_result end(struct chunk_session *s, enum chunk_result result)
{
	struct chunk_store *store = s->store;

	if (result != CHUNK_OK)
		snprintf(store->why, sizeof(store->why), "%s", s->why);
	if (!store->keep_connection) {
		store->driver->disconnect(s);
		return result;
	}
	s->deadline = 0;
	s->unstoppable = false;
	*s->why = '\0';
	store->kept = s;
	return result;
}

/* --------------------------------------------------------------- the store */

static const struct scheme *find_scheme(const char *where)
{
	size_t i, n;

	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		n = strlen(schemes[i].name);
		if (!strncmp(where, schemes[i].name, n) &&
		    !strncmp(where + n, "://", 3))
			return &schemes[i];
	}
	return NULL;
}

bool chunk_is_address(const char *where)
{
	return find_scheme(where);
}

void chunk_init_store(struct chunk_store *store,
		      const struct chunk_driver *driver, const char *address,
		      const struct chunk_options *options)
{
	static const struct chunk_options none;
	const struct chunk_options *o = options ? options : &none;

	store->driver = driver;
	store->address = strdup(address);
	store->options = (struct chunk_options){
		.chunk_size = o->chunk_size ? : CHUNK_DEFAULT_SIZE,
		.transfers = o->transfers ? : 2,
		.timeout = o->timeout ? : 300,
	};
}

struct chunk_store *chunk_open(const char *address,
			       const struct chunk_options *options,
			       char *why, size_t size)
{
	const struct scheme *scheme = find_scheme(address);
	const struct chunk_driver *driver;
	struct chunk_store *store;

	if (!scheme) {
		snprintf(why, size, "%s: not the address of a store", address);
		return NULL;
	}
	driver = scheme->driver(why, size);
	if (!driver)
		return NULL;
	store = driver->open(address, why, size);
	if (!store)
		return NULL;
	chunk_init_store(store, driver, address, options);
	if (store->address)
		return store;
	snprintf(why, size, "%s: out of memory", address);
	chunk_close(store);
	return NULL;
}

void chunk_close(struct chunk_store *store)
{
	if (!store)
		return;
	if (store->kept)
		store->driver->disconnect(store->kept);
	free(store->address);
	store->driver->close(store);
}

const char *chunk_address(const struct chunk_store *store)
{
	return store->address;
}

const struct chunk_options *chunk_options(const struct chunk_store *store)
{
	return &store->options;
}

const char *chunk_why(const struct chunk_store *store)
{
	return store->why;
}

void chunk_stop_with(struct chunk_store *store, bool (*stop)(void *context),
		     void *context)
{
	store->stop = stop;
	store->stop_context = context;
}

void chunk_name(const struct chunk_store *store, const char *medium,
		unsigned int number, char *out, size_t size)
{
	if (number)
		snprintf(out, size, "data-%s/%s/%08u", store->id, medium,
			 number);
	else
		snprintf(out, size, "data-%s/", store->id);
}

const char *chunk_id(const struct chunk_store *store)
{
	return store->id;
}

bool chunk_id_is_valid(const char *id)
{
	return strlen(id) == CHUNK_ID_SIZE - 1 &&
	       strspn(id, "0123456789abcdef") == CHUNK_ID_SIZE - 1;
}

bool chunk_set_id(struct chunk_store *store, const char *id)
{
	if (!chunk_id_is_valid(id))
		return false;
	snprintf(store->id, sizeof(store->id), "%s", id);
	return true;
}

static bool make_id(struct chunk_store *store)
{
	uint8_t random[ID_BYTES];
	unsigned int i;

	if (getrandom(random, sizeof(random), 0) != sizeof(random))
		return false;
	for (i = 0; i < ID_BYTES; i++)
		snprintf(store->id + 2 * i, 3, "%02x", random[i]);
	return true;
}

enum chunk_result chunk_begin(struct chunk_store *store)
{
	struct chunk_session *s = begin(store);
	enum chunk_result result;
	uint64_t size;

	if (!s)
		return CHUNK_FAILED;
	set_start_deadline(s);
	result = store->driver->head(s, MANIFEST, &size);
	if (result == CHUNK_OK)
		return end(s, chunk_fail(s, CHUNK_EXISTS,
					 "it is a backup already; name another prefix"));
	if (result != CHUNK_MISSING)
		return end(s, result);
	if (!make_id(store))
		return end(s, chunk_fail(s, CHUNK_FAILED,
					 "cannot get random numbers: %s",
					 strerror(errno)));
	return end(s, CHUNK_OK);
}

static enum chunk_result fetch(struct chunk_session *s, const char *name,
			       size_t most, char **text, size_t *size)
{
	const struct chunk_driver *driver = s->store->driver;
	enum chunk_result result;
	uint64_t bytes;

	*text = NULL;
	result = driver->head(s, name, &bytes);
	if (result != CHUNK_OK)
		return result;
	if (bytes > most)
		return chunk_fail(s, CHUNK_DAMAGED, "its " MANIFEST " is too large");
	*text = malloc(bytes + 1);
	if (!*text)
		return chunk_fail(s, CHUNK_FAILED, "out of memory");
	result = driver->get(s, name, *text, bytes, size);
	if (result == CHUNK_OK) {
		(*text)[*size] = '\0';
		return CHUNK_OK;
	}
	free(*text);
	*text = NULL;
	return result;
}

enum chunk_result chunk_fetch(struct chunk_store *store, const char *name,
			      size_t most, char **text, size_t *size)
{
	struct chunk_session *s = begin(store);

	*text = NULL;
	if (!s)
		return CHUNK_FAILED;
	set_start_deadline(s);
	return end(s, fetch(s, name, most, text, size));
}

enum chunk_result chunk_manifest(struct chunk_store *store, size_t most,
				 char **text, size_t *size)
{
	return chunk_fetch(store, MANIFEST, most, text, size);
}

/*
 * Is the manifest that is stored now the one that was sent? The answer to a request
 * may be lost after it was executed, and the repeated request then finds it stored.
 */
static enum chunk_result compare(struct chunk_session *s, const char *manifest,
				 size_t size)
{
	enum chunk_result result;
	size_t there;
	char *text;

	result = fetch(s, MANIFEST, size, &text, &there);
	if (result == CHUNK_OK &&
	    (there != size || memcmp(text, manifest, size)))
		result = CHUNK_DAMAGED;
	free(text);
	return result;
}

/*
 * The store did not answer, or another backup was faster. Requests that were sent
 * may still be executed, so a manifest that is missing now is not known to be
 * missing later.
 */
static enum chunk_result settle(struct chunk_session *s, const char *manifest,
				size_t size, enum chunk_result result)
{
	char first[CHUNK_WHY_SIZE];

	snprintf(first, sizeof(first), "%s", s->why);
	s->unstoppable = true;
	s->deadline = vdi_now() + SETTLE_TIME;
	switch (compare(s, manifest, size)) {
	case CHUNK_OK:
		return CHUNK_OK;
	case CHUNK_DAMAGED:
		return chunk_fail(s, CHUNK_EXISTS,
				  "%s has become another backup meanwhile; name another prefix",
				  s->store->address);
	default:
		snprintf(s->why, sizeof(s->why), "%s", first);
		return result == CHUNK_EXISTS ? CHUNK_FAILED : CHUNK_UNKNOWN;
	}
}

enum chunk_result chunk_publish(struct chunk_store *store, const char *manifest,
				size_t size)
{
	struct chunk_session *s = begin(store);
	enum chunk_result result;

	if (!s)
		return CHUNK_FAILED;
	result = store->driver->put(s, MANIFEST, manifest, size, true);
	if (result == CHUNK_EXISTS || result == CHUNK_UNKNOWN)
		result = settle(s, manifest, size, result);
	return end(s, result);
}

/* -------------------------------------------------------- listing, deleting */

enum chunk_result chunk_walk(struct chunk_store *store, const char *prefix,
			     chunk_listed *listed, void *context)
{
	struct chunk_session *s = begin(store);

	if (!s)
		return CHUNK_FAILED;
	return end(s, store->driver->list(s, prefix, false, listed, context));
}

void chunk_keep_connection(struct chunk_store *store)
{
	store->keep_connection = true;
}

enum chunk_result chunk_look(struct chunk_store *store, const char *prefix,
			     chunk_listed *listed, void *context)
{
	struct chunk_session *s = begin(store);

	if (!s)
		return CHUNK_FAILED;
	set_start_deadline(s);
	return end(s, store->driver->list(s, prefix, true, listed, context));
}

enum chunk_result chunk_put_text(struct chunk_store *store, const char *name,
				 const char *text)
{
	struct chunk_session *s = begin(store);

	if (!s)
		return CHUNK_FAILED;
	set_start_deadline(s);
	return end(s, store->driver->put(s, name, text, strlen(text), false));
}

enum chunk_result chunk_remove(struct chunk_store *store, const char *name)
{
	struct chunk_session *s = begin(store);

	return s ? end(s, store->driver->remove(s, name)) : CHUNK_FAILED;
}

static unsigned int clean_up_time(const struct chunk_store *store)
{
	return store->options.timeout < CLEAN_UP_TIME ?
	       store->options.timeout : CLEAN_UP_TIME;
}

/* An object was removed, so the store works. */
static void extend_deadline(struct chunk_session *s)
{
	if (s->deadline)
		s->deadline = vdi_now() + clean_up_time(s->store);
}

enum chunk_result chunk_remove_each(struct chunk_session *s, char *const *names,
				    unsigned int count, unsigned int *left)
{
	enum chunk_result result = CHUNK_OK;

	for (*left = count; *left && result == CHUNK_OK; *left -= result == CHUNK_OK) {
		result = s->store->driver->remove(s, *names++);
		if (result == CHUNK_OK)
			extend_deadline(s);
	}
	return result;
}

struct removal {
	struct chunk_session *session;	/* for the removals */
	char *name[CHUNK_REMOVE_MANY + 1];
	unsigned int count;		/* of names that were listed, but not removed */
	unsigned int left;
};

static enum chunk_result remove_names(struct chunk_session *s, char *const *names,
				      unsigned int count, unsigned int *left)
{
	const struct chunk_driver *driver = s->store->driver;
	enum chunk_result result;

	if (count == 1 || !driver->remove_many)
		return chunk_remove_each(s, names, count, left);
	result = driver->remove_many(s, names, count, left);
	if (result == CHUNK_OK)
		extend_deadline(s);
	return result;
}

/* After a failure, which took until the deadline, the rest is only counted. */
static void remove_first(struct removal *r, unsigned int count)
{
	unsigned int i, left = count;

	if (count && !r->left)
		remove_names(r->session, r->name, count, &left);
	r->left += left;
	for (i = 0; i < count; i++)
		free(r->name[i]);
	r->count -= count;
	memmove(r->name, r->name + count, r->count * sizeof(*r->name));
}

static bool remove_listed(void *context, const char *name, uint64_t bytes,
			  const char *changed)
{
	struct removal *r = context;

	(void)bytes;
	(void)changed;
	if (r->count > CHUNK_REMOVE_MANY)
		remove_first(r, CHUNK_REMOVE_MANY);
	r->name[r->count] = strdup(name);
	if (r->name[r->count]) {
		r->count++;
	} else {
		chunk_fail(r->session, CHUNK_FAILED, "out of memory");
		r->left++;
	}
	return true;
}

/* The object whose name is listed last is removed when all others are. */
static enum chunk_result remove_below(struct chunk_session *s, const char *prefix,
				      unsigned int *left)
{
	struct chunk_store *store = s->store;
	struct removal removal = { .session = store->driver->connect(store) };
	enum chunk_result result;

	*left = 0;
	if (!removal.session)
		return chunk_fail(s, CHUNK_FAILED, "out of memory");
	removal.session->unstoppable = s->unstoppable;
	removal.session->deadline = s->deadline;
	result = store->driver->list(s, prefix, false, remove_listed, &removal);
	if (removal.count)
		remove_first(&removal, removal.count - 1);
	if (removal.count)
		remove_first(&removal, 1);
	*left = removal.left;
	if (result == CHUNK_OK && *left)
		result = chunk_fail(s, CHUNK_FAILED, "%s", removal.session->why);
	store->driver->disconnect(removal.session);
	return result;
}

static enum chunk_result remove_chunks(struct chunk_session *s,
				       unsigned int *left)
{
	char prefix[64];

	chunk_name(s->store, NULL, 0, prefix, sizeof(prefix));
	return remove_below(s, prefix, left);
}

enum chunk_result chunk_remove_all(struct chunk_store *store,
				   const char *prefix, unsigned int *left)
{
	struct chunk_session *s = begin(store);

	*left = 0;
	return s ? end(s, remove_below(s, prefix, left)) : CHUNK_FAILED;
}

enum chunk_result chunk_discard(struct chunk_store *store, unsigned int *left)
{
	struct chunk_session *s = begin(store);

	*left = 0;
	if (!s)
		return CHUNK_FAILED;
	s->unstoppable = true;
	s->deadline = vdi_now() + clean_up_time(store);
	return end(s, remove_chunks(s, left));
}

/* A crash in between leaves chunks without a manifest, which is not a backup. */
enum chunk_result chunk_delete(struct chunk_store *store, const char *id)
{
	enum chunk_result result;
	struct chunk_session *s;
	unsigned int left;

	s = begin(store);
	if (!s)
		return CHUNK_FAILED;
	if (!chunk_set_id(store, id))
		return end(s, chunk_fail(s, CHUNK_FAILED, "invalid ID '%s'", id));
	result = store->driver->remove(s, MANIFEST);
	if (result == CHUNK_OK)
		result = remove_chunks(s, &left);
	return end(s, result);
}
