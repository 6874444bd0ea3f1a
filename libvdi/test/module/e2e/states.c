// SPDX-License-Identifier: LGPL-2.1-or-later
/* states.c - calls out of order fail with the documented code in every state */
#include <stdlib.h>
#include <string.h>

#include "fixture.h"

/* ---------------------------------------------------- life cycle and codes */

void test_no_set(void **state)
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

void test_create(void **state)
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

static void refused(struct vdi_server *server, uint32_t features,
		    uint32_t block, uint32_t alignment, uint32_t transfer,
		    const char *why)
{
	char text[512];

	EQ(vdi_server_begin_configuration(server, features, block, alignment,
					  transfer, 0), VD_E_NOTSUPPORTED);
	vdi_server_message(server, text, sizeof(text));
	if (!strstr(text, why))
		fail_msg("'%s' does not say '%s'", text, why);
}

void test_server_states(void **state)
{
	struct peer peer = spawn(client_idle);
	struct vdi_server *server = new_server(), *late = new_server();
	struct vdi_server_device *device;
	struct VDConfig config;
	uint32_t count;
	uint8_t *p;

	(void)state;
	await(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	EQ(vdi_server_open(server, NULL, set_name), VD_E_PROTOCOL);
	EQ(vdi_server_open(late, NULL, set_name), VD_E_BUSY);
	OK(vdi_server_get_configuration(server, &config));
	EQ(vdi_server_request_buffers(server, KIB, 0, 1), VD_E_PROTOCOL);
	EQ(vdi_server_end_configuration(server), VD_E_PROTOCOL);
	EQ(vdi_server_query_available_buffers(server, KIB, 0, &count),
	   VD_E_PROTOCOL);

	refused(server, VDF_WriteMedia | VDF_Discard, 0, 0, 0,
		"the client did not request");
	refused(server, VDF_WriteMedia | VDF_CompleteEnabled, 0, 0, 0,
		"RequestComplete");
	refused(server, VDF_WriteMedia, 513, 0, 0, "blockSize 513");
	refused(server, VDF_WriteMedia, 0, 256, 0, "alignment 256");
	refused(server, VDF_WriteMedia, 0, 0, 65537, "maxTransferSize 65537");
	refused(server, 0, 0, 0, 0, "neither VDF_WriteMedia nor VDF_ReadMedia");
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
	notify(fd, 'o');
	expect_close(first);
	expect_close(second);
	expect_close(third);
	EQ(vdi_client_get_command(first, WAIT, &cmd), VD_E_PROTOCOL);
	client_down(client);
}

void test_names(void **state)
{
	struct peer peer = spawn(client_names);
	struct vdi_server *server = new_server();
	struct vdi_server_device *device[3], *more;
	struct VDConfig config;
	int i;

	(void)state;
	await(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_get_configuration(server, &config));
	EQ(config.deviceCount, 3);
	OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0, 0, 0));
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
	await(peer.fd, 'o');
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
	notify(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &config));
	OK(vdi_client_open_in_secondary(second, "ENV", set_name));
	OK(vdi_client_open_device(second, set_name, &device));
	notify(fd, 'o');
	expect_close(device);
	client_down(second);
	client_down(client);
}

void test_instance(void **state)
{
	struct peer peer = spawn(client_instance);
	struct vdi_server *server = new_server();
	struct vdi_server_device *device;

	(void)state;
	await(peer.fd, 'c');
	EQ(vdi_server_open(server, NULL, set_name), VD_E_INVALID);
	EQ(vdi_server_open(server, "OTHER", set_name), VD_E_INVALID);
	OK(vdi_server_open(server, "ENV", set_name));
	OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0, 0, 0));
	OK(vdi_server_name_device(server, 0, set_name));
	OK(vdi_server_request_buffers(server, KIB, 0, 1));
	OK(vdi_server_end_configuration(server));
	OK(vdi_server_open_device(server, set_name, &device));
	await(peer.fd, 'o');
	OK(vdi_server_close_device(device));
	server_down(server);
	join(&peer);
}
