// SPDX-License-Identifier: GPL-2.0-only
/*
 * publish_chunks.c - a backup in a chunk store: complete, or without a manifest
 *
 * Two runs may write below the same address at the same time, as each has chunks of its
 * own. The one that stores its manifest first has made the backup; the other one fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publish.h"

static bool interrupted(void *context)
{
	(void)context;
	return vdi_signal_received();
}

bool publication_prepare_chunks(struct publication *p, struct chunk_store *store)
{
	*p = (struct publication){
		.parent = -1,
		.dir = -1,
		.lock = -1,
		.chunks = store,
		.path = strdup(chunk_address(store)),
		.partial = strdup(chunk_address(store)),
	};
	if (!p->path || !p->partial) {
		vdi_error("out of memory");
		return false;
	}
	chunk_stop_with(store, interrupted, NULL);
	if (chunk_begin(store) == CHUNK_OK)
		return true;
	vdi_error("cannot back up to %s: %s", p->path, chunk_why(store));
	return false;
}

bool publish_chunks(struct publication *p, const struct manifest *manifest,
		    bool (*stop)(void *context), void *context)
{
	char *text = manifest_text(manifest);
	enum chunk_result result = CHUNK_FAILED;

	if (!text) {
		snprintf(p->why, sizeof(p->why), "cannot write the manifest of %s: %s",
			 p->path, strerror(errno));
		return false;
	}
	/* after an abort the database reports a failure: do not publish */
	if (!stop(context)) {
		result = chunk_publish(p->chunks, text, strlen(text));
		if (result != CHUNK_OK)
			snprintf(p->why, sizeof(p->why), "%.*s", (int)sizeof(p->why) - 1,
				 chunk_why(p->chunks));
	}
	free(text);
	p->published = result == CHUNK_OK;
	p->unknown = result == CHUNK_UNKNOWN;
	return p->published;
}

bool discard_chunks(struct publication *p, bool quiet)
{
	char name[64];
	unsigned int left;

	if (p->published) {
		vdi_error("%s holds the complete backup, but the database may count it as failed",
			  p->path);
		return false;
	}
	chunk_name(p->chunks, NULL, 0, name, sizeof(name));
	if (p->unknown) {
		vdi_error("%s may hold the complete backup, as the store did not answer: run 'vdi verify %s'; if there is no backup, remove %s/%s",
			  p->path, p->path, p->path, name);
		return false;
	}
	if (chunk_discard(p->chunks, &left) == CHUNK_OK) {
		if (!quiet)
			vdi_error("the data in %s was removed, no backup was made", p->path);
		return true;
	}
	if (left)
		vdi_error("cannot remove %u object%s in %s/%s, which are not a backup: %s",
			  left, left == 1 ? "" : "s", p->path, name, chunk_why(p->chunks));
	else
		vdi_error("cannot remove %s/%s, which is not a backup: %s", p->path, name,
			  chunk_why(p->chunks));
	return false;
}
