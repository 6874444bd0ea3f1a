// SPDX-License-Identifier: LGPL-2.1-or-later
/* buffers.c - announcing, allocating and mapping buffers, between two processes */
#include <string.h>

#include "fixture.h"

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

void test_buffers(void **state)
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

void test_growth(void **state)
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

void test_no_memory(void **state)
{
	struct peer peer = spawn(client_idle);
	struct vdi_server *server = new_server();
	uint32_t count;
	int code, i;

	(void)state;
	await(peer.fd, 'c');
	OK(vdi_server_open(server, NULL, set_name));
	OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0,
					  4 * MIB, 0));
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
