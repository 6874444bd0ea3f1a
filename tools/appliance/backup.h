/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * backup.h - vdi backup: what its files share
 */
#ifndef VDI_BACKUP_H
#define VDI_BACKUP_H

#include "appliance.h"
#include "catalog/publish.h"
#include "catalog/source.h"

/* State of a device, for VDC_Complete. */
enum backup_stage {
	STAGE_WRITING,		/* data since the last Flush */
	STAGE_FLUSHED,		/* nothing since the last Flush */
	STAGE_ENDED		/* VDC_Complete received, or closed */
};

struct backup_worker {
	struct drive drive;
	enum backup_stage stage;	/* under appliance.lock */
	bool discarded;		/* and nothing was written since */
};

struct backup {
	/* options */
	const char *to;
	const char *into;	/* NULL = `to` is given */
	const char *based_on;	/* NULL = a backup that is complete in itself */
	enum medium_profile profile;
	bool removable;
	bool discard;
	bool zone_given;
	uint64_t capacity;
	const char *prepare_command;
	const char *snapshot_command;	/* NULL = no snapshot */
	struct medium_stages stages;	/* of the media of all devices */
	int level;			/* of the compression; 0 = default */
	unsigned int compress_threads;	/* 0 = default */

	char *new_path;		/* made of `into` */
	struct source base;	/* the backup this one is based on, which is kept open */
	char *base_path;
	struct chunk_store *chunks;	/* NULL = `to` is a directory */
	struct publication publication;
	char *hook_path;	/* absolute path, for commands */
	int64_t started;	/* seconds since the epoch */
	double started_monotonic;	/* vdi_now() */
	bool snapshot_taken;
	/* under appliance.lock: a thread is publishing, has published */
	bool publishing;
	bool published;
	pthread_cond_t stage_cond;
	struct backup_worker worker[VDI_MAX_DEVICES];
};

/*
 * backup_end.c: publish the backup. All workers are idle and their data is final.
 * False after appliance_fail(), or if the set was aborted meanwhile.
 */
bool backup_publish(struct appliance *a);

/* backup_base.c: open the backup of --based-on, so that vdi expire keeps it */
bool backup_base_open(struct appliance *a);
/* Is it still there? False after appliance_fail(). */
bool backup_base_check(struct appliance *a);
void backup_base_close(struct backup *b);

/* backup_cli.c; 0 or an exit code */
int backup_parse(struct appliance *a, int argc, char **argv);

/* stages_cli.c: options of compression and filter, and their check; 0 or an exit code */
int stages_cli_compress(struct backup *b, const char *argument);
int stages_cli_threads(struct backup *b, const char *argument);
int stages_cli_filter(struct backup *b, const char *argument);
int stages_cli_check(const struct appliance *a);
bool backup_is_staged(const struct backup *b);

#endif /* VDI_BACKUP_H */
