// SPDX-License-Identifier: GPL-2.0
/*
 * processes.c - several processes in one set (section 10)
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance.h"

#define SECONDARIES	8

struct job {
	char set[64];
	char device[96];
};

/* A secondary that serves its device until the end, as a thread would */
static void serve(int fd, void *arg)
{
	const struct job *job = arg;
	struct vdi_client_device *device;
	struct vdi_client *client;
	struct VDC_Command *cmd;
	struct VDConfig config;
	int code;

	OK(vdi_client_new(&client));
	OK(vdi_client_open_in_secondary(client, NULL, job->set));
	OK(vdi_client_open_device(client, job->device, &device));
	OK(vdi_client_get_configuration(client, -1, &config));
	TRUE(config.features & VDF_WriteMedia);
	notify(fd, 'o');
	while (!(code = vdi_client_get_command(device, -1, &cmd)))
		OK(vdi_client_complete_command(device, cmd, 0, cmd->size, 0));
	notify(fd, code == VD_E_CLOSE ? 'c' : code == VD_E_ABORT ? 'a' : '?');
	if (code == VD_E_ABORT) {
		struct vdi_abort_info info;

		OK(vdi_client_abort_info(client, &info));
		EQ(write(fd, &info, sizeof(info)), sizeof(info));
	}
	OK(vdi_client_close(client));
	vdi_client_free(client);
}

static void job_for(struct job *job, struct pair *p, unsigned int i)
{
	strcpy(job->set, p->name);
	snprintf(job->device, sizeof(job->device), "%s", device_name(p, i));
}

static void secondaries_up(struct pair *p, struct peer *peer, unsigned int n)
{
	struct job job;
	unsigned int i;

	p->asked.deviceCount = n;
	pair_up(p, INITIALIZING);
	for (i = 0; i < n; i++) {
		job_for(&job, p, i);
		peer[i] = spawn(serve, &job);
		await(peer[i].fd, 'o');
		OK(vdi_server_open_device(p->server, device_name(p, i),
					  &p->sdev[i]));
	}
	p->stage = ACTIVE;
}

RULE("10", eight_secondaries, "eight secondaries serve one device each, until the normal end")
{
	struct peer peer[SECONDARIES];
	struct sent s[SECONDARIES];
	struct pair p = { .buffer_count = SECONDARIES };
	unsigned int i;

	secondaries_up(&p, peer, SECONDARIES);
	for (i = 0; i < SECONDARIES; i++) {
		prepare(&s[i], VDC_Write, buffer_of(&p, 64 * KIB), 64 * KIB);
		OK(vdi_server_send_command(p.sdev[i], &s[i].cmd));
	}
	for (i = 0; i < SECONDARIES; i++) {
		settle(&p, &s[i]);
		EQ(s[i].cmd.bytesTransferred, 64 * KIB);
		OK(vdi_server_close_device(p.sdev[i]));
		await(peer[i].fd, 'c');
		join(&peer[i]);
	}
	OK(vdi_client_close(p.client));
	OK(vdi_server_close(p.server));
}

RULE("10", killed_secondary, "the death of a secondary aborts the set at once in every process; the reason names the secondary")
{
	struct peer peer[SECONDARIES];
	struct vdi_abort_info info;
	struct VDConfig config;
	struct pair p = { 0 };
	struct sent s;
	unsigned int i;
	int64_t start;
	pid_t pid;

	secondaries_up(&p, peer, SECONDARIES);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	settle(&p, &s);
	pid = peer[3].pid;
	start = cf_now();
	kill_peer(&peer[3]);
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	TRUE(cf_now() - start < SOON);
	OK(vdi_server_abort_info(p.server, &info));
	EQ(info.reason, VDI_REASON_DIED);
	EQ(info.role, VDI_ROLE_SECONDARY);
	EQ(info.pid, pid);
	EQ(vdi_client_get_configuration(p.client, 0, &config), VD_E_ABORT);
	OK(vdi_client_abort_info(p.client, &info));
	EQ(info.pid, pid);
	for (i = 0; i < SECONDARIES; i++) {
		if (i == 3)
			continue;
		await(peer[i].fd, 'a');
		EQ(read(peer[i].fd, &info, sizeof(info)), sizeof(info));
		EQ(info.reason, VDI_REASON_DIED);
		EQ(info.pid, pid);
		join(&peer[i]);
	}
	TRUE(cf_now() - start < SOON);
}

static void abort_it(int fd, void *arg)
{
	const struct job *job = arg;
	struct vdi_client *client;

	OK(vdi_client_new(&client));
	OK(vdi_client_open_in_secondary(client, NULL, job->set));
	OK(vdi_client_signal_abort(client, 77, "from a secondary"));
	OK(vdi_client_close(client));
	notify(fd, 'x');
}

RULE("10", secondary_aborts, "SignalAbort of any process aborts the whole set")
{
	struct vdi_abort_info info;
	struct pair p = { 0 };
	struct peer peer;
	struct job job;

	pair_up(&p, ACTIVE);
	job_for(&job, &p, 0);
	peer = spawn(abort_it, &job);
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_ABORT);
	await(peer.fd, 'x');
	OK(vdi_client_abort_info(p.client, &info));
	EQ(info.role, VDI_ROLE_SECONDARY);
	EQ(info.pid, peer.pid);
	EQ(info.code, 77);
	join(&peer);
}

RULE("10", one_process_per_device, "a device is served by one process: a second OpenDevice is VD_E_PROTOCOL")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_client_device *device;
	struct vdi_client *second;

	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_device(p.client, p.name, &device));
	OK(vdi_client_new(&second));
	OK(vdi_client_open_in_secondary(second, NULL, p.name));
	EQ(vdi_client_open_device(second, p.name, &device), VD_E_PROTOCOL);
	OK(vdi_client_open_device(second, "b", &device));
}

RULE("10", before_configuration, "VD_E_PROTOCOL: a secondary joins before the set is configured")
{
	struct vdi_client *second;
	struct pair p = { 0 };

	pair_up(&p, CONNECTED);
	OK(vdi_client_new(&second));
	EQ(vdi_client_open_in_secondary(second, NULL, p.name), VD_E_PROTOCOL);
}

/* A process has fetched a command; another one transfers the data. */
static void move_data(int fd, void *arg)
{
	const struct job *job = arg;
	struct vdi_client *client;
	uint32_t handle;
	uint8_t *buffer;
	unsigned int i;

	OK(vdi_client_new(&client));
	OK(vdi_client_open_in_secondary(client, NULL, job->set));
	notify(fd, 'r');
	EQ(read(fd, &handle, sizeof(handle)), sizeof(handle));
	OK(vdi_client_map_buffer_handle(client, handle, &buffer));
	for (i = 0; i < 64 * KIB; i++)
		buffer[i] = i * 7;
	notify(fd, 'd');
	OK(vdi_client_close(client));
}

RULE("10", handle_to_partner, "one process fetches a command, another transfers the data through a handle, and the first completes it")
{
	struct pair p = { .direction = VDF_ReadMedia };
	struct VDC_Command *cmd;
	uint8_t *buffer;
	uint32_t handle;
	struct peer peer;
	unsigned int i;
	struct sent s;
	struct job job;

	pair_up(&p, ACTIVE);
	job_for(&job, &p, 0);
	peer = spawn(move_data, &job);
	await(peer.fd, 'r');
	buffer = buffer_of(&p, 64 * KIB);
	OK(send_it(&p, &s, VDC_Read, buffer, 64 * KIB));
	cmd = got(&p, VDC_Read);
	OK(vdi_client_get_buffer_handle(p.client, cmd->buffer, &handle));
	EQ(write(peer.fd, &handle, sizeof(handle)), sizeof(handle));
	await(peer.fd, 'd');
	complete(&p, cmd, 0, 64 * KIB, 0);
	settle(&p, &s);
	for (i = 0; i < 64 * KIB; i++)
		EQ(buffer[i], (uint8_t)(i * 7));
	join(&peer);
	pair_down(&p);
}

RULE("10", secondary_closes_early, "VD_E_OPEN: a secondary closes while its device is open; the set is aborted")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_client_device *device;
	struct vdi_abort_info info;
	struct vdi_client *second;

	pair_up(&p, INITIALIZING);
	OK(vdi_client_new(&second));
	OK(vdi_client_open_in_secondary(second, NULL, p.name));
	OK(vdi_client_open_device(second, p.name, &device));
	EQ(vdi_client_close(second), VD_E_OPEN);
	OK(vdi_server_abort_info(p.server, &info));
	EQ(info.reason, VDI_REASON_CLOSED);
	EQ(info.role, VDI_ROLE_SECONDARY);
}

RULE("10", secondary_closes_done, "NOERROR: a secondary closes after VD_E_CLOSE; the other processes continue")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_client_device *device;
	struct vdi_client *second;
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, INITIALIZING);
	OK(vdi_client_new(&second));
	OK(vdi_client_open_in_secondary(second, NULL, p.name));
	OK(vdi_server_open_device(p.server, p.name, &p.sdev[0]));
	OK(vdi_client_open_device(p.client, p.name, &p.cdev[0]));
	OK(vdi_server_open_device(p.server, "b", &p.sdev[1]));
	OK(vdi_client_open_device(second, "b", &device));
	OK(vdi_server_close_device(p.sdev[1]));
	EQ(vdi_client_get_command(device, WAIT, &cmd), VD_E_CLOSE);
	OK(vdi_client_close(second));
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	EQ(abort_reason(&p), 0);
}

RULE("10", secondary_idle, "a secondary without a device may join and close at any time")
{
	struct vdi_client *second;
	struct pair p = { 0 };
	int i;

	pair_up(&p, ACTIVE);
	OK(vdi_client_new(&second));
	for (i = 0; i < 5; i++) {
		OK(vdi_client_open_in_secondary(second, NULL, p.name));
		OK(vdi_client_close(second));
	}
	EQ(abort_reason(&p), 0);
	pair_down(&p);
}

/* A child may only close the objects that it inherited. */
static void child_calls(int fd, void *arg)
{
	struct pair *p = arg;
	struct VDC_Command *cmd;
	struct VDConfig config;
	struct sent s;
	uint8_t *buffer;

	EQ(vdi_client_get_configuration(p->client, 0, &config),
	   VD_E_PROTOCOL);
	EQ(vdi_client_get_command(p->cdev[0], -1, &cmd), VD_E_PROTOCOL);
	EQ(vdi_client_complete_command(p->cdev[0], (void *)p, 0, 0, 0),
	   VD_E_PROTOCOL);
	EQ(vdi_client_signal_abort(p->client, 0, NULL), VD_E_PROTOCOL);
	EQ(vdi_client_map_buffer_handle(p->client, 1, &buffer),
	   VD_E_PROTOCOL);
	EQ(vdi_server_get_configuration(p->server, &config), VD_E_PROTOCOL);
	EQ(vdi_server_allocate_buffer(p->server, &buffer, KIB, 0),
	   VD_E_PROTOCOL);
	EQ(send_it(p, &s, VDC_Flush, NULL, 0), VD_E_PROTOCOL);
	EQ(vdi_server_close_device(p->sdev[0]), VD_E_PROTOCOL);
	EQ(vdi_server_execute_completion_agent(p->server), VD_E_PROTOCOL);
	EQ(vdi_server_signal_abort(p->server, 0, NULL), VD_E_PROTOCOL);
	EQ(vdi_client_close(p->client), VD_E_PROTOCOL);
	EQ(vdi_server_close(p->server), VD_E_PROTOCOL);
	vdi_client_free(p->client);
	vdi_server_free(p->server);
	notify(fd, 'x');
}

RULE("10", forked_child, "a forked child is not a party: its calls are VD_E_PROTOCOL and have no effect on the set")
{
	struct pair p = { 0 };
	struct peer peer;
	struct sent s;

	pair_up(&p, ACTIVE);
	peer = spawn(child_calls, &p);
	await(peer.fd, 'x');
	join(&peer);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

static void own_life(int fd, void *arg)
{
	struct pair *inherited = arg;
	struct pair p = { .client = inherited->client,
			  .server = inherited->server };

	EQ(vdi_client_close(p.client), VD_E_PROTOCOL);
	EQ(vdi_server_close(p.server), VD_E_PROTOCOL);
	snprintf(p.name, sizeof(p.name), "conformance-child-%d", getpid());
	pair_down(&p);
	notify(fd, 'x');
}

RULE("10", child_with_own_set, "after a child has closed the inherited objects, it may use them for a set of its own")
{
	struct pair p = { 0 };
	struct peer peer;
	struct sent s;

	pair_up(&p, ACTIVE);
	peer = spawn(own_life, &p);
	await(peer.fd, 'x');
	join(&peer);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

static void die_with_set(int fd, void *arg)
{
	struct pair p = { 0 };

	strcpy(p.name, ((struct job *)arg)->set);
	pair_up(&p, CREATED);
	notify(fd, 'c');
	pause();
}

RULE("10", killed_primary, "the death of the primary aborts the set; the reason names the primary")
{
	struct vdi_abort_info info;
	struct vdi_server *server;
	struct peer peer;
	struct job job;

	new_name(job.set, sizeof(job.set));
	peer = spawn(die_with_set, &job);
	await(peer.fd, 'c');
	OK(vdi_server_new(&server));
	OK(vdi_server_open(server, NULL, job.set));
	kill_peer(&peer);
	OK(vdi_server_abort_info(server, &info));
	EQ(info.reason, VDI_REASON_DIED);
	EQ(info.role, VDI_ROLE_PRIMARY);
	EQ(info.pid, peer.pid);
	EQ(vdi_server_begin_configuration(server, 0, 0, 0, 0, 0), VD_E_ABORT);
	OK(vdi_server_close(server));
}

static void die_as_server(int fd, void *arg)
{
	struct vdi_server *server;

	OK(vdi_server_new(&server));
	OK(vdi_server_open(server, NULL, ((struct job *)arg)->set));
	notify(fd, 'o');
	pause();
}

RULE("10", killed_server, "the death of the server aborts the set; the reason names the server")
{
	struct vdi_abort_info info;
	struct VDConfig config;
	struct pair p = { 0 };
	struct peer peer;
	struct job job;

	pair_up(&p, CREATED);
	strcpy(job.set, p.name);
	peer = spawn(die_as_server, &job);
	await(peer.fd, 'o');
	kill_peer(&peer);
	EQ(vdi_client_get_configuration(p.client, -1, &config), VD_E_ABORT);
	OK(vdi_client_abort_info(p.client, &info));
	EQ(info.reason, VDI_REASON_DIED);
	EQ(info.role, VDI_ROLE_SERVER);
	EQ(info.pid, peer.pid);
	OK(vdi_client_close(p.client));
}
