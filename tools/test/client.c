// SPDX-License-Identifier: GPL-2.0-only
/*
 * client.c - a scripted backup program for tests, which can misbehave
 *
 *   client NAME DIR [OPTION...]
 *
 *   --devices N  --profile pipe|disk|tape  --removable  --discard  --complete
 *   --prepare  --soft BYTES  --zone BYTES  --instance NAME
 *   --capacity BYTES   of each medium; without a zone a write that does not fit
 *                      is stored in part, with a zone there is a warning
 *   --keep             read the media in DIR instead of overwriting them
 *   --simple           required commands only, like the samples of the interface
 *   --stay             a read that meets a filemark stops before it
 *   --batch N          fetch up to N commands, complete the last one first
 *   --fault CMD:N:WHAT result of the Nth command CMD (a number) of device 0: a
 *                      completion code; or short, flip, die, abort, hang, lost
 *                      (success without effect), part (all but the last block is
 *                      stored, as at the end of a medium), bytes=N (in the header
 *                      block that was read, with a matching checksum)
 *   --watch FILE       record in the log whether FILE exists
 *
 * Every command is a line of DIR/log. Exit status: 0 all devices were closed,
 * 3 aborted, 9 other errors.
 */
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "database/descriptor.h"

#define MAX_DEVICES	64
#define MAX_BATCH	32
#define MAX_FAULTS	8

static struct fault {
	int command;
	unsigned int at;
	unsigned int seen;
	const char *what;
} faults[MAX_FAULTS];
static unsigned int nfaults;
static unsigned int batch = 1;
static const char *watch;
static FILE *logfile;
static struct vdi_client *client;

struct worker {
	struct vdi_client_device *device;
	struct store store;
	pthread_t thread;
	int rc;
};

static void die(const char *what)
{
	char text[256];

	vdi_client_message(client, text, sizeof(text));
	fprintf(stderr, "client: %s: %s\n", what, text);
	exit(9);
}

static const char *fault_for(const struct worker *worker, int command)
{
	unsigned int i;

	for (i = 0; worker->store.device == 0 && i < nfaults; i++) {
		if (faults[i].command == command &&
		    ++faults[i].seen == faults[i].at)
			return faults[i].what;
	}
	return NULL;
}

/* True: the command needs no further processing. */
static bool misbehave(const char *what, struct VDC_Command *cmd,
		      struct result *result)
{
	if (what[0] >= '0' && what[0] <= '9') {
		result->code = atoi(what);
		return true;
	}
	if (!strcmp(what, "die"))
		raise(SIGKILL);
	if (!strcmp(what, "hang"))
		pause();
	if (!strcmp(what, "abort"))
		vdi_client_signal_abort(client, 1, "told to");
	if (!strcmp(what, "lost")) {
		result->bytes = cmd->size;
		return true;
	}
	return false;
}

/* Change the size in a header block of vdi serve, with a matching checksum. */
static void forge(uint8_t *data, const char *bytes)
{
	struct descriptor block;

	memcpy(&block, data, sizeof(block));
	block.bytes = htole64(strtoull(bytes, NULL, 10));
	block.block_xxh3 = htole64(XXH3_64bits(&block,
			offsetof(struct descriptor, block_xxh3)));
	memcpy(data, &block, sizeof(block));
}

static void execute(struct worker *worker, struct VDC_Command *cmd,
		    struct result *result)
{
	const char *what = fault_for(worker, cmd->commandCode);
	struct VDC_Command own = *cmd;

	*result = (struct result){ 0 };
	if (what && misbehave(what, &own, result))
		return;
	if (what && (!strcmp(what, "short") || !strcmp(what, "part")))
		own.size -= worker->store.block_size;
	if (what && !strcmp(what, "flip") && cmd->commandCode == VDC_Write)
		cmd->buffer[cmd->size / 2] ^= 1;
	store_execute(&worker->store, &own, result);
	if (what && !strncmp(what, "bytes=", 6))
		forge(cmd->buffer, what + 6);
	if (what && !strcmp(what, "part"))
		result->code = ERROR_END_OF_MEDIA;
	if (what && !strcmp(what, "flip") && cmd->commandCode == VDC_Read)
		cmd->buffer[cmd->size / 2] ^= 1;
	if (what && !strcmp(what, "flip") && cmd->commandCode == VDC_Write)
		cmd->buffer[cmd->size / 2] ^= 1;
}

static void note(const struct worker *worker, const struct VDC_Command *cmd,
		 const struct result *result)
{
	flockfile(logfile);
	fprintf(logfile, "%u m%u %s %d @%lld -> %d %u @%lld%s\n",
		worker->store.device, worker->store.ordinal,
		vdi_command_name(cmd->commandCode), cmd->size,
		(long long)cmd->position, result->code, result->bytes,
		(long long)result->position,
		watch && !access(watch, F_OK) ? " watched" : "");
	fflush(logfile);
	funlockfile(logfile);
}

static int run_batch(struct worker *worker)
{
	struct VDC_Command *cmd[MAX_BATCH];
	struct result result[MAX_BATCH];
	unsigned int n = 0;
	int rc, last;

	rc = vdi_client_get_command(worker->device, -1, &cmd[n]);
	last = rc;
	while (last == NOERROR) {
		execute(worker, cmd[n], &result[n]);
		note(worker, cmd[n], &result[n]);
		if (++n == batch)
			break;
		/* no further command is delivered after a write that was stored in part */
		last = vdi_client_get_command(worker->device,
				result[n - 1].code == ERROR_END_OF_MEDIA ?
				5000 : 0, &cmd[n]);
	}
	while (n && rc == NOERROR) {
		n--;
		rc = vdi_client_complete_command(worker->device, cmd[n],
						 result[n].code,
						 result[n].bytes,
						 result[n].position);
	}
	return rc;
}

static void *run_worker(void *arg)
{
	struct worker *worker = arg;

	do
		worker->rc = run_batch(worker);
	while (worker->rc == NOERROR);
	store_close(&worker->store);
	return NULL;
}

static struct worker workers[MAX_DEVICES];

static void open_worker(unsigned int i, const char *name,
			const struct VDConfig *config,
			const struct store *wish)
{
	struct worker *worker = &workers[i];
	char device[256];

	snprintf(device, sizeof(device), i ? "%s%u" : "%s", name, i);
	if (vdi_client_open_device(client, device, &worker->device))
		die(device);
	worker->store = *wish;
	worker->store.device = i;
	worker->store.features = config->features;
	worker->store.block_size = config->blockSize;
	if (!wish->keep)
		store_discard(&worker->store);
	if (!store_open(&worker->store, 1))
		die("no first medium");
}

static int finish(unsigned int count)
{
	struct vdi_abort_info info;
	char text[512];
	unsigned int i;
	int rc = NOERROR;

	for (i = 0; i < count; i++) {
		pthread_join(workers[i].thread, NULL);
		if (workers[i].rc != VD_E_CLOSE)
			rc = workers[i].rc;
	}
	if (rc == NOERROR) {
		fputs("closed\n", logfile);
		vdi_client_free(client);
		return fclose(logfile) ? 9 : 0;
	}
	vdi_client_abort_info(client, &info);
	vdi_abort_describe(&info, text, sizeof(text));
	fprintf(logfile, "%s\n", rc == VD_E_ABORT ? "aborted" : "failed");
	fclose(logfile);
	fprintf(stderr, "client: %s: %s\n", vdi_strerror(rc), text);
	vdi_client_free(client);
	return rc == VD_E_ABORT ? 3 : 9;
}

static uint32_t profile(const char *name)
{
	if (!strcmp(name, "pipe"))
		return VDF_LikePipe;
	if (!strcmp(name, "disk"))
		return VDF_LikeDisk;
	if (!strcmp(name, "tape"))
		return VDF_LikeTape;
	fprintf(stderr, "client: no profile %s\n", name);
	exit(9);
}

static void add_fault(char *text)
{
	struct fault *fault = &faults[nfaults++];

	fault->command = strtol(text, &text, 10);
	fault->at = strtol(text + 1, &text, 10);
	fault->what = text + 1;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "devices", required_argument, NULL, 'n' },
		{ "profile", required_argument, NULL, 'p' },
		{ "removable", no_argument, NULL, 'R' },
		{ "discard", no_argument, NULL, 'D' },
		{ "complete", no_argument, NULL, 'C' },
		{ "prepare", no_argument, NULL, 'P' },
		{ "soft", required_argument, NULL, 's' },
		{ "zone", required_argument, NULL, 'z' },
		{ "instance", required_argument, NULL, 'i' },
		{ "capacity", required_argument, NULL, 'c' },
		{ "keep", no_argument, NULL, 'k' },
		{ "simple", no_argument, NULL, 'S' },
		{ "stay", no_argument, NULL, 'y' },
		{ "batch", required_argument, NULL, 'b' },
		{ "fault", required_argument, NULL, 'f' },
		{ "watch", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 }
	};
	struct VDConfig config = { .deviceCount = 1 };
	struct store wish = { 0 };
	const char *instance = NULL, *name;
	char path[256];
	unsigned int i;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'n': config.deviceCount = atoi(optarg); break;
		case 'p': config.features |= profile(optarg); break;
		case 'R': config.features |= VDF_Removable; break;
		case 'D': config.features |= VDF_Discard; break;
		case 'C': config.features |= VDF_RequestComplete; break;
		case 'P': config.features |= VDF_SnapshotPrepare; break;
		case 's': config.softFileMarkBlockSize = atoi(optarg); break;
		case 'z': config.EOMWarningSize = atoi(optarg); break;
		case 'i': instance = optarg; break;
		case 'c': wish.capacity = atoll(optarg); break;
		case 'k': wish.keep = true; break;
		case 'S': wish.simple = true; break;
		case 'y': wish.stay = true; break;
		case 'b': batch = atoi(optarg); break;
		case 'f': add_fault(optarg); break;
		case 'w': watch = optarg; break;
		default: return 9;
		}
	}
	if (optind + 2 != argc || batch < 1 || batch > MAX_BATCH)
		return 9;
	name = argv[optind];
	wish.zone = config.EOMWarningSize;
	wish.soft = config.softFileMarkBlockSize;
	snprintf(wish.dir, sizeof(wish.dir), "%s", argv[optind + 1]);
	snprintf(path, sizeof(path), "%s/log", wish.dir);
	logfile = fopen(path, "w");
	if (!logfile) {
		perror(path);
		return 9;
	}
	if (vdi_client_new(&client) ||
	    vdi_client_create(client, instance, name, &config, NULL))
		die("create");
	if (vdi_client_get_configuration(client, 60000, &config)) {
		fputs("aborted\n", logfile);
		fflush(logfile);
		die("configuration");
	}
	/* a command may abort the set, after which no device can be opened */
	for (i = 0; i < config.deviceCount; i++)
		open_worker(i, name, &config, &wish);
	for (i = 0; i < config.deviceCount; i++)
		pthread_create(&workers[i].thread, NULL, run_worker, &workers[i]);
	return finish(config.deviceCount);
}
