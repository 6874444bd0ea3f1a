// SPDX-License-Identifier: LGPL-2.1-or-later
/* fixture.c - what the parts of e2e share: processes, both sides, commands */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/vdiset.h>

#include "fixture.h"

bool in_child;

void failed(const char *file, int line, const char *what, long got,
	    long want)
{
	fprintf(stderr, "# %s:%d: %s is %ld (%s), not %ld (%s)\n", file, line,
		what, got, vdi_strerror(got), want, vdi_strerror(want));
	if (in_child)
		_exit(1);
	fail();
}

/* -------------------------------------------------------------- processes */

char set_name[64];

void new_name(void)
{
	static int number;

	snprintf(set_name, sizeof(set_name), "e2e-%d-%d", getpid(), ++number);
}

void notify(int fd, char c)
{
	EQ(write(fd, &c, 1), 1);
}

void await(int fd, char want)
{
	char c = 0;

	EQ(read(fd, &c, 1), 1);
	EQ(c, want);
}

/* Children that a failed test has left. */
static pid_t children[16];
unsigned int child_count;

struct peer spawn(client_fn *fn)
{
	struct peer peer;
	int fd[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	fflush(NULL);
	peer.pid = fork();
	TRUE(peer.pid >= 0);
	if (!peer.pid) {
		in_child = true;
		close(fd[0]);
		alarm(LIMIT);
		fn(fd[1]);
		_exit(0);
	}
	close(fd[1]);
	peer.fd = fd[0];
	children[child_count++ % 16] = peer.pid;
	return peer;
}

void join(struct peer *peer)
{
	int status;

	EQ(waitpid(peer->pid, &status, 0), peer->pid);
	child_count--;
	close(peer->fd);
	EQ(status, 0);
}

void kill_peer(struct peer *peer)
{
	int status;

	OK(kill(peer->pid, SIGKILL));
	EQ(waitpid(peer->pid, &status, 0), peer->pid);
	child_count--;
	close(peer->fd);
}

volatile sig_atomic_t signals;

void on_signal(int number)
{
	(void)number;
	signals++;
}

void nap(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void device_name(char *buf, size_t size, unsigned int i)
{
	if (i)
		snprintf(buf, size, "%s-d%u", set_name, i);
	else
		snprintf(buf, size, "%s", set_name);
}

/* ----------------------------------------------------------- client's part */

struct vdi_client *new_client(void)
{
	struct vdi_client *client;

	OK(vdi_client_new(&client));
	return client;
}

/* Create the set, notify the server, wait until it is configured. */
struct vdi_client *client_up(int fd, const struct VDConfig *config)
{
	struct vdi_client *client = new_client();
	struct VDConfig got;

	OK(vdi_client_create(client, NULL, set_name, config, NULL));
	notify(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	return client;
}

struct vdi_client *client_up_n(int fd, unsigned int devices)
{
	const struct VDConfig config = { .deviceCount = devices };

	return client_up(fd, &config);
}

struct vdi_client_device *client_open(struct vdi_client *client,
				      unsigned int i)
{
	struct vdi_client_device *device;
	char name[96];

	device_name(name, sizeof(name), i);
	OK(vdi_client_open_device(client, name, &device));
	return device;
}

struct VDC_Command *get(struct vdi_client_device *device)
{
	struct VDC_Command *cmd;

	OK(vdi_client_get_command(device, WAIT, &cmd));
	return cmd;
}

struct VDC_Command *get_a(struct vdi_client_device *device, int code)
{
	struct VDC_Command *cmd = get(device);

	EQ(cmd->commandCode, code);
	return cmd;
}

void done(struct vdi_client_device *device, struct VDC_Command *cmd,
	  int code, uint32_t bytes)
{
	OK(vdi_client_complete_command(device, cmd, code, bytes, 0));
}

void expect_close(struct vdi_client_device *device)
{
	struct VDC_Command *cmd;

	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_CLOSE);
}

void client_down(struct vdi_client *client)
{
	OK(vdi_client_close(client));
	vdi_client_free(client);
}

/*
 * A stream that both sides can generate and check: words with their position.
 */
void fill(uint8_t *buf, uint32_t size, uint64_t position)
{
	uint64_t i, *word = (uint64_t *)buf;

	for (i = 0; i < size / 8; i++)
		word[i] = (position + i * 8) * 0x9e3779b97f4a7c15ULL;
}

bool filled(const uint8_t *buf, uint32_t size, uint64_t position)
{
	const uint64_t *word = (const uint64_t *)buf;
	uint64_t i;

	for (i = 0; i < size / 8; i++)
		if (word[i] != (position + i * 8) * 0x9e3779b97f4a7c15ULL)
			return false;
	return true;
}

/*
 * The loop of a backup program: checks what is written, and generates @total
 * bytes for what is read. Returns the number of bytes moved.
 */
uint64_t serve(struct vdi_client_device *device, uint64_t total)
{
	struct VDC_Command *cmd;
	uint64_t at = 0;
	uint32_t n;
	int code;

	while (!(code = vdi_client_get_command(device, -1, &cmd))) {
		switch (cmd->commandCode) {
		case VDC_Write:
			TRUE(filled(cmd->buffer, cmd->size, at));
			at += cmd->size;
			done(device, cmd, ERROR_SUCCESS, cmd->size);
			break;
		case VDC_Read:
			n = total - at < (uint32_t)cmd->size ? total - at :
							 (uint32_t)cmd->size;
			fill(cmd->buffer, n, at);
			at += n;
			done(device, cmd, n == (uint32_t)cmd->size ?
			     ERROR_SUCCESS : ERROR_HANDLE_EOF, n);
			break;
		case VDC_Flush:
		case VDC_ClearError:
			done(device, cmd, ERROR_SUCCESS, 0);
			break;
		default:
			done(device, cmd, ERROR_NOT_SUPPORTED, 0);
		}
	}
	EQ(code, VD_E_CLOSE);
	return at;
}

/* ----------------------------------------------------------- server's part */

struct vdi_server *new_server(void)
{
	struct vdi_server *server;

	OK(vdi_server_new(&server));
	return server;
}

const struct shape plain = {
	.features = VDF_WriteMedia, .size = 64 * KIB, .count = 8,
};

struct vdi_server *server_up(struct peer *peer,
			     const struct shape *shape)
{
	struct vdi_server *server = new_server();
	struct VDConfig config;
	uint32_t features;

	await(peer->fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_configuration(server, &config));
	OK(vdi_server_set_queue_depth(server, shape->depth));
	OK(vdi_server_set_lock(server, shape->lock));
	features = config.features | shape->features;
	if (!(features & (VDF_WriteMedia | VDF_ReadMedia)))
		features |= VDF_WriteMedia | VDF_ReadMedia;
	OK(vdi_server_begin_configuration(server, features, 0, 0, 1 * MIB,
					  WAIT));
	OK(vdi_server_request_buffers(server, shape->size, 0, shape->count));
	OK(vdi_server_end_configuration(server));
	return server;
}

struct vdi_server_device *server_open(struct vdi_server *server,
				      unsigned int i)
{
	struct vdi_server_device *device;
	char name[96];

	device_name(name, sizeof(name), i);
	OK(vdi_server_open_device(server, name, &device));
	return device;
}

void server_down(struct vdi_server *server)
{
	OK(vdi_server_close(server));
	vdi_server_free(server);
}

uint8_t *buffer(struct vdi_server *server, uint32_t size)
{
	uint8_t *buf;

	OK(vdi_server_allocate_buffer(server, &buf, size, 0));
	return buf;
}

void job_done(struct VDS_Command *cmd)
{
	__atomic_add_fetch(&((struct job *)cmd->completionContext)->ran, 1,
			   __ATOMIC_RELEASE);
}

void job_init(struct job *job, int code, uint8_t *buf, int32_t size)
{
	memset(job, 0, sizeof(*job));
	job->cmd.commandCode = code;
	job->cmd.buffer = buf;
	job->cmd.size = size;
	job->cmd.completionRoutine = job_done;
	job->cmd.completionContext = job;
	job->cmd.completionCode = -1;
}

int job_send(struct vdi_server_device *device, struct job *job,
	     int code, uint8_t *buf, int32_t size)
{
	job_init(job, code, buf, size);
	return vdi_server_send_command(device, &job->cmd);
}

void job_wait(struct vdi_server *server, struct job *job)
{
	while (!job->ran)
		OK(vdi_server_run_completions(server, WAIT, NULL));
	EQ(job->ran, 1);
}

/* Send, wait, and return the completion code. */
int ask(struct vdi_server *server, struct vdi_server_device *device,
	int code, uint8_t *buf, int32_t size)
{
	struct job job;

	OK(job_send(device, &job, code, buf, size));
	job_wait(server, &job);
	return job.cmd.completionCode;
}

void run_out(struct vdi_server *server)
{
	int code;

	do
		code = vdi_server_run_completions(server, WAIT, NULL);
	while (!code);
	EQ(code, VD_E_CLOSE);
}

int run_to_end(struct vdi_server *server)
{
	int code;

	do
		code = vdi_server_run_completions(server, WAIT, NULL);
	while (!code);
	return code;
}

void client_idle(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);

	expect_close(device);
	client_down(client);
}

void client_waits(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;

	notify(fd, 'r');
	EQ(vdi_client_get_command(device, -1, &cmd), VD_E_ABORT);
	client_down(client);
}

void client_unconfigured(int fd)
{
	struct VDConfig config = { .deviceCount = 1 };
	struct vdi_client *client = new_client();

	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	notify(fd, 'c');
	EQ(vdi_client_get_configuration(client, -1, &config), VD_E_ABORT);
	client_down(client);
}

void *agent_thread(void *arg)
{
	return (void *)(intptr_t)vdi_server_execute_completion_agent(arg);
}

/* Wait until a thread runs the completion agent. */
void await_agent(const struct vdi_server *server)
{
	while (!__atomic_load_n(&server->agent_runs, __ATOMIC_ACQUIRE))
		nap(1);
}

/* Open a device without the library's objects, to break the rules there. */
struct vdi_channel raw_open_named(int set_fd, const char *name)
{
	struct vdi_set set;
	struct vdi_channel ch;

	vdi_set_init(&set, NULL);
	set.fd = set_fd;
	strcpy(set.name, set_name);
	OK(vdi_channel_open(&set, name, &ch));
	return ch;
}

struct vdi_channel raw_open(int set_fd)
{
	return raw_open_named(set_fd, set_name);
}

/* Value of a line of /proc/self/status, in KiB. */
long status_kib(const char *name)
{
	size_t len = strlen(name);
	char line[256];
	long kib = -1;
	FILE *f;

	f = fopen("/proc/self/status", "r");
	TRUE(f);
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			kib = strtol(line + len + 1, NULL, 10);
	fclose(f);
	return kib;
}

/* ------------------------------------------------- both sides in one process */

/* Called once, before the library's next call of this kind. */
void (*before_mmap)(void);
void (*before_growth)(void);

static void call_once(void (**hook)(void))
{
	void (*fn)(void) = *hook;

	*hook = NULL;
	if (fn)
		fn();
}

void *__real_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t o);
void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t o);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *arg);

void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t o)
{
	if (fd >= 0)
		call_once(&before_mmap);
	return __real_mmap64(at, size, prot, flags, fd, o);
}

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (request == VDISET_REQUEST_BUFFERS)
		call_once(&before_growth);
	return __real_ioctl(fd, request, arg);
}

/* Active, with one device and the buffers of @plain. */
void both_up(struct both *b, int lock)
{
	const struct VDConfig config = { .deviceCount = 1 };
	struct VDConfig got;

	b->client = new_client();
	b->server = new_server();
	OK(vdi_client_set_lock(b->client, lock));
	OK(vdi_client_create(b->client, NULL, set_name, &config, NULL));
	OK(vdi_server_open(b->server, NULL, set_name));
	OK(vdi_server_begin_configuration(b->server, VDF_WriteMedia, 0, 0,
					  1 * MIB, WAIT));
	OK(vdi_server_request_buffers(b->server, plain.size, 0, plain.count));
	OK(vdi_server_end_configuration(b->server));
	OK(vdi_client_get_configuration(b->client, WAIT, &got));
	b->sdev = server_open(b->server, 0);
	b->cdev = client_open(b->client, 0);
}

void both_down(struct both *b)
{
	OK(vdi_server_close_device(b->sdev));
	expect_close(b->cdev);
	server_down(b->server);
	client_down(b->client);
}

void both_free(struct both *b)
{
	vdi_server_free(b->server);
	vdi_client_free(b->client);
}

/* Run in a child, which may change its limits and identity. */
void run_in_child(client_fn *fn)
{
	struct peer peer = spawn(fn);

	join(&peer);
}

int set_up(void **state)
{
	(void)state;
	new_name();
	alarm(LIMIT);
	return 0;
}

int tear_down(void **state)
{
	(void)state;
	while (child_count)
		kill(children[--child_count], SIGKILL);
	return 0;
}
