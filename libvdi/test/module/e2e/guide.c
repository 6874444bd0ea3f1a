// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * guide.c - what helps the authors of programs: names of devices, messages,
 * refused completions, the outcome, the log
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fixture.h"

/* Fail unless @text has @part in it. */
static void has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("'%s' does not say '%s'", text, part);
}

static void client_says(struct vdi_client *client, const char *part)
{
	char text[1024];

	vdi_client_message(client, text, sizeof(text));
	has(text, part);
}

static void server_says(struct vdi_server *server, const char *part)
{
	char text[1024];

	vdi_server_message(server, text, sizeof(text));
	has(text, part);
}

/* Both sides of @config, up to the end of the configuration. */
static void configure(struct both *b, const struct VDConfig *config,
		      uint32_t features)
{
	struct VDConfig got;

	b->client = new_client();
	b->server = new_server();
	OK(vdi_client_create(b->client, NULL, set_name, config, NULL));
	OK(vdi_server_open(b->server, NULL, set_name));
	OK(vdi_server_begin_configuration(b->server,
					  config->features | features, 0, 0,
					  1 * MIB, WAIT));
	OK(vdi_server_request_buffers(b->server, plain.size, 0, plain.count));
	OK(vdi_server_end_configuration(b->server));
	OK(vdi_client_get_configuration(b->client, WAIT, &got));
}

static void both_up_with(struct both *b, uint32_t asked, uint32_t features)
{
	const struct VDConfig config = { .deviceCount = 1, .features = asked };

	configure(b, &config, features);
	b->sdev = server_open(b->server, 0);
	b->cdev = client_open(b->client, 0);
}

/* The server sends a command, and the client completes it with @code. */
static void round_trip(struct both *b, int command, uint8_t *buf, int32_t size,
		       int code, uint32_t bytes)
{
	struct job job;

	OK(job_send(b->sdev, &job, command, buf, size));
	done(b->cdev, get_a(b->cdev, command), code, bytes);
	job_wait(b->server, &job);
	EQ(job.cmd.completionCode, code);
}

static void close_device(struct both *b)
{
	OK(vdi_server_close_device(b->sdev));
	expect_close(b->cdev);
}

/* ------------------------------------------------------------------- names */

void test_next_device(void **state)
{
	const struct VDConfig config = { .deviceCount = 4 };
	struct vdi_client_device *cdev[4], *more;
	struct vdi_server_device *sdev[4], *last;
	char name[VDI_NAME_SIZE], want[VDI_NAME_SIZE], small[4];
	struct both b;
	unsigned int i;

	(void)state;
	configure(&b, &config, VDF_WriteMedia);
	OK(vdi_client_get_device_name(b.client, 0, name, sizeof(name)));
	assert_string_equal(name, set_name);
	OK(vdi_client_get_device_name(b.client, 1, name, sizeof(name)));
	assert_string_equal(name, "");
	EQ(vdi_client_get_device_name(b.client, 4, name, sizeof(name)),
	   VD_E_INVALID);
	client_says(b.client, "no device 4");
	EQ(vdi_client_get_device_name(b.client, 0, small, sizeof(small)),
	   VD_E_INVALID);
	EQ(vdi_client_get_device_name(b.client, 0, NULL, 0), VD_E_INVALID);

	/* a name of the server's choice; the others get theirs by convention */
	OK(vdi_server_open_device(b.server, set_name, &sdev[0]));
	OK(vdi_server_open_device(b.server, "chos\033n", &sdev[1]));
	for (i = 0; i < 4; i++) {
		OK(vdi_client_open_device(b.client, NULL, &cdev[i]));
		snprintf(want, sizeof(want), i ? "%s%u" : "%s", set_name, i);
		if (i == 1)
			strcpy(want, "chos\033n");
		assert_string_equal(vdi_client_device_name(cdev[i]), want);
		OK(vdi_server_get_device_name(b.server, i, name, sizeof(name)));
		assert_string_equal(name, want);
	}
	EQ(vdi_client_open_device(b.client, NULL, &more), VD_E_OPEN);
	TRUE(!more);
	client_says(b.client, "the set has 4");
	EQ(vdi_server_open_device(b.server, "nobody", &last), VD_E_INVALID);
	snprintf(want, sizeof(want), "no device has the name nobody; there "
		 "are: %s, chos?n, %s2, %s3", set_name, set_name, set_name);
	server_says(b.server, want);

	OK(vdi_server_open_device(b.server, NULL, &sdev[2]));
	OK(vdi_server_open_device(b.server, NULL, &sdev[3]));
	EQ(vdi_server_open_device(b.server, NULL, &last), VD_E_OPEN);
	for (i = 0; i < 4; i++) {
		OK(vdi_server_close_device(sdev[i]));
		expect_close(cdev[i]);
	}
	EQ(vdi_client_open_device(b.client, NULL, &more), VD_E_PROTOCOL);
	server_down(b.server);
	client_down(b.client);
}

/* ---------------------------------------------------------------- messages */

void test_messages(void **state)
{
	struct VDConfig config = { .deviceCount = 65 };
	struct vdi_client *client = new_client();
	struct vdi_server *server = new_server();
	struct vdi_client_device *cdev;
	struct vdi_server_device *sdev;
	struct vdi_access access = { .mode = 01777 };
	uint32_t n;
	uint8_t *p;

	(void)state;
	EQ(vdi_client_create(client, NULL, NULL, &config, NULL), VD_E_INVALID);
	client_says(client, "name is NULL");
	EQ(vdi_client_create(client, NULL, set_name, NULL, NULL), VD_E_INVALID);
	client_says(client, "config is NULL");
	EQ(vdi_client_create(client, NULL, set_name, &config, &access),
	   VD_E_INVALID);
	client_says(client, "01777");
	EQ(vdi_client_create(client, NULL, set_name, &config, NULL),
	   VD_E_NOTSUPPORTED);
	client_says(client, "deviceCount 65");
	config.deviceCount = 1;
	config.blockSize = 512;
	EQ(vdi_client_create(client, NULL, set_name, &config, NULL),
	   VD_E_NOTSUPPORTED);
	client_says(client, "blockSize 512");
	config.blockSize = 0;
	EQ(vdi_client_open_in_secondary_fd(client, -1), VD_E_INVALID);
	client_says(client, "-1");
	OK(vdi_client_create(client, NULL, set_name, &config, NULL));
	EQ(vdi_client_open_device(client, set_name, &cdev), VD_E_PROTOCOL);
	client_says(client, "in state created: call GetConfiguration");
	EQ(vdi_client_open_device(client, set_name, NULL), VD_E_INVALID);
	client_says(client, "out is NULL");
	EQ(vdi_client_get_configuration(client, 0, NULL), VD_E_INVALID);
	client_says(client, "config is NULL");
	EQ(vdi_client_outcome(client), VD_E_BUSY);
	client_says(client, "in state created");

	EQ(vdi_server_open(server, NULL, NULL), VD_E_INVALID);
	server_says(server, "name is NULL");
	OK(vdi_server_open(server, NULL, set_name));
	EQ(vdi_server_end_configuration(server), VD_E_PROTOCOL);
	server_says(server, "in state connected: call BeginConfiguration");
	EQ(vdi_server_request_buffers(server, KIB, 0, 1), VD_E_PROTOCOL);
	server_says(server, "call BeginConfiguration");
	OK(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0, 0, 0));
	EQ(vdi_server_begin_configuration(server, VDF_WriteMedia, 0, 0, 0, 0),
	   VD_E_PROTOCOL);
	server_says(server, "in state configurable: it was called before");
	EQ(vdi_server_request_buffers(server, KIB, 3, 7), VD_E_INVALID);
	server_says(server, "7 of 1024 bytes with alignment 3");
	EQ(vdi_server_name_device(server, 9, "x"), VD_E_INVALID);
	server_says(server, "index 9");
	EQ(vdi_server_name_device(server, 0, ""), VD_E_INVALID);
	server_says(server, "the name is empty");
	EQ(vdi_server_allocate_buffer(server, &p, KIB, 0), VD_E_PROTOCOL);
	server_says(server, "call EndConfiguration");
	EQ(vdi_server_open_device(server, set_name, &sdev), VD_E_PROTOCOL);
	server_says(server, "call EndConfiguration");
	EQ(vdi_server_run_completions(server, 0, &n), VD_E_PROTOCOL);
	server_says(server, "call EndConfiguration");
	OK(vdi_server_request_buffers(server, KIB, 0, 1));
	OK(vdi_server_end_configuration(server));
	EQ(vdi_server_allocate_buffer(server, &p, MIB, 0), VD_E_MEMORY);
	server_says(server, "1048576 bytes");
	EQ(vdi_server_allocate_buffer(server, NULL, KIB, 0), VD_E_INVALID);
	server_says(server, "buffer is NULL");
	EQ(vdi_server_free_buffer(server, (uint8_t *)&n, 4), VD_E_INVALID);
	server_says(server, "is not in the buffers");
	OK(vdi_server_allocate_buffer(server, &p, KIB, 0));
	EQ(vdi_server_free_buffer(server, p, 512), VD_E_INVALID);
	server_says(server, "none of 512 bytes");
	EQ(vdi_server_set_queue_depth(server, 1025), VD_E_INVALID);
	server_says(server, "1025");
	vdi_server_free(server);
	vdi_client_free(client);
}

static void *fail_in_thread(void *arg)
{
	struct vdi_client *client = arg;

	/* nothing has failed here: the message of any thread */
	client_says(client, "out is NULL");
	EQ(vdi_client_open_device(client, "a\\b", NULL), VD_E_INVALID);
	EQ(vdi_client_get_device_name(client, 77, (char [1]){ 0 }, 1),
	   VD_E_INVALID);
	client_says(client, "no device 77");
	return NULL;
}

/* A thread gets the reason of its own failure. */
void test_messages_of_threads(void **state)
{
	pthread_t thread;
	char text[8];
	struct both b;

	(void)state;
	both_up(&b, 0);
	EQ(vdi_client_open_device(b.client, set_name, NULL), VD_E_INVALID);
	EQ(pthread_create(&thread, NULL, fail_in_thread, b.client), 0);
	pthread_join(thread, NULL);
	client_says(b.client, "out is NULL");
	both_free(&b);
	/* not that of an object that had the same address */
	b.client = new_client();
	vdi_client_message(b.client, text, sizeof(text));
	EQ(*text, '\0');
	vdi_client_free(b.client);
}

void test_refused_completions(void **state)
{
	struct VDC_Command *cmds[2], other = { .commandCode = VDC_Write };
	struct vdi_completion list[2];
	struct job jobs[2];
	struct both b;
	uint8_t *buf;

	(void)state;
	both_up(&b, 0);
	buf = buffer(b.server, PIECE);
	OK(job_send(b.sdev, &jobs[0], VDC_Write, buf, PIECE));
	cmds[0] = get(b.cdev);
	EQ(vdi_client_complete_command(b.cdev, NULL, 0, 0, 0), VD_E_INVALID);
	client_says(b.client, "cmd is NULL");
	EQ(vdi_client_complete_command(b.cdev, &other, 0, 0, 0), VD_E_INVALID);
	client_says(b.client, "was not received from device");
	EQ(vdi_client_complete_command(b.cdev, cmds[0], 0, PIECE + 1, 0),
	   VD_E_INVALID);
	client_says(b.client, "65537 bytes for a VDC_Write of 65536");
	EQ(vdi_client_complete_command(b.cdev, cmds[0], -28, 0, 0),
	   VD_E_INVALID);
	client_says(b.client, "-28 (No space left on device)");
	EQ(vdi_client_complete_command(b.cdev, cmds[0], VD_E_ABORT, 0, 0),
	   VD_E_INVALID);
	client_says(b.client, "(VD_E_ABORT");
	/* it is still held */
	done(b.cdev, cmds[0], ERROR_SUCCESS, PIECE);
	EQ(vdi_client_complete_command(b.cdev, cmds[0], 0, PIECE, 0),
	   VD_E_INVALID);
	client_says(b.client, "this VDC_Write of device");
	client_says(b.client, "was completed before");
	job_wait(b.server, &jobs[0]);

	/* a list with a command twice, or a bad code at its end, has no effect */
	OK(job_send(b.sdev, &jobs[0], VDC_Flush, NULL, 0));
	OK(job_send(b.sdev, &jobs[1], VDC_Write, buf, PIECE));
	cmds[0] = get_a(b.cdev, VDC_Flush);
	cmds[1] = get_a(b.cdev, VDC_Write);
	list[0] = (struct vdi_completion){ .cmd = cmds[0], .code = 5 };
	list[1] = list[0];
	EQ(vdi_client_complete_commands(b.cdev, list, 2), VD_E_INVALID);
	client_says(b.client, "this VDC_Flush of device");
	list[1] = (struct vdi_completion){ .cmd = cmds[1], .code = -5 };
	EQ(vdi_client_complete_commands(b.cdev, list, 2), VD_E_INVALID);
	EQ(vdi_client_complete_commands(b.cdev, list, 0), VD_E_INVALID);
	client_says(b.client, "is 0");
	list[0].code = list[1].code = ERROR_SUCCESS;
	list[1].bytes = PIECE;
	OK(vdi_client_complete_commands(b.cdev, list, 2));
	job_wait(b.server, &jobs[0]);
	job_wait(b.server, &jobs[1]);
	EQ(jobs[0].cmd.completionCode, ERROR_SUCCESS);
	EQ(jobs[1].cmd.completionCode, ERROR_SUCCESS);
	/* nor was the device in IO-ERROR, or the Flush noted as failed */
	round_trip(&b, VDC_Flush, NULL, 0, ERROR_SUCCESS, 0);
	OK(vdi_client_device_outcome(b.cdev));
	both_down(&b);
}

void test_refused_sends(void **state)
{
	struct job job;
	struct both b;
	uint8_t *buf;

	(void)state;
	both_up(&b, 0);
	buf = buffer(b.server, PIECE);
	EQ(vdi_server_send_command(b.sdev, NULL), VD_E_INVALID);
	server_says(b.server, "cmd is NULL");
	job_init(&job, VDC_Write, buf, PIECE);
	job.cmd.completionRoutine = NULL;
	EQ(vdi_server_send_command(b.sdev, &job.cmd), VD_E_INVALID);
	server_says(b.server, "VDC_Write has no completionRoutine");
	EQ(job_send(b.sdev, &job, VDC_Write, buf, 1000), VD_E_INVALID);
	server_says(b.server, "VDC_Write of 1000 bytes");
	server_says(b.server, "not a multiple of blockSize");
	server_says(b.server, "blockSize 512");
	EQ(job.ran, 0);
	EQ(job_send(b.sdev, &job, VDC_Write, buf, -512), VD_E_INVALID);
	server_says(b.server, "size is negative");
	EQ(job_send(b.sdev, &job, VDC_Write, NULL, 512), VD_E_INVALID);
	server_says(b.server, "buffer is NULL");
	EQ(job_send(b.sdev, &job, VDC_Write, (uint8_t *)&job, 512),
	   VD_E_INVALID);
	server_says(b.server, "not one of this set");
	EQ(job_send(b.sdev, &job, VDC_Write, buf + 1, 512), VD_E_INVALID);
	server_says(b.server, "not aligned");
	round_trip(&b, VDC_Write, buf, 1024, ERROR_DISK_FULL, 0);
	EQ(job_send(b.sdev, &job, VDC_Write, buf, 512), VD_E_IO_ERROR);
	server_says(b.server, "send VDC_ClearError first");
	EQ(job.ran, 1);
	both_free(&b);
}

/* No routine runs when the call fails, so it may be called with locks held. */
void test_try_send(void **state)
{
	struct job job[33];
	struct both b;
	unsigned int i;

	(void)state;
	both_up(&b, 0);
	for (i = 0; i < 32; i++) {
		job_init(&job[i], VDC_GetPosition, NULL, 0);
		OK(vdi_server_try_send_command(b.sdev, &job[i].cmd));
	}
	job_init(&job[32], VDC_GetPosition, NULL, 0);
	EQ(vdi_server_try_send_command(b.sdev, &job[32].cmd),
	   VD_E_QUEUE_FULL);
	server_says(b.server, "32 commands are outstanding");
	EQ(job[32].ran, 0);
	EQ(vdi_server_try_send_command(b.sdev, NULL), VD_E_INVALID);
	for (i = 0; i < 32; i++)
		done(b.cdev, get(b.cdev), ERROR_SUCCESS, 0);
	for (i = 0; i < 32; i++)
		job_wait(b.server, &job[i]);
	OK(vdi_server_signal_abort(b.server, 0, "test"));
	EQ(vdi_server_try_send_command(b.sdev, &job[32].cmd), VD_E_ABORT);
	EQ(job[32].ran, 0);
	EQ(vdi_server_send_command(b.sdev, &job[32].cmd), VD_E_ABORT);
	EQ(job[32].ran, 1);
	EQ(job[32].cmd.completionCode, ERROR_OPERATION_ABORTED);
	both_free(&b);
}

/* ----------------------------------------------------------------- outcome */

void test_outcome(void **state)
{
	struct vdi_client *idle = new_client();
	struct both b;
	uint8_t *buf;

	(void)state;
	EQ(vdi_client_outcome(idle), VD_E_PROTOCOL);
	vdi_client_free(idle);

	both_up_with(&b, VDF_Discard, VDF_WriteMedia | VDF_ReadMedia);
	buf = buffer(b.server, PIECE);
	/* nothing was flushed yet */
	EQ(vdi_client_device_outcome(b.cdev), VD_E_PROTOCOL);
	round_trip(&b, VDC_Write, buf, PIECE, ERROR_SUCCESS, PIECE);
	round_trip(&b, VDC_Flush, NULL, 0, ERROR_SUCCESS, 0);
	OK(vdi_client_device_outcome(b.cdev));
	/* reading does not change it, writing does */
	round_trip(&b, VDC_Read, buf, PIECE, ERROR_SUCCESS, PIECE);
	OK(vdi_client_device_outcome(b.cdev));
	round_trip(&b, VDC_Write, buf, PIECE, ERROR_SUCCESS, PIECE);
	EQ(vdi_client_device_outcome(b.cdev), VD_E_PROTOCOL);
	client_says(b.client, set_name);
	client_says(b.client, "without flushing");
	round_trip(&b, VDC_Discard, NULL, 0, ERROR_SUCCESS, 0);
	round_trip(&b, VDC_Flush, NULL, 0, ERROR_SUCCESS, 0);
	EQ(vdi_client_device_outcome(b.cdev), VD_E_PROTOCOL);
	client_says(b.client, "discarded");
	round_trip(&b, VDC_Write, buf, PIECE, ERROR_SUCCESS, PIECE);
	round_trip(&b, VDC_Flush, NULL, 0, ERROR_SUCCESS, 0);
	EQ(vdi_client_outcome(b.client), VD_E_BUSY);
	client_says(b.client, "in state active");
	close_device(&b);
	OK(vdi_client_device_outcome(b.cdev));
	OK(vdi_client_outcome(b.client));
	server_down(b.server);
	/* an abort that comes too late is this client's own */
	OK(vdi_client_signal_abort(b.client, 0, NULL));
	EQ(vdi_client_outcome(b.client), VD_E_ABORT);
	vdi_client_free(b.client);
}

/* Complete a Write, or Flush, with @code, then retry with success. */
static void outcome_after(int command, int code, int want)
{
	bool data = command == VDC_Write;
	struct both b;
	uint8_t *buf;

	new_name();
	both_up(&b, 0);
	buf = buffer(b.server, PIECE);
	round_trip(&b, VDC_Write, buf, PIECE, ERROR_SUCCESS, PIECE);
	round_trip(&b, command, data ? buf : NULL, data ? PIECE : 0, code, 0);
	EQ(vdi_client_device_outcome(b.cdev), want ? want : VD_E_PROTOCOL);
	round_trip(&b, VDC_ClearError, NULL, 0, ERROR_SUCCESS, 0);
	round_trip(&b, VDC_Write, buf, PIECE, ERROR_SUCCESS, PIECE);
	round_trip(&b, VDC_Flush, NULL, 0, ERROR_SUCCESS, 0);
	close_device(&b);
	EQ(vdi_client_outcome(b.client), want);
	if (want)
		client_says(b.client, vdi_completion_name(code));
	server_down(b.server);
	client_down(b.client);
}

void test_outcome_failures(void **state)
{
	struct both b;

	(void)state;
	outcome_after(VDC_Write, ERROR_DISK_FULL, VD_E_IO_ERROR);
	outcome_after(VDC_Flush, ERROR_IO_DEVICE, VD_E_IO_ERROR);
	outcome_after(VDC_Write, 4711, VD_E_IO_ERROR);
	/* the data follows on the next medium */
	outcome_after(VDC_Write, ERROR_END_OF_MEDIA, NOERROR);

	/* an error that was not cleared */
	new_name();
	both_up(&b, 0);
	round_trip(&b, VDC_Flush, NULL, 0, ERROR_SUCCESS, 0);
	round_trip(&b, VDC_GetPosition, NULL, 0, ERROR_NOT_SUPPORTED, 0);
	close_device(&b);
	EQ(vdi_client_outcome(b.client), VD_E_IO_ERROR);
	client_says(b.client, "VDC_GetPosition");
	both_free(&b);

	new_name();
	both_up(&b, 0);
	OK(vdi_server_signal_abort(b.server, 0, "the test"));
	EQ(vdi_client_outcome(b.client), VD_E_ABORT);
	client_says(b.client, "the test");
	EQ(vdi_client_device_outcome(b.cdev), VD_E_ABORT);
	both_free(&b);
}

void test_outcome_restore(void **state)
{
	struct both b;
	uint8_t *buf;

	(void)state;
	both_up_with(&b, 0, VDF_ReadMedia);
	buf = buffer(b.server, PIECE);
	round_trip(&b, VDC_Read, buf, PIECE, ERROR_SUCCESS, PIECE);
	OK(vdi_client_device_outcome(b.cdev));
	/* the end of the data is no failure */
	round_trip(&b, VDC_Read, buf, PIECE, ERROR_HANDLE_EOF, 0);
	close_device(&b);
	OK(vdi_client_outcome(b.client));
	server_down(b.server);
	client_down(b.client);

	new_name();
	both_up_with(&b, 0, VDF_ReadMedia);
	buf = buffer(b.server, PIECE);
	round_trip(&b, VDC_Read, buf, PIECE, ERROR_IO_DEVICE, 0);
	close_device(&b);
	EQ(vdi_client_outcome(b.client), VD_E_IO_ERROR);
	server_down(b.server);
	client_down(b.client);
}

static void outcome_complete(int code, int want)
{
	struct both b;

	new_name();
	both_up_with(&b, VDF_RequestComplete,
		     VDF_WriteMedia | VDF_CompleteEnabled);
	round_trip(&b, VDC_Flush, NULL, 0, ERROR_SUCCESS, 0);
	if (code >= 0)
		round_trip(&b, VDC_Complete, NULL, 0, code, 0);
	if (code > 0)
		round_trip(&b, VDC_ClearError, NULL, 0, ERROR_SUCCESS, 0);
	close_device(&b);
	EQ(vdi_client_outcome(b.client), want);
	if (want)
		client_says(b.client, "VDC_Complete");
	server_down(b.server);
	client_down(b.client);
}

void test_outcome_complete(void **state)
{
	(void)state;
	outcome_complete(ERROR_SUCCESS, NOERROR);
	outcome_complete(ERROR_IO_DEVICE, VD_E_PROTOCOL);
	outcome_complete(-1, VD_E_PROTOCOL);
}

/* --------------------------------------------------------------------- log */

static char log_text[65536];
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void collect(void *data, const char *line)
{
	size_t used;

	assert_ptr_equal(data, log_text);
	pthread_mutex_lock(&log_lock);
	used = strlen(log_text);
	snprintf(log_text + used, sizeof(log_text) - used, "%s\n", line);
	pthread_mutex_unlock(&log_lock);
}

static void check_lines(void)
{
	static const char *const parts[] = {
		"create: done", "open: done", "begin configuration: done",
		"request buffers: done", "get configuration: deviceCount 1",
		"open device: done", "send command: VDC_Write, 65536 bytes",
		"get command: VDC_Write, 65536 bytes",
		"complete command: VDC_Write, 65536 bytes, ERROR_SUCCESS",
		"completion: VDC_Write, 65536 of 65536 bytes, ERROR_SUCCESS",
		"VDC_Flush is held when the set is aborted",
		"VDC_Flush of 0 bytes was outstanding, and is completed with "
		"995", "[VD_E_ABORT",
	};
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		has(log_text, parts[i]);
	has(log_text, set_name);
}

void test_log(void **state)
{
	struct VDC_Command *cmd;
	struct job job;
	struct both b;
	uint8_t *buf;

	(void)state;
	vdi_set_log(collect, log_text, 2);
	both_up_with(&b, 0, VDF_WriteMedia | VDF_ReadMedia);
	buf = buffer(b.server, PIECE);
	memset(buf, 1, PIECE);
	OK(job_send(b.sdev, &job, VDC_Write, buf, PIECE));
	cmd = get(b.cdev);
	EQ(*cmd->buffer, 1);
	done(b.cdev, cmd, ERROR_SUCCESS, PIECE);
	/* a program that uses the block, or its buffer, now fails at once */
	EQ(cmd->commandCode, -1);
	TRUE(cmd->buffer == VDI_POISON_POINTER);
	job_wait(b.server, &job);
	EQ(*buf, 1);
	/* data from before is not taken for what a Read has brought */
	OK(job_send(b.sdev, &job, VDC_Read, buf, PIECE));
	EQ(buf[PIECE - 1], VDI_POISON_BYTE);
	done(b.cdev, get(b.cdev), ERROR_SUCCESS, PIECE);
	job_wait(b.server, &job);

	OK(job_send(b.sdev, &job, VDC_Flush, NULL, 0));
	cmd = get(b.cdev);
	OK(vdi_server_signal_abort(b.server, 0, NULL));
	EQ(vdi_client_get_command(b.cdev, 0, &cmd), VD_E_ABORT);
	EQ(run_to_end(b.server), VD_E_ABORT);
	both_free(&b);
	check_lines();

	vdi_set_log(NULL, NULL, 0);
	*log_text = '\0';
	new_name();
	both_up(&b, 0);
	both_down(&b);
	EQ(*log_text, '\0');
}
