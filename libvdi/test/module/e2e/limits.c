// SPDX-License-Identifier: LGPL-2.1-or-later
/* limits.c - locked buffers; a side reports its own limits as its own errors */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fixture.h"

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
	notify(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	EQ(status_kib("VmLck"), got.bufferAreaSize / KIB);
	await(fd, 'l');
	OK(vdi_client_signal_abort(client, 0, NULL));
	vdi_client_close(client);
	EQ(status_kib("VmLck"), 0);

	/* over the limit */
	OK(setrlimit(RLIMIT_MEMLOCK, &none));
	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	notify(fd, 'c');
	OK(seteuid(65534));
	EQ(vdi_client_get_configuration(client, WAIT, &got), VD_E_MEMORY);
	vdi_client_set_lock(client, 0);
	OK(vdi_client_get_configuration(client, WAIT, &got));
	EQ(status_kib("VmLck"), 0);
	OK(vdi_client_signal_abort(client, 0, NULL));
	vdi_client_free(client);
	notify(fd, 'e');
}

void test_lock(void **state)
{
	const struct shape locked = {
		.features = VDF_WriteMedia, .size = 64 * KIB, .count = 8,
		.lock = 1,
	};
	struct vdi_server *server;
	struct peer peer;

	(void)state;
	if (SANITIZED)		/* sanitizers disable mlock(2) */
		return;
	peer = spawn(lock_client);
	server = server_up(&peer, &plain);
	EQ(vdi_server_set_lock(NULL, 0), VD_E_INVALID);
	EQ(status_kib("VmLck"), 0);
	notify(peer.fd, 'l');
	while (vdi_server_run_completions(server, WAIT, NULL) != VD_E_ABORT)
		;
	vdi_server_close(server);
	vdi_server_free(server);

	server = server_up(&peer, &locked);
	TRUE(status_kib("VmLck") >= 8 * 64);
	await(peer.fd, 'e');
	vdi_server_close(server);
	vdi_server_free(server);
	join(&peer);
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
	notify(fd, 'c');
	OK(vdi_client_get_configuration(client, WAIT, &got));
	device = client_open(client, 0);
	notify(fd, 'o');
	await(fd, 's');
	if (lock) {
		OK(setrlimit(RLIMIT_MEMLOCK, &locked));
		OK(seteuid(65534));
	} else {
		limit_addresses(4 * MIB);
		EQ(vdi_client_open_in_secondary(second, NULL, set_name),
		   VD_E_MEMORY);
		expect_text(second, "RLIMIT_AS is ");
		/* in the growth of the area */
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

void test_client_limits(void **state)
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

		await(peer.fd, 'o');
		OK(vdi_server_request_buffers(server, MIB, 0, 32));
		OK(job_send(device, &job, VDC_Write, buffer(server, MIB),
			    MIB));
		notify(peer.fd, 's');
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

/* A limit of the server: the request fails, and nothing else happens. */
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
	/* what was allocated by it can be used, once */
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

/*
 * EndConfiguration cannot be undone: the set is aborted, and the abort says
 * why.
 */
static void server_too_few_addresses(int fd)
{
	const struct VDConfig config = { .deviceCount = 1 };
	struct vdi_abort_info info;
	struct both b = { .client = new_client(), .server = new_server() };

	(void)fd;
	OK(vdi_client_create(b.client, NULL, set_name, &config, NULL));
	OK(vdi_server_open(b.server, NULL, set_name));
	OK(vdi_server_begin_configuration(b.server, VDF_WriteMedia, 0, 0,
					  MIB, WAIT));
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

void test_server_limits(void **state)
{
	(void)state;
	if (SANITIZED)
		return;
	run_in_child(server_few_addresses);
	new_name();
	run_in_child(server_too_few_addresses);
}
