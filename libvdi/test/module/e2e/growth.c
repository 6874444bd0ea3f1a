// SPDX-License-Identifier: LGPL-2.1-or-later
/* growth.c - the area grows while both sides use it; both in one process */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

static unsigned int area_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned int n = 0;
	char line[512];

	TRUE(f);
	while (fgets(line, sizeof(line), f))
		n += !!strstr(line, "vdiset-area");
	fclose(f);
	return n;
}

/* A server without this library grows the area page by page. */
static void grow_by_pages(int lock)
{
	struct vdiset_request_buffers req = {
		.size = sizeof(req), .bytes = 4 * KIB,
	};
	unsigned int i, segments = 0;
	const struct vdi_segment *seg;
	struct both b;
	uint8_t *p;

	both_up(&b, lock);
	EQ(area_mappings(), 2);
	/* the module may add more than requested */
	for (i = 0; i < (lock ? 300 : 2000) &&
	     req.out_area_size < 64 * MIB; i++) {
		OK(ioctl(vdi_server_fd(b.server), VDISET_REQUEST_BUFFERS,
			 &req));
		OK(vdi_client_map_buffer_handle(b.client, (req.out_area_size -
							   4 * KIB) / 512 + 1,
						&p));
		memset(p, 1, 4 * KIB);
	}
	seg = vdi_area_first(&b.client->set.area);
	for (; seg; seg = vdi_area_next(seg))
		segments++;
	TRUE(segments < 16);
	EQ(area_mappings(), segments + 1);
	if (lock && !SANITIZED)
		EQ(status_kib("VmLck"),
		   vdi_area_size(&b.client->set.area) / KIB);
	both_down(&b);
	EQ(area_mappings(), 0);
}

void test_growth_by_pages(void **state)
{
	(void)state;
	grow_by_pages(0);
	new_name();
	grow_by_pages(1);
}

/* The same with this library: it uses up a growth before the next one. */
void test_growth_in_steps(void **state)
{
	struct VDConfig before, after;
	struct both b;
	uint8_t *buf;
	uint32_t count;
	int i;

	(void)state;
	both_up(&b, 0);
	OK(vdi_server_get_configuration(b.server, &before));
	for (i = 0; i < 200; i++) {
		OK(vdi_server_request_buffers(b.server, 5 * KIB, 0, 3));
		OK(vdi_server_query_available_buffers(b.server, 5 * KIB, 0,
						      &count));
		TRUE(count >= 3);
		buf = buffer(b.server, 5 * KIB);
		memset(buf, i, 5 * KIB);
		buf = buffer(b.server, 5 * KIB);
		memset(buf, i, 5 * KIB);
		buf = buffer(b.server, 5 * KIB);
		fill(buf, 5 * KIB, i);
	}
	OK(vdi_server_get_configuration(b.server, &after));
	TRUE(after.bufferAreaSize - before.bufferAreaSize <
	     200 * 16 * KIB + 4 * MIB);
	both_down(&b);
}

/*
 * While one thread waits for memory, completion routines free and allocate
 * buffers: the growth does not begin before one of them has done so.
 */
static struct both growing;
static volatile int growth_began, routine_ended, ended_meanwhile;

static void wait_for_routine(void)
{
	int64_t end = now_ms() + WAIT;

	__atomic_store_n(&growth_began, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&routine_ended, __ATOMIC_ACQUIRE) &&
	       now_ms() < end)
		nap(1);
	ended_meanwhile = routine_ended;
}

static void use_buffers(struct VDS_Command *cmd)
{
	uint32_t count;
	uint8_t *buf;

	OK(vdi_server_free_buffer(growing.server, cmd->buffer, PIECE));
	OK(vdi_server_query_available_buffers(growing.server, PIECE, 0,
					      &count));
	OK(vdi_server_allocate_buffer(growing.server, &buf, PIECE, 0));
	__atomic_store_n(&routine_ended, 1, __ATOMIC_RELEASE);
}

static void *grow_once(void *arg)
{
	(void)arg;
	return (void *)(intptr_t)vdi_server_request_buffers(growing.server, MIB,
							     0, 4);
}

void test_growth_beside_routines(void **state)
{
	struct both *b = &growing;
	struct VDC_Command *cmd;
	pthread_t thread;
	struct job job;
	void *result;
	int i;

	(void)state;
	both_up(b, 0);
	job_init(&job, VDC_Write, buffer(b->server, PIECE), PIECE);
	job.cmd.completionRoutine = use_buffers;
	OK(vdi_server_send_command(b->sdev, &job.cmd));
	cmd = get_a(b->cdev, VDC_Write);
	before_growth = wait_for_routine;
	OK(pthread_create(&thread, NULL, grow_once, NULL));
	while (!__atomic_load_n(&growth_began, __ATOMIC_ACQUIRE))
		nap(1);
	done(b->cdev, cmd, 0, PIECE);
	OK(vdi_server_run_completions(b->server, WAIT, NULL));
	OK(pthread_join(thread, &result));
	OK((intptr_t)result);
	TRUE(ended_meanwhile);
	for (i = 0; i < 4; i++)
		memset(buffer(b->server, MIB), 1, MIB);
	both_down(b);
}

static void *grow_often(void *arg)
{
	int i;

	for (i = 0; i < 10; i++)
		OK(vdi_server_request_buffers(growing.server, *(uint32_t *)arg,
					      0, 2));
	return NULL;
}

/* Growths by several threads: each gets what it has requested. */
void test_growth_by_threads(void **state)
{
	static uint32_t sizes[4] = { 64 * KIB, MIB, 192 * KIB, 512 };
	struct both *b = &growing;
	pthread_t thread[4];
	uint8_t *buf[4][20];
	unsigned int i, j, k;
	uint32_t count;

	(void)state;
	both_up(b, 0);
	for (i = 0; i < 4; i++)
		OK(pthread_create(&thread[i], NULL, grow_often, &sizes[i]));
	for (i = 0; i < 4; i++)
		OK(pthread_join(thread[i], NULL));
	for (i = 0; i < 4; i++) {
		OK(vdi_server_query_available_buffers(b->server, sizes[i], 0,
						      &count));
		TRUE(count >= 20);
		for (j = 0; j < 20; j++) {
			buf[i][j] = buffer(b->server, sizes[i]);
			memset(buf[i][j], i * 20 + j, sizes[i]);
		}
	}
	for (i = 0; i < 4; i++)
		for (j = 0; j < 20; j++)
			for (k = 0; k < sizes[i]; k += 256)
				EQ(buf[i][j][k], i * 20 + j);
	both_down(b);
}

/*
 * Signals reach a process that waits for memory: handlers run, fatal ones end
 * it.
 */
static int growth_fd;

static void signal_growth(void)
{
	raise(SIGUSR1);
	EQ(signals, 1);
	raise(SIGTERM);
	notify(growth_fd, 'x');	/* this is not reached */
}

static void signalled_server(int fd)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct both b;

	both_up(&b, 0);
	growth_fd = fd;
	signals = 0;
	sigaction(SIGUSR1, &action, NULL);
	before_growth = signal_growth;
	vdi_server_request_buffers(b.server, MIB, 0, 4);
	_exit(0);
}

void test_growth_signalled(void **state)
{
	struct peer peer = spawn(signalled_server);
	int status;
	char c;

	(void)state;
	EQ(read(peer.fd, &c, 1), 0);
	EQ(waitpid(peer.pid, &status, 0), peer.pid);
	child_count--;
	close(peer.fd);
	TRUE(WIFSIGNALED(status));
	EQ(WTERMSIG(status), SIGTERM);
}
