// SPDX-License-Identifier: GPL-2.0-only
/*
 * backup_end.c - finish the media of a backup and publish it
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backup.h"

static bool make_manifest(struct appliance *a, struct manifest *m)
{
	struct backup *b = a->job;
	const struct publication *p = &b->publication;
	unsigned int i;

	*m = (struct manifest){
		.set = strdup(a->names.set),
		.started = b->started,
		.finished = time(NULL),
		.duration_ms = (vdi_now() - b->started_monotonic) * 1000,
		.given = appliance_bytes(a),
		.profile = medium_profile_of(a->config.features),
		.removable = a->config.features & VDF_Removable,
		.snapshot = b->snapshot_command,
		.codec = b->stages.codec,
		.filtered = b->stages.command,
		.config = a->config,
		.count = a->count,
	};
	if (b->based_on) {
		m->base = strdup(strrchr(b->base_path, '/') + 1);
		m->base_sum = b->base.manifest.sum;
		if (!m->base)
			return false;
	}
	if (p->chunks) {
		memcpy(m->id, chunk_id(p->chunks), sizeof(m->id));
		m->chunk_size = chunk_options(p->chunks)->chunk_size;
	}
	for (i = 0; i < a->count; i++) {
		m->device[i].name = strdup(vdi_names_get(&a->names, i));
		if (!m->device[i].name ||
		    !medium_list_copy(&m->device[i].media,
				       &b->worker[i].drive.media))
			return false;
	}
	return m->set;
}

static bool finish_drives(struct appliance *a)
{
	struct backup *b = a->job;
	unsigned int i;

	for (i = 0; i < a->count; i++) {
		struct drive *drive = &b->worker[i].drive;
		bool ok;

		pthread_mutex_lock(&a->worker[i].lock);
		ok = drive_finish(drive);
		pthread_mutex_unlock(&a->worker[i].lock);
		if (!ok && drive->trouble != DRIVE_FINE)
			appliance_fail(a, EXIT_FAILED, "%s", drive->why);
		if (!ok || appliance_stopped(a))
			return false;
	}
	return true;
}

static bool publish(struct appliance *a, const struct manifest *m)
{
	struct backup *b = a->job;
	struct publication *p = &b->publication;

	if (publication_publish(p, m, appliance_stopped, a))
		return true;
	if (*p->why)
		appliance_fail(a, EXIT_FAILED, "%s", p->why);
	else
		appliance_interrupted(a);
	return false;
}

bool backup_publish(struct appliance *a)
{
	struct backup *b = a->job;
	struct manifest m;
	bool ok;

	if (!finish_drives(a)) {
		appliance_interrupted(a);
		return false;
	}
	if (b->publication.stream)
		return publish(a, NULL);
	if (!backup_base_check(a))
		return false;
	ok = make_manifest(a, &m);
	if (ok)
		ok = publish(a, &m);
	else
		appliance_fail(a, EXIT_FAILED,
			       "cannot write the manifest in %s: %s",
			       b->publication.partial, strerror(ENOMEM));
	manifest_free(&m);
	return ok;
}
