// SPDX-License-Identifier: LGPL-2.1-or-later
/* processes.c - secondary clients and forked children */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

/* ---------------------------------------------------------------- processes */

static void client_secondaries(int fd)
{
	struct vdi_client *client = client_up_n(fd, 2);
	struct VDConfig config;
	pid_t pid[2];
	int i, status;

	for (i = 0; i < 2; i++) {
		pid[i] = fork();
		if (!pid[i]) {
			struct vdi_client *mine = new_client();

			if (i)
				OK(vdi_client_open_in_secondary(mine, NULL,
								set_name));
			else
				OK(vdi_client_open_in_secondary_fd(mine,
						vdi_client_fd(client)));
			OK(vdi_client_get_configuration(mine, 0, &config));
			TRUE(config.features & VDF_WriteMedia);
			EQ(serve(client_open(mine, i), 0), 16 * PIECE);
			client_down(mine);
			vdi_client_free(client);	/* the parent's: no effect */
			_exit(0);
		}
	}
	for (i = 0; i < 2; i++) {
		EQ(waitpid(pid[i], &status, 0), pid[i]);
		EQ(status, 0);
	}
	client_down(client);
}

void test_secondaries(void **state)
{
	struct peer peer = spawn(client_secondaries);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device[2];
	uint8_t *buf = buffer(server, PIECE);
	int i, n;

	(void)state;
	for (i = 0; i < 2; i++)
		device[i] = server_open(server, i);
	for (n = 0; n < 16; n++) {
		fill(buf, PIECE, n * PIECE);
		for (i = 0; i < 2; i++)
			EQ(ask(server, device[i], VDC_Write, buf, PIECE), 0);
	}
	for (i = 0; i < 2; i++)
		OK(vdi_server_close_device(device[i]));
	run_out(server);
	server_down(server);
	join(&peer);
}

static void client_secondary_dies(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_abort_info info;
	struct VDConfig config;
	pid_t pid = fork();

	if (!pid) {
		struct vdi_client *mine = new_client();

		OK(vdi_client_open_in_secondary(mine, NULL, set_name));
		get(client_open(mine, 0));
		raise(SIGKILL);
	}
	waitpid(pid, NULL, 0);
	EQ(vdi_client_get_configuration(client, 0, &config), VD_E_ABORT);
	OK(vdi_client_abort_info(client, &info));
	EQ(info.reason, VDI_REASON_DIED);
	EQ(info.role, VDI_ROLE_SECONDARY);
	EQ(info.pid, pid);
	client_down(client);
}

void test_secondary_dies(void **state)
{
	struct peer peer = spawn(client_secondary_dies);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct job job;

	(void)state;
	OK(job_send(device, &job, VDC_Flush, NULL, 0));
	EQ(run_to_end(server), VD_E_ABORT);
	EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
	join(&peer);
	server_down(server);
}

/* A child that is forked while the set is in use may call anything. */
static void client_forks(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd = get_a(device, VDC_Write), *other;
	struct VDConfig config;
	pid_t pid = fork();
	char text[128];
	int status;

	if (!pid) {
		EQ(vdi_client_get_command(device, 0, &other), VD_E_PROTOCOL);
		EQ(vdi_client_complete_command(device, cmd, 0, 0, 0),
		   VD_E_PROTOCOL);
		EQ(vdi_client_get_configuration(client, 0, &config),
		   VD_E_PROTOCOL);
		EQ(vdi_client_signal_abort(client, 0, NULL), VD_E_PROTOCOL);
		vdi_client_message(client, text, sizeof(text));
		TRUE(strlen(text) > 0);
		TRUE(filled(cmd->buffer, cmd->size, 0));
		EQ(vdi_client_close(client), VD_E_PROTOCOL);
		vdi_client_free(client);
		_exit(0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	done(device, cmd, 0, PIECE);
	expect_close(device);
	client_down(client);
}

void test_fork(void **state)
{
	struct peer peer = spawn(client_forks);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	uint8_t *buf = buffer(server, PIECE);
	struct job job;
	int status;
	pid_t pid;

	(void)state;
	fill(buf, PIECE, 0);
	fflush(NULL);
	pid = fork();
	if (!pid) {
		in_child = true;
		EQ(job_send(device, &job, VDC_Write, buf, PIECE),
		   VD_E_PROTOCOL);
		EQ(job.ran, 1);
		EQ(vdi_server_run_completions(server, 0, NULL),
		   VD_E_PROTOCOL);
		EQ(vdi_server_close_device(device), VD_E_PROTOCOL);
		EQ(vdi_server_close(server), VD_E_PROTOCOL);
		vdi_server_free(server);
		_exit(0);
	}
	EQ(waitpid(pid, &status, 0), pid);
	EQ(status, 0);
	EQ(ask(server, device, VDC_Write, buf, PIECE), 0);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}
