// SPDX-License-Identifier: GPL-2.0-only
/*
 * backup.c - vdi backup: store a database's backup in a directory
 *
 * The media of each device and then the manifest are written to DIR.partial, which
 * is renamed to DIR at the end. DIR is therefore a complete backup or does not
 * exist, and the remains of a crash are recognizable by their name.
 *
 * With VDC_Complete, success is reported after the rename. Without it, the last
 * Flush is completed when the data is durable.
 *
 * A failure of a medium is reported to the database by a completion code, and the
 * database decides how to continue. The failure is also recorded with
 * appliance_note(), and after that nothing is published.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "backup.h"
#include "catalog/place.h"
#include "hook.h"
#include "vdi.h"

#define PATIENCE 300	/* seconds without a command before VDC_Complete fails */

static bool right_direction(struct appliance *a)
{
	uint32_t features = a->config.features;

	if (!(features & VDF_WriteMedia)) {
		appliance_fail(a, EXIT_FAILED,
			       "the database wants to restore, not to back up");
		return false;
	}
	if ((features & VDF_ReadMedia) &&
	    medium_profile_of(features) == MEDIUM_PIPE) {
		appliance_fail(a, EXIT_FAILED,
			       "the database also wants to read, which requires --profile disk or tape");
		return false;
	}
	return true;
}

static bool open_stages(struct appliance *a, struct drive_config *config)
{
	struct backup *b = a->job;

	if (!backup_is_staged(b))
		return true;
	config->stages = &b->stages;
	if (!b->stages.codec)
		return true;
	b->stages.pool = compress_pool_open(b->stages.codec, b->level,
					    b->compress_threads, a->count);
	if (!b->stages.pool)
		appliance_fail(a, EXIT_FAILED,
			       "cannot start the threads that compress: %s",
			       strerror(errno));
	return b->stages.pool;
}

static bool backup_configured(struct appliance *a)
{
	struct backup *b = a->job;
	struct drive_config config = {
		.profile = medium_profile_of(a->config.features),
		.writing = true,
		.features = a->config.features,
		.block_size = a->config.blockSize,
		.soft_mark_size = a->config.softFileMarkBlockSize,
		.eom_warning = a->config.EOMWarningSize,
	};
	unsigned int i;

	if (!right_direction(a))
		return false;
	config.stop = appliance_stopped;
	config.stop_context = a;
	appliance_drive_options(a, &config);
	appliance_chunks(a, b->publication.chunks, &config);
	/* a capacity requires media that can be changed */
	if (a->config.features & VDF_Removable)
		config.capacity = b->capacity;
	if (!open_stages(a, &config))
		return false;
	for (i = 0; i < a->count; i++) {
		struct drive *drive = &b->worker[i].drive;

		a->worker[i].drive = drive;
		config.device = i;
		if (pipeline_used(a) && !pipeline_open(a, i, &config))
			return false;
		if (getrandom(&config.family, sizeof(config.family), 0) < 0)
			config.family = vdi_now() * 1e9;
		if (!drive_open(drive, &config, b->publication.dir, NULL)) {
			appliance_fail(a, EXIT_FAILED, "%s", drive->why);
			return false;
		}
	}
	return true;
}

/* ------------------------------------------------------------- completion */

static void set_stage(struct worker *worker, enum backup_stage stage)
{
	struct appliance *a = worker->appliance;
	struct backup *b = a->job;

	pthread_mutex_lock(&a->lock);
	b->worker[worker->index].stage = stage;
	pthread_cond_broadcast(&b->stage_cond);
	pthread_mutex_unlock(&a->lock);
}

/*
 * Called under the lock. Discarded data is not part of a backup, so a device is
 * not settled after Discard until data was written again.
 */
static bool all_settled(struct appliance *a)
{
	struct backup *b = a->job;
	unsigned int i;

	for (i = 0; i < a->count; i++) {
		if (b->worker[i].stage == STAGE_WRITING ||
		    b->worker[i].discarded)
			return false;
	}
	return true;
}

/* The database has finished a device: has it done all that a backup requires? */
static void check_whole(struct worker *worker)
{
	struct appliance *a = worker->appliance;
	struct backup *b = a->job;
	char text[512];

	/* failures of the drive and aborts have their own messages */
	if (vdi_client_device_outcome(worker->device) == VD_E_PROTOCOL) {
		vdi_client_message(a->client, text, sizeof(text));
		appliance_note(a, EXIT_FAILED, "%s", text);
	}
	if (b->snapshot_command && !b->snapshot_taken)
		appliance_note(a, EXIT_FAILED,
			       "the database did not request a snapshot");
}

/* Called under the lock: has no command arrived for PATIENCE seconds? */
static bool is_stalled(struct appliance *a, uint64_t *commands,
			 double *moved)
{
	uint64_t now = appliance_commands(a);

	if (now != *commands || a->busy) {
		*commands = now;
		*moved = vdi_now();
	}
	return vdi_now() - *moved > PATIENCE;
}

/*
 * Wait until every device is settled and the backup is published. True if this
 * thread has to publish it. If the database completes one device before it has
 * flushed the others, both sides would wait for each other; this is detected.
 */
static bool wait_until_settled(struct appliance *a)
{
	struct backup *b = a->job;
	double moved = vdi_now();
	uint64_t commands = 0;
	bool publisher = false, stuck = false;

	pthread_mutex_lock(&a->lock);
	while (a->exit_code == EXIT_OK && !b->published && !publisher &&
	       !stuck) {
		if (all_settled(a) && !b->publishing) {
			b->publishing = true;
			publisher = true;
			continue;
		}
		/* an abort does not signal this condition, so poll */
		vdi_cond_wait(&b->stage_cond, &a->lock, 1000);
		stuck = !b->publishing && is_stalled(a, &commands, &moved);
	}
	pthread_mutex_unlock(&a->lock);
	if (stuck)
		appliance_note(a, EXIT_FAILED,
			       "the database sent VDC_Complete on a device before it flushed the others");
	return publisher;
}

static bool publish(struct appliance *a)
{
	struct backup *b = a->job;
	bool done = backup_publish(a);

	pthread_mutex_lock(&a->lock);
	b->published = done;
	b->publishing = done;
	pthread_cond_broadcast(&b->stage_cond);
	pthread_mutex_unlock(&a->lock);
	return done;
}

/*
 * VDC_Complete: the database has sent all data of all devices. Wait for devices
 * that are still busy; the first worker that finds all of them settled publishes.
 * Success is reported only after that.
 */
static bool complete_backup(struct worker *worker, struct outcome *outcome)
{
	struct appliance *a = worker->appliance;
	struct backup *b = a->job;
	bool mine, done, aborting;

	check_whole(worker);
	set_stage(worker, STAGE_ENDED);
	/* waiting for the database counts as idle */
	a->busy--;
	mine = wait_until_settled(a);
	a->busy++;
	if (mine)
		publish(a);
	pthread_mutex_lock(&a->lock);
	done = b->published && a->exit_code == EXIT_OK;
	aborting = a->aborting;
	pthread_mutex_unlock(&a->lock);
	if (!done)
		outcome->code = ERROR_IO_DEVICE;
	return !aborting;
}

/* --------------------------------------------------------------- commands */

static bool changes(int code)
{
	return code == VDC_Write || code == VDC_WriteMark ||
	       code == VDC_Discard;
}

static bool begin_change(struct worker *worker, int code)
{
	struct appliance *a = worker->appliance;
	struct backup *b = a->job;
	bool late;

	pthread_mutex_lock(&a->lock);
	late = b->publishing || b->published;
	if (changes(code))
		b->worker[worker->index].stage = STAGE_WRITING;
	pthread_mutex_unlock(&a->lock);
	if (late)
		appliance_fail(a, EXIT_FAILED,
			       "the database sent %s after it had completed the backup",
			       vdi_command_name(code));
	return !late;
}

static void run_drive(struct worker *worker, const struct VDC_Command *cmd,
		      struct outcome *outcome)
{
	pthread_mutex_lock(&worker->lock);
	drive_execute(worker->drive, cmd, outcome);
	pthread_mutex_unlock(&worker->lock);
}

static void set_discarded(struct worker *worker, bool discarded)
{
	struct appliance *a = worker->appliance;
	struct backup *b = a->job;

	pthread_mutex_lock(&a->lock);
	b->worker[worker->index].discarded = discarded;
	pthread_mutex_unlock(&a->lock);
}

static void note_outcome(struct worker *worker, int code,
			 const struct outcome *outcome)
{
	struct appliance *a = worker->appliance;
	struct backup *b = a->job;
	struct backup_worker *bw = &b->worker[worker->index];

	if (bw->drive.trouble != DRIVE_FINE)
		appliance_note(a, EXIT_FAILED, "%s", bw->drive.why);
	if (outcome->code != ERROR_SUCCESS &&
	    outcome->code != ERROR_END_OF_MEDIA)
		return;
	if (code == VDC_Flush)
		set_stage(worker, STAGE_FLUSHED);
	else if (code == VDC_Discard)
		set_discarded(worker, true);
	else if (code == VDC_Write && bw->discarded)
		set_discarded(worker, false);
}

static bool execute_on_drive(struct worker *worker,
			     const struct VDC_Command *cmd,
			     struct outcome *outcome)
{
	struct backup *b = worker->appliance->job;
	struct backup_worker *bw = &b->worker[worker->index];
	int code = cmd->commandCode;

	if (((changes(code) && bw->stage != STAGE_WRITING) ||
	     code == VDC_Load) && !begin_change(worker, code))
		return false;
	run_drive(worker, cmd, outcome);
	note_outcome(worker, code, outcome);
	return true;
}

/* The first write after a Flush has to call begin_change(), so it waits. */
static bool backup_may_start(struct worker *worker,
			     const struct VDC_Command *cmd)
{
	struct backup *b = worker->appliance->job;

	return cmd->commandCode != VDC_Write ||
	       b->worker[worker->index].stage == STAGE_WRITING;
}

static bool backup_done(struct worker *worker, const struct VDC_Command *cmd,
			const struct outcome *outcome)
{
	note_outcome(worker, cmd->commandCode, outcome);
	return true;
}

/*
 * The metadata is complete and the database is frozen. The database may take the
 * completion as the end of the backup, so the metadata is made durable first.
 */
static void take_snapshot(struct worker *worker, struct outcome *outcome)
{
	static const struct VDC_Command flush = { .commandCode = VDC_Flush };
	struct backup *b = worker->appliance->job;

	run_drive(worker, &flush, outcome);
	note_outcome(worker, VDC_Flush, outcome);
	if (outcome->code != ERROR_SUCCESS)
		return;
	if (hook_run(worker, VDC_Snapshot, b->snapshot_command, b->hook_path))
		b->snapshot_taken = true;
	else
		outcome->code = ERROR_OPERATION_ABORTED;
}

static void prepare_snapshot(struct worker *worker, struct outcome *outcome)
{
	struct backup *b = worker->appliance->job;

	if (b->prepare_command &&
	    !hook_run(worker, VDC_PrepareToFreeze, b->prepare_command,
		      b->hook_path))
		outcome->code = ERROR_OPERATION_ABORTED;
}

static bool backup_execute(struct worker *worker, const struct VDC_Command *cmd,
			   struct outcome *outcome)
{
	struct backup *b = worker->appliance->job;

	switch (cmd->commandCode) {
	case VDC_Complete:
		return complete_backup(worker, outcome);
	case VDC_Snapshot:
		if (!b->snapshot_command)
			break;
		take_snapshot(worker, outcome);
		return true;
	case VDC_PrepareToFreeze:
		if (!(worker->appliance->config.features & VDF_SnapshotPrepare))
			break;
		prepare_snapshot(worker, outcome);
		return true;
	}
	return execute_on_drive(worker, cmd, outcome);
}

static void backup_closed(struct worker *worker)
{
	check_whole(worker);
	set_stage(worker, STAGE_ENDED);
}

/*
 * A database that has enabled VDC_Complete and closes the set without it has given up,
 * also after a snapshot.
 */
static bool backup_finish(struct appliance *a)
{
	struct backup *b = a->job;

	if (b->published)
		return true;
	if (a->config.features & VDF_CompleteEnabled) {
		appliance_note(a, EXIT_FAILED,
			       "the database closed the set without completing the backup");
		return false;
	}
	return publish(a);
}

static const struct appliance_ops backup_ops = {
	.verb = "backup",
	.data = VDC_Write,
	.configured = backup_configured,
	.may_start = backup_may_start,
	.done = backup_done,
	.execute = backup_execute,
	.closed = backup_closed,
	.finish = backup_finish,
};

/* ------------------------------------------------------------ the program */

static void describe_stages(const struct backup *b, uint64_t stored,
			    char *buf, size_t size)
{
	char bytes[32];

	vdi_format_bytes(stored, bytes, sizeof(bytes));
	snprintf(buf, size, " (%s%s, %s stored)",
		 b->stages.codec ? codec_name(b->stages.codec) : "filtered",
		 b->stages.codec && b->stages.command ? ", filtered" : "",
		 bytes);
}

static void summary(struct appliance *a)
{
	struct backup *b = a->job;
	char text[160], media[64] = "";
	unsigned int i, count = 0;
	uint64_t stored = 0;

	for (i = 0; i < a->count; i++) {
		count += b->worker[i].drive.media.count;
		stored += medium_list_bytes(&b->worker[i].drive.media);
	}
	if (backup_is_staged(b))
		describe_stages(b, stored, media, sizeof(media));
	if (a->config.features & VDF_Removable)
		snprintf(media, sizeof(media), ", %u %s%s", count,
			 count == 1 ? "medium" : "media",
			 b->profile == MEDIUM_TAPE ? " (tape)" : "");
	vdi_format_transfer(a->count, media, appliance_bytes(a),
			    vdi_now() - a->started, text, sizeof(text));
	/* standard output may be that of the data */
	fprintf(a->pipeline.standard ? stderr : vdi_report_text(&a->events.report),
		"backup of '%s' is complete%s %s: %s\n", a->names.set,
		pipeline_used(a) ? ", received by" : " in", b->publication.path,
		text);
}

/* Exchange the store of ROOT, whose address was checked, for that of the backup. */
static bool open_new_store(struct backup *b)
{
	struct chunk_options options = *chunk_options(b->chunks);
	char why[CHUNK_WHY_SIZE];

	chunk_close(b->chunks);
	b->chunks = chunk_open(b->new_path, &options, why, sizeof(why));
	if (!b->chunks)
		vdi_error("%s", why);
	return b->chunks;
}

static bool name_backup(struct backup *b, const char *set)
{
	b->new_path = place_new_path(b->into, set, b->started);
	if (!b->new_path)
		return false;
	b->to = b->new_path;
	return !b->chunks || open_new_store(b);
}

/* There is no directory, and no command that gets its name. */
static bool prepare_pipeline(struct appliance *a)
{
	struct backup *b = a->job;
	char what[32];

	pipeline_describe(a, what, sizeof(what));
	return publication_prepare_stream(&b->publication, what);
}

static bool prepare(struct appliance *a)
{
	struct backup *b = a->job;
	struct publication *p = &b->publication;

	if (pipeline_used(a))
		return prepare_pipeline(a);
	if (b->into && !name_backup(b, a->names.set))
		return false;
	if (b->chunks) {
		if (!publication_prepare_chunks(p, b->chunks))
			return false;
		b->hook_path = strdup(p->path);
	} else {
		if (!publication_prepare(p, b->to))
			return false;
		b->hook_path = hook_directory(p->path);
	}
	if (b->hook_path)
		return true;
	vdi_error("cannot resolve %s: %s", p->path, strerror(errno));
	publication_discard(p, true);
	return false;
}

/* On return no data is being stored. */
static void close_drives(struct backup *b)
{
	unsigned int i;

	for (i = 0; i < VDI_MAX_DEVICES; i++)
		drive_close(&b->worker[i].drive);
}

static void release(struct backup *b)
{
	close_drives(b);
	compress_pool_close(b->stages.pool);
	b->stages.pool = NULL;
	publication_release(&b->publication);
	backup_base_close(b);
	free(b->hook_path);
}

static int run(struct appliance *a)
{
	struct backup *b = a->job;
	int rc;

	if (backup_base_open(a) && prepare(a)) {
		rc = appliance_run(a);
		if (rc == EXIT_OK && !a->quiet)
			summary(a);
		close_drives(b);
		if (rc != EXIT_OK)
			publication_discard(&b->publication, a->quiet);
	} else {
		rc = vdi_signal_received() ? EXIT_INTERRUPTED : EXIT_FAILED;
	}
	release(b);
	return rc;
}

int vdi_backup_main(int argc, char **argv)
{
	static struct appliance a;
	/* not open, even if the backup fails before it is */
	static struct backup b = {
		.publication = { .parent = -1, .dir = -1, .lock = -1 },
		.base = { .dir = -1 },
	};
	char *directory;
	int rc;

	b.started = time(NULL);
	b.started_monotonic = vdi_now();
	appliance_init(&a, &backup_ops);
	a.job = &b;
	vdi_cond_init(&b.stage_cond);

	rc = backup_parse(&a, argc, argv);
	if (rc != EXIT_OK)
		return rc;
	rc = events_begin(&a);
	if (rc == EXIT_OK)
		rc = run(&a);
	/* with --into, the directory is known now */
	directory = b.to ? hook_directory(b.to) : NULL;
	rc = events_end(&a, rc, directory ? : b.to ? : b.into ? : "");
	free(directory);
	free(b.new_path);
	return rc;
}
