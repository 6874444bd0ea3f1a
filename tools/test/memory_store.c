// SPDX-License-Identifier: GPL-2.0-only
/*
 * memory_store.c - a chunk store in memory, for tests
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory_store.h"

struct memory_object *memory_store_find(struct memory_store *m, const char *name)
{
	unsigned int i;

	for (i = 0; i < m->count; i++) {
		if (!strcmp(m->object[i].name, name))
			return &m->object[i];
	}
	return NULL;
}

static struct memory_object *insert(struct memory_store *m, const char *name)
{
	unsigned int at = 0;

	if (m->count == MEMORY_OBJECTS)
		abort();
	while (at < m->count && strcmp(m->object[at].name, name) < 0)
		at++;
	memmove(&m->object[at + 1], &m->object[at], (m->count - at) * sizeof(m->object[0]));
	m->count++;
	m->object[at] = (struct memory_object){ 0 };
	snprintf(m->object[at].name, sizeof(m->object[at].name), "%s", name);
	return &m->object[at];
}

void memory_store_put(struct memory_store *m, const char *name, const void *data, size_t size)
{
	struct memory_object *o = memory_store_find(m, name);

	if (!o)
		o = insert(m, name);
	free(o->data);
	o->data = malloc(size + 1);
	o->size = size;
	memcpy(o->data, data, size);
	snprintf(o->changed, sizeof(o->changed), "%s", m->now);
}

void memory_store_remove(struct memory_store *m, const char *name)
{
	struct memory_object *o = memory_store_find(m, name);

	if (!o)
		return;
	free(o->data);
	m->count--;
	memmove(o, o + 1, (&m->object[m->count] - o) * sizeof(*o));
}

static struct chunk_session *m_connect(struct chunk_store *store)
{
	struct chunk_session *s = calloc(1, sizeof(*s));

	s->store = store;
	return s;
}

static void m_disconnect(struct chunk_session *s)
{
	free(s);
}

void memory_store_free(struct memory_store *m)
{
	unsigned int i;

	for (i = 0; i < m->count; i++)
		free(m->object[i].data);
	pthread_mutex_destroy(&m->lock);
	free(m);
}

static void m_close(struct chunk_store *store)
{
	struct memory_store *m = (struct memory_store *)store;

	if (!m->held)
		memory_store_free(m);
}

/* False: the test does not let anything change any more. */
static bool may_change(struct memory_store *m)
{
	return ++m->changes <= m->last_change || !m->last_change;
}

static enum chunk_result add(struct memory_store *m, const char *name, const void *data,
			     size_t size, bool only_new)
{
	if (only_new && memory_store_find(m, name))
		return CHUNK_EXISTS;
	if (m->refuse && strstr(name, m->refuse))
		return CHUNK_FAILED;
	if (!may_change(m))
		return CHUNK_FAILED;
	memory_store_put(m, name, data, size);
	return CHUNK_OK;
}

static enum chunk_result m_put(struct chunk_session *s, const char *name, const void *data,
			       size_t size, bool only_new)
{
	struct memory_store *m = (struct memory_store *)s->store;
	const char *last = strrchr(name, '/');
	enum chunk_result result;

	while (m->blocked) {
		if (chunk_session_stopped(s))
			return chunk_fail(s, CHUNK_STOPPED, "stopped");
		chunk_session_sleep(s, 0);
	}
	if (m->fail_put && last && (unsigned int)atoi(last + 1) == m->fail_put)
		return chunk_fail(s, CHUNK_FAILED, "the put of %u fails", m->fail_put);
	pthread_mutex_lock(&m->lock);
	result = m->silent && !m->lose_answer ? CHUNK_UNKNOWN :
		 add(m, name, data, size, only_new);
	if (only_new && m->lose_answer) {
		m->lose_answer = false;
		result = CHUNK_UNKNOWN;
	}
	pthread_mutex_unlock(&m->lock);
	return result == CHUNK_OK ? result : chunk_fail(s, result, "no answer");
}

static enum chunk_result m_get(struct chunk_session *s, const char *name, void *data, size_t room,
			       size_t *size)
{
	struct memory_store *m = (struct memory_store *)s->store;
	enum chunk_result result = CHUNK_MISSING;
	struct memory_object *o;

	pthread_mutex_lock(&m->lock);
	o = memory_store_find(m, name);
	if (o && o->size <= room) {
		memcpy(data, o->data, o->size);
		*size = o->size;
		result = CHUNK_OK;
	}
	pthread_mutex_unlock(&m->lock);
	return m->silent ? chunk_fail(s, CHUNK_FAILED, "no answer") : result;
}

static enum chunk_result m_head(struct chunk_session *s, const char *name, uint64_t *size)
{
	struct memory_store *m = (struct memory_store *)s->store;
	struct memory_object *o = memory_store_find(m, name);

	if (m->silent)
		return chunk_fail(s, CHUNK_FAILED, "no answer");
	*size = o ? o->size : 0;
	return o ? CHUNK_OK : CHUNK_MISSING;
}

static enum chunk_result m_remove(struct chunk_session *s, const char *name)
{
	struct memory_store *m = (struct memory_store *)s->store;

	if (!may_change(m))
		return chunk_fail(s, CHUNK_FAILED, "no answer");
	memory_store_remove(m, name);
	return CHUNK_OK;
}

/* The names at the time of the call, as listed() may remove objects. */
static unsigned int copy_names(const struct memory_store *m, const char *prefix,
			       struct memory_object *copy)
{
	unsigned int i, count = 0;

	for (i = 0; i < m->count; i++) {
		if (!strncmp(m->object[i].name, prefix, strlen(prefix)))
			copy[count++] = m->object[i];
	}
	return count;
}

/* Make a name of all that begin with the same "NAME/". False: listed already. */
static bool combine(struct memory_object *o, size_t skip, char *last)
{
	char *slash = strchr(o->name + skip, '/');

	if (!slash)
		return true;
	slash[1] = '\0';
	o->size = 0;
	*o->changed = '\0';
	if (!strcmp(last, o->name))
		return false;
	strcpy(last, o->name);
	return true;
}

static enum chunk_result m_list(struct chunk_session *s, const char *prefix, bool shallow,
				chunk_listed *listed, void *context)
{
	struct memory_store *m = (struct memory_store *)s->store;
	struct memory_object copy[MEMORY_OBJECTS];
	char last[sizeof(copy[0].name)] = "";
	unsigned int i, count = copy_names(m, prefix, copy);

	if (m->silent)
		return chunk_fail(s, CHUNK_FAILED, "no answer");
	for (i = 0; i < count; i++) {
		if (shallow && !combine(&copy[i], strlen(prefix), last))
			continue;
		if (!listed(context, copy[i].name, copy[i].size, copy[i].changed))
			break;
	}
	return CHUNK_OK;
}

static const struct chunk_driver driver = {
	.close = m_close,
	.connect = m_connect,
	.disconnect = m_disconnect,
	.put = m_put,
	.get = m_get,
	.head = m_head,
	.remove = m_remove,
	.list = m_list,
};

struct memory_store *memory_store_new(const char *address, const struct chunk_options *options)
{
	struct memory_store *m = calloc(1, sizeof(*m));

	pthread_mutex_init(&m->lock, NULL);
	chunk_init_store(&m->common, &driver, address, options);
	return m;
}
