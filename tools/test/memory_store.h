/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * memory_store.h - a chunk store in memory, for tests, which can make faults
 */
#ifndef TEST_MEMORY_STORE_H
#define TEST_MEMORY_STORE_H

#include <pthread.h>

#include "store/chunk.h"

#define MEMORY_OBJECTS	64

/* Objects, and what goes wrong. */
struct memory_store {
	struct chunk_store common;
	pthread_mutex_t lock;
	unsigned int count;
	struct memory_object {
		char name[160];
		uint8_t *data;
		size_t size;
		char changed[32];
	} object[MEMORY_OBJECTS];	/* in the order of their names */
	bool held;			/* chunk_close() keeps the objects */
	char now[32];			/* time of the next puts */
	unsigned int fail_put;		/* number of the chunk whose put fails */
	bool blocked;			/* puts wait until they are cancelled */
	bool lose_answer;		/* to the next put of a new object */
	bool silent;			/* no answer to any request */
	unsigned int changes;		/* objects stored or removed */
	unsigned int last_change;	/* further changes fail; 0 = none fails */
	const char *refuse;		/* puts of names that contain it fail */
};

struct memory_store *memory_store_new(const char *address, const struct chunk_options *options);
/* Also while it is held. */
void memory_store_free(struct memory_store *m);
struct memory_object *memory_store_find(struct memory_store *m, const char *name);
/* Store an object, without faults. */
void memory_store_put(struct memory_store *m, const char *name, const void *data, size_t size);
void memory_store_remove(struct memory_store *m, const char *name);

#endif /* TEST_MEMORY_STORE_H */
