// SPDX-License-Identifier: GPL-2.0-only
/*
 * writer.c - writes the stream of a backup to the devices of a set
 *
 * A server process has one thread, so completions are processed between sends. Every
 * wait is short and followed by checks for interrupts and for the connection, so
 * that a backup ends at once if it is cancelled or its connection is closed.
 */
#include "postgres.h"

#include <time.h>

#include "miscadmin.h"
#include "port.h"
#include "storage/ipc.h"
#include "tcop/dest.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"

#include <libvdi.h>

#include "database/stream.h"
#include "writer.h"

/* From libpq/libpq.h, which would require the headers of Kerberos. */
extern bool pq_check_connection(void);

#define BLOCK_SIZE	4096
#define WAIT_MS		500	/* interval of checks for interrupts */
#define MAX_DEVICES	64

struct vdiset_slot {
	struct VDS_Command cmd;
	struct vdiset_writer *writer;
	int device;
	bool busy;
	uint8_t *buffer;
};

struct vdiset_writer {
	struct vdiset_options options;
	struct vdi_server *server;
	struct VDConfig config;
	struct stream_shape shape;
	struct vdi_server_device *device[MAX_DEVICES];
	uint32_t outstanding[MAX_DEVICES];
	int nslots;
	struct vdiset_slot *slots;
	struct vdiset_slot *current;	/* being filled */
	uint32_t filled;		/* bytes of its payload */
	uint64_t number;		/* of the current chunk */
	MemoryContextCallback reset;	/* for MessageContext */
};

/*
 * The set of this process, for the exit callback: a FATAL error terminates the
 * process without calling the clean-up functions of this module.
 */
static struct vdiset_writer *active_writer;

static void abandon(struct vdiset_writer *writer, const char *why)
{
	if (!writer->server)
		return;
	vdi_server_signal_abort(writer->server, 1, why);
	vdi_server_free(writer->server);
	writer->server = NULL;
	active_writer = NULL;
}

void vdiset_writer_abandon(struct vdiset_writer *writer)
{
	abandon(writer, "the backup failed in the database; see its log");
}

static void at_exit(int code, Datum arg)
{
	if (active_writer)
		abandon(active_writer,
			"the server process of the backup terminated");
}

static void at_reset(void *arg)
{
	vdiset_writer_abandon(arg);
}

static void register_exit(void)
{
	static bool registered;

	if (!registered)
		before_shmem_exit(at_exit, (Datum)0);
	registered = true;
}

/* the server's own macro for noreturn differs between its versions */
static void __attribute__((noreturn))
fail(struct vdiset_writer *writer, int code, const char *doing)
{
	struct vdi_abort_info info;
	char text[768];

	if (code == VD_E_ABORT &&
	    vdi_server_abort_info(writer->server, &info) == NOERROR &&
	    info.reason) {
		vdi_abort_describe(&info, text, sizeof(text));
		ereport(ERROR,
			errcode(ERRCODE_OPERATOR_INTERVENTION),
			errmsg("backup to virtual device set \"%s\": %s",
			       writer->options.set, text));
	}
	vdi_server_message(writer->server, text, sizeof(text));
	ereport(ERROR,
		errcode(ERRCODE_CONNECTION_FAILURE),
		errmsg("virtual device set \"%s\": %s: %s",
		       writer->options.set, doing,
		       *text ? text : vdi_strerror(code)));
}

/* Is the connection closed? The server does not check it during a backup. */
static void check_client(void)
{
	CHECK_FOR_INTERRUPTS();
	if (MyProcPort && whereToSendOutput == DestRemote &&
	    !pq_check_connection()) {
		ClientConnectionLost = true;
		InterruptPending = true;
		CHECK_FOR_INTERRUPTS();
	}
}

static void step(struct vdiset_writer *writer)
{
	int rc = vdi_server_run_completions(writer->server, WAIT_MS, NULL);

	if (rc == VD_E_TIMEOUT)
		check_client();
	else if (rc != NOERROR)
		fail(writer, rc, "waiting for the backup program");
	CHECK_FOR_INTERRUPTS();
}

static void completed(struct VDS_Command *cmd)
{
	struct vdiset_slot *slot = cmd->completionContext;

	slot->busy = false;
	slot->writer->outstanding[slot->device]--;
}

static void check_slot(struct vdiset_writer *writer,
		       const struct vdiset_slot *slot)
{
	const struct VDS_Command *cmd = &slot->cmd;

	if (cmd->completionCode == ERROR_SUCCESS &&
	    (cmd->commandCode != VDC_Write ||
	     cmd->bytesTransferred == (uint32_t)cmd->size))
		return;
	ereport(ERROR,
		errcode(ERRCODE_IO_ERROR),
		errmsg("virtual device set \"%s\": device %d: %s: %s",
		       writer->options.set, slot->device,
		       vdi_command_name(cmd->commandCode),
		       cmd->completionCode ?
		       vdi_completion_name(cmd->completionCode) :
		       "short write"));
}

/* They live as long as the writer: the library has pointers to the commands. */
static struct vdiset_slot *alloc_slots(int count)
{
	return MemoryContextAllocZero(MessageContext,
				      count * sizeof(struct vdiset_slot));
}

static void send(struct vdiset_writer *writer, struct vdiset_slot *slot,
		 int device, int code, uint32_t size)
{
	int rc;

	while (writer->outstanding[device] >= writer->config.maxIODepth)
		step(writer);
	slot->cmd = (struct VDS_Command){
		.commandCode = code,
		.size = size,
		.buffer = slot->buffer,
		.completionRoutine = completed,
		.completionContext = slot,
	};
	slot->writer = writer;
	slot->device = device;
	slot->busy = true;
	writer->outstanding[device]++;
	rc = vdi_server_send_command(writer->device[device], &slot->cmd);
	if (rc == VD_E_INVALID)	/* the command was not queued */
		completed(&slot->cmd);
	if (rc != NOERROR)
		fail(writer, rc, vdi_command_name(code));
}

static void drain(struct vdiset_writer *writer)
{
	uint32_t i;

	for (i = 0; i < writer->shape.devices; i++) {
		while (writer->outstanding[i])
			step(writer);
	}
}

/* A free buffer; its previous command must have succeeded. */
static struct vdiset_slot *get_slot(struct vdiset_writer *writer)
{
	int i;

	for (;;) {
		for (i = 0; i < writer->nslots; i++) {
			struct vdiset_slot *slot = &writer->slots[i];

			if (slot->busy)
				continue;
			check_slot(writer, slot);
			return slot;
		}
		step(writer);
	}
}

static void send_chunk(struct vdiset_writer *writer, struct vdiset_slot *slot,
		       uint64_t number, int device, uint32_t flags,
		       uint32_t payload)
{
	uint32_t size = stream_finish_chunk(&writer->shape, slot->buffer,
					    number, device, flags, payload);

	send(writer, slot, device, VDC_Write, size);
}

static void send_current(struct vdiset_writer *writer)
{
	struct vdiset_slot *slot = writer->current;

	writer->current = NULL;
	send_chunk(writer, slot, writer->number,
		   writer->number % writer->shape.devices, 0, writer->filled);
	writer->number++;
	writer->filled = 0;
}

void vdiset_writer_put(struct vdiset_writer *writer, const void *data,
		       size_t length)
{
	uint32_t room = writer->config.maxTransferSize - BLOCK_SIZE;

	while (length) {
		size_t part = Min(length, room - writer->filled);

		if (!writer->current)
			writer->current = get_slot(writer);
		memcpy(writer->current->buffer + BLOCK_SIZE + writer->filled,
		       data, part);
		data = (const char *)data + part;
		length -= part;
		writer->filled += part;
		if (writer->filled == room)
			send_current(writer);
	}
}

/* Send a command without data on every device; all must succeed. */
static void send_all(struct vdiset_writer *writer, int code)
{
	struct vdiset_slot *slots;
	uint32_t i;

	slots = alloc_slots(writer->shape.devices);
	for (i = 0; i < writer->shape.devices; i++)
		send(writer, &slots[i], i, code, 0);
	drain(writer);
	for (i = 0; i < writer->shape.devices; i++)
		check_slot(writer, &slots[i]);
	pfree(slots);
}

static void close_set(struct vdiset_writer *writer)
{
	uint32_t i;
	int rc = NOERROR;

	for (i = 0; rc == NOERROR && i < writer->shape.devices; i++)
		rc = vdi_server_close_device(writer->device[i]);
	if (rc == NOERROR)
		rc = vdi_server_close(writer->server);
	if (rc != NOERROR)
		fail(writer, rc, "closing the set");
	vdi_server_free(writer->server);
	writer->server = NULL;
	active_writer = NULL;
}

void vdiset_writer_flush(struct vdiset_writer *writer)
{
	uint32_t i;
	int j;

	if (writer->filled)
		send_current(writer);
	for (i = 0; i < writer->shape.devices; i++)
		send_chunk(writer, get_slot(writer), writer->number, i,
			   STREAM_END, 0);
	drain(writer);
	for (j = 0; j < writer->nslots; j++)
		check_slot(writer, &writer->slots[j]);
	send_all(writer, VDC_Flush);
}

void vdiset_writer_complete(struct vdiset_writer *writer)
{
	if (writer->config.features & VDF_CompleteEnabled)
		send_all(writer, VDC_Complete);
	close_set(writer);
}

/* Log the process and the user that receive the backup. */
static void log_client(struct vdiset_writer *writer)
{
	struct vdi_peer peer;
	char text[128];

	if (vdi_server_get_peer(writer->server, &peer) != NOERROR)
		return;
	vdi_peer_describe(&peer, text, sizeof(text));
	ereport(LOG,
		errmsg("virtual device set \"%s\": joined the set of %s",
		       writer->options.set, text));
}

static int64 monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * The backup program may create its set later, so retry. A terminated set of this
 * name, which a process still holds open, may be replaced by a live one.
 */
static void open_set(struct vdiset_writer *writer)
{
	int64 until = monotonic_ms() +
		      (int64)writer->options.connect_timeout * 1000;
	char text[768], ended[768] = "";
	bool warned = false, both;
	uid_t user;
	int rc;

	rc = vdi_server_set_trusted_users(writer->server,
					  writer->options.trusted,
					  writer->options.trusted_count);
	if (rc != NOERROR)
		fail(writer, rc, "setting the trusted users");
	for (;;) {
		rc = vdi_server_open(writer->server, NULL, writer->options.set);
		if (rc == NOERROR) {
			log_client(writer);
			return;
		}
		if (rc != VD_E_INVALID && rc != VD_E_ABORT)
			fail(writer, rc, "opening the set");
		vdi_server_message(writer->server, text, sizeof(text));
		if (rc == VD_E_ABORT)
			strlcpy(ended, text, sizeof(ended));
		if (!warned && vdi_server_get_untrusted(writer->server,
							&user) == NOERROR) {
			warned = true;
			ereport(WARNING,
				errmsg("virtual device set \"%s\": %s",
				       writer->options.set, text));
		}
		check_client();
		if (monotonic_ms() >= until)
			break;
		pg_usleep(100 * 1000);
	}
	both = *ended && strcmp(ended, text);
	ereport(ERROR,
		errcode(ERRCODE_CONNECTION_FAILURE),
		errmsg("no virtual device set \"%s\" is available to this server",
		       writer->options.set),
		errdetail("%s%s%s", *text ? text : vdi_strerror(rc),
			  both ? "; before that, " : "", both ? ended : ""),
		errhint("Start the backup program first (vdi backup), let the server's operating-system "
			"user join the set (--group or --owner), and trust the creator of the set "
			"(vdiset.trusted_users)."));
}

static void configure(struct vdiset_writer *writer)
{
	const struct vdiset_options *options = &writer->options;
	struct vdi_server *server = writer->server;
	struct VDConfig *config = &writer->config;
	uint32_t features;
	int rc;

	rc = vdi_server_get_configuration(server, config);
	if (rc != NOERROR)
		fail(writer, rc, "configuring the set");
	if (options->devices && (uint32_t)options->devices !=
	    config->deviceCount)
		ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("virtual device set \"%s\" has %u devices, not %d",
			       options->set, config->deviceCount,
			       options->devices));
	if (config->features & ((VDF_LikeTape & ~VDF_Removable) |
				VDF_RandomAccess))
		ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("the devices of virtual device set \"%s\" are like tapes or disks",
			       options->set),
			errhint("Base backups require devices like pipes "
				"(vdi backup --profile pipe)."));
	writer->nslots = options->buffer_count ? options->buffer_count :
						 4 * config->deviceCount;
	writer->shape.devices = config->deviceCount;
	writer->shape.block_size = BLOCK_SIZE;

	features = config->features | VDF_WriteMedia;
	if (features & VDF_RequestComplete)
		features |= VDF_CompleteEnabled;
	rc = vdi_server_begin_configuration(server, features, BLOCK_SIZE, 0,
					    options->max_transfer_size * 1024,
					    -1);
	if (rc == NOERROR)
		rc = vdi_server_request_buffers(server,
				options->max_transfer_size * 1024, 0,
				writer->nslots);
	if (rc == NOERROR)
		rc = vdi_server_end_configuration(server);
	if (rc == NOERROR)
		rc = vdi_server_get_configuration(server, config);
	if (rc != NOERROR)
		fail(writer, rc, "configuring the set");
}

static void open_devices(struct vdiset_writer *writer)
{
	uint32_t i;
	int j, rc;

	for (i = 0; i < writer->shape.devices; i++) {
		char *name = i ? psprintf("%s%u", writer->options.set, i) :
				 pstrdup(writer->options.set);

		rc = vdi_server_open_device(writer->server, name,
					    &writer->device[i]);
		if (rc != NOERROR)
			fail(writer, rc, name);
		pfree(name);
	}
	writer->slots = alloc_slots(writer->nslots);
	for (j = 0; j < writer->nslots; j++) {
		rc = vdi_server_allocate_buffer(writer->server,
						&writer->slots[j].buffer,
						writer->config.maxTransferSize,
						0);
		if (rc != NOERROR)
			fail(writer, rc, "allocating buffers");
	}
}

static void connect_set(struct vdiset_writer *writer)
{
	int rc = vdi_server_new(&writer->server);

	if (rc != NOERROR)
		ereport(ERROR,
			errcode(ERRCODE_OUT_OF_MEMORY),
			errmsg("virtual device set: %s", vdi_strerror(rc)));
	active_writer = writer;
	register_exit();
	if (!pg_strong_random(&writer->shape.id, sizeof(writer->shape.id)))
		ereport(ERROR,
			errcode(ERRCODE_INTERNAL_ERROR),
			errmsg("could not generate a random stream identifier"));
	open_set(writer);
	configure(writer);
	open_devices(writer);
}

struct vdiset_writer *vdiset_writer_open(const struct vdiset_options *options)
{
	struct vdiset_writer *writer;

	/* the set is aborted after any error, also outside of the sink's callbacks */
	writer = MemoryContextAllocZero(MessageContext, sizeof(*writer));
	writer->options = *options;
	writer->options.set = MemoryContextStrdup(MessageContext, options->set);
	writer->reset.func = at_reset;
	writer->reset.arg = writer;
	MemoryContextRegisterResetCallback(MessageContext, &writer->reset);
	connect_set(writer);
	return writer;
}

void vdiset_writer_expect(struct vdiset_writer *writer, uint64 bytes)
{
	uint64 share = bytes / writer->shape.devices;
	uint32_t i;

	for (i = 0; i < writer->shape.devices; i++)
		vdi_server_set_expected_bytes(writer->device[i], share);
}
