// SPDX-License-Identifier: LGPL-2.1-or-later
/* hostile.c - a peer that breaks the rules is detected and does no harm */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../../ring_ops.h"
#include "fixture.h"

/* ------------------------------------------------------------ hostile peers */

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
	await(fd, 'x');
	_exit(0);
}

void test_evil_client(void **state)
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
		notify(peer.fd, 'x');
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
		await(fd, 'g');
	device = client_open(client, 0);
	do
		code = vdi_client_get_command(device, WAIT, &cmd);
	while (!code);
	EQ(code, VD_E_ABORT);
	/* and it stays so */
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
	case 12:	/* and the set has terminated when that is noticed */
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

void test_evil_server(void **state)
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
			notify(peer.fd, 'g');
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

/*
 * The server sends commands that are dropped in IO-ERROR as fast as they are
 * dropped.
 */
static void client_flooded(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *cmd;

	notify(fd, 'o');
	done(device, get_a(device, 99), ERROR_NOT_SUPPORTED, 0);
	/* The flood lasts until 'x': a call that forgot its time would not return. */
	EQ(vdi_client_get_command(device, 300, &cmd), VD_E_TIMEOUT);
	OK(vdi_client_signal_abort(client, 0, NULL));
	EQ(vdi_client_get_command(device, -1, &cmd), VD_E_ABORT);
	notify(fd, 'x');
	client_down(client);
}

void test_flood(void **state)
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
	await(peer.fd, 'o');
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
	await(peer.fd, 'x');
	join(&peer);
	vdi_channel_release(&ch, false);
	server_down(server);
}

/* The server closes the device while its ClearError is held back. */
static void client_held_back(int fd)
{
	struct vdi_client *client = client_up_n(fd, 1);
	struct vdi_client_device *device = client_open(client, 0);
	struct VDC_Command *a, *b, *cmd;

	notify(fd, 'o');
	a = get_a(device, VDC_Flush);
	b = get_a(device, VDC_Flush);
	done(device, a, ERROR_IO_DEVICE, 0);
	EQ(vdi_client_get_command(device, 50, &cmd), VD_E_TIMEOUT);
	notify(fd, 'e');
	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_CLOSE);
	EQ(vdi_client_complete_command(device, b, 0, 0, 0), VD_E_PROTOCOL);
	client_down(client);
}

void test_close_held_back(void **state)
{
	struct peer peer = spawn(client_held_back);
	struct vdi_server *server = server_up(&peer, &plain);
	struct vdi_channel ch = raw_open(vdi_server_fd(server));
	struct vdiset_device_close end = { .size = sizeof(end) };
	struct vdiset_command cmd = {
		.code = VDC_Flush, .buffer = VDISET_NO_BUFFER,
	};

	(void)state;
	await(peer.fd, 'o');
	for (cmd.tag = 0; cmd.tag < 2; cmd.tag++)
		vdi_ring_put_command(&ch.ring, &cmd);
	vdi_channel_wait(&ch, VDISET_WAIT_KICK, 0);
	await(peer.fd, 'e');
	cmd.code = VDC_ClearError;
	vdi_ring_put_command(&ch.ring, &cmd);
	vdi_channel_wait(&ch, VDISET_WAIT_KICK, 0);
	nap(50);
	OK(ioctl(ch.fd, VDISET_DEVICE_CLOSE, &end));
	join(&peer);
	vdi_channel_release(&ch, false);
	server_down(server);
}

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
	notify(fd, 'a');
	await(fd, 'x');
	_exit(0);
}

void test_evil_at_the_end(void **state)
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
		await(peer.fd, 'a');
		EQ(run_to_end(server), VD_E_ABORT);
		for (i = 0; i < 3; i++) {
			for (j = 0; j < 2; j++) {
				EQ(job[i][j].ran, 1);
				want = i < evil || (i == evil && !j) ?
				       100 + i : ERROR_OPERATION_ABORTED;
				EQ(job[i][j].cmd.completionCode, want);
			}
		}
		notify(peer.fd, 'x');
		join(&peer);
		server_down(server);
		new_name();
	}
}
