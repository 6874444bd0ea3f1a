// SPDX-License-Identifier: GPL-2.0
/*
 * calls_client.c - calls of the client: the condition of every return code
 * (sections 5.1 to 5.10)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conformance.h"

static const struct VDConfig one = { .deviceCount = 1 };

static struct vdi_client *new_client(void)
{
	struct vdi_client *client;

	OK(vdi_client_new(&client));
	return client;
}

/* ------------------------------------------------------------ 5.1 CreateEx */

RULE("5.1", noerror, "NOERROR: the set exists in state Configurable, and a server can connect")
{
	struct pair p = { 0 };

	pair_up(&p, CONNECTED);
	pair_down(&p);
}

RULE("5.1", again_after_close, "after Close, the same object may Create another set")
{
	struct vdi_client *client = new_client();
	int i;

	for (i = 0; i < 3; i++) {
		OK(vdi_client_create(client, NULL, "conformance-again", &one,
				     NULL));
		OK(vdi_client_close(client));
	}
	vdi_client_free(client);
}

RULE("5.1", has_a_set, "VD_E_PROTOCOL: the object has a set already")
{
	struct vdi_client *client = new_client();

	OK(vdi_client_create(client, NULL, "conformance-a", &one, NULL));
	EQ(vdi_client_create(client, NULL, "conformance-b", &one, NULL),
	   VD_E_PROTOCOL);
	vdi_client_free(client);
}

RULE("5.1", name_in_use, "VD_E_PROTOCOL: a set of this name exists")
{
	struct vdi_client *a = new_client(), *b = new_client();

	OK(vdi_client_create(a, NULL, "conformance-used", &one, NULL));
	EQ(vdi_client_create(b, NULL, "conformance-used", &one, NULL),
	   VD_E_PROTOCOL);
	OK(vdi_client_close(a));
	OK(vdi_client_create(b, NULL, "conformance-used", &one, NULL));
	vdi_client_free(a);
	vdi_client_free(b);
}

RULE("5.1", name_free_after_abort, "the name of an aborted set can be used again")
{
	struct vdi_client *a = new_client(), *b = new_client();

	OK(vdi_client_create(a, NULL, "conformance-free", &one, NULL));
	OK(vdi_client_signal_abort(a, 0, NULL));
	OK(vdi_client_create(b, NULL, "conformance-free", &one, NULL));
	vdi_client_free(a);
	vdi_client_free(b);
}

RULE("5.1", names, "a name is 1 to 255 bytes without a backslash")
{
	struct vdi_client *client = new_client();
	char name[300];

	EQ(vdi_client_create(client, NULL, NULL, &one, NULL), VD_E_INVALID);
	EQ(vdi_client_create(client, NULL, "", &one, NULL), VD_E_INVALID);
	EQ(vdi_client_create(client, NULL, "a\\b", &one, NULL), VD_E_INVALID);
	memset(name, 'n', sizeof(name));
	name[256] = '\0';
	EQ(vdi_client_create(client, NULL, name, &one, NULL), VD_E_INVALID);
	name[255] = '\0';
	OK(vdi_client_create(client, NULL, name, &one, NULL));
	OK(vdi_client_close(client));
	OK(vdi_client_create(client, NULL, "/ \t\n'\"%s;é", &one, NULL));
	vdi_client_free(client);
}

RULE("5.1", case_sensitive, "names that differ in case are different names")
{
	struct vdi_client *a = new_client(), *b = new_client();

	OK(vdi_client_create(a, NULL, "conformance-Case", &one, NULL));
	OK(vdi_client_create(b, NULL, "conformance-case", &one, NULL));
	vdi_client_free(a);
	vdi_client_free(b);
}

RULE("5.1", instances, "sets of one name in different instances are different sets")
{
	struct vdi_client *a = new_client(), *b = new_client();
	struct vdi_server *server;
	struct VDConfig config, two = { .deviceCount = 2 };

	OK(vdi_client_create(a, NULL, "conformance-inst", &one, NULL));
	OK(vdi_client_create(b, "SECOND", "conformance-inst", &two, NULL));
	OK(vdi_server_new(&server));
	OK(vdi_server_open(server, "SECOND", "conformance-inst"));
	OK(vdi_server_get_configuration(server, &config));
	EQ(config.deviceCount, 2);
	OK(vdi_server_close(server));
	EQ(vdi_server_open(server, "THIRD", "conformance-inst"),
	   VD_E_INVALID);
	OK(vdi_server_open(server, NULL, "conformance-inst"));
	OK(vdi_server_get_configuration(server, &config));
	EQ(config.deviceCount, 1);
	vdi_server_free(server);
	vdi_client_free(a);
	vdi_client_free(b);
}

RULE("5.1", instance_name, "VD_E_INSTANCE_NAME: the name of the instance is invalid")
{
	struct vdi_client *client = new_client();
	char name[300];

	EQ(vdi_client_create(client, "MACHINE\\INST", "conformance-i", &one,
			     NULL), VD_E_INSTANCE_NAME);
	memset(name, 'n', sizeof(name));
	name[299] = '\0';
	EQ(vdi_client_create(client, name, "conformance-i", &one, NULL),
	   VD_E_INSTANCE_NAME);
	vdi_client_free(client);
}

RULE("5.1", environment, "_VIRTUAL_SERVER_NAME_ is the instance of the deprecated Create, and not of CreateEx")
{
	struct vdi_client *client = new_client();
	struct vdi_server *server;

	OK(setenv("_VIRTUAL_SERVER_NAME_", "FROM_ENV", 1));
	OK(strcmp(vdi_default_instance(), "FROM_ENV"));
	OK(vdi_client_create(client, vdi_default_instance(),
			     "conformance-env", &one, NULL));
	OK(vdi_server_new(&server));
	EQ(vdi_server_open(server, NULL, "conformance-env"), VD_E_INVALID);
	OK(vdi_server_open(server, "FROM_ENV", "conformance-env"));
	OK(vdi_server_close(server));
	EQ(vdi_client_close(client), NOERROR);
	OK(vdi_client_create(client, NULL, "conformance-env", &one, NULL));
	OK(vdi_server_open(server, NULL, "conformance-env"));
	OK(unsetenv("_VIRTUAL_SERVER_NAME_"));
	TRUE(!vdi_default_instance());
	vdi_server_free(server);
	vdi_client_free(client);
}

RULE("5.1", null_arguments, "VD_E_INVALID: null arguments")
{
	struct vdi_client *client = new_client();

	EQ(vdi_client_new(NULL), VD_E_INVALID);
	EQ(vdi_client_create(NULL, NULL, "conformance-n", &one, NULL),
	   VD_E_INVALID);
	EQ(vdi_client_create(client, NULL, "conformance-n", NULL, NULL),
	   VD_E_INVALID);
	vdi_client_free(client);
	vdi_client_free(NULL);
}

RULE("5.1", security, "VD_E_SECURITY: the caller may not give the set to this owner")
{
	const struct vdi_access access = { 0600, 0, (gid_t)-1 };
	struct vdi_client *client = new_client();

	OK(setuid(65534));
	EQ(vdi_client_create(client, NULL, "conformance-s", &one, &access),
	   VD_E_SECURITY);
	vdi_client_free(client);
}

/* ---------------------------------------------------- 5.2 GetConfiguration */

RULE("5.2", timeout, "VD_E_TIMEOUT: not configured in time; the call may be repeated")
{
	struct pair p = { 0 };
	struct VDConfig config;
	int64_t start;

	pair_up(&p, CREATED);
	start = cf_now();
	EQ(vdi_client_get_configuration(p.client, 200, &config),
	   VD_E_TIMEOUT);
	TRUE(cf_now() - start >= 200);
	EQ(vdi_client_get_configuration(p.client, 0, &config), VD_E_TIMEOUT);
	pair_down(&p);
}

struct waiter {
	struct pair *p;
	struct VDConfig config;
	int64_t timeout;
	int code;
	bool over;
};

static void *wait_for_configuration(void *arg)
{
	struct waiter *w = arg;

	w->code = vdi_client_get_configuration(w->p->client, w->timeout,
					       &w->config);
	__atomic_store_n(&w->over, true, __ATOMIC_RELEASE);
	return NULL;
}

RULE("5.2", waits_for_server, "the call waits until the server has configured the set; a negative time-out is unlimited")
{
	struct pair p = { 0 };
	struct waiter w = { .p = &p, .timeout = -1 };
	pthread_t thread;

	pair_up(&p, CONFIGURABLE);
	OK(pthread_create(&thread, NULL, wait_for_configuration, &w));
	cf_nap(100);
	TRUE(!__atomic_load_n(&w.over, __ATOMIC_ACQUIRE));
	OK(vdi_server_request_buffers(p.server, 4 * KIB, 0, 1));
	OK(vdi_server_end_configuration(p.server));
	OK(pthread_join(thread, NULL));
	OK(w.code);
	EQ(w.config.deviceCount, 1);
	vdi_server_free(p.server);
	vdi_client_free(p.client);
}

RULE("5.2", abort_wakes, "VD_E_ABORT: an abort ends the wait at once")
{
	struct pair p = { 0 };
	struct waiter w = { .p = &p, .timeout = -1 };
	pthread_t thread;
	int64_t start;

	pair_up(&p, CONNECTED);
	OK(pthread_create(&thread, NULL, wait_for_configuration, &w));
	cf_nap(100);
	start = cf_now();
	OK(vdi_server_signal_abort(p.server, 3, "no"));
	OK(pthread_join(thread, NULL));
	TRUE(cf_now() - start < SOON);
	EQ(w.code, VD_E_ABORT);
	vdi_server_free(p.server);
	vdi_client_free(p.client);
}

RULE("5.2", close_ends_wait, "Close in another thread ends the wait safely")
{
	struct pair p = { 0 };
	struct waiter w = { .p = &p, .timeout = -1 };
	pthread_t thread;

	pair_up(&p, CREATED);
	OK(pthread_create(&thread, NULL, wait_for_configuration, &w));
	cf_nap(100);
	OK(vdi_client_close(p.client));
	OK(pthread_join(thread, NULL));
	TRUE(w.code == VD_E_ABORT || w.code == VD_E_PROTOCOL);
	vdi_server_free(p.server);
	vdi_client_free(p.client);
}

RULE("5.2", again, "the call may be repeated at any time, with the same result")
{
	struct pair p = { 0 };
	struct VDConfig config;

	pair_up(&p, ACTIVE);
	OK(vdi_client_get_configuration(p.client, -1, &config));
	OK(memcmp(&config, &p.config, sizeof(config)));
	pair_down(&p);
}

RULE("5.2", null_arguments, "VD_E_INVALID: null arguments")
{
	struct pair p = { 0 };
	struct VDConfig config;

	pair_up(&p, CREATED);
	EQ(vdi_client_get_configuration(NULL, 0, &config), VD_E_INVALID);
	EQ(vdi_client_get_configuration(p.client, 0, NULL), VD_E_INVALID);
	vdi_client_free(p.client);
	vdi_server_free(p.server);
}

/* ---------------------------------------------------------- 5.3 OpenDevice */

RULE("5.3", first_has_set_name, "the first device has the name of the set")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_client_device *device;

	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_device(p.client, p.name, &device));
	TRUE(device);
	vdi_client_free(p.client);
	vdi_server_free(p.server);
}

RULE("5.3", loop_until_open, "VD_E_OPEN: every device is open")
{
	struct pair p = { .asked = { .deviceCount = 3 } };
	struct vdi_client_device *device;

	pair_up(&p, ACTIVE);
	EQ(vdi_client_open_device(p.client, "one more", &device), VD_E_OPEN);
	TRUE(!device);
	pair_down(&p);
}

RULE("5.3", open_already, "VD_E_PROTOCOL: this device is open already")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_client_device *device;

	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_device(p.client, p.name, &device));
	EQ(vdi_client_open_device(p.client, p.name, &device), VD_E_PROTOCOL);
	TRUE(!device);
	vdi_client_free(p.client);
	vdi_server_free(p.server);
}

RULE("5.3", others_while_active, "further devices may be opened while others are in use")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_client_device *device;
	struct sent s;

	pair_up(&p, INITIALIZING);
	OK(vdi_server_open_device(p.server, p.name, &p.sdev[0]));
	OK(vdi_client_open_device(p.client, p.name, &p.cdev[0]));
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	OK(vdi_server_open_device(p.server, "second", &p.sdev[1]));
	OK(vdi_client_open_device(p.client, "second", &device));
	p.cdev[1] = device;
	p.stage = ACTIVE;
	pair_down(&p);
}

RULE("5.3", unknown_name, "VD_E_INVALID: the set has no device of this name")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_client_device *device;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_name_device(p.server, 1, "second"));
	pair_up(&p, INITIALIZING);
	EQ(vdi_client_open_device(p.client, "third", &device), VD_E_INVALID);
	TRUE(!device);
	OK(vdi_client_open_device(p.client, "second", &device));
	vdi_client_free(p.client);
	vdi_server_free(p.server);
}

RULE("5.3", bad_names, "VD_E_INVALID: the name is invalid")
{
	struct pair p = { 0 };
	struct vdi_client_device *device;

	pair_up(&p, INITIALIZING);
	EQ(vdi_client_open_device(p.client, "", &device), VD_E_INVALID);
	EQ(vdi_client_open_device(p.client, "a\\b", &device), VD_E_INVALID);
	EQ(vdi_client_open_device(p.client, p.name, NULL), VD_E_INVALID);
	EQ(vdi_client_open_device(NULL, p.name, &device), VD_E_INVALID);
	pair_down(&p);
}

RULE("5.3", next_device, "without a name (an extension) the next device is opened; NAME, NAME1 and so on, unless the server has named it")
{
	struct pair p = { .asked = { .deviceCount = 3 } };
	struct vdi_client_device *device;
	char name[VDI_NAME_SIZE];

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_name_device(p.server, 1, "second"));
	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_device(p.client, NULL, &device));
	TRUE(!strcmp(vdi_client_device_name(device), p.name));
	OK(vdi_client_open_device(p.client, NULL, &device));
	TRUE(!strcmp(vdi_client_device_name(device), "second"));
	OK(vdi_client_open_device(p.client, NULL, &device));
	snprintf(name, sizeof(name), "%s2", p.name);
	TRUE(!strcmp(vdi_client_device_name(device), name));
	EQ(vdi_client_open_device(p.client, NULL, &device), VD_E_OPEN);
	vdi_client_free(p.client);
	vdi_server_free(p.server);
}

RULE("5.3", first_of_an_instance, "in a set of an instance the first device has the name of the set as well")
{
	struct vdi_client *client = new_client();
	struct vdi_client_device *device;
	struct vdi_server_device *sdevice;
	struct vdi_server *server;
	struct VDConfig config;

	OK(vdi_client_create(client, "INST", "conformance-first", &one, NULL));
	OK(vdi_server_new(&server));
	OK(vdi_server_open(server, "INST", "conformance-first"));
	OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0, 0, 0));
	OK(vdi_server_end_configuration(server));
	OK(vdi_client_get_configuration(client, WAIT, &config));
	OK(vdi_server_open_device(server, "conformance-first", &sdevice));
	OK(vdi_client_open_device(client, "conformance-first", &device));
	vdi_client_free(client);
	vdi_server_free(server);
}

/* ---------------------------------------------------------- 5.4 GetCommand */

RULE("5.4", noerror, "NOERROR: the command arrives as it was sent")
{
	struct pair p = { .asked = { .features = VDF_LikeDisk } };
	struct VDC_Command *cmd;
	struct sent s;
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 4 * KIB);
	memset(buffer, 0x5a, 4 * KIB);
	prepare(&s, VDC_Write, buffer, 4 * KIB);
	s.cmd.inPosition = 0x123456789a;
	OK(vdi_server_send_command(p.sdev[0], &s.cmd));
	cmd = got(&p, VDC_Write);
	EQ(cmd->size, 4 * KIB);
	EQ(cmd->position, 0x123456789a);
	EQ(cmd->buffer[0], 0x5a);
	EQ(cmd->buffer[4 * KIB - 1], 0x5a);
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.4", timeout, "VD_E_TIMEOUT: no command arrived in time")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	int64_t start;

	pair_up(&p, ACTIVE);
	start = cf_now();
	EQ(vdi_client_get_command(p.cdev[0], 200, &cmd), VD_E_TIMEOUT);
	TRUE(cf_now() - start >= 200);
	pair_down(&p);
}

RULE("5.4", poll, "a time-out of 0 polls")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	EQ(vdi_client_get_command(p.cdev[0], 0, &cmd), VD_E_TIMEOUT);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(vdi_client_get_command(p.cdev[0], 0, &cmd));
	complete(&p, cmd, 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

struct getter {
	struct vdi_client_device *device;
	struct VDC_Command *cmd;
	int64_t timeout;
	int code;
};

static void *get_one(void *arg)
{
	struct getter *g = arg;

	g->code = vdi_client_get_command(g->device, g->timeout, &g->cmd);
	return NULL;
}

static pthread_t start_getter(struct getter *g, struct pair *p)
{
	pthread_t thread;

	*g = (struct getter){ .device = p->cdev[0], .timeout = -1 };
	OK(pthread_create(&thread, NULL, get_one, g));
	cf_nap(100);
	return thread;
}

RULE("5.4", waits, "a negative time-out is unlimited; a command ends the wait")
{
	struct pair p = { 0 };
	struct getter g;
	struct sent s;
	pthread_t thread;

	pair_up(&p, ACTIVE);
	thread = start_getter(&g, &p);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(pthread_join(thread, NULL));
	OK(g.code);
	complete(&p, g.cmd, 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.4", close, "VD_E_CLOSE: the server has closed the device; this also ends a wait")
{
	struct pair p = { 0 };
	struct getter g;
	pthread_t thread;

	pair_up(&p, ACTIVE);
	thread = start_getter(&g, &p);
	OK(vdi_server_close_device(p.sdev[0]));
	OK(pthread_join(thread, NULL));
	EQ(g.code, VD_E_CLOSE);
	p.stage = TERMINATED;
	pair_down(&p);
}

RULE("5.4", abort, "VD_E_ABORT: either side has aborted; this also ends a wait")
{
	struct pair p = { 0 }, q = { 0 };
	struct getter g;
	pthread_t thread;

	pair_up(&p, ACTIVE);
	thread = start_getter(&g, &p);
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	OK(pthread_join(thread, NULL));
	EQ(g.code, VD_E_ABORT);
	pair_up(&q, ACTIVE);
	thread = start_getter(&g, &q);
	OK(vdi_client_signal_abort(q.client, 0, NULL));
	OK(pthread_join(thread, NULL));
	EQ(g.code, VD_E_ABORT);
}

RULE("5.4", several, "the client may hold several commands before it completes the first")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd[3];
	struct sent s[3];
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 3; i++)
		OK(send_it(&p, &s[i], VDC_Flush, NULL, 0));
	for (i = 0; i < 3; i++)
		cmd[i] = got(&p, VDC_Flush);
	TRUE(cmd[0] != cmd[1] && cmd[1] != cmd[2] && cmd[0] != cmd[2]);
	for (i = 2; i >= 0; i--)
		complete(&p, cmd[i], 0, 0, 0);
	for (i = 0; i < 3; i++)
		settle(&p, &s[i]);
	pair_down(&p);
}

RULE("5.4", order, "commands arrive in the order in which they were sent")
{
	struct pair p = { 0 };
	struct sent s[8];
	struct VDC_Command *cmd;
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 8; i++) {
		prepare(&s[i], VDC_SkipBlocks, NULL, i);
		OK(vdi_server_send_command(p.sdev[0], &s[i].cmd));
	}
	for (i = 0; i < 8; i++) {
		cmd = got(&p, VDC_SkipBlocks);
		EQ(cmd->size, i);
		complete(&p, cmd, 0, 0, 0);
	}
	for (i = 0; i < 8; i++)
		settle(&p, &s[i]);
	pair_down(&p);
}

RULE("5.4", one_thread, "VD_E_BUSY: another thread is in GetCommand for this device")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct getter g;
	struct sent s;
	pthread_t thread;

	pair_up(&p, ACTIVE);
	thread = start_getter(&g, &p);
	EQ(vdi_client_get_command(p.cdev[0], 0, &cmd), VD_E_BUSY);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(pthread_join(thread, NULL));
	OK(g.code);
	complete(&p, g.cmd, 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.4", close_ends_wait, "Close in another thread ends the wait safely")
{
	struct pair p = { 0 };
	struct getter g;
	pthread_t thread;

	pair_up(&p, ACTIVE);
	thread = start_getter(&g, &p);
	EQ(vdi_client_close(p.client), VD_E_OPEN);
	OK(pthread_join(thread, NULL));
	EQ(g.code, VD_E_ABORT);
	EQ(vdi_client_get_command(p.cdev[0], 0, &g.cmd), VD_E_PROTOCOL);
}

RULE("5.4", null_arguments, "VD_E_INVALID: null arguments")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;

	pair_up(&p, ACTIVE);
	EQ(vdi_client_get_command(NULL, 0, &cmd), VD_E_INVALID);
	EQ(vdi_client_get_command(p.cdev[0], 0, NULL), VD_E_INVALID);
	pair_down(&p);
}

/* ----------------------------------------------------- 5.5 CompleteCommand */

RULE("5.5", noerror, "NOERROR: the completion reaches the server's routine")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_GetPosition, NULL, 0, 0, 0, 0x7fffffffffffLL);
	EQ(s.cmd.outPosition, 0x7fffffffffffLL);
	pair_down(&p);
}

RULE("5.5", not_active, "VD_E_INVALID: the command is not active")
{
	struct pair p = { 0 };
	struct VDC_Command own = { .commandCode = VDC_Flush }, *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	EQ(vdi_client_complete_command(p.cdev[0], &own, 0, 0, 0),
	   VD_E_INVALID);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	cmd = got(&p, VDC_Flush);
	EQ(vdi_client_complete_command(p.cdev[0], (void *)8, 0, 0, 0),
	   VD_E_INVALID);
	EQ(vdi_client_complete_command(p.cdev[0], (void *)-8, 0, 0, 0),
	   VD_E_INVALID);
	EQ(vdi_client_complete_command(p.cdev[0], (void *)((char *)cmd + 1), 0,
				       0, 0), VD_E_INVALID);
	complete(&p, cmd, 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.5", twice, "VD_E_INVALID: the command was completed before")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	cmd = got(&p, VDC_Flush);
	complete(&p, cmd, 0, 0, 0);
	EQ(vdi_client_complete_command(p.cdev[0], cmd, 0, 0, 0),
	   VD_E_INVALID);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.5", of_another_device, "VD_E_INVALID: the command belongs to another device")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	cmd = got(&p, VDC_Flush);
	EQ(vdi_client_complete_command(p.cdev[1], cmd, 0, 0, 0),
	   VD_E_INVALID);
	complete(&p, cmd, 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.5", too_many_bytes, "VD_E_INVALID: more bytes than requested; the command remains active")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Write, buffer_of(&p, 4 * KIB), 4 * KIB));
	cmd = got(&p, VDC_Write);
	EQ(vdi_client_complete_command(p.cdev[0], cmd, 0, 4 * KIB + 1, 0),
	   VD_E_INVALID);
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	EQ(s.cmd.bytesTransferred, 4 * KIB);
	pair_down(&p);
}

RULE("5.5", abort, "VD_E_ABORT: the set is aborted, and the completion has no effect")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	unsigned int count;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	cmd = got(&p, VDC_Flush);
	OK(vdi_server_signal_abort(p.server, 0, NULL));
	EQ(vdi_client_complete_command(p.cdev[0], cmd, 0, 0, 0), VD_E_ABORT);
	EQ(vdi_server_run_completions(p.server, WAIT, &count), VD_E_ABORT);
	EQ(s.routines, 1);
	EQ(s.cmd.completionCode, ERROR_OPERATION_ABORTED);
}

RULE("5.5", any_order, "commands may be completed in an order other than that of their arrival")
{
	struct pair p = { 0 };
	struct VDC_Command *a, *b;
	unsigned int count;
	struct sent s, t;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(send_it(&p, &t, VDC_Flush, NULL, 0));
	a = got(&p, VDC_Flush);
	b = got(&p, VDC_Flush);
	complete(&p, b, 0, 0, 0);
	OK(vdi_server_run_completions(p.server, WAIT, &count));
	EQ(t.routines, 1);
	EQ(s.routines, 0);
	complete(&p, a, 0, 0, 0);
	settle(&p, &s);
	pair_down(&p);
}

static void *complete_it(void *arg)
{
	struct getter *g = arg;

	g->code = vdi_client_complete_command(g->device, g->cmd, 0, 0, 0);
	return NULL;
}

RULE("5.5", any_thread, "a command may be completed by another thread")
{
	struct pair p = { 0 };
	struct getter g;
	struct sent s;
	pthread_t thread;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	g.device = p.cdev[0];
	g.cmd = got(&p, VDC_Flush);
	OK(pthread_create(&thread, NULL, complete_it, &g));
	OK(pthread_join(thread, NULL));
	OK(g.code);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.5", modified_command_block, "the client may overwrite the command block without an effect")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Write, buffer_of(&p, 4 * KIB), 4 * KIB));
	cmd = got(&p, VDC_Write);
	memset(cmd, 0xff, sizeof(*cmd));
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	EQ(s.cmd.bytesTransferred, 4 * KIB);
	pair_down(&p);
}

RULE("5.5", null_arguments, "VD_E_INVALID: null arguments")
{
	struct pair p = { 0 };

	pair_up(&p, ACTIVE);
	EQ(vdi_client_complete_command(NULL, NULL, 0, 0, 0), VD_E_INVALID);
	EQ(vdi_client_complete_command(p.cdev[0], NULL, 0, 0, 0),
	   VD_E_INVALID);
	pair_down(&p);
}

/* --------------------------------------------------------- 5.6 SignalAbort */

RULE("5.6", twice, "NOERROR, even if the set is aborted already; the first abort is recorded")
{
	struct pair p = { 0 };
	struct vdi_abort_info info;

	pair_up(&p, ACTIVE);
	OK(vdi_client_signal_abort(p.client, 11, "first"));
	OK(vdi_client_signal_abort(p.client, 12, "second"));
	OK(vdi_server_signal_abort(p.server, 13, "third"));
	OK(vdi_server_abort_info(p.server, &info));
	EQ(info.code, 11);
	OK(strcmp(info.text, "first"));
	EQ(info.role, VDI_ROLE_PRIMARY);
	EQ(info.pid, getpid());
}

RULE("5.6", long_text, "a text that is too long is truncated, not refused")
{
	struct pair p = { 0 };
	struct vdi_abort_info info;
	char text[1000];

	memset(text, 'x', sizeof(text));
	text[999] = '\0';
	pair_up(&p, ACTIVE);
	OK(vdi_client_signal_abort(p.client, 0, text));
	OK(vdi_server_abort_info(p.server, &info));
	EQ(strlen(info.text), VDI_TEXT_SIZE - 1);
}

RULE("5.6", after_the_end, "after the normal end only the client enters Abort; the server is not affected")
{
	struct pair p = { 0 };
	struct vdi_abort_info info;

	pair_up(&p, TERMINATED);
	OK(vdi_client_signal_abort(p.client, 21, "late"));
	OK(vdi_client_abort_info(p.client, &info));
	EQ(info.reason, VDI_REASON_SIGNAL);
	EQ(info.code, 21);
	OK(vdi_server_abort_info(p.server, &info));
	EQ(info.reason, 0);
	OK(vdi_client_close(p.client));
	OK(vdi_server_close(p.server));
}

RULE("5.6", null_client, "VD_E_INVALID: no object")
{
	EQ(vdi_client_signal_abort(NULL, 0, NULL), VD_E_INVALID);
}

/* --------------------------------------------------------------- 5.7 Close */

RULE("5.7", no_set, "VD_E_PROTOCOL: there is no set, and the call has no effect")
{
	struct vdi_client *client = new_client();

	EQ(vdi_client_close(client), VD_E_PROTOCOL);
	EQ(vdi_client_close(client), VD_E_PROTOCOL);
	EQ(vdi_client_close(NULL), VD_E_INVALID);
	vdi_client_free(client);
}

RULE("5.7", twice, "VD_E_PROTOCOL: a second Close")
{
	struct pair p = { 0 };

	pair_up(&p, TERMINATED);
	OK(vdi_client_close(p.client));
	EQ(vdi_client_close(p.client), VD_E_PROTOCOL);
}

RULE("5.7", open, "VD_E_OPEN: devices were open; the set is aborted and everything is released")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	unsigned int count;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	EQ(vdi_client_close(p.client), VD_E_OPEN);
	EQ(vdi_server_run_completions(p.server, WAIT, &count), VD_E_ABORT);
	EQ(s.cmd.completionCode, ERROR_OPERATION_ABORTED);
	EQ(abort_reason(&p), VDI_REASON_CLOSED);
	EQ(vdi_client_get_command(p.cdev[0], 0, &cmd), VD_E_PROTOCOL);
	EQ(vdi_client_fd(p.client), -1);
}

RULE("5.7", devices_invalid, "calls on the devices return an error until the object opens other devices")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct vdi_client_device *old;

	pair_up(&p, TERMINATED);
	old = p.cdev[0];
	OK(vdi_client_close(p.client));
	EQ(vdi_client_get_command(old, -1, &cmd), VD_E_PROTOCOL);
	EQ(vdi_client_complete_command(old, (void *)old, 0, 0, 0),
	   VD_E_PROTOCOL);
	EQ(vdi_client_device_fd(old), -1);
}

RULE("5.7", before_server_closes, "a client may Close before the server does")
{
	struct pair p = { 0 };

	pair_up(&p, TERMINATED);
	OK(vdi_client_close(p.client));
	OK(vdi_server_close(p.server));
}

/* --------------------------------------------------- 5.8 OpenInSecondaryEx */

RULE("5.8", noerror, "NOERROR: the client has joined and can open devices")
{
	struct pair p = { 0 };
	struct vdi_client *second = new_client();

	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_in_secondary(second, NULL, p.name));
	OK(vdi_client_open_device(second, p.name, &p.cdev[0]));
	OK(vdi_server_open_device(p.server, p.name, &p.sdev[0]));
	p.stage = ACTIVE;
	pair_up(&p, TERMINATED);
	OK(vdi_client_close(second));
	vdi_client_free(second);
	pair_down(&p);
}

RULE("5.8", has_a_set, "VD_E_PROTOCOL: this client has a set already")
{
	struct pair p = { 0 }, q = { 0 };

	pair_up(&p, INITIALIZING);
	pair_up(&q, INITIALIZING);
	EQ(vdi_client_open_in_secondary(q.client, NULL, p.name),
	   VD_E_PROTOCOL);
	pair_down(&p);
	pair_down(&q);
}

RULE("5.8", not_created, "VD_E_PROTOCOL: the set does not exist")
{
	struct vdi_client *second = new_client();

	EQ(vdi_client_open_in_secondary(second, NULL, "conformance-none"),
	   VD_E_PROTOCOL);
	vdi_client_free(second);
}

RULE("5.8", too_early, "VD_E_PROTOCOL: the set is not configured yet")
{
	struct vdi_client *second = new_client();
	struct pair p = { 0 };

	pair_up(&p, CREATED);
	EQ(vdi_client_open_in_secondary(second, NULL, p.name), VD_E_PROTOCOL);
	pair_up(&p, CONFIGURABLE);
	EQ(vdi_client_open_in_secondary(second, NULL, p.name), VD_E_PROTOCOL);
	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_in_secondary(second, NULL, p.name));
	OK(vdi_client_close(second));
	vdi_client_free(second);
	pair_down(&p);
}

RULE("5.8", aborted, "VD_E_ABORT: the set is aborted")
{
	struct vdi_client *second = new_client();
	struct pair p = { 0 };

	pair_up(&p, ABORTED);
	EQ(vdi_client_open_in_secondary(second, NULL, p.name), VD_E_ABORT);
	vdi_client_free(second);
}

RULE("5.8", terminated, "VD_E_PROTOCOL: the set has terminated")
{
	struct vdi_client *second = new_client();
	struct pair p = { 0 };

	pair_up(&p, TERMINATED);
	EQ(vdi_client_open_in_secondary(second, NULL, p.name), VD_E_PROTOCOL);
	vdi_client_free(second);
}

RULE("5.8", case_sensitive, "the name is case-sensitive")
{
	struct vdi_client *second = new_client();
	struct pair p = { .name = "conformance-SENSITIVE" };

	pair_up(&p, INITIALIZING);
	EQ(vdi_client_open_in_secondary(second, NULL, "conformance-sensitive"),
	   VD_E_PROTOCOL);
	vdi_client_free(second);
	pair_down(&p);
}

RULE("5.8", bad_arguments, "VD_E_INVALID, VD_E_INSTANCE_NAME: the name of the set or of the instance is invalid")
{
	struct vdi_client *second = new_client();

	EQ(vdi_client_open_in_secondary(NULL, NULL, "x"), VD_E_INVALID);
	EQ(vdi_client_open_in_secondary(second, NULL, NULL), VD_E_INVALID);
	EQ(vdi_client_open_in_secondary(second, NULL, "a\\b"), VD_E_INVALID);
	EQ(vdi_client_open_in_secondary(second, "a\\b", "x"),
	   VD_E_INSTANCE_NAME);
	EQ(vdi_client_open_in_secondary_fd(second, -1), VD_E_INVALID);
	EQ(vdi_client_open_in_secondary_fd(second, 0), VD_E_INVALID);
	vdi_client_free(second);
}

RULE("5.8", by_descriptor, "a client can join by a descriptor of the set, without a name")
{
	struct vdi_client *second = new_client();
	struct pair p = { 0 };
	struct VDConfig config;

	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_in_secondary_fd(second, vdi_client_fd(p.client)));
	OK(vdi_client_get_configuration(second, 0, &config));
	OK(memcmp(&config, &p.config, sizeof(config)));
	OK(vdi_client_close(second));
	vdi_client_free(second);
	pair_down(&p);
}

/* ------------------------------------------- 5.9, 5.10 handles of buffers */

RULE("5.9", noerror, "NOERROR: the handle is not 0")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	uint32_t handle = 0;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Write, buffer_of(&p, 4 * KIB), 4 * KIB));
	cmd = got(&p, VDC_Write);
	OK(vdi_client_get_buffer_handle(p.client, cmd->buffer, &handle));
	TRUE(handle);
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.9", not_open, "VD_E_PROTOCOL: the set is not open")
{
	struct vdi_client *client = new_client();
	uint8_t byte;
	uint32_t handle;

	EQ(vdi_client_get_buffer_handle(client, &byte, &handle),
	   VD_E_PROTOCOL);
	vdi_client_free(client);
}

RULE("5.9", not_a_buffer, "VD_E_INVALID: the address is not that of a buffer")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	uint32_t handle;
	uint8_t byte;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Write, buffer_of(&p, 4 * KIB), 4 * KIB));
	cmd = got(&p, VDC_Write);
	EQ(vdi_client_get_buffer_handle(p.client, &byte, &handle),
	   VD_E_INVALID);
	EQ(vdi_client_get_buffer_handle(p.client, (void *)1, &handle),
	   VD_E_INVALID);
	EQ(vdi_client_get_buffer_handle(p.client, cmd->buffer + 1, &handle),
	   VD_E_INVALID);
	EQ(vdi_client_get_buffer_handle(p.client, NULL, &handle),
	   VD_E_INVALID);
	EQ(vdi_client_get_buffer_handle(p.client, cmd->buffer, NULL),
	   VD_E_INVALID);
	EQ(vdi_client_get_buffer_handle(NULL, cmd->buffer, &handle),
	   VD_E_INVALID);
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	pair_down(&p);
}

RULE("5.10", maps_same_data, "NOERROR: another client maps the handle and reads the data")
{
	struct vdi_client *second = new_client();
	struct pair p = { .asked = { .prefixZoneSize = 64 } };
	struct VDC_Command *cmd;
	uint8_t *buffer, *there;
	uint32_t handle;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(vdi_client_open_in_secondary(second, NULL, p.name));
	buffer = buffer_of(&p, 4 * KIB);
	memset(buffer, 0x77, 4 * KIB);
	OK(send_it(&p, &s, VDC_Write, buffer, 4 * KIB));
	cmd = got(&p, VDC_Write);
	OK(vdi_client_get_buffer_handle(p.client, cmd->buffer, &handle));
	OK(vdi_client_map_buffer_handle(second, handle, &there));
	TRUE(there != cmd->buffer);
	EQ(there[0], 0x77);
	EQ(there[4 * KIB - 1], 0x77);
	OK(vdi_client_map_buffer_handle(p.client, handle, &there));
	TRUE(there == cmd->buffer);
	complete(&p, cmd, 0, 4 * KIB, 0);
	settle(&p, &s);
	OK(vdi_client_close(second));
	vdi_client_free(second);
	pair_down(&p);
}

RULE("5.10", not_open, "VD_E_PROTOCOL: the set is not open")
{
	struct vdi_client *client = new_client();
	uint8_t *buffer;

	EQ(vdi_client_map_buffer_handle(client, 1, &buffer), VD_E_PROTOCOL);
	TRUE(!buffer);
	vdi_client_free(client);
}

RULE("5.10", invalid, "VD_E_INVALID: the handle does not belong to this set")
{
	struct pair p = { 0 };
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	EQ(vdi_client_map_buffer_handle(p.client, 0, &buffer), VD_E_INVALID);
	EQ(vdi_client_map_buffer_handle(p.client, UINT32_MAX, &buffer),
	   VD_E_INVALID);
	EQ(vdi_client_map_buffer_handle(p.client, 0x7fffffff, &buffer),
	   VD_E_INVALID);
	TRUE(!buffer);
	EQ(vdi_client_map_buffer_handle(p.client, 1, NULL), VD_E_INVALID);
	EQ(vdi_client_map_buffer_handle(NULL, 1, &buffer), VD_E_INVALID);
	pair_down(&p);
}
