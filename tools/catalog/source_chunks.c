// SPDX-License-Identifier: GPL-2.0-only
/*
 * source_chunks.c - a backup in a chunk store, opened to read it
 */
#include <stdio.h>
#include <stdlib.h>

#include "source.h"

static bool interrupted(void *context)
{
	(void)context;
	return vdi_signal_received();
}

static int damaged(const struct source *s, const char *why)
{
	vdi_error("backup %s is damaged: %s", s->path, why);
	return EXIT_DAMAGED;
}

static int failed(const struct source *s, enum chunk_result result)
{
	switch (result) {
	case CHUNK_MISSING:
		return damaged(s, "it has no " MANIFEST_FILE ", so it is incomplete");
	case CHUNK_DAMAGED:
		return damaged(s, chunk_why(s->chunks));
	case CHUNK_STOPPED:
		vdi_error("interrupted");
		return EXIT_INTERRUPTED;
	default:
		vdi_error("%s", chunk_why(s->chunks));
		return EXIT_FAILED;
	}
}

static int parse(struct source *s, const char *text, size_t size)
{
	const char *why;
	int rc = manifest_parse(text, size, &s->manifest, &why);

	if (rc != EXIT_OK)
		return damaged(s, why);
	if (chunk_set_id(s->chunks, s->manifest.id))
		return EXIT_OK;
	return damaged(s, "its manifest is that of a directory");
}

int source_open_chunks(struct source *s, const char *path,
		       const struct chunk_options *options)
{
	enum chunk_result result;
	char why[CHUNK_WHY_SIZE];
	size_t size;
	char *text;
	int rc;

	*s = (struct source){ .path = path, .dir = -1 };
	s->chunks = chunk_open(path, options, why, sizeof(why));
	if (!s->chunks) {
		vdi_error("%s", why);
		return EXIT_FAILED;
	}
	chunk_stop_with(s->chunks, interrupted, NULL);
	result = chunk_manifest(s->chunks, MANIFEST_MAX_SIZE, &text, &size);
	if (result != CHUNK_OK)
		return failed(s, result);
	rc = parse(s, text, size);
	free(text);
	return rc;
}
