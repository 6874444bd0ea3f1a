// SPDX-License-Identifier: GPL-2.0-only
/*
 * server.c - a scripted database for tests, which can misbehave
 *
 * usage: server [--complete] SET DEVICES STEP...
 *
 * A step is DEVICE:WHAT, which is executed and waited for, or with a trailing +
 * only sent: w writes 64 KiB, f flushes, s requests the snapshot, d discards, x sends
 * VDC_Complete, c closes the device. The completion code is printed. Steps without a
 * device: abort, wait (for all commands that were sent), nap (a second), !COMMAND
 * (run by the shell). At the end the set is closed.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvdi.h>

#define SIZE	65536
#define MAX	64

static struct vdi_server *server;
static struct vdi_server_device *device[MAX];
static unsigned int count, outstanding;

static void check(const char *what, int rc)
{
	char text[256];

	if (rc == NOERROR)
		return;
	vdi_server_message(server, text, sizeof(text));
	printf("%s: %s: %s\n", what, vdi_strerror(rc), text);
	exit(1);
}

static void completed(struct VDS_Command *cmd)
{
	printf("%s %d\n", (char *)cmd->completionContext, cmd->completionCode);
	outstanding--;
	free(cmd);
}

static void wait_for_all(void)
{
	while (outstanding)
		check("wait", vdi_server_run_completions(server, -1, NULL));
}

static int code_of(char what)
{
	switch (what) {
	case 'w':
		return VDC_Write;
	case 'f':
		return VDC_Flush;
	case 'd':
		return VDC_Discard;
	case 's':
		return VDC_Snapshot;
	case 'x':
		return VDC_Complete;
	default:
		printf("unknown step %c\n", what);
		exit(2);
	}
}

static void send_command(unsigned int i, char what, char *step)
{
	struct VDS_Command *cmd = calloc(1, sizeof(*cmd));

	if (!cmd)
		exit(1);
	cmd->commandCode = code_of(what);
	cmd->completionRoutine = completed;
	cmd->completionContext = step;
	if (what == 'w') {
		cmd->size = SIZE;
		check("buffer", vdi_server_allocate_buffer(server, &cmd->buffer,
							   SIZE, 0));
		memset(cmd->buffer, 0x5a + i, SIZE);
	}
	outstanding++;
	check(step, vdi_server_send_command(device[i], cmd));
}

static void take_step(char *step)
{
	unsigned int i;
	char what;

	if (!strcmp(step, "abort")) {
		check(step, vdi_server_signal_abort(server, 1, "as told"));
	} else if (!strcmp(step, "wait")) {
		wait_for_all();
	} else if (!strcmp(step, "nap")) {
		sleep(1);
	} else if (*step == '!') {
		if (system(step + 1))
			exit(2);
	} else if (sscanf(step, "%u:%c", &i, &what) != 2 || i >= count) {
		printf("no such step: %s\n", step);
		exit(2);
	} else if (what == 'c') {
		check(step, vdi_server_close_device(device[i]));
	} else {
		send_command(i, what, step);
		if (!strchr(step, '+'))
			wait_for_all();
	}
}

static void connect_to(const char *name, bool complete)
{
	struct VDConfig config;
	char other[300];
	unsigned int i;

	check("server", vdi_server_new(&server));
	for (i = 0; vdi_server_open(server, NULL, name) && i < 100; i++)
		usleep(100000);
	check("configuration", vdi_server_get_configuration(server, &config));
	check("configuration", vdi_server_begin_configuration(server,
		config.features | VDF_WriteMedia |
		(complete ? VDF_CompleteEnabled : 0), 0, 0, SIZE, 0));
	check("buffers", vdi_server_request_buffers(server, SIZE, 0, 64));
	check("configuration", vdi_server_end_configuration(server));
	for (i = 0; i < count; i++) {
		snprintf(other, sizeof(other), "%s%u", name, i);
		check("device", vdi_server_open_device(server, i ? other : name,
						       &device[i]));
	}
}

int main(int argc, char **argv)
{
	bool complete = argc > 1 && !strcmp(argv[1], "--complete");
	int rc;

	setvbuf(stdout, NULL, _IOLBF, 0);
	argv += complete;
	argc -= complete;
	if (argc < 3)
		return 2;
	count = atoi(argv[2]);
	connect_to(argv[1], complete);
	for (argv += 3; *argv; argv++)
		take_step(*argv);
	rc = vdi_server_close(server);
	printf("close %s\n", vdi_strerror(rc));
	return rc != NOERROR;
}
