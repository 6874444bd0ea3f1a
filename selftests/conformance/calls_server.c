// SPDX-License-Identifier: GPL-2.0
/*
 * calls_server.c - calls of the server: the condition of every return code
 * (sections 6.1 to 6.15)
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conformance.h"

static struct vdi_server *new_server(void)
{
	struct vdi_server *server;

	OK(vdi_server_new(&server));
	return server;
}

/* ---------------------------------------------------------------- 6.1 Open */

RULE("6.1", noerror, "NOERROR: the server is connected")
{
	struct pair p = { 0 };

	pair_up(&p, CONNECTED);
	pair_down(&p);
}

RULE("6.1", no_such_set, "VD_E_INVALID: there is no set of this name")
{
	struct vdi_server *server = new_server();

	EQ(vdi_server_open(server, NULL, "conformance-none"), VD_E_INVALID);
	vdi_server_free(server);
}

RULE("6.1", not_for_this_user, "VD_E_INVALID: the user may not see the set, which cannot be distinguished")
{
	struct pair p = { 0 };
	struct vdi_server *server = new_server();

	pair_up(&p, CREATED);
	OK(setuid(65534));
	EQ(vdi_server_open(server, NULL, p.name), VD_E_INVALID);
	vdi_server_free(server);
}

RULE("6.1", has_a_set, "VD_E_PROTOCOL: the state is not DNE")
{
	struct pair p = { 0 }, q = { 0 };

	pair_up(&p, CONNECTED);
	pair_up(&q, CREATED);
	EQ(vdi_server_open(p.server, NULL, q.name), VD_E_PROTOCOL);
	pair_down(&p);
	vdi_client_free(q.client);
}

RULE("6.1", second_server, "VD_E_BUSY: the set has a server already")
{
	struct pair p = { 0 };
	struct vdi_server *server = new_server();

	pair_up(&p, CONNECTED);
	EQ(vdi_server_open(server, NULL, p.name), VD_E_BUSY);
	vdi_server_free(server);
	pair_down(&p);
}

RULE("6.1", aborted, "VD_E_ABORT: the set is aborted")
{
	struct pair p = { 0 };
	struct vdi_server *server = new_server();

	pair_up(&p, CREATED);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_server_open(server, NULL, p.name), VD_E_ABORT);
	vdi_server_free(server);
}

RULE("6.1", again_after_close, "after Close, the same object may Open another set")
{
	struct pair p = { 0 };
	int i;

	for (i = 0; i < 3; i++) {
		pair_up(&p, TERMINATED);
		OK(vdi_server_close(p.server));
		OK(vdi_client_close(p.client));
		p.stage = DNE;
		new_name(p.name, sizeof(p.name));
	}
}

RULE("6.1", bad_arguments, "VD_E_INVALID, VD_E_INSTANCE_NAME: the name of the set or of the instance is invalid")
{
	struct vdi_server *server = new_server();

	EQ(vdi_server_new(NULL), VD_E_INVALID);
	EQ(vdi_server_open(NULL, NULL, "x"), VD_E_INVALID);
	EQ(vdi_server_open(server, NULL, NULL), VD_E_INVALID);
	EQ(vdi_server_open(server, NULL, ""), VD_E_INVALID);
	EQ(vdi_server_open(server, NULL, "a\\b"), VD_E_INVALID);
	EQ(vdi_server_open(server, "a\\b", "x"), VD_E_INSTANCE_NAME);
	EQ(vdi_server_open_fd(server, -1), VD_E_INVALID);
	EQ(vdi_server_open_fd(server, 0), VD_E_INVALID);
	vdi_server_free(server);
	vdi_server_free(NULL);
}

RULE("6.1", by_descriptor, "a server can connect by a descriptor of the set, without a name")
{
	struct vdi_server *server = new_server();
	struct pair p = { 0 };
	struct VDConfig config;

	pair_up(&p, CREATED);
	OK(vdi_server_open_fd(server, vdi_client_fd(p.client)));
	OK(vdi_server_get_configuration(server, &config));
	EQ(config.deviceCount, 1);
	OK(vdi_server_close(server));
	vdi_server_free(server);
}

/* -------------------------------------------- 6.2, 6.3 configuration, begin */

RULE("6.2", null_arguments, "VD_E_INVALID: null arguments")
{
	struct pair p = { 0 };
	struct VDConfig config;

	pair_up(&p, CONNECTED);
	EQ(vdi_server_get_configuration(NULL, &config), VD_E_INVALID);
	EQ(vdi_server_get_configuration(p.server, NULL), VD_E_INVALID);
	pair_down(&p);
}

RULE("6.3", argument_order, "the arguments are features, blockSize, alignment, maxTransferSize, as in the header")
{
	struct pair p = { .block_size = 1024, .alignment = 32 * KIB };

	pair_up(&p, INITIALIZING);
	EQ(p.config.blockSize, 1024);
	EQ(p.config.alignment, 32 * KIB);
	pair_down(&p);
}

RULE("6.3", abort, "VD_E_ABORT: the set is aborted")
{
	struct pair p = { 0 };

	pair_up(&p, CONNECTED);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_server_begin_configuration(p.server, VDF_WriteMedia, 0, 0, 0,
					  0), VD_E_ABORT);
	EQ(vdi_server_begin_configuration(NULL, 0, 0, 0, 0, 0), VD_E_INVALID);
}

/* ------------------------------------------------------- 6.4 RequestBuffers */

RULE("6.4", summed, "requests in Configurable are added up to one area at EndConfiguration")
{
	struct pair p = { 0 };
	uint8_t *buffer;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_request_buffers(p.server, 64 * KIB, 0, 2));
	OK(vdi_server_request_buffers(p.server, 4 * KIB, 0, 3));
	EQ(vdi_server_allocate_buffer(p.server, &buffer, 4 * KIB, 0),
	   VD_E_PROTOCOL);
	OK(vdi_server_end_configuration(p.server));
	OK(vdi_client_get_configuration(p.client, WAIT, &p.config));
	p.stage = INITIALIZING;
	TRUE(p.config.bufferAreaSize >= 2 * 64 * KIB + 3 * 4 * KIB);
	OK(vdi_server_allocate_buffer(p.server, &buffer, 64 * KIB, 0));
	OK(vdi_server_allocate_buffer(p.server, &buffer, 64 * KIB, 0));
	pair_down(&p);
}

RULE("6.4", later, "later requests allocate at once")
{
	struct pair p = { .buffer_count = 1 };
	uint8_t *a, *b;

	pair_up(&p, ACTIVE);
	a = buffer_of(&p, 64 * KIB);
	EQ(vdi_server_allocate_buffer(p.server, &b, 64 * KIB, 0),
	   VD_E_MEMORY);
	OK(vdi_server_request_buffers(p.server, 64 * KIB, 0, 1));
	OK(vdi_server_allocate_buffer(p.server, &b, 64 * KIB, 0));
	TRUE(a != b);
	memset(b, 1, 64 * KIB);
	pair_down(&p);
}

RULE("6.4", memory, "VD_E_MEMORY: not enough memory")
{
	struct pair p = { 0 };

	pair_up(&p, ACTIVE);
	EQ(vdi_server_request_buffers(p.server, 4 * MIB, 0, 1000000),
	   VD_E_MEMORY);
	OK(vdi_server_request_buffers(p.server, 4 * KIB, 0, 1));
	pair_down(&p);
}

RULE("6.4", invalid, "VD_E_INVALID: size or count is 0, or the alignment is not a power of two")
{
	struct pair p = { 0 };

	pair_up(&p, CONFIGURABLE);
	EQ(vdi_server_request_buffers(p.server, 0, 0, 1), VD_E_INVALID);
	EQ(vdi_server_request_buffers(p.server, 4 * KIB, 0, 0), VD_E_INVALID);
	EQ(vdi_server_request_buffers(p.server, 4 * KIB, 3000, 1),
	   VD_E_INVALID);
	EQ(vdi_server_request_buffers(NULL, 4 * KIB, 0, 1), VD_E_INVALID);
	pair_down(&p);
}

RULE("6.4", alignment, "a request may have a stricter alignment than the set; 0 means that of the set")
{
	struct pair p = { 0 };
	uint8_t *buffer;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_request_buffers(p.server, 4 * KIB, 64 * KIB, 4));
	OK(vdi_server_end_configuration(p.server));
	OK(vdi_client_get_configuration(p.client, WAIT, &p.config));
	p.stage = INITIALIZING;
	OK(vdi_server_allocate_buffer(p.server, &buffer, 4 * KIB, 64 * KIB));
	EQ((uintptr_t)buffer % (64 * KIB), 0);
	pair_down(&p);
}

RULE("6.4", abort, "VD_E_ABORT: the set is aborted")
{
	struct pair p = { 0 };

	pair_up(&p, CONFIGURABLE);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_server_request_buffers(p.server, 4 * KIB, 0, 1), VD_E_ABORT);
}

/* ------------------------------------------------ 6.5 QueryAvailableBuffers */

RULE("6.5", counts, "the call returns how many buffers of a size and alignment are available now")
{
	struct pair p = { .buffer_count = 4, .buffer_size = 64 * KIB };
	uint32_t count;
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	OK(vdi_server_query_available_buffers(p.server, 64 * KIB, 0, &count));
	EQ(count, 4);
	buffer = buffer_of(&p, 64 * KIB);
	OK(vdi_server_query_available_buffers(p.server, 64 * KIB, 0, &count));
	EQ(count, 3);
	OK(vdi_server_free_buffer(p.server, buffer, 64 * KIB));
	OK(vdi_server_query_available_buffers(p.server, 64 * KIB, 0, &count));
	EQ(count, 4);
	OK(vdi_server_query_available_buffers(p.server, 4 * MIB, 0, &count));
	EQ(count, 0);
	pair_down(&p);
}

RULE("6.5", count_can_be_allocated, "the returned number of buffers can be allocated")
{
	struct pair p = { .buffer_count = 3, .buffer_size = 64 * KIB };
	uint32_t count, i;
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	OK(vdi_server_query_available_buffers(p.server, 20 * KIB, 0, &count));
	TRUE(count >= 3);
	for (i = 0; i < count; i++)
		OK(vdi_server_allocate_buffer(p.server, &buffer, 20 * KIB,
					      0));
	EQ(vdi_server_allocate_buffer(p.server, &buffer, 20 * KIB, 0),
	   VD_E_MEMORY);
	pair_down(&p);
}

RULE("6.5", null_arguments, "VD_E_INVALID: null arguments")
{
	struct pair p = { 0 };
	uint32_t count;

	pair_up(&p, ACTIVE);
	EQ(vdi_server_query_available_buffers(NULL, KIB, 0, &count),
	   VD_E_INVALID);
	EQ(vdi_server_query_available_buffers(p.server, KIB, 0, NULL),
	   VD_E_INVALID);
	pair_down(&p);
}

/* ----------------------------------------------------- 6.6 EndConfiguration */

RULE("6.6", memory, "VD_E_MEMORY: the set remains Configurable without buffers, and the server may request less")
{
	struct pair p = { 0 };
	struct VDConfig config;
	uint32_t count;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_request_buffers(p.server, 4 * MIB, 0, 1000000));
	EQ(vdi_server_end_configuration(p.server), VD_E_MEMORY);
	EQ(vdi_client_get_configuration(p.client, 0, &config), VD_E_TIMEOUT);
	OK(vdi_server_query_available_buffers(p.server, 4 * MIB, 0, &count));
	EQ(count, 0);
	pair_up(&p, ACTIVE);
	OK(vdi_server_query_available_buffers(p.server, p.buffer_size, 0,
					      &count));
	EQ(count, p.buffer_count);
	pair_down(&p);
}

RULE("6.6", memory_abort, "VD_E_MEMORY: the server may abort instead")
{
	struct pair p = { 0 };
	struct VDConfig config;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_request_buffers(p.server, 4 * MIB, 0, 1000000));
	EQ(vdi_server_end_configuration(p.server), VD_E_MEMORY);
	OK(vdi_server_signal_abort(p.server, 0, "no memory"));
	EQ(vdi_client_get_configuration(p.client, -1, &config), VD_E_ABORT);
}

RULE("6.6", without_buffers, "a set may have no buffers")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_end_configuration(p.server));
	OK(vdi_client_get_configuration(p.client, WAIT, &p.config));
	p.stage = INITIALIZING;
	EQ(p.config.bufferAreaSize, 0);
	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("6.6", abort, "VD_E_ABORT: the set is aborted")
{
	struct pair p = { 0 };

	pair_up(&p, CONFIGURABLE);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	EQ(vdi_server_end_configuration(p.server), VD_E_ABORT);
	EQ(vdi_server_end_configuration(NULL), VD_E_INVALID);
}

/* ------------------------------------------------ 6.7 to 6.9 buffers */

RULE("6.7", memory, "VD_E_MEMORY: no buffer is free")
{
	struct pair p = { .buffer_count = 2 };
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	buffer_of(&p, 64 * KIB);
	buffer_of(&p, 64 * KIB);
	EQ(vdi_server_allocate_buffer(p.server, &buffer, 64 * KIB, 0),
	   VD_E_MEMORY);
	TRUE(!buffer);
	pair_down(&p);
}

RULE("6.7", invalid, "VD_E_INVALID: the size is 0, or the alignment is not a power of two")
{
	struct pair p = { 0 };
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	EQ(vdi_server_allocate_buffer(p.server, &buffer, 0, 0), VD_E_INVALID);
	EQ(vdi_server_allocate_buffer(p.server, &buffer, KIB, 3),
	   VD_E_INVALID);
	EQ(vdi_server_allocate_buffer(p.server, NULL, KIB, 0), VD_E_INVALID);
	EQ(vdi_server_allocate_buffer(NULL, &buffer, KIB, 0), VD_E_INVALID);
	pair_down(&p);
}

RULE("6.7", distinct, "buffers do not overlap, prefix zones included")
{
	struct pair p = { .asked = { .prefixZoneSize = 96 },
			  .buffer_count = 16, .buffer_size = 8 * KIB };
	uint8_t *buffer[16];
	int i, j;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 16; i++) {
		buffer[i] = buffer_of(&p, 8 * KIB);
		memset(buffer[i] - 96, i, 96 + 8 * KIB);
	}
	for (i = 0; i < 16; i++) {
		for (j = -96; j < (int)(8 * KIB); j++)
			EQ(buffer[i][j], i);
	}
	pair_down(&p);
}

RULE("6.8", reused, "a freed buffer can be allocated again")
{
	struct pair p = { .buffer_count = 1 };
	uint8_t *buffer;
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 1000; i++) {
		buffer = buffer_of(&p, 64 * KIB);
		OK(vdi_server_free_buffer(p.server, buffer, 64 * KIB));
	}
	pair_down(&p);
}

RULE("6.8", invalid, "VD_E_INVALID: not a buffer, a different size, or freed before")
{
	struct pair p = { 0 };
	uint8_t byte, *buffer;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	EQ(vdi_server_free_buffer(p.server, &byte, 1), VD_E_INVALID);
	EQ(vdi_server_free_buffer(p.server, (void *)-1, 64 * KIB),
	   VD_E_INVALID);
	EQ(vdi_server_free_buffer(p.server, buffer + 512, 512), VD_E_INVALID);
	EQ(vdi_server_free_buffer(p.server, buffer, 32 * KIB), VD_E_INVALID);
	EQ(vdi_server_free_buffer(p.server, NULL, 64 * KIB), VD_E_INVALID);
	EQ(vdi_server_free_buffer(NULL, buffer, 64 * KIB), VD_E_INVALID);
	OK(vdi_server_free_buffer(p.server, buffer, 64 * KIB));
	EQ(vdi_server_free_buffer(p.server, buffer, 64 * KIB), VD_E_INVALID);
	pair_down(&p);
}

RULE("6.8", after_an_abort, "remaining buffers may be freed after an abort; Close frees the rest")
{
	struct pair p = { 0 };
	uint8_t *a;

	pair_up(&p, ACTIVE);
	a = buffer_of(&p, 64 * KIB);
	buffer_of(&p, 64 * KIB);
	pair_up(&p, ABORTED);
	OK(vdi_server_free_buffer(p.server, a, 64 * KIB));
	OK(vdi_server_close(p.server));
}

RULE("6.9", shared_or_not, "TRUE for an address in the set's buffers, else FALSE")
{
	struct pair p = { 0 };
	uint8_t byte, *buffer;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	EQ(vdi_server_is_shared_buffer(p.server, buffer), 1);
	EQ(vdi_server_is_shared_buffer(p.server, buffer + 64 * KIB - 1), 1);
	EQ(vdi_server_is_shared_buffer(p.server, &byte), 0);
	EQ(vdi_server_is_shared_buffer(p.server, NULL), 0);
	EQ(vdi_server_is_shared_buffer(p.server, (void *)-1), 0);
	EQ(vdi_server_is_shared_buffer(NULL, buffer), 0);
	pair_down(&p);
}

/* ---------------------------------------------------------- 6.10 OpenDevice */

RULE("6.10", until_open, "VD_E_OPEN: all devices are open")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_server_device *device;

	pair_up(&p, ACTIVE);
	EQ(vdi_server_open_device(p.server, "one more", &device), VD_E_OPEN);
	TRUE(!device);
	pair_down(&p);
}

RULE("6.10", by_name, "the side that opens a device first assigns its name")
{
	struct pair p = { .asked = { .deviceCount = 3 } };
	struct vdi_server_device *device;
	struct vdi_client_device *cdevice;
	struct sent s;

	pair_up(&p, INITIALIZING);
	OK(vdi_client_open_device(p.client, "b", &cdevice));
	OK(vdi_server_open_device(p.server, "c", &device));
	OK(vdi_server_open_device(p.server, "b", &p.sdev[0]));
	p.cdev[0] = cdevice;
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
}

RULE("6.10", open_already, "VD_E_PROTOCOL: this device is open")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_server_device *device;

	pair_up(&p, INITIALIZING);
	OK(vdi_server_open_device(p.server, p.name, &device));
	EQ(vdi_server_open_device(p.server, p.name, &device), VD_E_PROTOCOL);
}

RULE("6.10", unknown_name, "VD_E_INVALID: every device has a different name, or the name is invalid")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct vdi_server_device *device;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_name_device(p.server, 1, "b"));
	pair_up(&p, INITIALIZING);
	EQ(vdi_server_open_device(p.server, "c", &device), VD_E_INVALID);
	EQ(vdi_server_open_device(p.server, "a\\b", &device), VD_E_INVALID);
	EQ(vdi_server_open_device(p.server, "b", NULL), VD_E_INVALID);
	EQ(vdi_server_open_device(NULL, "b", &device), VD_E_INVALID);
}

RULE("6.10", names_declared, "the server may declare names beforehand: each name once, and one for each device")
{
	struct pair p = { .asked = { .deviceCount = 3 } };

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_name_device(p.server, 1, "b"));
	OK(vdi_server_name_device(p.server, 1, "b"));
	EQ(vdi_server_name_device(p.server, 2, "b"), VD_E_INVALID);
	EQ(vdi_server_name_device(p.server, 1, "c"), VD_E_PROTOCOL);
	EQ(vdi_server_name_device(p.server, 0, "c"), VD_E_PROTOCOL);
	EQ(vdi_server_name_device(p.server, 3, "d"), VD_E_INVALID);
	EQ(vdi_server_name_device(p.server, 2, "a\\b"), VD_E_INVALID);
	EQ(vdi_server_name_device(NULL, 2, "d"), VD_E_INVALID);
	OK(vdi_server_name_device(p.server, 0, p.name));
}

/* ---------------------------------------------- 6.11 ExecuteCompletionAgent */

struct agent {
	struct vdi_server *server;
	pthread_t thread;
	pid_t tid;
	int code;
	bool over;
};

static void *run_agent(void *arg)
{
	struct agent *a = arg;

	a->tid = syscall(SYS_gettid);
	a->code = vdi_server_execute_completion_agent(a->server);
	__atomic_store_n(&a->over, true, __ATOMIC_RELEASE);
	return NULL;
}

static void start_agent(struct agent *a, struct pair *p)
{
	*a = (struct agent){ .server = p->server };
	OK(pthread_create(&a->thread, NULL, run_agent, a));
	cf_nap(100);
}

static bool is_over(struct agent *a)
{
	return __atomic_load_n(&a->over, __ATOMIC_ACQUIRE);
}

RULE("6.11", routine_thread, "routines run on the thread that runs the agent")
{
	struct pair p = { 0 };
	struct agent a;
	struct sent s;

	pair_up(&p, ACTIVE);
	start_agent(&a, &p);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	pair_up(&p, TERMINATED);
	OK(pthread_join(a.thread, NULL));
	EQ(s.routines, 1);
	EQ(s.thread, a.tid);
	TRUE(a.tid != getpid());
	pair_down(&p);
}

RULE("6.11", ends_with_devices, "NOERROR: all devices are closed")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct VDC_Command *cmd;
	struct agent a;

	pair_up(&p, ACTIVE);
	start_agent(&a, &p);
	OK(vdi_server_close_device(p.sdev[0]));
	cf_nap(50);
	TRUE(!is_over(&a));
	OK(vdi_server_close_device(p.sdev[1]));
	OK(pthread_join(a.thread, NULL));
	OK(a.code);
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_CLOSE);
	EQ(vdi_client_get_command(p.cdev[1], WAIT, &cmd), VD_E_CLOSE);
	p.stage = TERMINATED;
	pair_down(&p);
}

RULE("6.11", ends_with_abort, "an abort of either side ends the agent, after all outstanding routines")
{
	struct pair p = { 0 };
	struct sent s[5];
	struct agent a;
	int i;

	pair_up(&p, ACTIVE);
	start_agent(&a, &p);
	for (i = 0; i < 5; i++)
		OK(send_it(&p, &s[i], VDC_Flush, NULL, 0));
	got(&p, VDC_Flush);
	OK(vdi_client_signal_abort(p.client, 0, NULL));
	OK(pthread_join(a.thread, NULL));
	EQ(a.code, VD_E_ABORT);
	for (i = 0; i < 5; i++) {
		EQ(s[i].routines, 1);
		EQ(s[i].thread, a.tid);
		EQ(s[i].cmd.completionCode, ERROR_OPERATION_ABORTED);
	}
}

RULE("6.11", ends_with_close, "Close in another thread ends the agent")
{
	struct pair p = { 0 };
	struct agent a;

	pair_up(&p, INITIALIZING);
	start_agent(&a, &p);
	OK(vdi_server_close(p.server));
	OK(pthread_join(a.thread, NULL));
	EQ(a.code, VD_E_ABORT);
}

RULE("6.11", before_devices, "the agent may be started before the first device is opened")
{
	struct pair p = { 0 };
	struct agent a;
	struct sent s;

	pair_up(&p, INITIALIZING);
	start_agent(&a, &p);
	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	pair_up(&p, TERMINATED);
	OK(pthread_join(a.thread, NULL));
	OK(a.code);
	EQ(s.routines, 1);
	pair_down(&p);
}

RULE("6.11", one_agent, "VD_E_BUSY: another thread runs the agent")
{
	struct pair p = { 0 };
	unsigned int count;
	struct agent a;

	pair_up(&p, ACTIVE);
	start_agent(&a, &p);
	EQ(vdi_server_execute_completion_agent(p.server), VD_E_BUSY);
	EQ(vdi_server_run_completions(p.server, 0, &count), VD_E_BUSY);
	pair_up(&p, TERMINATED);
	OK(pthread_join(a.thread, NULL));
	pair_down(&p);
}

RULE("6.11", null_server, "VD_E_INVALID: no object")
{
	EQ(vdi_server_execute_completion_agent(NULL), VD_E_INVALID);
	EQ(vdi_server_run_completions(NULL, 0, NULL), VD_E_INVALID);
}

struct chain {
	struct pair *p;
	struct sent s;
	int left;
};

static void send_next(struct VDS_Command *cmd)
{
	struct chain *c = cmd->completionContext;

	c->s.routines++;
	if (c->left-- > 0)
		OK(vdi_server_send_command(c->p->sdev[0], cmd));
	else
		OK(vdi_server_close_device(c->p->sdev[0]));
}

RULE("6.11", calls_from_routine, "a routine may send the next command, and close the device")
{
	struct pair p = { 0 };
	struct chain c = { .p = &p, .left = 20 };
	struct VDC_Command *cmd;
	struct agent a;
	int code;

	pair_up(&p, ACTIVE);
	start_agent(&a, &p);
	prepare(&c.s, VDC_Flush, NULL, 0);
	c.s.cmd.completionRoutine = send_next;
	c.s.cmd.completionContext = &c;
	OK(vdi_server_send_command(p.sdev[0], &c.s.cmd));
	while (!(code = vdi_client_get_command(p.cdev[0], WAIT, &cmd)))
		complete(&p, cmd, 0, 0, 0);
	EQ(code, VD_E_CLOSE);
	OK(pthread_join(a.thread, NULL));
	OK(a.code);
	EQ(c.s.routines, 21);
	p.stage = TERMINATED;
	pair_down(&p);
}

static int routine_close = -1;

static void close_set(struct VDS_Command *cmd)
{
	struct chain *c = cmd->completionContext;

	routine_close = vdi_server_close(c->p->server);
	vdi_server_free(c->p->server);
	c->s.routines++;
}

RULE("6.11", close_from_routine, "VD_E_PROTOCOL: a routine calls Close for its own set; the call has no effect")
{
	struct pair p = { 0 };
	struct chain c = { .p = &p };

	pair_up(&p, ACTIVE);
	prepare(&c.s, VDC_Flush, NULL, 0);
	c.s.cmd.completionRoutine = close_set;
	c.s.cmd.completionContext = &c;
	OK(vdi_server_send_command(p.sdev[0], &c.s.cmd));
	complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	settle(&p, &c.s);
	EQ(routine_close, VD_E_PROTOCOL);
	pair_down(&p);
}

/* -------------------------------------------------------- 6.12 SendCommand */

RULE("6.12", queue_full, "VD_E_QUEUE_FULL: maxIODepth commands are outstanding; routine with 1450")
{
	struct pair p = { .depth = 4 };
	struct sent s[5];
	int i;

	pair_up(&p, ACTIVE);
	for (i = 0; i < 4; i++)
		OK(send_it(&p, &s[i], VDC_Flush, NULL, 0));
	EQ(send_it(&p, &s[4], VDC_Flush, NULL, 0), VD_E_QUEUE_FULL);
	EQ(s[4].routines, 1);
	EQ(s[4].thread, syscall(SYS_gettid));
	EQ(s[4].cmd.completionCode, ERROR_NO_SYSTEM_RESOURCES);
	complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	settle(&p, &s[0]);
	OK(send_it(&p, &s[4], VDC_Flush, NULL, 0));
	for (i = 1; i < 5; i++) {
		complete(&p, got(&p, VDC_Flush), 0, 0, 0);
		settle(&p, &s[i]);
	}
	pair_down(&p);
}

RULE("6.12", at_least_four, "the queue holds at least four commands")
{
	struct pair p = { 0 };
	struct sent s[4];
	int i;

	pair_up(&p, ACTIVE);
	TRUE(p.config.maxIODepth >= 4);
	for (i = 0; i < 4; i++)
		OK(send_it(&p, &s[i], VDC_Flush, NULL, 0));
	for (i = 0; i < 4; i++)
		complete(&p, got(&p, VDC_Flush), 0, 0, 0);
	for (i = 0; i < 4; i++)
		settle(&p, &s[i]);
	pair_down(&p);
}

RULE("6.12", io_error, "VD_E_IO_ERROR: the device is in IO-ERROR and the command is not ClearError; routine with 1117 on the sending thread")
{
	struct pair p = { 0 };
	struct sent s, t;

	pair_up(&p, ACTIVE);
	execute(&p, &s, VDC_Flush, NULL, 0, ERROR_IO_DEVICE, 0, 0);
	EQ(send_it(&p, &t, VDC_Flush, NULL, 0), VD_E_IO_ERROR);
	EQ(t.routines, 1);
	EQ(t.thread, syscall(SYS_gettid));
	EQ(t.cmd.completionCode, ERROR_IO_DEVICE);
	execute(&p, &t, VDC_ClearError, NULL, 0, 0, 0, 0);
	pair_down(&p);
}

RULE("6.12", protocol, "VD_E_PROTOCOL: the device is closed; routine with 6")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, TERMINATED);
	EQ(send_it(&p, &s, VDC_Flush, NULL, 0), VD_E_PROTOCOL);
	EQ(s.routines, 1);
	EQ(s.cmd.completionCode, ERROR_INVALID_HANDLE);
	pair_down(&p);
}

RULE("6.12", abort, "VD_E_ABORT: the set is aborted; routine with 995")
{
	struct pair p = { 0 };
	struct sent s;

	pair_up(&p, ABORTED);
	EQ(send_it(&p, &s, VDC_Flush, NULL, 0), VD_E_ABORT);
	EQ(s.routines, 1);
	EQ(s.cmd.completionCode, ERROR_OPERATION_ABORTED);
}

RULE("6.12", invalid, "VD_E_INVALID: no routine, or an invalid buffer; no routine runs")
{
	struct pair p = { 0 };
	static uint8_t own[4096];
	struct sent s;
	uint8_t *buffer;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	EQ(vdi_server_send_command(NULL, &s.cmd), VD_E_INVALID);
	EQ(vdi_server_send_command(p.sdev[0], NULL), VD_E_INVALID);
	prepare(&s, VDC_Flush, NULL, 0);
	s.cmd.completionRoutine = NULL;
	EQ(vdi_server_send_command(p.sdev[0], &s.cmd), VD_E_INVALID);
	EQ(send_it(&p, &s, VDC_Write, own, sizeof(own)), VD_E_INVALID);
	EQ(send_it(&p, &s, VDC_Write, NULL, 4096), VD_E_INVALID);
	EQ(send_it(&p, &s, VDC_Write, buffer, -1), VD_E_INVALID);
	EQ(send_it(&p, &s, VDC_Write, buffer + 1, 512), VD_E_INVALID);
	EQ(send_it(&p, &s, VDC_Write, buffer, 128 * KIB), VD_E_INVALID);
	EQ(s.routines, 0);
	pair_down(&p);
}

RULE("6.12", same_block, "the server may send the command block again after its routine has run")
{
	struct pair p = { 0 };
	struct sent s;
	int i;

	pair_up(&p, ACTIVE);
	prepare(&s, VDC_Flush, NULL, 0);
	for (i = 0; i < 100; i++) {
		s.routines = 0;
		OK(vdi_server_send_command(p.sdev[0], &s.cmd));
		complete(&p, got(&p, VDC_Flush), 0, 0, 0);
		settle(&p, &s);
	}
	pair_down(&p);
}

/* --------------------------------------------------------- 6.13 CloseDevice */

RULE("6.13", closed_already, "VD_E_CLOSE: the device is closed already")
{
	struct pair p = { .asked = { .deviceCount = 2 } };

	pair_up(&p, ACTIVE);
	OK(vdi_server_close_device(p.sdev[0]));
	EQ(vdi_server_close_device(p.sdev[0]), VD_E_CLOSE);
}

RULE("6.13", abort, "VD_E_ABORT: the set is aborted; the call has no effect")
{
	struct pair p = { 0 };

	pair_up(&p, ABORTED);
	EQ(vdi_server_close_device(p.sdev[0]), VD_E_ABORT);
	EQ(vdi_server_close_device(NULL), VD_E_INVALID);
}

RULE("6.13", other_devices_continue, "the other devices continue")
{
	struct pair p = { .asked = { .deviceCount = 2 } };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(vdi_server_close_device(p.sdev[1]));
	EQ(vdi_client_get_command(p.cdev[1], WAIT, &cmd), VD_E_CLOSE);
	execute(&p, &s, VDC_Flush, NULL, 0, 0, 0, 0);
}

RULE("6.13", outstanding_first, "outstanding commands are completed first")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	OK(vdi_server_close_device(p.sdev[0]));
	cmd = got(&p, VDC_Flush);
	complete(&p, cmd, 0, 0, 0);
	settle(&p, &s);
	EQ(s.cmd.completionCode, 0);
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_CLOSE);
	p.stage = TERMINATED;
	pair_down(&p);
}

/* ------------------------------------------------- 6.14, 6.15 abort, close */

RULE("6.14", noerror, "NOERROR; all parties can read which party aborted, and why")
{
	struct pair p = { 0 };
	struct vdi_abort_info info;
	char text[256];

	pair_up(&p, ACTIVE);
	OK(vdi_server_signal_abort(p.server, 42, "the disk was removed"));
	OK(vdi_client_abort_info(p.client, &info));
	EQ(info.reason, VDI_REASON_SIGNAL);
	EQ(info.role, VDI_ROLE_SERVER);
	EQ(info.code, 42);
	EQ(info.pid, getpid());
	OK(strcmp(info.text, "the disk was removed"));
	EQ(vdi_client_get_configuration(p.client, 0, &p.config), VD_E_ABORT);
	vdi_client_message(p.client, text, sizeof(text));
	TRUE(strstr(text, "the disk was removed"));
	EQ(vdi_server_signal_abort(NULL, 0, NULL), VD_E_INVALID);
}

RULE("6.15", noerror, "NOERROR: all devices were closed")
{
	struct pair p = { 0 };

	pair_up(&p, TERMINATED);
	OK(vdi_server_close(p.server));
	EQ(vdi_server_fd(p.server), -1);
}

RULE("6.15", devices_open, "VD_E_PROTOCOL: devices were open; the set is aborted, and outstanding commands are completed with 995 before the call returns")
{
	struct pair p = { 0 };
	struct VDC_Command *cmd;
	struct sent s;

	pair_up(&p, ACTIVE);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	EQ(vdi_server_close(p.server), VD_E_PROTOCOL);
	EQ(s.routines, 1);
	EQ(s.cmd.completionCode, ERROR_OPERATION_ABORTED);
	EQ(vdi_client_get_command(p.cdev[0], WAIT, &cmd), VD_E_ABORT);
}

RULE("6.15", by_the_agent, "if an agent runs, the routines run on its thread")
{
	struct pair p = { 0 };
	struct agent a;
	struct sent s;

	pair_up(&p, ACTIVE);
	start_agent(&a, &p);
	OK(send_it(&p, &s, VDC_Flush, NULL, 0));
	EQ(vdi_server_close(p.server), VD_E_PROTOCOL);
	EQ(s.routines, 1);
	EQ(s.cmd.completionCode, ERROR_OPERATION_ABORTED);
	OK(pthread_join(a.thread, NULL));
	EQ(s.thread, a.tid);
	EQ(a.code, VD_E_ABORT);
}

RULE("6.15", releases, "everything is released in every case: buffers and devices are invalid")
{
	struct pair p = { 0 };
	uint8_t *buffer;
	struct sent s;

	pair_up(&p, ACTIVE);
	buffer = buffer_of(&p, 64 * KIB);
	EQ(vdi_server_close(p.server), VD_E_PROTOCOL);
	EQ(vdi_server_is_shared_buffer(p.server, buffer), 0);
	EQ(vdi_server_close_device(p.sdev[0]), VD_E_PROTOCOL);
	EQ(send_it(&p, &s, VDC_Flush, NULL, 0), VD_E_PROTOCOL);
	EQ(s.cmd.completionCode, ERROR_INVALID_HANDLE);
	EQ(vdi_server_close(p.server), VD_E_PROTOCOL);
	EQ(vdi_server_close(NULL), VD_E_INVALID);
}

RULE("6.15", before_active, "NOERROR: Close before Active; it ends the set")
{
	struct pair p = { 0 };
	struct VDConfig config;

	pair_up(&p, CONFIGURABLE);
	OK(vdi_server_close(p.server));
	EQ(vdi_client_get_configuration(p.client, -1, &config), VD_E_ABORT);
}
