// SPDX-License-Identifier: LGPL-2.1-or-later
/* close.c - closing early, with commands outstanding, and beside the agent */
#include <pthread.h>

#include "fixture.h"

/* -------------------------------------------------------------------- close */

static void client_closes_early(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);

	client_open(client, 0);
	await(fd, 'o');
	EQ(vdi_client_close(client), VD_E_OPEN);
	EQ(vdi_client_close(client), VD_E_PROTOCOL);
	vdi_client_free(client);
}

void test_client_closes_early(void **state)
{
	struct peer peer = spawn(client_closes_early);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_abort_info info;

	(void)state;
	server_open(server, 0);
	notify(peer.fd, 'o');
	EQ(run_to_end(server), VD_E_ABORT);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_CLOSED);
	join(&peer);
	server_down(server);
}

void test_server_closes_early(void **state)
{
	struct peer peer = spawn(client_waits);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct job job;

	(void)state;
	await(peer.fd, 'r');
	job_init(&job, VDC_Flush, NULL, 0);
	(void)device;
	EQ(vdi_server_close(server), VD_E_PROTOCOL);
	EQ(vdi_server_close(server), VD_E_PROTOCOL);
	vdi_server_free(server);
	join(&peer);
}

static void client_holds_one(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;
	int code;

	get_a(device, VDC_Flush);
	notify(fd, 'h');
	do	/* there may be a second one */
		code = vdi_client_get_command(device, -1, &cmd);
	while (!code);
	EQ(code, VD_E_ABORT);
	client_down(client);
}

void test_close_outstanding(void **state)
{
	struct peer peer = spawn(client_holds_one);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct job job[2];

	(void)state;
	OK(job_send(device, &job[0], VDC_Flush, NULL, 0));
	await(peer.fd, 'h');
	OK(job_send(device, &job[1], VDC_Flush, NULL, 0));
	EQ(vdi_server_close(server), VD_E_PROTOCOL);
	EQ(job[0].ran, 1);
	EQ(job[1].ran, 1);
	EQ(job[1].cmd.completionCode, ERROR_OPERATION_ABORTED);
	vdi_server_free(server);
	join(&peer);
}

void test_close_with_agent(void **state)
{
	struct peer peer = spawn(client_holds_one);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	pthread_t thread;
	struct job job;
	void *code;

	(void)state;
	OK(pthread_create(&thread, NULL, agent_thread, server));
	OK(job_send(device, &job, VDC_Flush, NULL, 0));
	await(peer.fd, 'h');
	await_agent(server);
	EQ(vdi_server_run_completions(server, 0, NULL), VD_E_BUSY);
	EQ(vdi_server_close(server), VD_E_PROTOCOL);
	OK(pthread_join(thread, &code));
	EQ((intptr_t)code, VD_E_ABORT);
	EQ(job.ran, 1);
	EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
	vdi_server_free(server);
	join(&peer);
}

void test_close_unused(void **state)
{
	struct peer peer = spawn(client_unconfigured);
	struct vdi_server *server = new_server();

	(void)state;
	await(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_close(server));
	join(&peer);
	/* the object can be used again */
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	vdi_server_free(server);
}

static void client_again(int fd)
{
	const struct VDConfig config = { .deviceCount = 1 };
	struct vdi_client *client = new_client();
	struct VDConfig got;
	int i;

	for (i = 0; i < 3; i++) {
		OK(vdi_client_create(client, NULL, set_name, &config, NULL));
		notify(fd, 'c');
		OK(vdi_client_get_configuration(client, WAIT, &got));
		expect_close(client_open(client, 0));
		OK(vdi_client_close(client));
	}
	vdi_client_free(client);
}

void test_reuse(void **state)
{
	struct peer peer = spawn(client_again);
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		struct vdi_server *server = server_up(&peer, &plain);

		OK(vdi_server_close_device(server_open(server, 0)));
		server_down(server);
	}
	join(&peer);
}
