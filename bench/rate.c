// SPDX-License-Identifier: GPL-2.0-only
/*
 * rate.c - the throughput of a set that has a rate limit
 *
 * The server changes the limit of a running set, and measures for ten seconds each.
 * Fails beyond five per cent of a limit. With "vm/run --icount --alone" the clock counts
 * instructions, so that the result does not depend on the host.
 */
#include <err.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libvdi.h>

#define SIZE		65536
#define DEPTH		4
#define MAX_DEVICES	4
#define SECONDS		10
#define MIB		(1U << 20)

static const uint64_t limits[] = { 4 * MIB, MIB, 32 * MIB };

static struct {
	struct vdi_server *server;
	struct vdi_server_device *device[MAX_DEVICES];
	struct VDS_Command command[MAX_DEVICES][DEPTH];
	uint64_t bytes;
	unsigned int outstanding;
	bool stopping;
} sender;

static void need(int code, const char *doing)
{
	if (code != NOERROR)
		errx(1, "%s: %s", doing, vdi_strerror(code));
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* ----------------------------------------------------------------------- client */

static void *complete_all(void *device)
{
	struct VDC_Command *cmd;
	int code;

	while ((code = vdi_client_get_command(device, -1, &cmd)) == NOERROR)
		need(vdi_client_complete_command(device, cmd, ERROR_SUCCESS, cmd->size, 0),
		     "complete");
	if (code != VD_E_CLOSE)
		need(code, "get a command");
	return NULL;
}

static void client(const char *name, unsigned int devices, int created)
{
	struct VDConfig config = { .deviceCount = devices };
	struct vdi_client_device *device;
	pthread_t thread[MAX_DEVICES];
	struct vdi_client *c;
	unsigned int i;

	need(vdi_client_new(&c), "client");
	need(vdi_client_create(c, NULL, name, &config, NULL), "create the set");
	close(created);
	need(vdi_client_get_configuration(c, 60000, &config), "configuration");
	for (i = 0; i < devices; i++) {
		need(vdi_client_open_device(c, NULL, &device), "open a device");
		if (pthread_create(&thread[i], NULL, complete_all, device))
			errx(1, "cannot create a thread");
	}
	for (i = 0; i < devices; i++)
		pthread_join(thread[i], NULL);
	need(vdi_client_close(c), "close the set");
	vdi_client_free(c);
}

/* ----------------------------------------------------------------------- server */

static void completed(struct VDS_Command *cmd)
{
	struct vdi_server_device *device = cmd->completionContext;

	if (cmd->completionCode != ERROR_SUCCESS)
		errx(1, "a command failed: %s", vdi_completion_name(cmd->completionCode));
	sender.bytes += cmd->bytesTransferred;
	if (sender.stopping)
		sender.outstanding--;
	else
		need(vdi_server_queue_command(device, cmd), "send");
}

static void start(const char *name, unsigned int devices)
{
	struct vdi_server *s;
	unsigned int i, k;

	memset(&sender, 0, sizeof(sender));
	need(vdi_server_new(&s), "server");
	sender.server = s;
	need(vdi_server_open(s, NULL, name), "open the set");
	need(vdi_server_begin_configuration(s, VDF_WriteMedia, 4096, 0, SIZE, -1),
	     "configuration");
	need(vdi_server_request_buffers(s, SIZE, 0, devices * DEPTH), "buffers");
	need(vdi_server_end_configuration(s), "configuration");
	need(vdi_server_set_rate(s, limits[0]), "limit");
	for (i = 0; i < devices; i++) {
		need(vdi_server_open_device(s, NULL, &sender.device[i]), "open a device");
		for (k = 0; k < DEPTH; k++) {
			struct VDS_Command *cmd = &sender.command[i][k];

			cmd->commandCode = VDC_Write;
			cmd->size = SIZE;
			cmd->completionRoutine = completed;
			cmd->completionContext = sender.device[i];
			need(vdi_server_allocate_buffer(s, &cmd->buffer, SIZE, 0), "buffer");
			need(vdi_server_send_command(sender.device[i], cmd), "send");
			sender.outstanding++;
		}
	}
}

static void run_for(double seconds)
{
	double until = now() + seconds, left;
	int code;

	while ((left = until - now()) > 0) {
		code = vdi_server_run_completions(sender.server, left * 1000 + 1, NULL);
		if (code != VD_E_TIMEOUT)
			need(code, "completions");
	}
}

static bool is_kept(unsigned int devices, uint64_t limit)
{
	double since, ratio;
	uint64_t before;

	need(vdi_server_set_rate(sender.server, limit), "limit");
	/* what was allowed by the previous limit */
	run_for(1);
	before = sender.bytes;
	since = now();
	run_for(SECONDS);
	ratio = (sender.bytes - before) / (now() - since) / limit;
	printf("%u devices, limit %2u MiB/s: %.3f of it in %d s\n", devices,
	       (unsigned int)(limit / MIB), ratio, SECONDS);
	return ratio >= 0.95 && ratio <= 1.05;
}

static void stop(unsigned int devices)
{
	unsigned int i;

	sender.stopping = true;
	need(vdi_server_set_rate(sender.server, 0), "limit");
	while (sender.outstanding)
		need(vdi_server_run_completions(sender.server, -1, NULL), "completions");
	for (i = 0; i < devices; i++)
		need(vdi_server_close_device(sender.device[i]), "close a device");
	need(vdi_server_close(sender.server), "close the set");
	vdi_server_free(sender.server);
}

static bool measure(unsigned int devices)
{
	bool kept = true;
	int created[2], status;
	char name[64], c;
	unsigned int i;
	pid_t pid;

	snprintf(name, sizeof(name), "rate%d-%u", getpid(), devices);
	if (pipe(created))
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		close(created[0]);
		client(name, devices, created[1]);
		_exit(0);
	}
	close(created[1]);
	if (read(created[0], &c, 1))
		err(1, "pipe");
	close(created[0]);
	start(name, devices);
	for (i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		kept &= is_kept(devices, limits[i]);
	stop(devices);
	if (waitpid(pid, &status, 0) < 0 || status)
		errx(1, "the client failed");
	return kept;
}

int main(void)
{
	bool kept = measure(1);

	return !(measure(MAX_DEVICES) && kept);
}
