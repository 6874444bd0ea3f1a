// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * e2e.c - both sides of libvdi over /dev/vdiset, in two processes and more
 *
 * In each test this process is the server and forked children are clients. A
 * check that fails in a child makes it exit with 1, which the server's join()
 * reports; an alarm ends whatever hangs.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <libvdi.h>
#include <linux/vdiset.h>

#include "channel.h"
#include "client.h"

#define KIB	1024U
#define MIB	(1024U * KIB)
#define WAIT	10000		/* longer than anything here takes */
#define LIMIT	120		/* seconds for one test */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED	1		/* needs all addresses there are */
#else
#define SANITIZED	0
#endif

/* --------------------------------------------------------------- checking */

static bool in_child;

static void failed(const char *file, int line, const char *what, long got,
		   long want)
{
	fprintf(stderr, "# %s:%d: %s is %ld (%s), not %ld (%s)\n", file, line,
		what, got, vdi_strerror(got), want, vdi_strerror(want));
	if (in_child)
		_exit(1);
	fail();
}

#define EQ(got, want) do {						\
	long g_ = (long)(got), w_ = (long)(want);			\
	if (g_ != w_)							\
		failed(__FILE__, __LINE__, #got, g_, w_);		\
} while (0)
#define OK(got)		EQ(got, NOERROR)
#define TRUE(got)	EQ(!!(got), 1)

/* -------------------------------------------------------------- processes */

struct peer {
	pid_t pid;
	int fd;			/* a socket to the other process */
};

typedef void client_fn(int fd);

static char set_name[64];

static void new_name(void)
{
	static int number;

	snprintf(set_name, sizeof(set_name), "e2e-%d-%d", getpid(), ++number);
}

static void tell(int fd, char c)
{
	EQ(write(fd, &c, 1), 1);
}

static void hear(int fd, char want)
{
	char c = 0;

	EQ(read(fd, &c, 1), 1);
	EQ(c, want);
}

/* What a failed test left behind. */
static pid_t children[16];
static unsigned int child_count;

static struct peer spawn(client_fn *fn)
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

static void join(struct peer *peer)
{
	int status;

	EQ(waitpid(peer->pid, &status, 0), peer->pid);
	child_count--;
	close(peer->fd);
	EQ(status, 0);
}

static void kill_peer(struct peer *peer)
{
	int status;

	OK(kill(peer->pid, SIGKILL));
	EQ(waitpid(peer->pid, &status, 0), peer->pid);
	child_count--;
	close(peer->fd);
}

static void nap(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void device_name(char *buf, size_t size, unsigned int i)
{
	if (i)
		snprintf(buf, size, "%s-d%u", set_name, i);
	else
		snprintf(buf, size, "%s", set_name);
}

/* ----------------------------------------------------------- client's part */

static struct vdi_client *new_client(void)
{
	struct vdi_client *client;

	OK(vdi_client_new(&client));
	return client;
}

/* Create the set, tell the server, wait until it is configured. */
static struct vdi_client *client_up(int fd, const struct VDConfig *config)
{
	struct vdi_client *client = new_client();
	struct VDConfig got;

	OK(vdi_client_create(client, NULL, set_name, config, NULL));
	tell(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	return client;
}

static struct vdi_client *client_up_n(int fd, unsigned int devices)
{
	const struct VDConfig config = { .deviceCount = devices };

	return client_up(fd, &config);
}

static struct vdi_client_device *client_open(struct vdi_client *client,
					     unsigned int i)
{
	struct vdi_client_device *device;
	char name[96];

	device_name(name, sizeof(name), i);
	OK(vdi_client_open_device(client, name, &device));
	return device;
}

static struct VDC_Command *get(struct vdi_client_device *device)
{
	struct VDC_Command *cmd;

	OK(vdi_client_get_command(device, WAIT, &cmd));
	return cmd;
}

static struct VDC_Command *get_a(struct vdi_client_device *device, int code)
{
	struct VDC_Command *cmd = get(device);

	EQ(cmd->commandCode, code);
	return cmd;
}

static void done(struct vdi_client_device *device, struct VDC_Command *cmd,
		 int code, uint32_t bytes)
{
	OK(vdi_client_complete_command(device, cmd, code, bytes, 0));
}

static void expect_close(struct vdi_client_device *device)
{
	struct VDC_Command *cmd;

	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_CLOSE);
}

static void client_down(struct vdi_client *client)
{
	OK(vdi_client_close(client));
	vdi_client_free(client);
}

/* A stream that both sides can make and check: words with their position. */
static void fill(uint8_t *buf, uint32_t size, uint64_t position)
{
	uint64_t i, *word = (uint64_t *)buf;

	for (i = 0; i < size / 8; i++)
		word[i] = (position + i * 8) * 0x9e3779b97f4a7c15ULL;
}

static bool filled(const uint8_t *buf, uint32_t size, uint64_t position)
{
	const uint64_t *word = (const uint64_t *)buf;
	uint64_t i;

	for (i = 0; i < size / 8; i++)
		if (word[i] != (position + i * 8) * 0x9e3779b97f4a7c15ULL)
			return false;
	return true;
}

/*
 * The loop of a backup program: checks what is written, makes what is read,
 * @total bytes of it. Returns bytes moved.
 */
static uint64_t serve(struct vdi_client_device *device, uint64_t total)
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

static struct vdi_server *new_server(void)
{
	struct vdi_server *server;

	OK(vdi_server_new(&server));
	return server;
}

struct shape {
	uint32_t features;
	uint32_t depth;
	uint32_t size;
	uint32_t count;
	int lock;
};

static const struct shape plain = {
	.features = VDF_WriteMedia, .size = 64 * KIB, .count = 8,
};

static struct vdi_server *server_up(struct peer *peer,
				    const struct shape *shape)
{
	struct vdi_server *server = new_server();
	struct VDConfig config;

	hear(peer->fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_configuration(server, &config));
	OK(vdi_server_set_queue_depth(server, shape->depth));
	OK(vdi_server_set_lock(server, shape->lock));
	OK(vdi_server_begin_configuration(server,
					  config.features | shape->features,
					  0, 0, 1 * MIB, WAIT));
	OK(vdi_server_request_buffers(server, shape->size, 0, shape->count));
	OK(vdi_server_end_configuration(server));
	return server;
}

static struct vdi_server_device *server_open(struct vdi_server *server,
					     unsigned int i)
{
	struct vdi_server_device *device;
	char name[96];

	device_name(name, sizeof(name), i);
	OK(vdi_server_open_device(server, name, &device));
	return device;
}

static void server_down(struct vdi_server *server)
{
	OK(vdi_server_close(server));
	vdi_server_free(server);
}

static uint8_t *buffer(struct vdi_server *server, uint32_t size)
{
	uint8_t *buf;

	OK(vdi_server_allocate_buffer(server, &buf, size, 0));
	return buf;
}

/* A command with a counter of the times its routine ran. */
struct job {
	struct VDS_Command cmd;
	int ran;
};

static void job_done(struct VDS_Command *cmd)
{
	__atomic_add_fetch(&((struct job *)cmd->completionContext)->ran, 1,
			   __ATOMIC_RELEASE);
}

static void job_init(struct job *job, int code, uint8_t *buf, int32_t size)
{
	memset(job, 0, sizeof(*job));
	job->cmd.commandCode = code;
	job->cmd.buffer = buf;
	job->cmd.size = size;
	job->cmd.completionRoutine = job_done;
	job->cmd.completionContext = job;
	job->cmd.completionCode = -1;
}

static int job_send(struct vdi_server_device *device, struct job *job,
		    int code, uint8_t *buf, int32_t size)
{
	job_init(job, code, buf, size);
	return vdi_server_send_command(device, &job->cmd);
}

static void job_wait(struct vdi_server *server, struct job *job)
{
	while (!job->ran)
		OK(vdi_server_run_completions(server, WAIT, NULL));
	EQ(job->ran, 1);
}

/* Send, wait, give the completion code. */
static int ask(struct vdi_server *server, struct vdi_server_device *device,
	       int code, uint8_t *buf, int32_t size)
{
	struct job job;

	OK(job_send(device, &job, code, buf, size));
	job_wait(server, &job);
	return job.cmd.completionCode;
}

static void run_out(struct vdi_server *server)
{
	int code;

	do
		code = vdi_server_run_completions(server, WAIT, NULL);
	while (!code);
	EQ(code, VD_E_CLOSE);
}

static int run_to_end(struct vdi_server *server)
{
	int code;

	do
		code = vdi_server_run_completions(server, WAIT, NULL);
	while (!code);
	return code;
}

/* ---------------------------------------------------- life cycle and codes */

static void test_no_set(void **state)
{
	struct vdi_client *client = new_client();
	struct vdi_server *server = new_server();
	struct vdi_client_device *cdev = (void *)1;
	struct vdi_server_device *sdev = (void *)1;
	struct vdi_abort_info info;
	struct VDConfig config;
	uint32_t n;
	uint8_t *p;

	(void)state;
	EQ(vdi_client_get_configuration(client, 0, &config), VD_E_PROTOCOL);
	EQ(vdi_client_open_device(client, "x", &cdev), VD_E_PROTOCOL);
	TRUE(!cdev);
	EQ(vdi_client_signal_abort(client, 0, NULL), VD_E_PROTOCOL);
	EQ(vdi_client_abort_info(client, &info), VD_E_PROTOCOL);
	EQ(vdi_client_get_buffer_handle(client, (void *)1, &n), VD_E_PROTOCOL);
	EQ(vdi_client_map_buffer_handle(client, 1, &p), VD_E_PROTOCOL);
	EQ(vdi_client_close(client), VD_E_PROTOCOL);
	EQ(vdi_client_fd(client), -1);

	EQ(vdi_server_get_configuration(server, &config), VD_E_PROTOCOL);
	EQ(vdi_server_begin_configuration(server, 0, 0, 0, 0, 0),
	   VD_E_PROTOCOL);
	EQ(vdi_server_request_buffers(server, 1, 0, 1), VD_E_PROTOCOL);
	EQ(vdi_server_query_available_buffers(server, 1, 0, &n),
	   VD_E_PROTOCOL);
	EQ(vdi_server_end_configuration(server), VD_E_PROTOCOL);
	EQ(vdi_server_open_device(server, "x", &sdev), VD_E_PROTOCOL);
	EQ(vdi_server_allocate_buffer(server, &p, 1, 0), VD_E_PROTOCOL);
	EQ(vdi_server_free_buffer(server, (void *)1, 1), VD_E_PROTOCOL);
	EQ(vdi_server_is_shared_buffer(server, (void *)1), 0);
	EQ(vdi_server_execute_completion_agent(server), VD_E_PROTOCOL);
	EQ(vdi_server_signal_abort(server, 0, NULL), VD_E_PROTOCOL);
	EQ(vdi_server_close(server), VD_E_PROTOCOL);
	EQ(vdi_server_fd(server), -1);

	EQ(vdi_client_create(NULL, NULL, "x", &config, NULL), VD_E_INVALID);
	EQ(vdi_server_open(NULL, NULL, "x"), VD_E_INVALID);
	EQ(vdi_server_open(server, NULL, "no such set"), VD_E_INVALID);
	EQ(vdi_client_open_in_secondary(client, NULL, "no such set"),
	   VD_E_PROTOCOL);
	vdi_client_free(client);
	vdi_server_free(server);
	vdi_client_free(NULL);
	vdi_server_free(NULL);
}

static void test_create(void **state)
{
	struct vdi_client *a = new_client(), *b = new_client();
	struct VDConfig config = { .deviceCount = 1 };
	struct vdi_client_device *device;
	char text[256];

	(void)state;
	EQ(vdi_client_create(a, NULL, "", &config, NULL), VD_E_INVALID);
	EQ(vdi_client_create(a, NULL, "a\\b", &config, NULL), VD_E_INVALID);
	EQ(vdi_client_create(a, NULL, set_name, NULL, NULL), VD_E_INVALID);
	config.deviceCount = 65;
	EQ(vdi_client_create(a, NULL, set_name, &config, NULL),
	   VD_E_NOTSUPPORTED);
	vdi_client_message(a, text, sizeof(text));
	TRUE(strstr(text, "deviceCount"));
	config.deviceCount = 1;
	OK(vdi_client_create(a, NULL, set_name, &config, NULL));
	EQ(vdi_client_create(a, NULL, "other", &config, NULL), VD_E_PROTOCOL);
	EQ(vdi_client_create(b, NULL, set_name, &config, NULL),
	   VD_E_PROTOCOL);
	vdi_client_message(b, text, sizeof(text));
	TRUE(strstr(text, set_name));
	EQ(vdi_client_open_in_secondary(b, NULL, set_name), VD_E_PROTOCOL);
	EQ(vdi_client_open_device(a, set_name, &device), VD_E_PROTOCOL);
	EQ(vdi_client_get_configuration(a, 0, &config), VD_E_TIMEOUT);
	EQ(vdi_client_get_configuration(a, 30, &config), VD_E_TIMEOUT);
	OK(vdi_client_close(a));
	config = (struct VDConfig){ .deviceCount = 1 };
	OK(vdi_client_create(b, NULL, set_name, &config, NULL));
	OK(vdi_client_signal_abort(b, 0, NULL));
	EQ(vdi_client_get_configuration(b, 0, &config), VD_E_ABORT);
	EQ(vdi_client_open_device(b, set_name, &device), VD_E_ABORT);
	OK(vdi_client_close(b));
	vdi_client_free(a);
	vdi_client_free(b);
}

static void client_idle(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);

	expect_close(device);
	client_down(client);
}

static void test_server_states(void **state)
{
	struct peer peer = spawn(client_idle);
	struct vdi_server *server = new_server(), *late = new_server();
	struct vdi_server_device *device;
	struct VDConfig config;
	uint32_t count;
	uint8_t *p;

	(void)state;
	hear(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	EQ(vdi_server_open(server, NULL, set_name), VD_E_PROTOCOL);
	EQ(vdi_server_open(late, NULL, set_name), VD_E_BUSY);
	OK(vdi_server_get_configuration(server, &config));
	EQ(vdi_server_request_buffers(server, KIB, 0, 1), VD_E_PROTOCOL);
	EQ(vdi_server_end_configuration(server), VD_E_PROTOCOL);
	EQ(vdi_server_query_available_buffers(server, KIB, 0, &count),
	   VD_E_PROTOCOL);

	EQ(vdi_server_begin_configuration(server, VDF_Discard, 0, 0, 0, 0),
	   VD_E_NOTSUPPORTED);
	EQ(vdi_server_begin_configuration(server, VDF_CompleteEnabled, 0, 0,
					  0, 0), VD_E_NOTSUPPORTED);
	EQ(vdi_server_begin_configuration(server, 0, 513, 0, 0, 0),
	   VD_E_NOTSUPPORTED);
	EQ(vdi_server_begin_configuration(server, 0, 0, 256, 0, 0),
	   VD_E_NOTSUPPORTED);
	EQ(vdi_server_begin_configuration(server, 0, 0, 0, 65537, 0),
	   VD_E_NOTSUPPORTED);
	EQ(vdi_server_set_queue_depth(server, 1025), VD_E_INVALID);
	OK(vdi_server_set_queue_depth(server, 5));
	OK(vdi_server_begin_configuration(server, VDF_ReadMedia, 1024, 0, 0,
					  0));
	EQ(vdi_server_begin_configuration(server, VDF_ReadMedia, 1024, 0, 0,
					  0), VD_E_PROTOCOL);
	EQ(vdi_server_set_queue_depth(server, 5), VD_E_PROTOCOL);

	EQ(vdi_server_allocate_buffer(server, &p, KIB, 0), VD_E_PROTOCOL);
	EQ(vdi_server_open_device(server, set_name, &device), VD_E_PROTOCOL);
	EQ(vdi_server_run_completions(server, 0, NULL), VD_E_PROTOCOL);
	OK(vdi_server_request_buffers(server, 64 * KIB, 0, 2));
	OK(vdi_server_query_available_buffers(server, 64 * KIB, 0, &count));
	EQ(count, 2);
	OK(vdi_server_end_configuration(server));
	EQ(vdi_server_end_configuration(server), VD_E_PROTOCOL);
	OK(vdi_server_get_configuration(server, &config));
	EQ(config.features, VDF_ReadMedia);
	EQ(config.blockSize, 1024);
	EQ(config.alignment, 1024);
	EQ(config.maxTransferSize, 64 * KIB);
	EQ(config.maxIODepth, 8);
	EQ(config.bufferAreaSize, 128 * KIB);

	EQ(vdi_server_run_completions(server, 0, NULL), VD_E_TIMEOUT);
	device = server_open(server, 0);
	EQ(vdi_server_run_completions(server, 20, NULL), VD_E_TIMEOUT);
	OK(vdi_server_close_device(device));
	EQ(vdi_server_close_device(device), VD_E_CLOSE);
	EQ(vdi_server_allocate_buffer(server, &p, KIB, 0), VD_E_PROTOCOL);
	EQ(vdi_server_request_buffers(server, KIB, 0, 1), VD_E_PROTOCOL);
	EQ(vdi_server_run_completions(server, 0, NULL), VD_E_CLOSE);
	OK(vdi_server_execute_completion_agent(server));
	server_down(server);
	vdi_server_free(late);
	join(&peer);
}

static void client_names(int fd)
{
	struct vdi_client *client = client_up_n(fd, 3);
	struct vdi_client_device *device, *first, *second, *third;
	struct VDC_Command *cmd;

	OK(vdi_client_open_device(client, set_name, &first));
	EQ(vdi_client_open_device(client, set_name, &device), VD_E_PROTOCOL);
	TRUE(!device);
	EQ(vdi_client_open_device(client, "unknown", &device), VD_E_INVALID);
	EQ(vdi_client_open_device(client, "b\\s", &device), VD_E_INVALID);
	OK(vdi_client_open_device(client, "second", &second));
	OK(vdi_client_open_device(client, "third", &third));
	EQ(vdi_client_open_device(client, "fourth", &device), VD_E_OPEN);
	TRUE(!device);
	tell(fd, 'o');
	expect_close(first);
	expect_close(second);
	expect_close(third);
	EQ(vdi_client_get_command(first, WAIT, &cmd), VD_E_PROTOCOL);
	client_down(client);
}

static void test_names(void **state)
{
	struct peer peer = spawn(client_names);
	struct vdi_server *server = new_server();
	struct vdi_server_device *device[3], *more;
	struct VDConfig config;
	int i;

	(void)state;
	hear(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_configuration(server, &config));
	EQ(config.deviceCount, 3);
	OK(vdi_server_begin_configuration(server, 0, 0, 0, 0, 0));
	OK(vdi_server_name_device(server, 1, "second"));
	EQ(vdi_server_name_device(server, 2, "second"), VD_E_INVALID);
	EQ(vdi_server_name_device(server, 1, "other"), VD_E_PROTOCOL);
	EQ(vdi_server_name_device(server, 3, "other"), VD_E_INVALID);
	OK(vdi_server_name_device(server, 2, "third"));
	OK(vdi_server_request_buffers(server, KIB, 0, 1));
	OK(vdi_server_end_configuration(server));
	OK(vdi_server_open_device(server, "third", &device[2]));
	EQ(vdi_server_open_device(server, "third", &more), VD_E_PROTOCOL);
	EQ(vdi_server_open_device(server, "unknown", &more), VD_E_INVALID);
	OK(vdi_server_open_device(server, set_name, &device[0]));
	OK(vdi_server_open_device(server, "second", &device[1]));
	EQ(vdi_server_open_device(server, "fourth", &more), VD_E_OPEN);
	TRUE(!more);
	hear(peer.fd, 'o');
	for (i = 0; i < 3; i++)
		OK(vdi_server_close_device(device[i]));
	run_out(server);
	server_down(server);
	join(&peer);
}

static void client_instance(int fd)
{
	struct VDConfig config = { .deviceCount = 1 };
	struct vdi_client *client = new_client(), *second = new_client();
	struct vdi_client_device *device;

	OK(setenv("_VIRTUAL_SERVER_NAME_", "ENV", 1));
	OK(vdi_client_create(client, vdi_default_instance(), set_name, &config,
			     NULL));
	tell(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &config));
	OK(vdi_client_open_in_secondary(second, "ENV", set_name));
	OK(vdi_client_open_device(second, set_name, &device));
	tell(fd, 'o');
	expect_close(device);
	client_down(second);
	client_down(client);
}

static void test_instance(void **state)
{
	struct peer peer = spawn(client_instance);
	struct vdi_server *server = new_server();
	struct vdi_server_device *device;

	(void)state;
	hear(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	EQ(vdi_server_open(server, "OTHER", set_name), VD_E_INVALID);
	OK(vdi_server_open(server, "ENV", set_name));
	OK(vdi_server_begin_configuration(server, 0, 0, 0, 0, 0));
	OK(vdi_server_name_device(server, 0, set_name));
	OK(vdi_server_request_buffers(server, KIB, 0, 1));
	OK(vdi_server_end_configuration(server));
	OK(vdi_server_open_device(server, set_name, &device));
	hear(peer.fd, 'o');
	OK(vdi_server_close_device(device));
	server_down(server);
	join(&peer);
}

/* ---------------------------------------------------------------- buffers */

static void client_prefix(int fd)
{
	const struct VDConfig config = {
		.deviceCount = 1, .prefixZoneSize = 4096, .alignment = 4096,
	};
	struct vdi_client *client = client_up(fd, &config);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;
	int i;

	for (i = 0; i < 8; i++) {
		cmd = get_a(device, VDC_Write);
		EQ((uintptr_t)cmd->buffer % 4096, 0);
		memset(cmd->buffer - 4096, 0xee, 4096);
		TRUE(filled(cmd->buffer, cmd->size, i));
		done(device, cmd, 0, cmd->size);
	}
	expect_close(device);
	client_down(client);
}

static void test_buffers(void **state)
{
	struct peer peer = spawn(client_prefix);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	uint8_t *buf[8], *more;
	uint32_t count;
	struct job job;
	int i;

	(void)state;
	for (i = 0; i < 8; i++)
		buf[i] = buffer(server, 64 * KIB);
	EQ(vdi_server_allocate_buffer(server, &more, 64 * KIB, 0),
	   VD_E_MEMORY);
	TRUE(!more);
	EQ(vdi_server_allocate_buffer(server, &more, 64 * KIB, 3),
	   VD_E_INVALID);
	EQ(vdi_server_allocate_buffer(server, &more, 0, 0), VD_E_INVALID);
	for (i = 0; i < 8; i++) {
		fill(buf[i], 64 * KIB, i);
		EQ(vdi_server_is_shared_buffer(server, buf[i]), 1);
	}
	EQ(vdi_server_is_shared_buffer(server, (uint8_t *)&count), 0);
	EQ(job_send(device, &job, VDC_Write, (uint8_t *)&job, 8),
	   VD_E_INVALID);
	EQ(job_send(device, &job, VDC_Write, buf[7], 128 * KIB),
	   VD_E_INVALID);
	EQ(job_send(device, &job, VDC_Write, buf[0] + 512, 512),
	   VD_E_INVALID);
	EQ(job_send(device, &job, VDC_Write, buf[0], -1), VD_E_INVALID);
	EQ(job_send(device, &job, VDC_Write, NULL, 8), VD_E_INVALID);
	EQ(job_send(device, &job, VDC_Complete, NULL, 0), VD_E_INVALID);
	EQ(job.ran, 0);
	for (i = 0; i < 8; i++)
		EQ(ask(server, device, VDC_Write, buf[i], 64 * KIB), 0);
	EQ(vdi_server_free_buffer(server, buf[0], KIB), VD_E_INVALID);
	OK(vdi_server_free_buffer(server, buf[0], 64 * KIB));
	EQ(vdi_server_free_buffer(server, buf[0], 64 * KIB), VD_E_INVALID);
	OK(vdi_server_query_available_buffers(server, 64 * KIB, 0, &count));
	EQ(count, 1);
	OK(vdi_server_close_device(device));
	run_out(server);
	OK(vdi_server_free_buffer(server, buf[1], 64 * KIB));
	server_down(server);
	join(&peer);
}

static void client_growth(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct vdi_client *second = new_client();
	struct VDC_Command *cmd;
	uint32_t handle;
	uint8_t *p;
	int i;

	OK(vdi_client_open_in_secondary(second, NULL, set_name));
	for (i = 0; i < 3; i++) {
		cmd = get_a(device, VDC_Write);
		TRUE(filled(cmd->buffer, cmd->size, i));
		OK(vdi_client_get_buffer_handle(client, cmd->buffer,
						&handle));
		OK(vdi_client_map_buffer_handle(second, handle, &p));
		TRUE(p != cmd->buffer && filled(p, cmd->size, i));
		done(device, cmd, 0, cmd->size);
	}
	EQ(vdi_client_map_buffer_handle(second, 0, &p), VD_E_INVALID);
	EQ(vdi_client_map_buffer_handle(second, UINT32_MAX, &p), VD_E_INVALID);
	EQ(vdi_client_get_buffer_handle(client, (uint8_t *)&p, &handle),
	   VD_E_INVALID);
	expect_close(device);
	client_down(second);
	client_down(client);
}

static void test_growth(void **state)
{
	struct peer peer = spawn(client_growth);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct VDConfig config;
	uint8_t *buf;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		OK(vdi_server_request_buffers(server, MIB, 0, 4));
		buf = buffer(server, MIB);
		fill(buf, MIB, i);
		EQ(ask(server, device, VDC_Write, buf, MIB), 0);
	}
	OK(vdi_server_get_configuration(server, &config));
	EQ(config.bufferAreaSize, 12 * MIB + 512 * KIB);
	OK(vdi_server_close_device(device));
	run_out(server);
	server_down(server);
	join(&peer);
}

static void test_no_memory(void **state)
{
	struct peer peer = spawn(client_idle);
	struct vdi_server *server = new_server();
	uint32_t count;
	int code, i;

	(void)state;
	hear(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_begin_configuration(server, 0, 0, 0, 4 * MIB, 0));
	EQ(vdi_server_request_buffers(server, UINT32_MAX, 0, UINT32_MAX),
	   VD_E_MEMORY);
	OK(vdi_server_request_buffers(server, MIB, 0, 1));
	/* too much: at the request or at the end of configuration */
	code = NOERROR;
	for (i = 0; !code && i < 1024; i++)
		code = vdi_server_request_buffers(server, 4 * MIB, 0, 256);
	if (!code)
		code = vdi_server_end_configuration(server);
	EQ(code, VD_E_MEMORY);
	if (i < 1024)
		EQ(vdi_server_end_configuration(server), VD_E_MEMORY);
	/* still Configurable, without buffers */
	OK(vdi_server_query_available_buffers(server, MIB, 0, &count));
	EQ(count, 0);
	OK(vdi_server_request_buffers(server, MIB, 0, 2));
	OK(vdi_server_end_configuration(server));
	buffer(server, MIB);
	OK(vdi_server_close_device(server_open(server, 0)));
	server_down(server);
	join(&peer);
}

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

#define PIECE	(64 * KIB)

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

/* A chain: the routine sends the next command, and closes at the end. */
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

static void test_backup_1(void **state)
{
	(void)state;
	run_streams(VDC_Write, 1);
}

static void test_backup_4(void **state)
{
	(void)state;
	run_streams(VDC_Write, 4);
}

static void test_backup_64(void **state)
{
	(void)state;
	run_streams(VDC_Write, 64);
}

static void test_restore_1(void **state)
{
	(void)state;
	run_streams(VDC_Read, 1);
}

static void test_restore_4(void **state)
{
	(void)state;
	run_streams(VDC_Read, 4);
}

static void test_restore_64(void **state)
{
	(void)state;
	run_streams(VDC_Read, 64);
}

/* ----------------------------------------------------------------- commands */

static void client_hold_all(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd[8], other;
	int i;

	for (i = 0; i < 8; i++)
		cmd[i] = get_a(device, VDC_Write);
	tell(fd, 'h');
	hear(fd, 'g');
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

static void test_queue(void **state)
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
	hear(peer.fd, 'h');
	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_QUEUE_FULL);
	EQ(extra.ran, 1);
	EQ(extra.cmd.completionCode, ERROR_NO_SYSTEM_RESOURCES);
	EQ(vdi_server_run_completions(server, 0, NULL), VD_E_TIMEOUT);
	/* closing waits for what is outstanding */
	OK(vdi_server_close_device(device));
	EQ(vdi_server_close_device(device), VD_E_CLOSE);
	EQ(job_send(device, &extra, VDC_Write, buf, PIECE), VD_E_PROTOCOL);
	EQ(extra.cmd.completionCode, ERROR_INVALID_HANDLE);
	tell(peer.fd, 'g');
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

static void test_threads(void **state)
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
	tell(fd, 'r');
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

static void test_outputs(void **state)
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
	hear(peer.fd, 'r');
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

	hear(fd, 's');		/* six are queued */
	a = get_a(d, VDC_Write);
	b = get_a(d, VDC_Write);
	done(d, a, ERROR_DISK_FULL, 100);
	/* the other four end unseen, ClearError waits for b */
	EQ(vdi_client_get_command(d, 50, &cmd), VD_E_TIMEOUT);
	tell(fd, 'e');
	hear(fd, 'c');
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

static void test_io_error(void **state)
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
	tell(peer.fd, 's');
	hear(peer.fd, 'e');
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
	tell(peer.fd, 'c');
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

/* ClearError held back for a command that another thread completes. */
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
	hear(fd, 'c');
	OK(pthread_create(&thread, NULL, complete_later, w));
	done(device, get_a(device, VDC_ClearError), 0, 0);
	OK(pthread_join(thread, NULL));
	expect_close(device);
	client_down(client);
}

static void test_io_error_threads(void **state)
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
	tell(peer.fd, 'c');
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

static void test_io_error_close(void **state)
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

/* -------------------------------------------------------------------- abort */

static void client_aborts(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *a = get_a(device, VDC_Write), *cmd;
	struct vdi_abort_info info;
	char text[256];

	hear(fd, 's');
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
	tell(fd, 'x');
}

static void test_client_aborts(void **state)
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
	tell(peer.fd, 's');
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
	hear(peer.fd, 'x');
	server_down(server);
	join(&peer);
}

static void client_waits(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;

	tell(fd, 'r');
	EQ(vdi_client_get_command(device, -1, &cmd), VD_E_ABORT);
	client_down(client);
}

static void test_server_aborts(void **state)
{
	struct peer peer = spawn(client_waits);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);

	(void)state;
	(void)device;
	hear(peer.fd, 'r');
	nap(50);
	OK(vdi_server_signal_abort(server, 1, "enough"));
	join(&peer);
	EQ(vdi_server_run_completions(server, -1, NULL), VD_E_ABORT);
	server_down(server);
}

static void client_unconfigured(int fd)
{
	struct VDConfig config = { .deviceCount = 1 };
	struct vdi_client *client = new_client();

	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	tell(fd, 'c');
	EQ(vdi_client_get_configuration(client, -1, &config), VD_E_ABORT);
	client_down(client);
}

static void test_abort_configuration(void **state)
{
	struct peer peer = spawn(client_unconfigured);
	struct vdi_server *server = new_server();

	(void)state;
	hear(peer.fd, 'c');
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
	tell(fd, 'd');
	pause();
}

static void test_client_dies(void **state)
{
	struct peer peer = spawn(client_dies);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct vdi_abort_info info;
	struct job job;

	(void)state;
	OK(job_send(device, &job, VDC_Write, buffer(server, PIECE), PIECE));
	hear(peer.fd, 'd');
	kill_peer(&peer);
	EQ(vdi_server_run_completions(server, -1, NULL), VD_E_ABORT);
	EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_DIED);
	server_down(server);
}

/* Roles exchanged: the child is the server, and is killed. */
static void server_child(int fd)
{
	struct peer self = { .fd = fd };
	struct vdi_server *server = server_up(&self, &plain);

	server_open(server, 0);
	tell(fd, 'o');
	pause();
}

static void test_server_dies(void **state)
{
	struct peer peer = spawn(server_child);
	struct vdi_client *client = client_up_n(peer.fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct vdi_abort_info info;
	struct VDC_Command *cmd;

	(void)state;
	hear(peer.fd, 'o');
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

	nap(500);	/* nothing is outstanding: no harm */
	tell(fd, 'r');
	get_a(device, VDC_Write);
	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_ABORT);
	OK(vdi_client_abort_info(client, &info));
	EQ(info.reason, VDI_REASON_TIMEOUT);
	client_down(client);
}

static void test_server_timeout(void **state)
{
	struct peer peer = spawn(client_silent);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	int64_t start;
	struct job job;

	(void)state;
	EQ(vdi_server_run_completions(server, 400, NULL), VD_E_TIMEOUT);
	hear(peer.fd, 'r');
	OK(job_send(device, &job, VDC_Write, buffer(server, PIECE), PIECE));
	start = now_ms();
	EQ(vdi_server_run_completions(server, WAIT, NULL), VD_E_ABORT);
	TRUE(now_ms() - start >= 200);
	TRUE(now_ms() - start < 2000);
	EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
	join(&peer);
	server_down(server);
}

/* -------------------------------------------------------------------- close */

static void client_closes_early(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);

	client_open(client, 0);
	hear(fd, 'o');
	EQ(vdi_client_close(client), VD_E_OPEN);
	EQ(vdi_client_close(client), VD_E_PROTOCOL);
	vdi_client_free(client);
}

static void test_client_closes_early(void **state)
{
	struct peer peer = spawn(client_closes_early);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_abort_info info;

	(void)state;
	server_open(server, 0);
	tell(peer.fd, 'o');
	EQ(run_to_end(server), VD_E_ABORT);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_CLOSED);
	join(&peer);
	server_down(server);
}

static void test_server_closes_early(void **state)
{
	struct peer peer = spawn(client_waits);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct job job;

	(void)state;
	hear(peer.fd, 'r');
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
	tell(fd, 'h');
	do	/* there may be a second one */
		code = vdi_client_get_command(device, -1, &cmd);
	while (!code);
	EQ(code, VD_E_ABORT);
	client_down(client);
}

static void test_close_outstanding(void **state)
{
	struct peer peer = spawn(client_holds_one);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_server_device *device = server_open(server, 0);
	struct job job[2];

	(void)state;
	OK(job_send(device, &job[0], VDC_Flush, NULL, 0));
	hear(peer.fd, 'h');
	OK(job_send(device, &job[1], VDC_Flush, NULL, 0));
	EQ(vdi_server_close(server), VD_E_PROTOCOL);
	EQ(job[0].ran, 1);
	EQ(job[1].ran, 1);
	EQ(job[1].cmd.completionCode, ERROR_OPERATION_ABORTED);
	vdi_server_free(server);
	join(&peer);
}

static void *agent_thread(void *arg)
{
	return (void *)(intptr_t)vdi_server_execute_completion_agent(arg);
}

static void test_close_with_agent(void **state)
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
	hear(peer.fd, 'h');
	nap(50);
	EQ(vdi_server_run_completions(server, 0, NULL), VD_E_BUSY);
	EQ(vdi_server_close(server), VD_E_PROTOCOL);
	OK(pthread_join(thread, &code));
	EQ((intptr_t)code, VD_E_ABORT);
	EQ(job.ran, 1);
	EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
	vdi_server_free(server);
	join(&peer);
}

/* Devices opened and used by other threads while the agent sleeps. */
static void test_agent_first(void **state)
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
	nap(50);
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

static void test_close_unused(void **state)
{
	struct peer peer = spawn(client_unconfigured);
	struct vdi_server *server = new_server();

	(void)state;
	hear(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_close(server));
	join(&peer);
	/* the object may be used again */
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
		tell(fd, 'c');
		OK(vdi_client_get_configuration(client, WAIT, &got));
		expect_close(client_open(client, 0));
		OK(vdi_client_close(client));
	}
	vdi_client_free(client);
}

static void test_reuse(void **state)
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
			vdi_client_free(client);	/* parent's: no harm */
			_exit(0);
		}
	}
	for (i = 0; i < 2; i++) {
		EQ(waitpid(pid[i], &status, 0), pid[i]);
		EQ(status, 0);
	}
	client_down(client);
}

static void test_secondaries(void **state)
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

static void test_secondary_dies(void **state)
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

/* A child made while the set is in use may do what it likes. */
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

static void test_fork(void **state)
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

/* -------------------------------------------------------------------- trust */

#define STRANGER	12345
#define DATABASE	70

static uint32_t set_mode;

static void become(uid_t user)
{
	OK(setresgid(user, user, user));
	OK(setresuid(user, user, user));
}

/* A set of the calling user, held until the other side says so. */
static struct vdi_client *hold_set(int fd, uint32_t mode, bool ended)
{
	const struct VDConfig config = { .deviceCount = 1 };
	const struct vdi_access access = { mode, (uid_t)-1, (gid_t)-1 };
	struct vdi_client *client = new_client();

	OK(vdi_client_create(client, NULL, set_name, &config, &access));
	if (ended)
		OK(vdi_client_signal_abort(client, 7, "by its owner"));
	tell(fd, 'c');
	return client;
}

static void client_stranger(int fd)
{
	struct vdi_client *client;

	become(STRANGER);
	client = hold_set(fd, set_mode, false);
	hear(fd, 'e');
	vdi_client_free(client);
}

static void client_stranger_ended(int fd)
{
	struct vdi_client *client;

	become(STRANGER);
	client = hold_set(fd, 0666, true);
	hear(fd, 'e');
	vdi_client_free(client);
}

static void client_ended(int fd)
{
	struct vdi_client *client = hold_set(fd, 0666, true);

	hear(fd, 'e');
	vdi_client_free(client);
}

static void client_live(int fd)
{
	struct vdi_client *client = hold_set(fd, 0666, false);

	hear(fd, 'e');
	vdi_client_free(client);
}

static void let_go(struct peer *peer)
{
	tell(peer->fd, 'e');
	join(peer);
}

static bool server_says(struct vdi_server *server, const char *text)
{
	char message[1024];

	vdi_server_message(server, message, sizeof(message));
	if (strstr(message, text))
		return true;
	fprintf(stderr, "# '%s' is not in '%s'\n", text, message);
	return false;
}

static bool client_says(struct vdi_client *client, const char *text)
{
	char message[1024];

	vdi_client_message(client, message, sizeof(message));
	if (strstr(message, text))
		return true;
	fprintf(stderr, "# '%s' is not in '%s'\n", text, message);
	return false;
}

static void test_trusted_users(void **state)
{
	uid_t many[VDI_MAX_TRUSTED_USERS + 1] = { 0 }, user;
	struct vdi_server *server = new_server();
	struct vdi_client *client = new_client();

	(void)state;
	EQ(vdi_server_set_trusted_users(NULL, many, 1), VD_E_INVALID);
	EQ(vdi_client_set_trusted_users(NULL, many, 1), VD_E_INVALID);
	EQ(vdi_server_set_trusted_users(server, NULL, 1), VD_E_INVALID);
	EQ(vdi_server_set_trusted_users(server, many,
					VDI_MAX_TRUSTED_USERS + 1),
	   VD_E_INVALID);
	TRUE(server_says(server, "64"));
	OK(vdi_server_set_trusted_users(server, many, VDI_MAX_TRUSTED_USERS));
	OK(vdi_client_set_trusted_users(client, many, VDI_MAX_TRUSTED_USERS));
	many[0] = -1;
	EQ(vdi_server_set_trusted_users(server, many, 1), VD_E_INVALID);
	EQ(vdi_client_set_trusted_users(client, many, 1), VD_E_INVALID);
	OK(vdi_server_set_trusted_users(server, NULL, 0));
	OK(vdi_client_set_trusted_users(client, NULL, 0));

	EQ(vdi_server_get_untrusted(server, NULL), VD_E_INVALID);
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, "trusted: root)"));
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	many[0] = STRANGER;
	OK(vdi_server_set_trusted_users(server, many, 2));
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, "trusted: uid 12345, root)"));
	vdi_client_free(client);
	vdi_server_free(server);
}

/* Privilege gives access to a set, trust decides which set a name stands for. */
static void test_stranger_is_not_joined(void **state)
{
	const uid_t users[] = { STRANGER };
	struct vdi_server *server = new_server();
	struct vdi_client *own;
	struct peer peer;
	uid_t user;

	(void)state;
	set_mode = 0600;
	peer = spawn(client_stranger);
	hear(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, set_name));
	TRUE(server_says(server, "created by uid 12345, who is not trusted "
				 "(trusted: root)"));
	OK(vdi_server_get_untrusted(server, &user));
	EQ(user, STRANGER);
	/* the real client is not refused its name, and is found */
	own = new_client();
	OK(vdi_client_create(own, NULL, set_name,
			     &(struct VDConfig){ .deviceCount = 1 }, NULL));
	OK(vdi_server_open(server, NULL, set_name));
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	OK(vdi_server_get_creator(server, &user));
	EQ(user, 0);
	OK(vdi_server_close(server));
	vdi_client_free(own);
	/* unless the stranger is trusted for once */
	OK(vdi_server_set_trusted_users(server, users, 1));
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_creator(server, &user));
	EQ(user, STRANGER);
	OK(vdi_server_close(server));
	let_go(&peer);
	vdi_server_free(server);
}

static void database_meets_stranger(int fd)
{
	struct vdi_server *server = new_server();
	struct vdi_client *client = new_client();

	become(DATABASE);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	TRUE(server_says(server, "uid 12345, who is not trusted (trusted: "));
	EQ(vdi_client_open_in_secondary(client, NULL, set_name),
	   VD_E_PROTOCOL);
	TRUE(client_says(client, "uid 12345, who is not trusted (trusted: "));
	tell(fd, 'd');
	vdi_server_free(server);
	vdi_client_free(client);
}

static void test_stranger_with_open_mode(void **state)
{
	struct peer peer, database;

	(void)state;
	set_mode = 0666;
	peer = spawn(client_stranger);
	hear(peer.fd, 'c');
	database = spawn(database_meets_stranger);
	hear(database.fd, 'd');
	join(&database);
	let_go(&peer);
}

/* A set that has ended hides no live one, and a stranger's hides nothing. */
static void database_passes_over(int fd)
{
	struct vdi_server *server = new_server();
	struct vdi_abort_info info;
	struct vdi_client *ended;
	uid_t user;

	become(DATABASE);
	ended = new_client();
	OK(vdi_client_create(ended, NULL, set_name,
			     &(struct VDConfig){ .deviceCount = 1 }, NULL));
	OK(vdi_client_signal_abort(ended, 3, "own"));
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_creator(server, &user));
	EQ(user, 0);
	tell(fd, 'j');
	OK(vdi_server_close(server));
	hear(fd, 'n');
	/* only ended ones are left: the first of the list counts */
	EQ(vdi_server_open(server, NULL, set_name), VD_E_ABORT);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_SIGNAL);
	EQ(info.code, 3);
	EQ(strcmp(info.text, "own"), 0);
	/* and the message is that of the failure still */
	TRUE(server_says(server, "has ended: aborted by"));
	TRUE(server_says(server, ": own"));
	vdi_client_free(ended);
	vdi_server_free(server);
}

static void test_ended_hides_nothing(void **state)
{
	struct peer peer, live, database;
	struct vdi_server *server = new_server();
	struct vdi_client *client = new_client();
	struct vdi_abort_info info;
	uid_t user;

	(void)state;
	/* a stranger's */
	peer = spawn(client_stranger_ended);
	hear(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	EQ(vdi_server_get_untrusted(server, &user), VD_E_PROTOCOL);
	EQ(vdi_server_abort_info(server, &info), VD_E_PROTOCOL);
	TRUE(server_says(server, "there is no set"));
	let_go(&peer);

	/* an own one */
	peer = spawn(client_ended);
	hear(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_ABORT);
	TRUE(server_says(server, "by its owner"));
	OK(vdi_server_abort_info(server, &info));
	EQ(info.pid, peer.pid);
	EQ(info.code, 7);
	TRUE(server_says(server, "by its owner"));
	EQ(vdi_client_open_in_secondary(client, NULL, set_name), VD_E_ABORT);
	OK(vdi_client_abort_info(client, &info));
	EQ(info.pid, peer.pid);
	TRUE(client_says(client, "by its owner"));
	/* with a live one of the same name */
	live = spawn(client_live);
	hear(live.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_close(server));
	let_go(&live);
	let_go(&peer);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	EQ(vdi_server_abort_info(server, &info), VD_E_PROTOCOL);

	/* one of each of two trusted users */
	live = spawn(client_live);
	hear(live.fd, 'c');
	database = spawn(database_passes_over);
	hear(database.fd, 'j');
	let_go(&live);
	tell(database.fd, 'n');
	join(&database);
	vdi_client_free(client);
	vdi_server_free(server);
}

/* Which sets can be joined is the first trusted user's say. */
static void database_is_refused(int fd)
{
	struct vdi_server *server = new_server();

	become(DATABASE);
	EQ(vdi_server_open(server, NULL, set_name), VD_E_SECURITY);
	TRUE(server_says(server, "may see the set, but not join it"));
	TRUE(server_says(server, "of root (uid 0)"));
	tell(fd, 'd');
	vdi_server_free(server);
}

static void test_refused_by_mode(void **state)
{
	const struct vdi_access access = { 0604, (uid_t)-1, (gid_t)-1 };
	struct vdi_client *client = new_client();
	struct peer database;

	(void)state;
	OK(vdi_client_create(client, NULL, set_name,
			     &(struct VDConfig){ .deviceCount = 1 }, &access));
	database = spawn(database_is_refused);
	hear(database.fd, 'd');
	join(&database);
	vdi_client_free(client);
}

static void client_knows_server(int fd)
{
	const struct VDConfig config = { .deviceCount = 1 };
	const struct vdi_access access = { 0666, (uid_t)-1, (gid_t)-1 };
	struct vdi_client *client = new_client();
	struct vdi_client_device *device;
	char text[128], want[32];
	struct vdi_peer peer;
	struct VDConfig got;
	uid_t user;

	become(STRANGER);
	EQ(vdi_client_get_peer(client, &peer), VD_E_PROTOCOL);
	EQ(vdi_client_get_creator(client, &user), VD_E_PROTOCOL);
	OK(vdi_client_create(client, NULL, set_name, &config, &access));
	EQ(vdi_client_get_peer(client, &peer), VD_E_PROTOCOL);
	OK(vdi_client_get_creator(client, &user));
	EQ(user, STRANGER);
	tell(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	OK(vdi_client_get_peer(client, &peer));
	EQ(peer.role, VDI_ROLE_SERVER);
	EQ(peer.pid, getppid());
	EQ(peer.uid, 0);
	EQ(peer.gid, 0);
	TRUE(*peer.comm);
	vdi_peer_describe(&peer, text, sizeof(text));
	snprintf(want, sizeof(want), "(pid %d, server, user root)", getppid());
	TRUE(strstr(text, want));
	device = client_open(client, 0);
	expect_close(device);
	client_down(client);
}

static void test_peers(void **state)
{
	const uid_t users[] = { STRANGER };
	struct vdi_server *server = new_server();
	struct vdi_abort_info info;
	struct vdi_peer peer;
	struct VDConfig config;
	struct peer client;
	uid_t user;

	(void)state;
	EQ(vdi_server_get_peer(server, &peer), VD_E_PROTOCOL);
	EQ(vdi_server_get_creator(server, &user), VD_E_PROTOCOL);
	EQ(vdi_server_get_peer(NULL, &peer), VD_E_INVALID);
	EQ(vdi_server_get_peer(server, NULL), VD_E_INVALID);
	EQ(vdi_server_get_creator(server, NULL), VD_E_INVALID);
	EQ(vdi_client_get_peer(NULL, &peer), VD_E_INVALID);
	EQ(vdi_client_get_creator(NULL, &user), VD_E_INVALID);

	client = spawn(client_knows_server);
	hear(client.fd, 'c');
	OK(vdi_server_set_trusted_users(server, users, 1));
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_peer(server, &peer));
	EQ(peer.role, VDI_ROLE_PRIMARY);
	EQ(peer.pid, client.pid);
	EQ(peer.uid, STRANGER);
	EQ(peer.gid, STRANGER);
	TRUE(*peer.comm);
	OK(vdi_server_get_creator(server, &user));
	EQ(user, STRANGER);
	OK(vdi_server_get_configuration(server, &config));
	OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0, 1 * MIB,
					  WAIT));
	OK(vdi_server_request_buffers(server, KIB, 0, 1));
	OK(vdi_server_end_configuration(server));
	OK(vdi_server_close_device(server_open(server, 0)));
	join(&client);
	/* it has gone, and is the creator still */
	EQ(vdi_server_get_peer(server, &peer), VD_E_PROTOCOL);
	TRUE(server_says(server, "primary client"));
	OK(vdi_server_get_creator(server, &user));
	EQ(user, STRANGER);
	OK(vdi_server_close(server));
	EQ(vdi_server_abort_info(server, &info), VD_E_PROTOCOL);
	vdi_server_free(server);
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
	tell(fd, 'c');
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

static void test_poll(void **state)
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

static volatile sig_atomic_t signals;

static void on_signal(int number)
{
	(void)number;
	signals++;
}

static void test_signal(void **state)
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

/* ------------------------------------------------------------ hostile peers */

/* A client that opens its device raw, and breaks the rules there. */
static struct vdi_channel raw_open_named(int set_fd, const char *name)
{
	struct vdi_set set;
	struct vdi_channel ch;

	vdi_set_init(&set);
	set.fd = set_fd;
	strcpy(set.name, set_name);
	OK(vdi_channel_open(&set, name, &ch));
	return ch;
}

static struct vdi_channel raw_open(int set_fd)
{
	return raw_open_named(set_fd, set_name);
}

static int evil;

static void client_evil(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_channel ch = raw_open(vdi_client_fd(client));
	struct vdiset_completion done = { 0 };
	struct vdiset_command cmd = { 0 };

	while (!vdi_ring_ready(&ch.ring))
		nap(1);
	EQ(vdi_ring_get_command(&ch.ring, &cmd), VDI_RING_OK);
	done.tag = cmd.tag;
	switch (evil) {
	case 0:
		done.bytes = PIECE + 1;
		break;
	case 1:
		done.tag = 31 - cmd.tag;
		break;
	case 2:
		done.tag = UINT32_MAX;
		break;
	case 3:
		done.reserved = 1;
		break;
	case 4:
		ch.ring.own->tail = 1000;
		break;
	}
	if (evil != 4)
		vdi_ring_put_completion(&ch.ring, &done);
	vdi_channel_wait(&ch, VDISET_WAIT_KICK, 0);
	hear(fd, 'x');
	_exit(0);
}

static void test_evil_client(void **state)
{
	(void)state;
	for (evil = 0; evil < 5; evil++) {
		struct peer peer = spawn(client_evil);
		struct vdi_server *server = server_up(&peer, &plain);
		struct vdi_server_device *device = server_open(server, 0);
		struct vdi_abort_info info;
		struct job job;

		OK(job_send(device, &job, VDC_Write, buffer(server, PIECE),
			    PIECE));
		EQ(vdi_server_run_completions(server, WAIT, NULL),
		   VD_E_ABORT);
		EQ(job.ran, 1);
		EQ(job.cmd.completionCode, ERROR_OPERATION_ABORTED);
		OK(vdi_server_abort_info(server, &info));
		EQ(info.reason, VDI_REASON_PROTOCOL);
		EQ(info.role, VDI_ROLE_SERVER);
		TRUE(strlen(info.text) > 10);
		tell(peer.fd, 'x');
		join(&peer);
		server_down(server);
		new_name();
	}
}

static void client_honest(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device;
	struct vdi_abort_info info;
	struct VDC_Command *cmd;
	int code;

	if (evil == 12)
		hear(fd, 'g');
	device = client_open(client, 0);
	do
		code = vdi_client_get_command(device, WAIT, &cmd);
	while (!code);
	EQ(code, VD_E_ABORT);
	/* and so it stays */
	EQ(vdi_client_get_command(device, 0, &cmd), VD_E_ABORT);
	OK(vdi_client_abort_info(client, &info));
	EQ(info.reason, VDI_REASON_PROTOCOL);
	TRUE(strlen(info.text) > 10);
	EQ(info.role, VDI_ROLE_PRIMARY);
	client_down(client);
}

static void break_rules(struct vdiset_command *cmd, uint64_t area)
{
	switch (evil) {
	case 0:
		cmd->tag = 32;
		break;
	case 1:
		cmd->size = -1;
		break;
	case 2:
		cmd->size = MIB + 1;
		break;
	case 3:
		cmd->buffer = area;
		break;
	case 4:
		cmd->buffer = UINT64_MAX - 511;
		break;
	case 5:
		cmd->buffer = 513;
		break;
	case 6:
		cmd->buffer = VDISET_NO_BUFFER;
		break;
	case 7:
	case 12:	/* and the set has terminated when it is found */
		cmd->reserved = 1;
		break;
	case 8:
		cmd->code = VDC_Complete;
		cmd->buffer = VDISET_NO_BUFFER;
		break;
	case 9:		/* twice the same tag */
		break;
	case 10:
		cmd->buffer = area - 512;
		break;
	}
}

static void test_evil_server(void **state)
{
	(void)state;
	for (evil = 0; evil < 13; evil++) {
		struct vdiset_device_close end = { .size = sizeof(end) };
		struct peer peer = spawn(client_honest);
		struct vdi_server *server = server_up(&peer, &plain);
		struct vdi_channel ch = raw_open(vdi_server_fd(server));
		struct vdiset_command cmd = {
			.code = VDC_Write, .size = PIECE,
		};

		if (evil == 11) {
			ch.ring.own->tail = 1U << 31;
		} else {
			break_rules(&cmd, 8 * (uint64_t)PIECE);
			vdi_ring_put_command(&ch.ring, &cmd);
			if (evil == 9)
				vdi_ring_put_command(&ch.ring, &cmd);
		}
		vdi_channel_wait(&ch, VDISET_WAIT_KICK, 0);
		if (evil == 12) {
			OK(ioctl(ch.fd, VDISET_DEVICE_CLOSE, &end));
			tell(peer.fd, 'g');
		}
		join(&peer);
		if (evil != 12)
			EQ(vdi_server_run_completions(server, -1, NULL),
			   VD_E_ABORT);
		vdi_channel_release(&ch, false);
		server_down(server);
		new_name();
	}
}

/* It sends what is dropped in IO-ERROR as fast as it is dropped. */
static void client_flooded(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;
	int64_t start;

	tell(fd, 'o');
	done(device, get_a(device, 99), ERROR_NOT_SUPPORTED, 0);
	start = now_ms();
	EQ(vdi_client_get_command(device, 300, &cmd), VD_E_TIMEOUT);
	TRUE(now_ms() - start < 20000);
	OK(vdi_client_signal_abort(client, 0, NULL));
	EQ(vdi_client_get_command(device, -1, &cmd), VD_E_ABORT);
	tell(fd, 'x');
	client_down(client);
}

static void test_flood(void **state)
{
	struct peer peer = spawn(client_flooded);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_channel ch = raw_open(vdi_server_fd(server));
	struct vdiset_command cmd = {
		.code = 99, .buffer = VDISET_NO_BUFFER,
	};
	struct pollfd pfd = { .fd = peer.fd, .events = POLLIN };
	uint32_t done;

	(void)state;
	hear(peer.fd, 'o');
	vdi_ring_put_command(&ch.ring, &cmd);
	vdi_channel_wait(&ch, VDISET_WAIT_KICK, 0);
	cmd.code = VDC_Flush;
	while (!poll(&pfd, 1, 0)) {
		/*
		 * Completions are counted, not read.  No more commands are
		 * outstanding than there are tags: one more would be against
		 * the protocol, and end the set.
		 */
		done = __atomic_load_n(&ch.ring.peer->tail, __ATOMIC_ACQUIRE);
		__atomic_store_n(&ch.ring.own->head, done, __ATOMIC_RELEASE);
		while (done && ch.ring.staged - done < ch.ring.depth - 1) {
			cmd.tag = 1 + ch.ring.staged % (ch.ring.depth - 1);
			vdi_ring_put_command(&ch.ring, &cmd);
		}
	}
	hear(peer.fd, 'x');
	join(&peer);
	vdi_channel_release(&ch, false);
	server_down(server);
}

/* It closes the device while its own ClearError is held back. */
static void client_held_back(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *a, *b, *cmd;

	tell(fd, 'o');
	a = get_a(device, VDC_Flush);
	b = get_a(device, VDC_Flush);
	done(device, a, ERROR_IO_DEVICE, 0);
	EQ(vdi_client_get_command(device, 50, &cmd), VD_E_TIMEOUT);
	tell(fd, 'e');
	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_CLOSE);
	EQ(vdi_client_complete_command(device, b, 0, 0, 0), VD_E_PROTOCOL);
	client_down(client);
}

static void test_close_held_back(void **state)
{
	struct peer peer = spawn(client_held_back);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_channel ch = raw_open(vdi_server_fd(server));
	struct vdiset_device_close end = { .size = sizeof(end) };
	struct vdiset_command cmd = {
		.code = VDC_Flush, .buffer = VDISET_NO_BUFFER,
	};

	(void)state;
	hear(peer.fd, 'o');
	for (cmd.tag = 0; cmd.tag < 2; cmd.tag++)
		vdi_ring_put_command(&ch.ring, &cmd);
	vdi_channel_wait(&ch, VDISET_WAIT_KICK, 0);
	hear(peer.fd, 'e');
	cmd.code = VDC_ClearError;
	vdi_ring_put_command(&ch.ring, &cmd);
	vdi_channel_wait(&ch, VDISET_WAIT_KICK, 0);
	nap(50);
	OK(ioctl(ch.fd, VDISET_DEVICE_CLOSE, &end));
	join(&peer);
	vdi_channel_release(&ch, false);
	server_down(server);
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

static void test_cost(void **state)
{
	(void)state;
	measure(1, 10000);
	new_name();
	measure(4, 40000);
	new_name();
	measure(32, 200000);
}

static int set_up(void **state)
{
	(void)state;
	new_name();
	alarm(LIMIT);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	while (child_count)
		kill(children[--child_count], SIGKILL);
	return 0;
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(test_ ## name, set_up, tear_down)

/* ---------------------------------------------------------------- batches */

/* Reads with their number in @size come back with it in the buffer. */
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

	hear(fd, 's');
	/* no more than asked for, in order */
	OK(vdi_client_get_commands(device, WAIT, cmds, 3, &n));
	EQ(n, 3);
	for (i = 0; i < 3; i++)
		EQ(cmds[i]->size, 512 * (i + 1));
	/* no more than there is */
	OK(vdi_client_get_commands(device, WAIT, cmds + 3, 5, &n));
	EQ(n, 3);
	/* one that is not held, or twice: none is completed */
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
	tell(fd, 'n');
	hear(fd, 'n');
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

/* Sends itself again, by the call for routines. */
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

static void test_batch(void **state)
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
	tell(peer.fd, 's');
	hear(peer.fd, 'n');
	EQ(vdi_server_run_completions(server, 50, NULL), VD_E_TIMEOUT);
	tell(peer.fd, 'n');
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

/* An error in the midst of a batch; what was queued behind it is not seen. */
static void batch_io_error_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmds[8], *cmd;
	struct vdi_completion v[4];
	unsigned int i, n;

	hear(fd, 's');
	OK(vdi_client_get_commands(device, WAIT, cmds, 4, &n));
	EQ(n, 4);
	for (i = 0; i < 3; i++)
		v[i] = (struct vdi_completion){ .cmd = cmds[i] };
	v[1].code = ERROR_DISK_FULL;
	/* 3 is held: the two that are queued are dropped, ClearError waits */
	EQ(vdi_client_exchange_commands(device, v, 3, 100, cmds + 4, 4, &n),
	   VD_E_TIMEOUT);
	EQ(n, 0);
	tell(fd, 'e');
	hear(fd, 'c');
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

static void test_batch_io_error(void **state)
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
	tell(peer.fd, 's');
	hear(peer.fd, 'e');
	while (!jobs[5].ran)
		OK(vdi_server_run_completions(server, WAIT, NULL));
	EQ(jobs[3].ran, 0);
	/* in IO-ERROR the first of many is refused, and the others not touched */
	job_init(&clear, VDC_Flush, NULL, 0);
	cmds[0] = &clear.cmd;
	cmds[1] = &jobs[0].cmd;
	EQ(vdi_server_send_commands(device, cmds, 2, &sent), VD_E_IO_ERROR);
	EQ(sent, 0);
	EQ(clear.ran, 1);
	EQ(jobs[0].ran, 1);
	OK(job_send(device, &clear, VDC_ClearError, NULL, 0));
	tell(peer.fd, 'c');
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

/* More than fit, and one that is wrong. */
static void test_send_many(void **state)
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
 * What is done alone is told at once: here each side sleeps without a look
 * while the other does something and then nothing more for a long time.
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
	tell(fd, 'o');
	cmd = get_a(device, VDC_Flush);
	nap(100);		/* the agent sleeps */
	done(device, cmd, ERROR_SUCCESS, 0);
	hear(fd, 'p');		/* nothing more is done until it has noticed */
	cmd = get_a(device, VDC_Flush);
	tell(fd, 'q');		/* while the routine that queued it is over */
	done(device, cmd, ERROR_SUCCESS, 0);
	expect_close(device);
	client_down(client);
}

static struct peer *prompt_peer;

static void prompt_routine(struct VDS_Command *cmd)
{
	if (cmd->completionContext) {
		cmd->completionContext = NULL;
		tell(prompt_peer->fd, 'p');
		nap(200);	/* the client is asleep by then */
		OK(vdi_server_queue_command(again_device, cmd));
	}
}

static void test_prompt(void **state)
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
	hear(peer.fd, 'o');
	job_init(&job, VDC_Flush, NULL, 0);
	job.cmd.completionRoutine = prompt_routine;
	start = now_ms();
	OK(vdi_server_send_command(again_device, &job.cmd));
	OK(vdi_server_run_completions(server, WAIT, NULL));
	/* nothing of the server runs now: one step has to have told all */
	hear(peer.fd, 'q');
	TRUE(now_ms() - start < WAIT / 2);
	OK(vdi_server_run_completions(server, WAIT, NULL));
	OK(vdi_server_close_device(again_device));
	run_out(server);
	server_down(server);
	join(&peer);
}

/* What an exchange completes is told before it waits, whatever it waits for. */
static void exchange_timeout_client(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device;
	struct vdi_completion v = { .cmd = NULL };
	struct VDC_Command *cmd;
	unsigned int n;
	char c;

	OK(vdi_client_set_spin(client, 0));
	device = client_open(client, 0);
	v.cmd = get_a(device, VDC_Flush);
	nap(100);
	EQ(vdi_client_exchange_commands(device, &v, 1, 0, &cmd, 1, &n),
	   VD_E_TIMEOUT);
	hear(fd, '1');
	v.cmd = get_a(device, VDC_Flush);
	nap(100);
	EQ(vdi_client_exchange_commands(device, &v, 1, 3000, &cmd, 1, &n),
	   VD_E_TIMEOUT);
	EQ(n, 0);
	/* the server has had it for long */
	EQ(recv(fd, &c, 1, MSG_DONTWAIT), 1);
	tell(fd, 't');
	expect_close(device);
	client_down(client);
}

static void test_exchange_timeout(void **state)
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
	tell(peer.fd, '1');
	EQ(ask(server, device, VDC_Flush, NULL, 0), ERROR_SUCCESS);
	tell(peer.fd, '2');
	hear(peer.fd, 't');
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
	tell(fd, 'a');
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

static void test_batch_abort(void **state)
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
	hear(peer.fd, 'a');
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

/* A line of /proc/self/status, in KiB. */
static long status_kib(const char *name)
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

static void lock_client(int fd)
{
	const struct VDConfig config = { .deviceCount = 1 };
	const struct rlimit none = { 0, 0 };
	struct vdi_client *client = new_client();
	struct VDConfig got;

	EQ(status_kib("VmLck"), 0);
	EQ(vdi_client_set_lock(NULL, 1), VD_E_INVALID);
	OK(vdi_client_set_lock(client, 1));
	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	tell(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	EQ(status_kib("VmLck"), got.bufferAreaSize / KIB);
	hear(fd, 'l');
	OK(vdi_client_signal_abort(client, 0, NULL));
	vdi_client_close(client);
	EQ(status_kib("VmLck"), 0);

	/* over the limit */
	OK(setrlimit(RLIMIT_MEMLOCK, &none));
	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	tell(fd, 'c');
	OK(seteuid(65534));
	EQ(vdi_client_get_configuration(client, WAIT, &got), VD_E_MEMORY);
	vdi_client_set_lock(client, 0);
	OK(vdi_client_get_configuration(client, WAIT, &got));
	EQ(status_kib("VmLck"), 0);
	OK(vdi_client_signal_abort(client, 0, NULL));
	vdi_client_free(client);
	tell(fd, 'e');
}

static void test_lock(void **state)
{
	const struct shape locked = {
		.features = VDF_WriteMedia, .size = 64 * KIB, .count = 8,
		.lock = 1,
	};
	struct vdi_server *server;
	struct peer peer;

	(void)state;
	if (SANITIZED)		/* mlock(2) is void */
		return;
	peer = spawn(lock_client);
	server = server_up(&peer, &plain);
	EQ(vdi_server_set_lock(NULL, 0), VD_E_INVALID);
	EQ(status_kib("VmLck"), 0);
	tell(peer.fd, 'l');
	while (vdi_server_run_completions(server, WAIT, NULL) != VD_E_ABORT)
		;
	vdi_server_close(server);
	vdi_server_free(server);

	server = server_up(&peer, &locked);
	TRUE(status_kib("VmLck") >= 8 * 64);
	hear(peer.fd, 'e');
	vdi_server_close(server);
	vdi_server_free(server);
	join(&peer);
}

/* ------------------------------------------------- both sides in one process */

/* Called before the library's next call of this kind, once. */
static void (*before_mmap)(void);
static void (*before_growth)(void);

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

struct both {
	struct vdi_client *client;
	struct vdi_server *server;
	struct vdi_client_device *cdev;
	struct vdi_server_device *sdev;
};

/* Active, with one device and the buffers of @plain. */
static void both_up(struct both *b, int lock)
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

static void both_down(struct both *b)
{
	OK(vdi_server_close_device(b->sdev));
	expect_close(b->cdev);
	server_down(b->server);
	client_down(b->client);
}

static void both_free(struct both *b)
{
	vdi_server_free(b->server);
	vdi_client_free(b->client);
}

/* In a child, whose limits and identity may be changed. */
static void run_in_child(client_fn *fn)
{
	struct peer peer = spawn(fn);

	join(&peer);
}

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

/* A server without this library grows the area page by page; the client follows. */
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
	/* the module may add more than is asked for */
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

static void test_growth_by_pages(void **state)
{
	(void)state;
	grow_by_pages(0);
	new_name();
	grow_by_pages(1);
}

/* The same by this library: a growth is used up before there is another one. */
static void test_growth_in_steps(void **state)
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
 * buffers: the growth does not begin before one has done so.
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

static void test_growth_beside_routines(void **state)
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

/* Growths of several threads: each gets what it has asked for. */
static void test_growth_by_threads(void **state)
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

/* Signals reach a process that waits for memory: handlers run, others end it. */
static int growth_fd;

static void signal_growth(void)
{
	raise(SIGUSR1);
	EQ(signals, 1);
	raise(SIGTERM);
	tell(growth_fd, 'x');	/* this is not reached */
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

static void test_growth_signalled(void **state)
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

/* ------------------------------------------------------- a side's own limits */

static void limit_addresses(uint64_t more)
{
	struct rlimit limit = { .rlim_max = RLIM_INFINITY };

	limit.rlim_cur = more == RLIM_INFINITY ? more :
			 (uint64_t)status_kib("VmSize") * KIB + more;
	OK(setrlimit(RLIMIT_AS, &limit));
}

static void expect_text(struct vdi_client *client, const char *want)
{
	char text[512];

	vdi_client_message(client, text, sizeof(text));
	if (!strstr(text, want))
		fprintf(stderr, "# message: %s\n", text);
	TRUE(strstr(text, want));
}

/* The server has sent a command whose buffer this client cannot map. */
static void limited_client(int fd, int lock)
{
	const struct VDConfig config = { .deviceCount = 1 };
	const struct rlimit locked = { 768 * KIB, 768 * KIB };
	struct vdi_client *client = new_client();
	struct vdi_client *second = new_client();
	struct vdi_client_device *device;
	struct VDC_Command *cmd;
	struct VDConfig got;
	uint8_t *p;

	OK(vdi_client_set_lock(client, lock));
	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	tell(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	device = client_open(client, 0);
	tell(fd, 'o');
	hear(fd, 's');
	if (lock) {
		OK(setrlimit(RLIMIT_MEMLOCK, &locked));
		OK(seteuid(65534));
	} else {
		limit_addresses(4 * MIB);
		EQ(vdi_client_open_in_secondary(second, NULL, set_name),
		   VD_E_MEMORY);
		expect_text(second, "RLIMIT_AS is ");
		/* in what the area has grown by */
		EQ(vdi_client_map_buffer_handle(client, 16 * MIB / 512 + 1,
						&p), VD_E_MEMORY);
		expect_text(client, "cannot map the buffers: Cannot allocate "
			    "memory; RLIMIT_AS is ");
	}
	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_MEMORY);
	TRUE(!cmd);
	expect_text(client, lock ? "cannot lock the buffers: Cannot allocate "
		    "memory; RLIMIT_MEMLOCK is 786432 bytes" :
		    "cannot map the buffers: Cannot allocate memory; "
		    "RLIMIT_AS is ");
	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_ABORT);
	vdi_client_free(second);
	vdi_client_close(client);
	vdi_client_free(client);
}

static void client_few_addresses(int fd)
{
	limited_client(fd, 0);
}

static void client_little_locked(int fd)
{
	limited_client(fd, 1);
}

static void test_client_limits(void **state)
{
	static client_fn *const fn[] = { client_few_addresses,
					 client_little_locked };
	struct vdi_abort_info info;
	unsigned int i;

	(void)state;
	if (SANITIZED)
		return;
	for (i = 0; i < 2; i++) {
		struct peer peer = spawn(fn[i]);
		struct vdi_server *server = server_up(&peer, &plain);
		struct vdi_server_device *device = server_open(server, 0);
		struct job job;

		hear(peer.fd, 'o');
		OK(vdi_server_request_buffers(server, MIB, 0, 32));
		OK(job_send(device, &job, VDC_Write, buffer(server, MIB),
			    MIB));
		tell(peer.fd, 's');
		EQ(run_to_end(server), VD_E_ABORT);
		EQ(job.ran, 1);
		OK(vdi_server_abort_info(server, &info));
		EQ(info.reason, VDI_REASON_SIGNAL);
		EQ(info.role, VDI_ROLE_PRIMARY);
		TRUE(strstr(info.text, i ?
			    "the client cannot lock the buffers: " :
			    "the client cannot map the buffers: "));
		TRUE(strstr(info.text, "Cannot allocate memory; RLIMIT_"));
		server_down(server);
		join(&peer);
		new_name();
	}
}

/* The server's own limit: the request fails, and nothing else. */
static void server_few_addresses(int fd)
{
	struct VDConfig config;
	char text[512];
	struct both b;
	uint8_t *buf;
	struct job job;
	int i;

	(void)fd;
	both_up(&b, 0);
	limit_addresses(4 * MIB);
	for (i = 0; i < 3; i++) {
		EQ(vdi_server_request_buffers(b.server, MIB, 0, 32),
		   VD_E_MEMORY);
		vdi_server_message(b.server, text, sizeof(text));
		TRUE(strstr(text, "cannot map the buffers: Cannot allocate "
			    "memory; RLIMIT_AS is "));
		EQ(vdi_server_allocate_buffer(b.server, &buf, MIB, 0),
		   VD_E_MEMORY);
	}
	limit_addresses(RLIM_INFINITY);
	/* what was allocated then is there, once */
	OK(vdi_server_request_buffers(b.server, MIB, 0, 32));
	OK(vdi_server_get_configuration(b.server, &config));
	TRUE(config.bufferAreaSize <= 36 * MIB);
	for (i = 0; i < 32; i++) {
		buf = buffer(b.server, MIB);
		memset(buf, 1, MIB);
	}
	OK(job_send(b.sdev, &job, VDC_Write, buf, MIB));
	done(b.cdev, get_a(b.cdev, VDC_Write), 0, MIB);
	job_wait(b.server, &job);
	both_down(&b);
}

/* At EndConfiguration there is no way back: an abort that says why. */
static void server_too_few_addresses(int fd)
{
	const struct VDConfig config = { .deviceCount = 1 };
	struct vdi_abort_info info;
	struct both b = { .client = new_client(), .server = new_server() };

	(void)fd;
	OK(vdi_client_create(b.client, NULL, set_name, &config, NULL));
	OK(vdi_server_open(b.server, NULL, set_name));
	OK(vdi_server_begin_configuration(b.server, 0, 0, 0, MIB, WAIT));
	OK(vdi_server_request_buffers(b.server, MIB, 0, 32));
	limit_addresses(4 * MIB);
	EQ(vdi_server_end_configuration(b.server), VD_E_MEMORY);
	OK(vdi_client_abort_info(b.client, &info));
	EQ(info.reason, VDI_REASON_SIGNAL);
	EQ(info.role, VDI_ROLE_SERVER);
	TRUE(strstr(info.text, "the server cannot map the buffers: Cannot "
		    "allocate memory; RLIMIT_AS is "));
	both_free(&b);
}

static void test_server_limits(void **state)
{
	(void)state;
	if (SANITIZED)
		return;
	run_in_child(server_few_addresses);
	new_name();
	run_in_child(server_too_few_addresses);
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
 * An abort that returns while GetCommand maps what the area has grown by: the call
 * has taken commands and not returned them.
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

static void test_abort_while_getting(void **state)
{
	(void)state;
	abort_while_getting(client_aborts_now, false);
	abort_while_getting(server_aborts_now, false);
	abort_while_getting(client_aborts_now, true);
	abort_while_getting(server_aborts_now, true);
}

/* A client that has completed commands and then dies, before the agent runs. */
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

static void test_recorded_by_the_dead(void **state)
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
 * Devices of which the one numbered @evil breaks the rules after a first
 * completion that is in order, before an abort: that one is the last believed.
 */
static void client_evil_at_the_end(int fd)
{
	struct vdi_client *client = client_up_n(fd, 3);
	struct vdiset_completion done = { 0 };
	struct vdiset_command cmd = { 0 };
	char name[96];
	struct vdi_channel ch;
	int i, j;

	for (i = 0; i < 3; i++) {
		device_name(name, sizeof(name), i);
		ch = raw_open_named(vdi_client_fd(client), name);
		for (j = 0; j < 2; j++) {
			while (!vdi_ring_ready(&ch.ring))
				nap(1);
			EQ(vdi_ring_get_command(&ch.ring, &cmd), VDI_RING_OK);
			done.tag = cmd.tag;
			done.code = 100 + i;
			done.reserved = j && i == evil;
			vdi_ring_put_completion(&ch.ring, &done);
		}
	}
	OK(vdi_client_signal_abort(client, 0, NULL));
	tell(fd, 'a');
	hear(fd, 'x');
	_exit(0);
}

static void test_evil_at_the_end(void **state)
{
	struct vdi_server_device *device;
	struct job job[3][2];
	int i, j, want;

	(void)state;
	for (evil = 0; evil < 3; evil++) {
		struct peer peer = spawn(client_evil_at_the_end);
		struct vdi_server *server = server_up(&peer, &plain);

		for (i = 0; i < 3; i++) {
			device = server_open(server, i);
			OK(job_send(device, &job[i][0], VDC_Flush, NULL, 0));
			OK(job_send(device, &job[i][1], VDC_Flush, NULL, 0));
		}
		hear(peer.fd, 'a');
		EQ(run_to_end(server), VD_E_ABORT);
		for (i = 0; i < 3; i++) {
			for (j = 0; j < 2; j++) {
				EQ(job[i][j].ran, 1);
				want = i < evil || (i == evil && !j) ?
				       100 + i : ERROR_OPERATION_ABORTED;
				EQ(job[i][j].cmd.completionCode, want);
			}
		}
		tell(peer.fd, 'x');
		join(&peer);
		server_down(server);
		new_name();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(no_set),
		TEST(create),
		TEST(server_states),
		TEST(names),
		TEST(instance),
		TEST(buffers),
		TEST(growth),
		TEST(no_memory),
		TEST(backup_1),
		TEST(backup_4),
		TEST(backup_64),
		TEST(restore_1),
		TEST(restore_4),
		TEST(restore_64),
		TEST(queue),
		TEST(threads),
		TEST(outputs),
		TEST(io_error),
		TEST(io_error_threads),
		TEST(io_error_close),
		TEST(client_aborts),
		TEST(server_aborts),
		TEST(abort_configuration),
		TEST(client_dies),
		TEST(server_dies),
		TEST(server_timeout),
		TEST(client_closes_early),
		TEST(server_closes_early),
		TEST(close_outstanding),
		TEST(close_with_agent),
		TEST(agent_first),
		TEST(close_unused),
		TEST(reuse),
		TEST(secondaries),
		TEST(secondary_dies),
		TEST(fork),
		TEST(trusted_users),
		TEST(stranger_is_not_joined),
		TEST(stranger_with_open_mode),
		TEST(ended_hides_nothing),
		TEST(refused_by_mode),
		TEST(peers),
		TEST(poll),
		TEST(signal),
		TEST(evil_client),
		TEST(evil_server),
		TEST(flood),
		TEST(close_held_back),
		TEST(cost),
		TEST(batch),
		TEST(batch_io_error),
		TEST(send_many),
		TEST(prompt),
		TEST(exchange_timeout),
		TEST(batch_abort),
		TEST(lock),
		TEST(growth_by_pages),
		TEST(growth_in_steps),
		TEST(growth_beside_routines),
		TEST(growth_by_threads),
		TEST(growth_signalled),
		TEST(abort_while_getting),
		TEST(recorded_by_the_dead),
		TEST(evil_at_the_end),
		TEST(client_limits),
		TEST(server_limits),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
