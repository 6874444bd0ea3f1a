// SPDX-License-Identifier: LGPL-2.1-or-later
/* batch.c - calls for many commands at a time */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fixture.h"

/* ---------------------------------------------------------------- batches */

/* Reads with their number as @size are completed with it in the buffer. */
static void complete_batch(struct vdi_client_device *device,
			   struct VDC_Command **cmds, unsigned int n)
{
	struct vdi_completion v[8];
	unsigned int i;

	for (i = 0; i < n; i++) {
		EQ(cmds[i]->commandCode, VDC_Read);
		memset(cmds[i]->buffer, cmds[i]->size / 512, cmds[i]->size);
		v[i] = (struct vdi_completion){
			.cmd = cmds[i], .bytes = cmds[i]->size,
		};
	}
	OK(vdi_client_complete_commands(device, v, n));
}

static void batch_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmds[8];
	struct vdi_completion v[8];
	unsigned int n, i, all;
	int code;

	await(fd, 's');
	/* no more than requested, in order */
	OK(vdi_client_get_commands(device, WAIT, cmds, 3, &n));
	EQ(n, 3);
	for (i = 0; i < 3; i++)
		EQ(cmds[i]->size, 512 * (i + 1));
	/* no more than there are */
	OK(vdi_client_get_commands(device, WAIT, cmds + 3, 5, &n));
	EQ(n, 3);
	/* with an unknown or repeated command, none is completed */
	for (i = 0; i < 3; i++)
		v[i] = (struct vdi_completion){ .cmd = cmds[i], .bytes = 512 };
	v[2].cmd = cmds[0];
	EQ(vdi_client_complete_commands(device, v, 3), VD_E_INVALID);
	v[2].cmd = (struct VDC_Command *)&n;
	EQ(vdi_client_complete_commands(device, v, 3), VD_E_INVALID);
	v[2] = (struct vdi_completion){ .cmd = cmds[2], .bytes = 512 * 4 };
	EQ(vdi_client_complete_commands(device, v, 3), VD_E_INVALID);
	EQ(vdi_client_exchange_commands(device, v, 3, 0, cmds + 6, 2, &n),
	   VD_E_INVALID);
	EQ(n, 0);
	EQ(vdi_client_complete_commands(device, v, 0), VD_E_INVALID);
	EQ(vdi_client_complete_commands(device, NULL, 1), VD_E_INVALID);
	EQ(vdi_client_get_commands(device, 0, cmds, 0, &n), VD_E_INVALID);
	EQ(vdi_client_get_commands(device, 0, NULL, 1, &n), VD_E_INVALID);
	notify(fd, 'n');
	await(fd, 'n');
	complete_batch(device, cmds, 6);
	EQ(vdi_client_complete_commands(device, v, 1), VD_E_INVALID);

	/* the rest by exchanges, to the end */
	all = 0;
	n = 0;
	while (!(code = vdi_client_exchange_commands(device, v, n, WAIT, cmds,
						     8, &n))) {
		for (i = 0; i < n; i++, all++) {
			EQ(cmds[i]->commandCode, VDC_Write);
			v[i] = (struct vdi_completion){
				.cmd = cmds[i], .bytes = cmds[i]->size,
			};
		}
	}
	EQ(code, VD_E_CLOSE);
	EQ(n, 0);
	EQ(all, 1000);
	client_down(client);
}

/* Queues itself again, by the call for completion routines. */
static unsigned int again_left;
static struct vdi_server_device *again_device;

static void again(struct VDS_Command *cmd)
{
	EQ(cmd->completionCode, ERROR_SUCCESS);
	EQ(cmd->bytesTransferred, 512);
	if (again_left) {
		again_left--;
		OK(vdi_server_queue_command(again_device, cmd));
	}
}

void test_batch(void **state)
{
	struct peer peer = spawn(batch_client);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct VDS_Command *cmds[6];
	struct job jobs[6];
	unsigned int i, n;

	(void)state;
	for (i = 0; i < 6; i++) {
		job_init(&jobs[i], VDC_Read, buffer(server, 64 * KIB),
			 512 * (i + 1));
		cmds[i] = &jobs[i].cmd;
	}
	OK(vdi_server_send_commands(device, cmds, 6, &n));
	EQ(n, 6);
	notify(peer.fd, 's');
	await(peer.fd, 'n');
	EQ(vdi_server_run_completions(server, 50, NULL), VD_E_TIMEOUT);
	notify(peer.fd, 'n');
	for (i = 0; i < 6; i++) {
		while (!jobs[i].ran)
			OK(vdi_server_run_completions(server, WAIT, NULL));
		EQ(jobs[i].ran, 1);
		EQ(jobs[i].cmd.completionCode, ERROR_SUCCESS);
		EQ(jobs[i].cmd.bytesTransferred, 512 * (i + 1));
		EQ(jobs[i].cmd.buffer[0], i + 1);
		EQ(jobs[i].cmd.buffer[512 * (i + 1) - 1], i + 1);
	}

	again_device = device;
	again_left = 1000 - 6;
	for (i = 0; i < 6; i++) {
		job_init(&jobs[i], VDC_Write, jobs[i].cmd.buffer, 512);
		jobs[i].cmd.completionRoutine = again;
		OK(vdi_server_queue_command(device, &jobs[i].cmd));
	}
	for (i = 0; i < 1000; i += n)
		OK(vdi_server_run_completions(server, WAIT, &n));
	EQ(i, 1000);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

/*
 * An error in the middle of a batch: commands queued after it are not
 * delivered.
 */
static void batch_io_error_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmds[8], *cmd;
	struct vdi_completion v[4];
	unsigned int i, n;

	await(fd, 's');
	OK(vdi_client_get_commands(device, WAIT, cmds, 4, &n));
	EQ(n, 4);
	for (i = 0; i < 3; i++)
		v[i] = (struct vdi_completion){ .cmd = cmds[i] };
	v[1].code = ERROR_DISK_FULL;
	/* 3 is held: the two queued ones are dropped, ClearError waits */
	EQ(vdi_client_exchange_commands(device, v, 3, 100, cmds + 4, 4, &n),
	   VD_E_TIMEOUT);
	EQ(n, 0);
	notify(fd, 'e');
	await(fd, 'c');
	EQ(vdi_client_get_commands(device, 100, cmds + 4, 4, &n), VD_E_TIMEOUT);
	v[0] = (struct vdi_completion){ .cmd = cmds[3] };
	OK(vdi_client_exchange_commands(device, v, 1, WAIT, cmds, 8, &n));
	EQ(n, 1);
	EQ(cmds[0]->commandCode, VDC_ClearError);
	done(device, cmds[0], ERROR_SUCCESS, 0);
	cmd = get_a(device, VDC_Flush);
	done(device, cmd, ERROR_SUCCESS, 0);
	expect_close(device);
	client_down(client);
}

void test_batch_io_error(void **state)
{
	static const int want[] = {
		0, ERROR_DISK_FULL, 0, 0, ERROR_IO_DEVICE, ERROR_IO_DEVICE,
	};
	struct peer peer = spawn(batch_io_error_client);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct VDS_Command *cmds[6];
	struct job jobs[6], clear;
	unsigned int i, sent;

	(void)state;
	for (i = 0; i < 6; i++) {
		job_init(&jobs[i], VDC_Flush, NULL, 0);
		cmds[i] = &jobs[i].cmd;
	}
	OK(vdi_server_send_commands(device, cmds, 6, NULL));
	notify(peer.fd, 's');
	await(peer.fd, 'e');
	while (!jobs[5].ran)
		OK(vdi_server_run_completions(server, WAIT, NULL));
	EQ(jobs[3].ran, 0);
	/* in IO-ERROR the first of many is refused, the others are not used */
	job_init(&clear, VDC_Flush, NULL, 0);
	cmds[0] = &clear.cmd;
	cmds[1] = &jobs[0].cmd;
	EQ(vdi_server_send_commands(device, cmds, 2, &sent), VD_E_IO_ERROR);
	EQ(sent, 0);
	EQ(clear.ran, 1);
	EQ(jobs[0].ran, 1);
	OK(job_send(device, &clear, VDC_ClearError, NULL, 0));
	notify(peer.fd, 'c');
	job_wait(server, &clear);
	EQ(clear.cmd.completionCode, ERROR_SUCCESS);
	for (i = 0; i < 6; i++) {
		EQ(jobs[i].ran, 1);
		EQ(jobs[i].cmd.completionCode, want[i]);
	}
	EQ(ask(server, device, VDC_Flush, NULL, 0), ERROR_SUCCESS);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

static void send_many_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);

	serve(client_open(client, 0), 0);
	client_down(client);
}

/* More commands than fit, and one that is invalid. */
void test_send_many(void **state)
{
	const struct shape shape = {
		.features = VDF_WriteMedia, .depth = 4, .size = 64 * KIB,
		.count = 8,
	};
	struct peer peer = spawn(send_many_client);
	struct vdi_server *server = server_up(&peer, &shape);
	struct vdi_server_device *device = server_open(server, 0);
	struct VDS_Command *cmds[6];
	struct job jobs[6];
	unsigned int i, sent;

	(void)state;
	for (i = 0; i < 6; i++) {
		job_init(&jobs[i], VDC_Flush, NULL, 0);
		cmds[i] = &jobs[i].cmd;
	}
	EQ(vdi_server_send_commands(device, cmds, 6, &sent), VD_E_QUEUE_FULL);
	EQ(sent, 4);
	EQ(jobs[4].ran, 1);
	EQ(jobs[4].cmd.completionCode, ERROR_NO_SYSTEM_RESOURCES);
	EQ(jobs[5].ran, 0);
	while (!jobs[3].ran)
		OK(vdi_server_run_completions(server, WAIT, NULL));
	for (i = 0; i < 4; i++)
		EQ(jobs[i].ran, 1);

	job_init(&jobs[0], VDC_Flush, NULL, 0);
	job_init(&jobs[1], VDC_Write, (uint8_t *)&jobs, 512);
	EQ(vdi_server_send_commands(device, cmds, 3, &sent), VD_E_INVALID);
	EQ(sent, 1);
	job_wait(server, &jobs[0]);
	EQ(jobs[1].ran, 0);
	EQ(jobs[2].ran, 1);

	cmds[1] = NULL;
	EQ(vdi_server_send_commands(device, cmds, 2, &sent), VD_E_INVALID);
	EQ(sent, 0);
	EQ(vdi_server_send_commands(device, cmds, 0, &sent), VD_E_INVALID);
	EQ(vdi_server_send_commands(device, NULL, 1, NULL), VD_E_INVALID);
	OK(vdi_server_close_device(device));
	run_out(server);
	EQ(vdi_server_send_commands(device, cmds, 1, &sent), VD_E_PROTOCOL);
	EQ(jobs[0].ran, 2);
	server_down(server);
	join(&peer);
}

/*
 * A single call notifies the other side at once: here each side sleeps without
 * spinning, while the other does something and then nothing for a long time.
 */
static void prompt_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device;
	struct VDC_Command *cmd;

	EQ(vdi_client_set_spin(client, (1 << 24) + 1), VD_E_INVALID);
	EQ(vdi_client_set_spin(NULL, 0), VD_E_INVALID);
	OK(vdi_client_set_spin(client, 1 << 24));
	OK(vdi_client_set_spin(client, 0));
	device = client_open(client, 0);
	notify(fd, 'o');
	cmd = get_a(device, VDC_Flush);
	nap(100);		/* the agent sleeps */
	done(device, cmd, ERROR_SUCCESS, 0);
	await(fd, 'p');		/* no further action until it has noticed */
	cmd = get_a(device, VDC_Flush);
	notify(fd, 'q');		/* and the routine has returned */
	done(device, cmd, ERROR_SUCCESS, 0);
	expect_close(device);
	client_down(client);
}

static struct peer *prompt_peer;

static void prompt_routine(struct VDS_Command *cmd)
{
	if (cmd->completionContext) {
		cmd->completionContext = NULL;
		notify(prompt_peer->fd, 'p');
		nap(200);	/* the client sleeps by then */
		OK(vdi_server_queue_command(again_device, cmd));
	}
}

void test_prompt(void **state)
{
	struct peer peer = spawn(prompt_client);
	struct vdi_server *server;
	struct job job;
	int64_t start;

	(void)state;
	server = new_server();
	EQ(vdi_server_set_spin(server, (1 << 24) + 1), VD_E_INVALID);
	EQ(vdi_server_set_spin(NULL, 0), VD_E_INVALID);
	vdi_server_free(server);
	setenv("VDI_SPIN", "0", 1);
	server = server_up(&peer, &plain);
	unsetenv("VDI_SPIN");
	prompt_peer = &peer;
	again_device = server_open(server, 0);
	await(peer.fd, 'o');
	job_init(&job, VDC_Flush, NULL, 0);
	job.cmd.completionRoutine = prompt_routine;
	start = now_ms();
	OK(vdi_server_send_command(again_device, &job.cmd));
	OK(vdi_server_run_completions(server, WAIT, NULL));
	/*
	 * the server does nothing now: one step must have notified all clients
	 */
	await(peer.fd, 'q');
	TRUE(now_ms() - start < WAIT / 2);
	OK(vdi_server_run_completions(server, WAIT, NULL));
	OK(vdi_server_close_device(again_device));
	run_out(server);
	server_down(server);
	join(&peer);
}

/*
 * An exchange notifies the server of its completions before it waits, for
 * whatever it waits.
 */
static void exchange_timeout_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device;
	struct vdi_completion v = { .cmd = NULL };
	struct VDC_Command *cmd;
	unsigned int n;

	OK(vdi_client_set_spin(client, 0));
	device = client_open(client, 0);
	v.cmd = get_a(device, VDC_Flush);
	nap(100);
	EQ(vdi_client_exchange_commands(device, &v, 1, 0, &cmd, 1, &n),
	   VD_E_TIMEOUT);
	await(fd, '1');
	v.cmd = get_a(device, VDC_Flush);
	nap(100);
	/* the server sends the next command after this completion */
	OK(vdi_client_exchange_commands(device, &v, 1, WAIT, &cmd, 1, &n));
	EQ(n, 1);
	done(device, cmd, ERROR_SUCCESS, 0);
	expect_close(device);
	client_down(client);
}

void test_exchange_timeout(void **state)
{
	struct peer peer = spawn(exchange_timeout_client);
	struct vdi_server *server;
	struct vdi_server_device *device;
	int64_t start;

	(void)state;
	setenv("VDI_SPIN", "0", 1);
	server = server_up(&peer, &plain);
	unsetenv("VDI_SPIN");
	device = server_open(server, 0);
	start = now_ms();
	EQ(ask(server, device, VDC_Flush, NULL, 0), ERROR_SUCCESS);
	TRUE(now_ms() - start < WAIT / 2);
	notify(peer.fd, '1');
	EQ(ask(server, device, VDC_Flush, NULL, 0), ERROR_SUCCESS);
	EQ(ask(server, device, VDC_Flush, NULL, 0), ERROR_SUCCESS);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

static void batch_abort_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct vdi_completion v = { .cmd = NULL };
	struct VDC_Command *cmd;
	unsigned int n;

	v.cmd = get_a(device, VDC_Flush);
	notify(fd, 'a');
	EQ(vdi_client_exchange_commands(device, &v, 0, WAIT, &cmd, 1, &n),
	   VD_E_ABORT);
	EQ(n, 0);
	TRUE(!cmd);
	EQ(vdi_client_complete_commands(device, &v, 1), VD_E_ABORT);
	EQ(vdi_client_exchange_commands(device, &v, 1, WAIT, &cmd, 1, &n),
	   VD_E_ABORT);
	vdi_client_close(client);
	EQ(vdi_client_complete_commands(device, &v, 1), VD_E_PROTOCOL);
	EQ(vdi_client_get_commands(device, 0, &cmd, 1, &n), VD_E_PROTOCOL);
	vdi_client_free(client);
}

void test_batch_abort(void **state)
{
	struct peer peer = spawn(batch_abort_client);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct VDS_Command *cmds[2];
	struct job jobs[2];
	unsigned int sent;

	(void)state;
	job_init(&jobs[0], VDC_Flush, NULL, 0);
	job_init(&jobs[1], VDC_Flush, NULL, 0);
	cmds[0] = &jobs[0].cmd;
	cmds[1] = &jobs[1].cmd;
	OK(vdi_server_send_commands(device, cmds, 1, NULL));
	await(peer.fd, 'a');
	nap(50);
	OK(vdi_server_signal_abort(server, 7, "enough"));
	EQ(vdi_server_send_commands(device, cmds + 1, 1, &sent), VD_E_ABORT);
	EQ(sent, 0);
	EQ(jobs[1].ran, 1);
	EQ(vdi_server_queue_command(device, cmds[1]), VD_E_ABORT);
	EQ(jobs[1].ran, 2);
	EQ(vdi_server_run_completions(server, WAIT, NULL), VD_E_ABORT);
	EQ(jobs[0].ran, 1);
	EQ(jobs[0].cmd.completionCode, ERROR_OPERATION_ABORTED);
	vdi_server_close(server);
	vdi_server_free(server);
	join(&peer);
}
