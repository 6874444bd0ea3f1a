// SPDX-License-Identifier: LGPL-2.1-or-later
/* streams.c - whole backups and restores on up to 64 devices, and their cost */
#include <pthread.h>
#include <stdlib.h>

#include "fixture.h"

/* ------------------------------------------------------- backup and restore */

#define DEVICE_BYTES	(8 * MIB)

struct stream {
	struct vdi_server *server;
	struct vdi_server_device *device;
	uint64_t next;			/* to send */
	uint64_t checked;		/* read and checked */
	int busy;
	int code;			/* VDC_Write or VDC_Read */
	bool flushed;
	struct job job[4];
	uint8_t *buf[4];
};

static void stream_step(struct VDS_Command *cmd);

static void stream_send(struct stream *s, int i)
{
	struct job *job = &s->job[i];
	int32_t size = PIECE;

	if (s->next == DEVICE_BYTES) {
		if (s->busy || s->flushed)
			return;
		s->flushed = true;
		job_init(job, VDC_Flush, NULL, 0);
	} else {
		if (s->code == VDC_Write)
			fill(s->buf[i], size, s->next);
		job_init(job, s->code, s->buf[i], size);
		job->cmd.inPosition = s->next;
		s->next += size;
	}
	job->cmd.completionRoutine = stream_step;
	job->cmd.completionContext = s;
	s->busy++;
	OK(vdi_server_send_command(s->device, &job->cmd));
}

/* The routine sends the next command, and closes at the end. */
static void stream_step(struct VDS_Command *cmd)
{
	struct stream *s = cmd->completionContext;
	int i = (struct job *)cmd - s->job;

	s->busy--;
	EQ(cmd->completionCode, 0);
	if (cmd->commandCode == VDC_Flush) {
		OK(vdi_server_close_device(s->device));
		return;
	}
	EQ(cmd->bytesTransferred, PIECE);
	if (cmd->commandCode == VDC_Read) {
		TRUE(filled(cmd->buffer, PIECE, cmd->inPosition));
		s->checked += PIECE;
	}
	stream_send(s, i);
}

static unsigned int devices;

static void *serve_thread(void *arg)
{
	uint64_t bytes = serve(arg, DEVICE_BYTES);

	EQ(bytes, DEVICE_BYTES);
	return NULL;
}

static void client_streams(int fd)
{
	struct vdi_client *client = client_up_n(fd, devices);
	pthread_t thread[64];
	unsigned int i;

	for (i = 0; i < devices; i++)
		OK(pthread_create(&thread[i], NULL, serve_thread,
				  client_open(client, i)));
	for (i = 0; i < devices; i++)
		OK(pthread_join(thread[i], NULL));
	client_down(client);
}

static void run_streams(int code, unsigned int n)
{
	struct shape shape = {
		.features = code == VDC_Write ? VDF_WriteMedia : VDF_ReadMedia,
		.size = PIECE, .count = 4 * n,
	};
	struct stream *s = calloc(n, sizeof(*s));
	struct vdi_server *server;
	struct peer peer;
	unsigned int i, k;

	devices = n;
	peer = spawn(client_streams);
	server = server_up(&peer, &shape);
	for (i = 0; i < n; i++) {
		s[i].server = server;
		s[i].code = code;
		s[i].device = server_open(server, i);
		for (k = 0; k < 4; k++)
			s[i].buf[k] = buffer(server, PIECE);
	}
	for (i = 0; i < n; i++)
		for (k = 0; k < 4; k++)
			stream_send(&s[i], k);
	OK(vdi_server_execute_completion_agent(server));
	for (i = 0; code == VDC_Read && i < n; i++)
		EQ(s[i].checked, DEVICE_BYTES);
	server_down(server);
	join(&peer);
	free(s);
}

void test_backup_1(void **state)
{
	(void)state;
	run_streams(VDC_Write, 1);
}

void test_backup_4(void **state)
{
	(void)state;
	run_streams(VDC_Write, 4);
}

void test_backup_64(void **state)
{
	(void)state;
	run_streams(VDC_Write, 64);
}

void test_restore_1(void **state)
{
	(void)state;
	run_streams(VDC_Read, 1);
}

void test_restore_4(void **state)
{
	(void)state;
	run_streams(VDC_Read, 4);
}

void test_restore_64(void **state)
{
	(void)state;
	run_streams(VDC_Read, 64);
}

/* Other threads open and use devices while the agent sleeps. */
void test_agent_first(void **state)
{
	struct vdi_server_device *device[4];
	struct vdi_server *server;
	struct job job[4];
	struct peer peer;
	pthread_t thread;
	void *code;
	int i, round;

	(void)state;
	devices = 4;
	peer = spawn(client_streams);
	server = server_up(&peer, &plain);
	OK(pthread_create(&thread, NULL, agent_thread, server));
	await_agent(server);
	nap(50);	/* it sleeps by then */
	for (i = 0; i < 4; i++)
		device[i] = server_open(server, i);
	for (round = 0; round < (int)(DEVICE_BYTES / MIB); round++) {
		for (i = 0; i < 4; i++) {
			uint8_t *buf;

			if (!round && !i)
				OK(vdi_server_request_buffers(server, MIB, 0,
							      4));
			buf = buffer(server, MIB);
			fill(buf, MIB, (uint64_t)round * MIB);
			OK(job_send(device[i], &job[i], VDC_Write, buf, MIB));
		}
		for (i = 0; i < 4; i++) {
			while (!__atomic_load_n(&job[i].ran,
						__ATOMIC_ACQUIRE))
				nap(1);
			OK(vdi_server_free_buffer(server, job[i].cmd.buffer,
						  MIB));
		}
	}
	for (i = 0; i < 4; i++)
		OK(vdi_server_close_device(device[i]));
	OK(pthread_join(thread, &code));
	EQ((intptr_t)code, NOERROR);
	server_down(server);
	join(&peer);
}

/* --------------------------------------------------------------------- cost */

static void client_null(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;

	while (!vdi_client_get_command(device, -1, &cmd))
		done(device, cmd, 0, 0);
	client_down(client);
}

static void measure(unsigned int in_flight, long rounds)
{
	struct peer peer = spawn(client_null);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	unsigned int i, count;
	struct job job[32];
	int64_t start;
	long n = 0;

	for (i = 0; i < in_flight; i++)
		job[i].ran = 1;
	start = now_ms();
	while (n < rounds) {
		for (i = 0; i < in_flight; i++) {
			if (!job[i].ran)
				continue;
			OK(job_send(device, &job[i], VDC_Flush, NULL, 0));
			n++;
		}
		OK(vdi_server_run_completions(server, WAIT, &count));
	}
	start = now_ms() - start;
	print_message("# %2u in flight: %ld commands in %ld ms, %ld ns each\n",
		      in_flight, n, (long)start, (long)start * 1000000 / n);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

void test_cost(void **state)
{
	(void)state;
	measure(1, 1000);
	new_name();
	measure(4, 4000);
	new_name();
	measure(32, 20000);
}
