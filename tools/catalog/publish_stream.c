// SPDX-License-Identifier: GPL-2.0-only
/*
 * publish_stream.c - a backup that commands of the user have stored
 *
 * There is no manifest. All commands have ended with 0, so there is nothing to do but to
 * record that this was a success.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publish.h"

bool publication_prepare_stream(struct publication *p, const char *what)
{
	*p = (struct publication){
		.parent = -1,
		.dir = -1,
		.lock = -1,
		.stream = true,
		.path = strdup(what),
	};
	if (!p->path)
		vdi_error("out of memory");
	return p->path;
}

bool publish_stream(struct publication *p, bool (*stop)(void *context), void *context)
{
	/* after an abort the database reports a failure */
	p->published = !stop(context);
	return p->published;
}

bool discard_stream(struct publication *p, bool quiet)
{
	if (p->published) {
		vdi_error("%s received the complete backup, but the database may count it as failed",
			  p->path);
		return false;
	}
	if (!quiet)
		vdi_error("no backup was made: do not use what %s received", p->path);
	return true;
}
