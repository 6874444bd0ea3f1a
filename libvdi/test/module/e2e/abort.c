// SPDX-License-Identifier: LGPL-2.1-or-later
/* abort.c - aborts and deaths: what each side learns, what is still delivered */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* -------------------------------------------------------------------- abort */

static void client_aborts(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *a = get_a(device, VDC_Write), *cmd;
	struct vdi_abort_info info;
	char text[256];

	await(fd, 's');
	OK(vdi_client_abort_info(client, &info));
	EQ(info.reason, 0);
	OK(vdi_client_signal_abort(client, 42, "out of tapes\n"));
	OK(vdi_client_signal_abort(client, 43, "second"));
	EQ(vdi_client_complete_command(device, a, 0, 0, 0), VD_E_ABORT);
	EQ(vdi_client_get_command(device, -1, &cmd), VD_E_ABORT);
	vdi_client_message(client, text, sizeof(text));
	TRUE(strstr(text, "out of tapes?"));
	OK(vdi_client_close(client));
	vdi_client_free(client);
	notify(fd, 'x');
}

void test_client_aborts(void **state)
{
	struct peer peer = spawn(client_aborts);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0), *more;
	uint8_t *buf = buffer(server, PIECE), *p;
	struct vdi_abort_info info;
	struct VDConfig config;
	struct job job[3], extra;
	unsigned int count;
	char text[256];
	int i;

	(void)state;
	for (i = 0; i < 3; i++)
		OK(job_send(device, &job[i], VDC_Write, buf, PIECE));
	notify(peer.fd, 's');
	EQ(vdi_server_run_completions(server, -1, &count), VD_E_ABORT);
	EQ(count, 3);
	for (i = 0; i < 3; i++) {
		EQ(job[i].ran, 1);
		EQ(job[i].cmd.completionCode, ERROR_OPERATION_ABORTED);
	}
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_SIGNAL);
	EQ(info.code, 42);
	EQ(info.role, VDI_ROLE_PRIMARY);
	EQ(info.pid, peer.pid);
	vdi_abort_describe(&info, text, sizeof(text));
	TRUE(strstr(text, "out of tapes?"));
	vdi_server_message(server, text, sizeof(text));
	TRUE(strstr(text, "primary client"));

	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_ABORT);
	EQ(extra.cmd.completionCode, ERROR_OPERATION_ABORTED);
	EQ(vdi_server_allocate_buffer(server, &p, KIB, 0), VD_E_ABORT);
	EQ(vdi_server_request_buffers(server, KIB, 0, 1), VD_E_ABORT);
	EQ(vdi_server_get_configuration(server, &config), VD_E_ABORT);
	EQ(vdi_server_open_device(server, "more", &more), VD_E_ABORT);
	EQ(vdi_server_close_device(device), VD_E_ABORT);
	EQ(vdi_server_execute_completion_agent(server), VD_E_ABORT);
	OK(vdi_server_signal_abort(server, 0, NULL));
	OK(vdi_server_free_buffer(server, buf, PIECE));
	await(peer.fd, 'x');
	server_down(server);
	join(&peer);
}

void test_server_aborts(void **state)
{
	struct peer peer = spawn(client_waits);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);

	(void)state;
	(void)device;
	await(peer.fd, 'r');
	nap(50);
	OK(vdi_server_signal_abort(server, 1, "enough"));
	join(&peer);
	EQ(vdi_server_run_completions(server, -1, NULL), VD_E_ABORT);
	server_down(server);
}

void test_abort_configuration(void **state)
{
	struct peer peer = spawn(client_unconfigured);
	struct vdi_server *server = new_server();

	(void)state;
	await(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	nap(50);
	OK(vdi_server_signal_abort(server, 0, NULL));
	join(&peer);
	EQ(vdi_server_begin_configuration(server, 0, 0, 0, 0, 0), VD_E_ABORT);
	EQ(vdi_server_end_configuration(server), VD_E_ABORT);
	EQ(vdi_server_run_completions(server, -1, NULL), VD_E_ABORT);
	server_down(server);
}

static void client_dies(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);

	get_a(device, VDC_Write);
	notify(fd, 'd');
	pause();
}

void test_client_dies(void **state)
{
	struct peer peer = spawn(client_dies);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct vdi_abort_info info;
	struct job job;

	(void)state;
	OK(job_send(device, &job, VDC_Write, buffer(server, PIECE), PIECE));
	await(peer.fd, 'd');
	kill_peer(&peer);
	EQ(vdi_server_run_completions(server, -1, NULL), VD_E_ABORT);
	EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_DIED);
	server_down(server);
}

/* Roles are exchanged: the child is the server, and is killed. */
static void server_child(int fd)
{
	struct peer self = { .fd = fd };
	struct vdi_server *server = server_up(&self, &plain);

	server_open(server, 0);
	notify(fd, 'o');
	pause();
}

void test_server_dies(void **state)
{
	struct peer peer = spawn(server_child);
	struct vdi_client *client = client_up_n(peer.fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct vdi_abort_info info;
	struct VDC_Command *cmd;

	(void)state;
	await(peer.fd, 'o');
	EQ(vdi_client_get_command(device, 0, &cmd), VD_E_TIMEOUT);
	kill_peer(&peer);
	EQ(vdi_client_get_command(device, -1, &cmd), VD_E_ABORT);
	OK(vdi_client_abort_info(client, &info));
	EQ(info.reason, VDI_REASON_DIED);
	EQ(info.role, VDI_ROLE_SERVER);
	client_down(client);
}

static void client_silent(int fd)
{
	const struct VDConfig config = {
		.deviceCount = 1, .serverTimeOut = 100,
	};
	struct vdi_client *client = client_up(fd, &config);
	struct vdi_client_device *device = client_open(client, 0);
	struct vdi_abort_info info;
	struct VDC_Command *cmd;

	nap(500);	/* nothing is outstanding: no effect */
	notify(fd, 'r');
	get_a(device, VDC_Write);
	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_ABORT);
	OK(vdi_client_abort_info(client, &info));
	EQ(info.reason, VDI_REASON_TIMEOUT);
	client_down(client);
}

void test_server_timeout(void **state)
{
	struct peer peer = spawn(client_silent);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	int64_t start;
	struct job job;

	(void)state;
	EQ(vdi_server_run_completions(server, 400, NULL), VD_E_TIMEOUT);
	await(peer.fd, 'r');
	OK(job_send(device, &job, VDC_Write, buffer(server, PIECE), PIECE));
	start = now_ms();
	EQ(vdi_server_run_completions(server, WAIT, NULL), VD_E_ABORT);
	TRUE(now_ms() - start >= 200);
	TRUE(now_ms() - start < WAIT / 2);
	EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
	join(&peer);
	server_down(server);
}

/* ------------------------------------------------------------ around an abort */

static struct both aborted;

static void client_aborts_now(void)
{
	OK(vdi_client_signal_abort(aborted.client, 0, NULL));
}

static void server_aborts_now(void)
{
	OK(vdi_server_signal_abort(aborted.server, 0, NULL));
}

/*
 * An abort returns while GetCommand maps a growth of the area: the call has
 * taken commands, and must not return them.
 */
static void abort_while_getting(void (*abort_now)(void), bool exchange)
{
	struct both *b = &aborted;
	struct vdi_completion done = { 0 };
	struct VDC_Command *cmds[3] = { 0 };
	struct job job[3];
	unsigned int n;
	uint8_t *near;
	int code;

	both_up(b, 0);
	near = buffer(b->server, PIECE);
	OK(job_send(b->sdev, &job[0], VDC_Write, near, PIECE));
	done.cmd = get_a(b->cdev, VDC_Write);
	done.bytes = PIECE;
	OK(vdi_server_request_buffers(b->server, MIB, 0, 4));
	OK(job_send(b->sdev, &job[1], VDC_Write, near, PIECE));
	OK(job_send(b->sdev, &job[2], VDC_Write, buffer(b->server, MIB), MIB));
	before_mmap = abort_now;
	if (exchange)
		code = vdi_client_exchange_commands(b->cdev, &done, 1, WAIT,
						    cmds, 3, &n);
	else
		code = vdi_client_get_commands(b->cdev, WAIT, cmds, 3, &n);
	EQ(code, VD_E_ABORT);
	TRUE(!before_mmap);
	EQ(n, 0);
	TRUE(!cmds[0]);
	EQ(run_to_end(b->server), VD_E_ABORT);
	EQ(job[0].ran + job[1].ran + job[2].ran, 3);
	/* the exchange has recorded it before the abort */
	EQ(job[0].cmd.completionCode, exchange ? 0 : ERROR_OPERATION_ABORTED);
	EQ(job[1].cmd.completionCode, ERROR_OPERATION_ABORTED);
	EQ(job[2].cmd.completionCode, ERROR_OPERATION_ABORTED);
	both_free(b);
	new_name();
}

void test_abort_while_getting(void **state)
{
	(void)state;
	abort_while_getting(client_aborts_now, false);
	abort_while_getting(server_aborts_now, false);
	abort_while_getting(client_aborts_now, true);
	abort_while_getting(server_aborts_now, true);
}

/* The client completes commands and dies before the agent runs. */
static void client_completes_and_dies(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *a = get_a(device, VDC_Write);
	struct VDC_Command *b = get_a(device, VDC_Flush);

	get_a(device, VDC_Flush);
	done(device, b, ERROR_SUCCESS, 0);
	done(device, a, ERROR_DISK_FULL, KIB);
	_exit(0);
}

void test_recorded_by_the_dead(void **state)
{
	struct peer peer = spawn(client_completes_and_dies);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct vdi_abort_info info;
	unsigned int count;
	struct job job[3];

	(void)state;
	OK(job_send(device, &job[0], VDC_Write, buffer(server, PIECE), PIECE));
	OK(job_send(device, &job[1], VDC_Flush, NULL, 0));
	OK(job_send(device, &job[2], VDC_Flush, NULL, 0));
	join(&peer);
	EQ(vdi_server_run_completions(server, WAIT, &count), VD_E_ABORT);
	EQ(count, 3);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_DIED);
	EQ(job[0].cmd.completionCode, ERROR_DISK_FULL);
	EQ(job[0].cmd.bytesTransferred, KIB);
	EQ(job[1].cmd.completionCode, ERROR_SUCCESS);
	EQ(job[2].cmd.completionCode, ERROR_OPERATION_ABORTED);
	server_down(server);
}

/*
 * Before an abort, the device with number @evil breaks the rules after a first
 * valid completion: that completion is the last one that counts.
 */
