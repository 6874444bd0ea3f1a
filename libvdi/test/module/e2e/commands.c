// SPDX-License-Identifier: LGPL-2.1-or-later
/* commands.c - sending, holding and completing commands, IO-ERROR, waiting */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "fixture.h"

/* ----------------------------------------------------------------- commands */

static void client_hold_all(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd[8], other;
	int i;

	for (i = 0; i < 8; i++)
		cmd[i] = get_a(device, VDC_Write);
	notify(fd, 'h');
	await(fd, 'g');
	EQ(vdi_client_complete_command(device, &other, 0, 0, 0),
	   VD_E_INVALID);
	EQ(vdi_client_complete_command(device, cmd[0], 0, PIECE + 1, 0),
	   VD_E_INVALID);
	for (i = 7; i >= 0; i--)
		OK(vdi_client_complete_command(device, cmd[i], 0, i, i));
	EQ(vdi_client_complete_command(device, cmd[0], 0, 0, 0),
	   VD_E_INVALID);
	expect_close(device);
	client_down(client);
}

void test_queue(void **state)
{
	const struct shape shape = { .depth = 8, .size = PIECE, .count = 1 };
	struct peer peer = spawn(client_hold_all);
	struct vdi_server *server = server_up(&peer, &shape);
	struct vdi_server_device *device = server_open(server, 0);
	uint8_t *buf = buffer(server, PIECE);
	struct job job[8], extra;
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		OK(job_send(device, &job[i], VDC_Write, buf, PIECE));
	await(peer.fd, 'h');
	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_QUEUE_FULL);
	EQ(extra.ran, 1);
	EQ(extra.cmd.completionCode, ERROR_NO_SYSTEM_RESOURCES);
	EQ(vdi_server_run_completions(server, 0, NULL), VD_E_TIMEOUT);
	/* closing waits for outstanding commands */
	OK(vdi_server_close_device(device));
	EQ(vdi_server_close_device(device), VD_E_CLOSE);
	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_PROTOCOL);
	EQ(extra.cmd.completionCode, ERROR_INVALID_HANDLE);
	notify(peer.fd, 'g');
	run_out(server);
	for (i = 0; i < 8; i++) {
		EQ(job[i].ran, 1);
		EQ(job[i].cmd.bytesTransferred, i);
		EQ(job[i].cmd.outPosition, i);
	}
	server_down(server);
	join(&peer);
}

struct worker {
	struct vdi_client_device *device;
	struct VDC_Command *cmd;
};

static void *complete_later(void *arg)
{
	struct worker *w = arg;

	nap(rand() % 3);
	done(w->device, w->cmd, 0, w->cmd->size);
	free(w);
	return NULL;
}

#define THREADS_COMMANDS	400

static void client_threads(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	pthread_t thread[THREADS_COMMANDS + 8];
	struct VDC_Command *cmd;
	struct worker *w;
	int code, n = 0;

	while (!(code = vdi_client_get_command(device, -1, &cmd))) {
		w = malloc(sizeof(*w));
		w->device = device;
		w->cmd = cmd;
		OK(pthread_create(&thread[n++], NULL, complete_later, w));
	}
	EQ(code, VD_E_CLOSE);
	while (n)
		OK(pthread_join(thread[--n], NULL));
	client_down(client);
}

void test_threads(void **state)
{
	struct shape shape = plain;
	struct peer peer = spawn(client_threads);
	struct vdi_server *server = server_up(&peer, &shape);
	struct vdi_server_device *device = server_open(server, 0);
	struct job job[8];
	uint8_t *buf[8];
	int i, sent;

	(void)state;
	for (i = 0; i < 8; i++) {
		buf[i] = buffer(server, PIECE);
		job[i].ran = 1;
	}
	for (sent = 0; sent < THREADS_COMMANDS; ) {
		for (i = 0; i < 8; i++) {
			if (!job[i].ran)
				continue;
			OK(job_send(device, &job[i], VDC_Write, buf[i],
				    PIECE));
			sent++;
		}
		OK(vdi_server_run_completions(server, WAIT, NULL));
	}
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

static void client_outputs(int fd)
{
	const struct VDConfig config = {
		.deviceCount = 1, .features = VDF_LikeTape | VDF_RequestComplete,
	};
	struct vdi_client *client = client_up(fd, &config);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;

	EQ(vdi_client_get_command(device, 0, &cmd), VD_E_TIMEOUT);
	TRUE(!cmd);
	EQ(vdi_client_get_command(device, 30, &cmd), VD_E_TIMEOUT);
	notify(fd, 'r');
	cmd = get_a(device, VDC_SetPosition);
	EQ(cmd->position, 77);
	EQ(cmd->size, VDC_Current);
	OK(vdi_client_complete_command(device, cmd, 0, 0, 78));
	cmd = get_a(device, VDC_SkipMarks);
	EQ(cmd->size, -3);
	TRUE(!cmd->buffer);
	done(device, cmd, 0, 0);
	done(device, get_a(device, VDC_Flush), 0, 0);
	done(device, get_a(device, VDC_Complete), 0, 0);
	done(device, get_a(device, 99), ERROR_NOT_SUPPORTED, 0);
	done(device, get_a(device, VDC_ClearError), 0, 0);
	cmd = get_a(device, VDC_Read);
	EQ(cmd->size, 0);
	done(device, cmd, 0, 0);
	expect_close(device);
	client_down(client);
}

void test_outputs(void **state)
{
	const struct shape shape = {
		.features = VDF_WriteMedia | VDF_CompleteEnabled,
		.size = PIECE, .count = 1,
	};
	struct peer peer = spawn(client_outputs);
	struct vdi_server *server = server_up(&peer, &shape);
	struct vdi_server_device *device = server_open(server, 0);
	struct job job;

	(void)state;
	await(peer.fd, 'r');
	job_init(&job, VDC_SetPosition, NULL, VDC_Current);
	job.cmd.inPosition = 77;
	OK(vdi_server_send_command(device, &job.cmd));
	job_wait(server, &job);
	EQ(job.cmd.outPosition, 78);
	EQ(ask(server, device, VDC_SkipMarks, NULL, -3), 0);
	EQ(ask(server, device, VDC_Flush, NULL, 0), 0);
	EQ(ask(server, device, VDC_Complete, NULL, 0), 0);
	EQ(ask(server, device, 99, NULL, 0), ERROR_NOT_SUPPORTED);
	EQ(ask(server, device, VDC_ClearError, NULL, 0), 0);
	EQ(ask(server, device, VDC_Read, NULL, 0), 0);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

/* ----------------------------------------------------------------- IO-ERROR */

static void client_error(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *a, *b, *cmd;
	struct vdi_client_device *d = device;

	await(fd, 's');		/* six are queued */
	a = get_a(d, VDC_Write);
	b = get_a(d, VDC_Write);
	done(d, a, ERROR_DISK_FULL, 100);
	/* the other four are not delivered, ClearError waits for b */
	EQ(vdi_client_get_command(d, 50, &cmd), VD_E_TIMEOUT);
	notify(fd, 'e');
	await(fd, 'c');
	EQ(vdi_client_get_command(d, 50, &cmd), VD_E_TIMEOUT);
	done(d, b, 0, b->size);
	done(d, get_a(d, VDC_ClearError), 0, 0);
	done(d, get_a(d, VDC_Write), 0, PIECE);
	done(d, get_a(d, VDC_Write), ERROR_END_OF_MEDIA, PIECE);
	done(d, get_a(d, VDC_Write), ERROR_END_OF_MEDIA, PIECE - 512);
	done(d, get_a(d, VDC_ClearError), ERROR_IO_DEVICE, 0);
	done(d, get_a(d, VDC_ClearError), 0, 0);
	expect_close(d);
	client_down(client);
}

void test_io_error(void **state)
{
	struct peer peer = spawn(client_error);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	uint8_t *buf = buffer(server, PIECE);
	struct job job[6], clear, extra;
	int i;

	(void)state;
	for (i = 0; i < 6; i++)
		OK(job_send(device, &job[i], VDC_Write, buf, PIECE));
	notify(peer.fd, 's');
	await(peer.fd, 'e');
	job_wait(server, &job[0]);
	EQ(job[0].cmd.completionCode, ERROR_DISK_FULL);
	EQ(job[0].cmd.bytesTransferred, 100);
	for (i = 2; i < 6; i++) {
		job_wait(server, &job[i]);
		EQ(job[i].cmd.completionCode, ERROR_IO_DEVICE);
	}
	EQ(job[1].ran, 0);
	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_IO_ERROR);
	EQ(extra.cmd.completionCode, ERROR_IO_DEVICE);
	EQ(extra.ran, 1);
	OK(job_send(device, &clear, VDC_ClearError, NULL, 0));
	notify(peer.fd, 'c');
	job_wait(server, &job[1]);
	EQ(job[1].cmd.completionCode, 0);
	job_wait(server, &clear);
	EQ(ask(server, device, VDC_Write, buf, PIECE), 0);
	EQ(ask(server, device, VDC_Write, buf, PIECE), ERROR_END_OF_MEDIA);
	EQ(ask(server, device, VDC_Write, buf, PIECE), ERROR_END_OF_MEDIA);
	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_IO_ERROR);
	EQ(ask(server, device, VDC_ClearError, NULL, 0), ERROR_IO_DEVICE);
	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_IO_ERROR);
	EQ(ask(server, device, VDC_ClearError, NULL, 0), 0);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

/* ClearError is held back for a command that another thread completes. */
static void client_error_threads(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct worker *w = malloc(sizeof(*w));
	struct VDC_Command *a;
	pthread_t thread;

	a = get_a(device, VDC_Write);
	w->device = device;
	w->cmd = get_a(device, VDC_Write);
	done(device, a, ERROR_DISK_FULL, 0);
	await(fd, 'c');
	OK(pthread_create(&thread, NULL, complete_later, w));
	done(device, get_a(device, VDC_ClearError), 0, 0);
	OK(pthread_join(thread, NULL));
	expect_close(device);
	client_down(client);
}

void test_io_error_threads(void **state)
{
	struct peer peer = spawn(client_error_threads);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	uint8_t *buf = buffer(server, PIECE);
	struct job a, b, clear;

	(void)state;
	OK(job_send(device, &a, VDC_Write, buf, PIECE));
	OK(job_send(device, &b, VDC_Write, buf, PIECE));
	job_wait(server, &a);
	OK(job_send(device, &clear, VDC_ClearError, NULL, 0));
	notify(peer.fd, 'c');
	job_wait(server, &clear);
	EQ(b.ran, 1);
	EQ(b.cmd.completionCode, 0);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

/* Closing instead of ClearError. */
static void client_error_close(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);

	done(device, get_a(device, VDC_Read), ERROR_HANDLE_EOF, 0);
	expect_close(device);
	client_down(client);
}

void test_io_error_close(void **state)
{
	struct peer peer = spawn(client_error_close);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	uint8_t *buf = buffer(server, PIECE);
	struct job job[4];
	int i;

	(void)state;
	for (i = 0; i < 4; i++)
		OK(job_send(device, &job[i], VDC_Read, buf, PIECE));
	OK(vdi_server_close_device(device));
	run_out(server);
	EQ(job[0].cmd.completionCode, ERROR_HANDLE_EOF);
	for (i = 1; i < 4; i++)
		EQ(job[i].cmd.completionCode, ERROR_IO_DEVICE);
	server_down(server);
	join(&peer);
}

/* --------------------------------------------------------------------- poll */

static void client_polls(int fd)
{
	struct VDConfig config = { .deviceCount = 1 };
	struct vdi_client *client = new_client();
	struct vdi_client_device *device;
	struct VDC_Command *cmd;
	struct pollfd p = { .events = POLLIN };
	int n = 0, code;

	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	p.fd = vdi_client_fd(client);
	EQ(poll(&p, 1, 0), 0);
	notify(fd, 'c');
	EQ(poll(&p, 1, WAIT), 1);
	OK(vdi_client_get_configuration(client, 0, &config));
	device = client_open(client, 0);
	p.fd = vdi_client_device_fd(device);
	for (;;) {
		code = vdi_client_get_command(device, 0, &cmd);
		if (code == VD_E_CLOSE)
			break;
		if (code == VD_E_TIMEOUT) {
			EQ(poll(&p, 1, WAIT), 1);
			continue;
		}
		OK(code);
		done(device, cmd, 0, 0);
		n++;
	}
	EQ(n, 100);
	client_down(client);
}

void test_poll(void **state)
{
	struct peer peer = spawn(client_polls);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct pollfd p = { .fd = vdi_server_fd(server), .events = POLLIN };
	struct job job;
	int i, code;

	(void)state;
	for (i = 0; i < 100; i++) {
		OK(job_send(device, &job, VDC_Flush, NULL, 0));
		while (!job.ran) {
			code = vdi_server_run_completions(server, 0, NULL);
			if (code == VD_E_TIMEOUT)
				EQ(poll(&p, 1, WAIT), 1);
			else
				OK(code);
		}
		if (!(i % 10))
			nap(2);
	}
	OK(vdi_server_close_device(device));
	server_down(server);
	join(&peer);
}

void test_signal(void **state)
{
	struct sigaction action = { .sa_handler = on_signal }, old;
	struct peer peer = spawn(client_idle);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	unsigned int count = 7;

	(void)state;
	sigaction(SIGALRM, &action, &old);
	alarm(1);
	OK(vdi_server_run_completions(server, WAIT, &count));
	EQ(count, 0);
	EQ(signals, 1);
	sigaction(SIGALRM, &old, NULL);
	alarm(LIMIT);
	OK(vdi_server_close_device(device));
	server_down(server);
	join(&peer);
}

static void client_is_told(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	uint64_t bytes = 1;

	OK(vdi_client_expected_bytes(device, &bytes));
	EQ(bytes, 0);
	EQ(vdi_client_expected_bytes(NULL, &bytes), VD_E_INVALID);
	EQ(vdi_client_expected_bytes(device, NULL), VD_E_INVALID);
	notify(fd, 'r');
	await(fd, 's');
	OK(vdi_client_expected_bytes(device, &bytes));
	EQ(bytes, 1ULL << 40);
	notify(fd, 'r');
	EQ(vdi_client_get_command(device, -1, &(struct VDC_Command *){ NULL }),
	   VD_E_CLOSE);
	OK(vdi_client_expected_bytes(device, &bytes));
	EQ(bytes, UINT64_MAX);
	client_down(client);
}

void test_expected_bytes(void **state)
{
	struct peer peer = spawn(client_is_told);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);

	(void)state;
	await(peer.fd, 'r');
	EQ(vdi_server_set_expected_bytes(NULL, 1), VD_E_INVALID);
	OK(vdi_server_set_expected_bytes(device, 1ULL << 40));
	notify(peer.fd, 's');
	await(peer.fd, 'r');
	OK(vdi_server_set_expected_bytes(device, UINT64_MAX));
	OK(vdi_server_close_device(device));
	server_down(server);
	join(&peer);
}
