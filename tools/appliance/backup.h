/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * backup.h - vdi backup: what its files share
 */
#ifndef VDI_BACKUP_H
#define VDI_BACKUP_H

#include "appliance.h"
#include "catalog/publish.h"

/* How far a device is, for VDC_Complete. */
enum backup_stage {
	STAGE_WRITING,		/* data since the last Flush */
	STAGE_FLUSHED,		/* nothing since the last Flush */
	STAGE_ENDED		/* Complete asked for, or closed */
};

struct backup_worker {
	struct drive drive;
	enum backup_stage stage;	/* under appliance.lock */
	bool discarded;		/* and nothing written since */
};

struct backup {
	/* options */
	const char *to;
	enum medium_profile profile;
	bool removable;
	bool discard;
	bool zone_given;
	uint64_t capacity;
	const char *prepare_command;
	const char *snapshot_command;	/* this is a backup by snapshot */

	struct publication publication;
	char *hook_path;	/* absolute path, for commands */
	int64_t started;	/* seconds since the epoch */
	double started_monotonic;	/* vdi_now() */
	bool snapshot_taken;
	/* under appliance.lock: a thread publishes, and it is done */
	bool publishing;
	bool published;
	pthread_cond_t stage_cond;
	struct backup_worker worker[VDI_MAX_DEVICES];
};

/*
 * backup_end.c: publish. All device threads are idle, their data is final. False
 * after appliance_fail(), or when the set was aborted meanwhile.
 */
bool backup_publish(struct appliance *a);

/* backup_cli.c; 0 or an exit code */
int backup_parse(struct appliance *a, int argc, char **argv);

#endif /* VDI_BACKUP_H */
