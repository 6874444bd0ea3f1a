// SPDX-License-Identifier: GPL-2.0
/*
 * fixture.c - a set in any state, with both sides in this process
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "conformance.h"

/* Adds the name of a return code to its value. */
static const char *name_of(long long value)
{
	return ((uint32_t)value & 0xffff0000) == 0x80770000 ?
	       vdi_strerror(value) : "";
}

void cf_differ(const char *file, int line, const char *what, long long got,
	       long long want)
{
	const char *base = strrchr(file, '/');

	printf("# %s:%d: %s is %lld %s, not %lld %s\n", base ? base + 1 : file,
	       line, what, got, name_of(got), want, name_of(want));
	fflush(NULL);
	_exit(1);
}

int64_t cf_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

void cf_nap(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* -------------------------------------------------------------------- set */

void new_name(char *buf, size_t size)
{
	static int number;

	snprintf(buf, size, "conformance-%d-%d", getpid(), ++number);
}

const char *device_name(const struct pair *p, unsigned int i)
{
	static char name[96];

	if (!i)
		return p->name;
	snprintf(name, sizeof(name), "%s-device-%u", p->name, i);
	return name;
}

static void set_defaults(struct pair *p)
{
	if (!p->asked.deviceCount)
		p->asked.deviceCount = 1;
	if (!p->direction)
		p->direction = VDF_WriteMedia;
	if (!p->max_transfer)
		p->max_transfer = 64 * KIB;
	if (!p->buffer_size)
		p->buffer_size = p->max_transfer;
	if (!p->buffer_count)
		p->buffer_count = 4;
	p->devices = p->asked.deviceCount;
	if (!*p->name)
		new_name(p->name, sizeof(p->name));
}

static void go_created(struct pair *p)
{
	OK(vdi_client_create(p->client, NULL, p->name, &p->asked, NULL));
}

static void go_connected(struct pair *p)
{
	OK(vdi_server_set_queue_depth(p->server, p->depth));
	OK(vdi_server_open(p->server, NULL, p->name));
}

static void go_configurable(struct pair *p)
{
	uint32_t features = p->asked.features | p->direction | p->add_features;

	OK(vdi_server_begin_configuration(p->server, features, p->block_size,
					  p->alignment, p->max_transfer, 0));
}

static void go_initializing(struct pair *p)
{
	OK(vdi_server_request_buffers(p->server, p->buffer_size, 0,
				      p->buffer_count));
	OK(vdi_server_end_configuration(p->server));
	OK(vdi_client_get_configuration(p->client, WAIT, &p->config));
}

static void go_active(struct pair *p)
{
	unsigned int i;

	for (i = 0; i < p->devices; i++) {
		OK(vdi_server_open_device(p->server, device_name(p, i),
					  &p->sdev[i]));
		OK(vdi_client_open_device(p->client, device_name(p, i),
					  &p->cdev[i]));
	}
}

static void go_terminated(struct pair *p)
{
	struct VDC_Command *cmd;
	unsigned int i;

	for (i = 0; i < p->devices; i++)
		OK(vdi_server_close_device(p->sdev[i]));
	for (i = 0; i < p->devices; i++)
		EQ(vdi_client_get_command(p->cdev[i], WAIT, &cmd), VD_E_CLOSE);
}

static void go_aborted(struct pair *p)
{
	OK(vdi_client_signal_abort(p->client, 7, "requested by the test"));
}

void pair_up(struct pair *p, enum stage stage)
{
	static void (* const go[])(struct pair *p) = {
		[CREATED] = go_created,
		[CONNECTED] = go_connected,
		[CONFIGURABLE] = go_configurable,
		[INITIALIZING] = go_initializing,
		[ACTIVE] = go_active,
		[TERMINATED] = go_terminated,
		[ABORTED] = go_aborted,
	};
	enum stage s;

	set_defaults(p);
	if (!p->client)
		OK(vdi_client_new(&p->client));
	if (!p->server)
		OK(vdi_server_new(&p->server));
	for (s = p->stage + 1; s <= stage; s++) {
		if (s != TERMINATED || stage != ABORTED)
			go[s](p);
	}
	p->stage = stage;
}

void pair_down(struct pair *p)
{
	if (p->stage < ACTIVE)
		pair_up(p, ACTIVE);
	if (p->stage < TERMINATED)
		pair_up(p, TERMINATED);
	OK(vdi_server_close(p->server));
	OK(vdi_client_close(p->client));
	vdi_server_free(p->server);
	vdi_client_free(p->client);
	memset(p, 0, sizeof(*p));
}

/* --------------------------------------------------------------- commands */

static void routine(struct VDS_Command *cmd)
{
	struct sent *s = cmd->completionContext;

	s->thread = syscall(SYS_gettid);
	__atomic_add_fetch(&s->routines, 1, __ATOMIC_RELEASE);
}

void prepare(struct sent *s, int code, uint8_t *buffer, int32_t size)
{
	memset(s, 0, sizeof(*s));
	s->cmd.commandCode = code;
	s->cmd.size = size;
	s->cmd.buffer = buffer;
	s->cmd.completionRoutine = routine;
	s->cmd.completionContext = s;
	s->cmd.completionCode = -1;
	s->cmd.bytesTransferred = 0xdead;
	s->cmd.outPosition = 0xdead;
}

int send_it(struct pair *p, struct sent *s, int code, uint8_t *buffer,
	    int32_t size)
{
	prepare(s, code, buffer, size);
	return vdi_server_send_command(p->sdev[0], &s->cmd);
}

uint8_t *buffer_of(struct pair *p, uint32_t size)
{
	uint8_t *buffer;

	OK(vdi_server_allocate_buffer(p->server, &buffer, size, 0));
	return buffer;
}

struct VDC_Command *got(struct pair *p, int code)
{
	struct VDC_Command *cmd;

	OK(vdi_client_get_command(p->cdev[0], WAIT, &cmd));
	EQ(cmd->commandCode, code);
	return cmd;
}

void complete(struct pair *p, struct VDC_Command *cmd, int code,
	      uint32_t bytes, int64_t position)
{
	OK(vdi_client_complete_command(p->cdev[0], cmd, code, bytes, position));
}

void settle(struct pair *p, struct sent *s)
{
	unsigned int count;

	while (!s->routines)
		OK(vdi_server_run_completions(p->server, WAIT, &count));
	EQ(s->routines, 1);
}

void execute(struct pair *p, struct sent *s, int code, uint8_t *buffer,
	     int32_t size, int completion, uint32_t bytes, int64_t position)
{
	OK(send_it(p, s, code, buffer, size));
	complete(p, got(p, code), completion, bytes, position);
	settle(p, s);
	EQ(s->cmd.completionCode, completion);
}

uint32_t abort_reason(struct pair *p)
{
	struct vdi_abort_info info;

	OK(vdi_server_abort_info(p->server, &info));
	return info.reason;
}

/* -------------------------------------------------------------- processes */

struct peer spawn(peer_fn *fn, void *arg)
{
	struct peer peer;
	int fd[2];

	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	fflush(NULL);
	peer.pid = fork();
	TRUE(peer.pid >= 0);
	if (!peer.pid) {
		close(fd[0]);
		fn(fd[1], arg);
		_exit(0);
	}
	close(fd[1]);
	peer.fd = fd[0];
	return peer;
}

void join(struct peer *peer)
{
	int status;

	EQ(waitpid(peer->pid, &status, 0), peer->pid);
	close(peer->fd);
	EQ(status, 0);
}

void kill_peer(struct peer *peer)
{
	int status;

	OK(kill(peer->pid, SIGKILL));
	EQ(waitpid(peer->pid, &status, 0), peer->pid);
	close(peer->fd);
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
