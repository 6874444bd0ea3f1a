/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libvdi.h - the Virtual Device Interface in C, for both sides
 *
 * Every function that returns int returns NOERROR or a VD_E_* code of
 * vdierror.h, unless stated otherwise. vdi_client_message() and
 * vdi_server_message() explain the last failure of the calling thread in words.
 * Codes common to all calls, not repeated below:
 *
 *   VD_E_INVALID     an argument is NULL or out of range
 *   VD_E_PROTOCOL    the call is out of order
 *   VD_E_ABORT       the set is aborted; see vdi_*_abort_info()
 *   VD_E_MEMORY      out of memory
 *   VD_E_UNEXPECTED  the system refused something; the message says what
 *
 * Time-outs are milliseconds; negative waits without limit, 0 does not wait.
 *
 * Threads: a set may be used from any thread. A device is for one thread at a
 * time on each side (a second caller of get_command gets VD_E_BUSY;
 * send_command is serialised), but commands may be completed from any thread.
 * Close may be called while other threads are in calls: it makes them return,
 * and waits for them. It does not wait for threads that access buffers: the
 * memory of the buffers is unmapped by it.
 *
 * Lifetime: a device belongs to its client or server object. After the set was
 * closed, calls on the device return VD_E_PROTOCOL, until the object opens the
 * first device of its next set, or is freed; then the pointer is invalid.
 * Objects may be freed when no other thread uses them.
 *
 * Processes: the process that creates or joins a set is a party of it. If it
 * ends without closing the set, the set is aborted, even if a forked child
 * still has the descriptors. A child cannot use the objects of its parent,
 * except to close and free them.
 */
#ifndef LIBVDI_H
#define LIBVDI_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <vdierror.h>
#include <vditypes.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this header, (major << 16) | (minor << 8) | patch: 0.1.0 */
#define VDI_VERSION_NUMBER	0x000100

#define VDI_MAX_DEVICES	64	/* of a set */
#define VDI_TEXT_SIZE	128	/* of an abort's text, with the NUL */
#define VDI_MESSAGE_SIZE	768	/* enough for every message, with the NUL */
#define VDI_COMM_SIZE	16	/* of a command name, with the NUL */
#define VDI_NAME_SIZE	256	/* of the name of a set or device, with the NUL */
#define VDI_MAX_TRUSTED_USERS	64	/* in the list of an object */

struct vdi_client;		/* client's view of a set, primary or secondary */
struct vdi_client_device;
struct vdi_server;		/* server's view of a set */
struct vdi_server_device;

/* The process that ended a set, and why. */
struct vdi_abort_info {
	uint32_t reason;		/* VDI_REASON_*, 0 = not aborted */
	uint32_t code;			/* chosen by the aborting program */
	uint32_t role;			/* VDI_ROLE_* of the aborting party */
	pid_t pid;			/* 0 = in another pid namespace */
	uid_t uid;
	int64_t time_ns;		/* CLOCK_REALTIME */
	char comm[VDI_COMM_SIZE];	/* command name */
	char text[VDI_TEXT_SIZE];	/* chosen by the aborting program */
};

/* A party of a set, as the kernel recorded it when that party joined. */
struct vdi_peer {
	uint32_t role;			/* VDI_ROLE_* */
	pid_t pid;			/* 0 = in another pid namespace */
	uid_t uid;			/* effective user */
	gid_t gid;			/* effective group */
	char comm[VDI_COMM_SIZE];	/* command name */
};

enum vdi_reason {
	VDI_REASON_SIGNAL	= 1,	/* SignalAbort */
	VDI_REASON_PROTOCOL	= 2,	/* the peer broke the protocol */
	VDI_REASON_TIMEOUT	= 3,	/* the peer did not respond in time */
	VDI_REASON_CLOSED	= 4,	/* closed before the normal end */
	VDI_REASON_DIED		= 5	/* the process ended or closed its files */
};

enum vdi_role {
	VDI_ROLE_PRIMARY	= 1,
	VDI_ROLE_SECONDARY	= 2,
	VDI_ROLE_SERVER		= 3,
	VDI_ROLE_OBSERVER	= 4
};

/* Access to a set; initialize it with VDI_ACCESS_DEFAULT. */
struct vdi_access {
	uint32_t mode;		/* permission bits: r = see, w = join, abort */
	uid_t uid;		/* owner; (uid_t)-1 = the caller */
	gid_t gid;		/* group; (gid_t)-1 = the caller's */
};
#define VDI_ACCESS_DEFAULT	{ 0600, (uid_t)-1, (gid_t)-1 }

/* ------------------------------------------------------------------ text */

/*
 * Names of codes. The text is static; that of a number without a name, such as
 * "unknown completion code 5", is valid until the thread's next such call.
 */
/* "VD_E_ABORT: the set is aborted" for a return code. */
const char *vdi_strerror(int code);
/* "VDC_Write" for a command code. */
const char *vdi_command_name(int command);
/* "ERROR_DISK_FULL: ..." for a completion code. */
const char *vdi_completion_name(int code);
/*
 * One line "aborted by vdi (pid 17, observer): text" for people, always
 * NUL-terminated; control characters in text of other processes are replaced.
 */
void vdi_abort_describe(const struct vdi_abort_info *info, char *buf,
			size_t size);
/* Likewise "vdi (pid 17, primary client, user root)". */
void vdi_peer_describe(const struct vdi_peer *peer, char *buf, size_t size);
/* Version of the library, "0.1.0". */
const char *vdi_version(void);
/*
 * The instance of the deprecated calls that do not name one (Create,
 * OpenInSecondary): the value of the environment variable
 * _VIRTUAL_SERVER_NAME_, NULL if it is not set. To be passed as `instance`.
 */
const char *vdi_default_instance(void);

/* ------------------------------------------------------------------- log */

/* Called with each line, without newline; may not call the library. */
typedef void (vdi_log_fn)(void *data, const char *line);
/*
 * Log what the library does, for debugging: with level 1 each call, command and
 * completion, with its result; commands that are held for more than 10 seconds;
 * and what is outstanding when a set is aborted or closed. With level 2, also,
 * a client's command block is overwritten when it was completed, and so is a
 * server's buffer before a Read: programs that use either too long, or expect
 * old data, fail at once. Lines go to fn or, if that is NULL, with the time and
 * the thread to standard error. Level 0 logs nothing. For the whole process,
 * and for all threads from then on. Without this call the level is the value of
 * the environment variable VDI_DEBUG.
 */
void vdi_set_log(vdi_log_fn *fn, void *data, int level);

/* ---------------------------------------------------------------- module */

/*
 * Make /dev/vdiset available: if it is missing, load the module by libkmod, which
 * is itself loaded for that, if the caller is permitted to. Returns NOERROR,
 * VD_E_SECURITY (no permission) or VD_E_UNEXPECTED; on error, buf explains what
 * to do. The create, join and open calls do this by themselves.
 */
int vdi_load_module(char *buf, size_t size);

/* ---------------------------------------------------------------- client */

/* A client object in state "does not exist". VD_E_MEMORY. */
int vdi_client_new(struct vdi_client **out);
/* Close the set if it is open, and free the object. NULL is allowed. */
void vdi_client_free(struct vdi_client *client);

/*
 * CreateEx: create the set `name` of `instance` (NULL = the default instance)
 * as primary client; sets of different instances are kept apart. `access` may
 * be NULL for VDI_ACCESS_DEFAULT. `config`: deviceCount and the client's other
 * fields; the server's must be 0.
 *   VD_E_NOTSUPPORTED   a field of config is invalid
 *   VD_E_PROTOCOL       this object has a set, or the name is in use
 *   VD_E_INSTANCE_NAME  the instance has a backslash, or is too long
 *   VD_E_SECURITY       no access to /dev/vdiset, or access not permitted
 */
int vdi_client_create(struct vdi_client *client, const char *instance,
		      const char *name, const struct VDConfig *config,
		      const struct vdi_access *access);
/*
 * OpenInSecondaryEx: join a configured set from a further process. Only sets of
 * trusted users are found by their name.
 *   VD_E_PROTOCOL  no trusted user has such a set that the caller may see, or it
 *                  is not configured yet, or it has terminated
 *   VD_E_SECURITY  the caller may see the set, but not join it
 */
int vdi_client_open_in_secondary(struct vdi_client *client,
				 const char *instance, const char *name);
/* The same, by a descriptor of the set that another party has passed. */
int vdi_client_open_in_secondary_fd(struct vdi_client *client, int fd);
/* As vdi_server_set_trusted_users(), for joining by name. An extension. */
int vdi_client_set_trusted_users(struct vdi_client *client,
				 const uid_t *users, unsigned int count);
/*
 * GetConfiguration: wait until the server has configured the set.
 *   VD_E_TIMEOUT  not in time; call again
 */
int vdi_client_get_configuration(struct vdi_client *client,
				 int64_t timeout_ms, struct VDConfig *config);
/*
 * OpenDevice. The first device has the name of the set, and the others, by
 * convention, that name with 1, 2 and so on behind it. With name NULL (an
 * extension) the next one is opened that no client has opened, in the order of
 * the devices; a device without a name gets its name by convention. *out is
 * NULL on error. The device belongs to the client; it becomes invalid as
 * described above.
 *   VD_E_OPEN      every device is open already
 *   VD_E_PROTOCOL  not configured yet, or this device is open already
 *   VD_E_INVALID   no device has this name; the message lists those there are
 */
int vdi_client_open_device(struct vdi_client *client, const char *name,
			   struct vdi_client_device **out);
/*
 * Copy the name of device `index` (0 to deviceCount - 1), "" if it has none yet:
 * a device that neither the server nor a client has named or opened. An
 * extension.
 *   VD_E_INVALID  there is no such device, or size is too small: the name of a
 *                 device has at most VDI_NAME_SIZE bytes with the NUL
 */
int vdi_client_get_device_name(struct vdi_client *client, unsigned int index,
			       char *buf, size_t size);
/* Name under which the device was opened; valid as long as the device is. */
const char *vdi_client_device_name(const struct vdi_client_device *device);
/*
 * GetCommand. *cmd belongs to the library and is valid until its completion;
 * cmd->buffer until then is the caller's. Several commands may be held.
 *   VD_E_TIMEOUT  there was none in time
 *   VD_E_CLOSE    the server has closed the device, which does not mean that a
 *                 backup is complete: see vdi_client_outcome()
 *   VD_E_MEMORY   this process cannot map the growth of the area (RLIMIT_AS,
 *                 RLIMIT_MEMLOCK); the set is aborted by it
 */
int vdi_client_get_command(struct vdi_client_device *device,
			   int64_t timeout_ms, struct VDC_Command **cmd);
/*
 * CompleteCommand, in any order, from any thread. A server that sleeps is woken
 * at once.
 *   VD_E_INVALID  cmd is not a command held from this device, or completion_code
 *                 is negative, as errno values and VD_E_* codes are; the command
 *                 is still held if it was
 */
int vdi_client_complete_command(struct vdi_client_device *device,
				struct VDC_Command *cmd, int completion_code,
				uint32_t bytes_transferred, int64_t position);
/*
 * The same, many at a time; extensions. Each has the effect of as many single
 * calls in a row, but the other side sees all of it at once and is woken at
 * most once.
 *
 * Get: wait for the first command, take others that are available, up to max
 * (not 0), into cmds, and do not wait for more. *count is 0 on error.
 */
int vdi_client_get_commands(struct vdi_client_device *device,
			    int64_t timeout_ms, struct VDC_Command **cmds,
			    unsigned int max, unsigned int *count);
/* One completed command, as the arguments of vdi_client_complete_command(). */
struct vdi_completion {
	struct VDC_Command *cmd;
	int code;
	uint32_t bytes;
	int64_t position;
};
/*
 * Complete: count (not 0) of them, in this order.
 *   VD_E_INVALID  one is not a command held from this device, occurs twice, or
 *                 has a negative code; none was completed
 */
int vdi_client_complete_commands(struct vdi_client_device *device,
				 const struct vdi_completion *done,
				 unsigned int count);
/*
 * Complete, then get; one system call does both if the thread has to sleep.
 * `completed` may be 0. With VD_E_TIMEOUT and VD_E_CLOSE everything was
 * completed; with other errors nothing was, or the set is aborted. Only for the
 * thread that gets commands:
 *   VD_E_BUSY  another thread does; nothing was completed
 */
int vdi_client_exchange_commands(struct vdi_client_device *device,
				 const struct vdi_completion *done,
				 unsigned int completed, int64_t timeout_ms,
				 struct VDC_Command **cmds, unsigned int max,
				 unsigned int *count);
/*
 * Does what this client has seen amount to a whole backup, or restore? To be
 * called when GetCommand has returned VD_E_CLOSE on every device, and before
 * vdi_client_close(). NOERROR if the server has closed every device and, of
 * those that this object has opened, each is as vdi_client_device_outcome()
 * demands and, with VDF_CompleteEnabled, VDC_Complete has succeeded on one (not
 * demanded of an object that has opened some of the devices only). An extension.
 *   VD_E_BUSY      the server has not closed every device
 *   VD_E_PROTOCOL  the server has ended without what a whole backup requires, or
 *                  this object has opened no device
 *   VD_E_IO_ERROR  a command has failed
 *   VD_E_ABORT     the set is aborted
 */
int vdi_client_outcome(struct vdi_client *client);
/*
 * The same for one device, at any time: NOERROR if its backup would be whole if
 * it ended now. With VDF_WriteMedia a Flush (or Snapshot) has to have succeeded
 * after the last Write and WriteMark, no Write, WriteMark or Flush may have
 * failed (except for an end of the medium), and the data may not have been
 * discarded. In any case the device may not be in IO-ERROR, except by the end of
 * the data that a Read has met. What secondary clients do is not known here. An
 * extension.
 *   VD_E_PROTOCOL, VD_E_IO_ERROR, VD_E_ABORT  as above
 */
int vdi_client_device_outcome(struct vdi_client_device *device);
/**
 * vdi_client_expected_bytes() - how much the server will transfer on a device
 * @device: the device
 * @bytes: bytes of all transfers together, 0 = unknown
 *
 * What vdi_server_set_expected_bytes() has last set, which may be at any time: an
 * estimate, for progress, that need not be true. An extension.
 *
 * Return: NOERROR, VD_E_INVALID (a parameter is NULL), or VD_E_PROTOCOL (the set is
 * closed).
 */
int vdi_client_expected_bytes(struct vdi_client_device *device,
			      uint64_t *bytes);
/* GetBufferHandle, MapBufferHandle: pass a buffer to another client process. */
int vdi_client_get_buffer_handle(struct vdi_client *client,
				 const uint8_t *buffer, uint32_t *handle);
int vdi_client_map_buffer_handle(struct vdi_client *client, uint32_t handle,
				 uint8_t **buffer);
/**
 * vdi_client_set_rate() - limit the throughput of the set
 * @client: the client; it has a set
 * @bytes_per_second: limit for all devices together, in both directions; 0 = none
 *
 * May be called at any time; the server and observers can change the limit, too. The
 * clients of the set keep to it: complete_command, complete_commands and
 * exchange_commands, once the server has the completion, wait until the bytes
 * transferred are within the limit. An abort ends the wait. An extension.
 *
 * Return: NOERROR, or
 *   VD_E_ABORT         the set is aborted
 *   VD_E_CLOSE         the set has terminated
 *   VD_E_PROTOCOL      @client has no set
 *   VD_E_INVALID       @client is NULL
 *   VD_E_NOTSUPPORTED  the kernel module is too old
 */
int vdi_client_set_rate(struct vdi_client *client, uint64_t bytes_per_second);
/*
 * SignalAbort. All parties find text (NULL = none) and code in their abort
 * information. Completions that were recorded before (CompleteCommand returned
 * NOERROR) are delivered to the server; other commands are completed with 995.
 * After it has returned, GetCommand returns no command any more in this
 * process.
 *
 * After the server has closed every device it has effect on this client only:
 * its calls return VD_E_ABORT from then on, and the server is not affected.
 */
int vdi_client_signal_abort(struct vdi_client *client, uint32_t code,
			    const char *text);
/*
 * Close: release everything of the set; then the object may create or join
 * another one. Before state Active this is in order, and ends the set.
 *   VD_E_OPEN  devices of the set are open: the set was aborted by it; resources
 *              are released in this case, too
 */
int vdi_client_close(struct vdi_client *client);
/*
 * Set the largest number of iterations in which a thread polls for a command
 * before it sleeps; 0 = sleep at once. The actual number adapts itself below
 * that, and is 0 if the process may use one CPU only. For devices opened from
 * then on, of this set and later ones. The default is 4096, or the value of the
 * environment variable VDI_SPIN. An extension.
 *   VD_E_INVALID  more than 16777216 (1 << 24)
 */
int vdi_client_set_spin(struct vdi_client *client, unsigned int iterations);
/*
 * Choose whether (lock is not 0) buffers are locked in memory when they are
 * mapped, as by mlock(2): then they are never swapped out, which needs one
 * party only, and accessing one causes no page fault. To be called before
 * GetConfiguration, or before the set is joined; what is mapped already is not
 * changed. If locking fails (RLIMIT_MEMLOCK), the call that maps returns
 * VD_E_MEMORY: GetConfiguration, the call that joins, or GetCommand after the
 * area has grown. Off by default. An extension.
 */
int vdi_client_set_lock(struct vdi_client *client, int lock);
/* Descriptor of the set, for poll(2) and to be passed on; -1 if there is none. */
int vdi_client_fd(const struct vdi_client *client);
/*
 * Descriptor of the device. poll(2) is meaningful only while no call on the
 * device runs. For a device in IO-ERROR, call get_command after each completion
 * and before poll(2): the descriptor does not show a ClearError that was held
 * back until then.
 */
int vdi_client_device_fd(const struct vdi_client_device *device);
/*
 * Fill in the server of the set: a client that does not trust it aborts the
 * set. Also after an abort, until the server has left. An extension.
 *   VD_E_PROTOCOL  there is no set, or it has no server at present
 */
int vdi_client_get_peer(struct vdi_client *client, struct vdi_peer *peer);
/* The user whose process created the set. An extension. */
int vdi_client_get_creator(struct vdi_client *client, uid_t *creator);
/*
 * Fill in *info; reason 0 if the set is not aborted. After a join that failed:
 * about the set that was found, or VD_E_PROTOCOL if that is not known. Does not
 * change the message.
 */
int vdi_client_abort_info(struct vdi_client *client,
			  struct vdi_abort_info *info);
/*
 * Explanation of this thread's last failure of a call on this object; if it has
 * had none, of any thread's; "" if there was none.
 */
void vdi_client_message(struct vdi_client *client, char *buf, size_t size);

/* ---------------------------------------------------------------- server */

/* A server object in state "does not exist". VD_E_MEMORY. */
int vdi_server_new(struct vdi_server **out);
/*
 * Close the set if it is open, and free the object. NULL is allowed. Has no
 * effect if called from a completion routine of this server.
 */
void vdi_server_free(struct vdi_server *server);

/*
 * Open: connect to the set `name` of `instance` (NULL = the default instance)
 * that a trusted user has created. Names belong to users: a set of this name of
 * any other user is not joined, whatever its mode and the caller's privileges.
 *   VD_E_INVALID        no trusted user has such a set that the caller may see,
 *                       or it has terminated
 *   VD_E_ABORT          the set is aborted, but still open in a process
 *   VD_E_BUSY           the set has or had a server
 *   VD_E_SECURITY       the caller may see the set, but not join it
 *   VD_E_INSTANCE_NAME  the instance has a backslash, or is too long
 */
int vdi_server_open(struct vdi_server *server, const char *instance,
		    const char *name);
/* The same, by a descriptor of the set that another process has passed. */
int vdi_server_open_fd(struct vdi_server *server, int fd);
/*
 * Set the users whose sets Open joins, up to VDI_MAX_TRUSTED_USERS. Open tries
 * them in this order and prefers a live set to one that has ended. count 0
 * restores the default: the effective user of the caller, then root. For later
 * calls of Open. An extension.
 *   VD_E_INVALID  too many users, or one is (uid_t)-1
 */
int vdi_server_set_trusted_users(struct vdi_server *server,
				 const uid_t *users, unsigned int count);
/*
 * After an Open that joined nothing: the user who created a live set of that
 * name and is not trusted. Does not change the message, which names that user.
 * An extension.
 *   VD_E_PROTOCOL  there was no such set that the caller may see
 */
int vdi_server_get_untrusted(struct vdi_server *server, uid_t *user);
/* GetConfiguration: what the client requests; later, the final values. */
int vdi_server_get_configuration(struct vdi_server *server,
				 struct VDConfig *config);
/*
 * Set the number of commands that may be outstanding on a device (0 = the
 * default, 32; at most 1024). To be called before BeginConfiguration; also for
 * later sets. An extension.
 */
int vdi_server_set_queue_depth(struct vdi_server *server, unsigned int depth);
/*
 * BeginConfiguration. features: the client's, plus WriteMedia, ReadMedia or
 * both, and CompleteEnabled; block_size 0 = 512; alignment 0 = block_size;
 * max_transfer_size 0 = 64 KiB. The size of every Write and Read will have to be
 * a multiple of block_size.
 *   VD_E_NOTSUPPORTED  a value is out of range, or conflicts with another
 */
int vdi_server_begin_configuration(struct vdi_server *server,
				   uint32_t features, uint32_t block_size,
				   uint32_t alignment,
				   uint32_t max_transfer_size,
				   int64_t timeout_ms);
/* Name device `index`, before it is opened. An extension. */
int vdi_server_name_device(struct vdi_server *server, unsigned int index,
			   const char *name);
/*
 * RequestBuffers: announce `count` buffers of `size` data bytes. After
 * EndConfiguration the call allocates the memory; other threads, completion
 * routines included, can free and allocate buffers meanwhile.
 *   VD_E_MEMORY  no memory, or a limit is reached, which may be one of this
 *                process (RLIMIT_AS, RLIMIT_MEMLOCK); the set is not changed
 */
int vdi_server_request_buffers(struct vdi_server *server, uint32_t size,
			       uint32_t alignment, uint32_t count);
/* QueryAvailableBuffers: how many of this shape can be allocated now. */
int vdi_server_query_available_buffers(struct vdi_server *server,
				       uint32_t size, uint32_t alignment,
				       uint32_t *count);
/*
 * EndConfiguration. After VD_E_MEMORY the set is still Configurable, without
 * buffers. If buffers were allocated, but this process cannot map them, the set
 * is aborted.
 */
int vdi_server_end_configuration(struct vdi_server *server);
/* AllocateBuffer; VD_E_MEMORY if none is left. */
int vdi_server_allocate_buffer(struct vdi_server *server, uint8_t **buffer,
			       uint32_t size, uint32_t alignment);
int vdi_server_free_buffer(struct vdi_server *server, uint8_t *buffer,
			   uint32_t size);
/* IsSharedBuffer: 1 if the address is in the area of the set, else 0. */
int vdi_server_is_shared_buffer(struct vdi_server *server,
				const uint8_t *buffer);
/*
 * OpenDevice. With name NULL (an extension) the next one is opened, as by
 * vdi_client_open_device().
 *   VD_E_OPEN      every device is open
 *   VD_E_PROTOCOL  this device is open already
 *   VD_E_INVALID   no device has this name; the message lists those there are
 */
int vdi_server_open_device(struct vdi_server *server, const char *name,
			   struct vdi_server_device **out);
/* As vdi_client_get_device_name(). An extension. */
int vdi_server_get_device_name(struct vdi_server *server, unsigned int index,
			       char *buf, size_t size);
/*
 * SendCommand. The block belongs to the caller and must exist until its
 * completion routine has run. The completion agent runs it or, if sending fails
 * with one of these codes, the sending thread, before the call returns:
 *   VD_E_QUEUE_FULL  maxIODepth commands are outstanding      (1450)
 *   VD_E_IO_ERROR    in IO-ERROR, and this is not ClearError  (1117)
 *   VD_E_PROTOCOL    the device is not open                   (6)
 *   VD_E_ABORT       the set is aborted                       (995)
 * VD_E_INVALID (no routine, buffer not of this set, size not a multiple of
 * blockSize): no routine runs. A client that sleeps is woken at once.
 *
 * Since the routine may run inside of the call, it may not need a lock that the
 * caller holds, and may not send again when completionCode is one of those above:
 * the call would deadlock, or recurse without end. vdi_server_try_send_command()
 * does not run it.
 */
int vdi_server_send_command(struct vdi_server_device *device,
			    struct VDS_Command *cmd);
/*
 * The same, but no routine runs if the call fails: the command was not sent and
 * is the caller's again. Locks may be held, and completion routines may use it
 * after any completion code. Errors as above. An extension.
 */
int vdi_server_try_send_command(struct vdi_server_device *device,
				struct VDS_Command *cmd);
/*
 * Send many commands in this order, up to the first that cannot be sent, with
 * the effect of as many single calls: the one that cannot be sent is reported
 * by the return value and its routine; those after it are not used. The client
 * sees all at once and is woken at most once. *sent (NULL allowed) = number
 * sent. An extension.
 *   VD_E_INVALID  of the first that cannot be sent; or count is 0, or a block or
 *                 routine is NULL, and nothing was sent
 */
int vdi_server_send_commands(struct vdi_server_device *device,
			     struct VDS_Command *const *cmds,
			     unsigned int count, unsigned int *sent);
/*
 * SendCommand for completion routines that return at once. A client that sleeps
 * is woken when the agent has run the routines of one device at the latest; if
 * the agent sleeps then, by the same system call. Outside of a routine this is
 * the same as vdi_server_send_command(). An extension.
 */
int vdi_server_queue_command(struct vdi_server_device *device,
			     struct VDS_Command *cmd);
/**
 * vdi_server_set_expected_bytes() - tell the client how much there will be
 * @device: the device
 * @bytes: estimate of the bytes of all transfers on it together, 0 = unknown
 *
 * For the progress that clients show; see vdi_client_expected_bytes(). Nothing depends
 * on it. An extension.
 *
 * Return: NOERROR, VD_E_INVALID (@device is NULL), or VD_E_PROTOCOL (the set is closed).
 */
int vdi_server_set_expected_bytes(struct vdi_server_device *device,
				  uint64_t bytes);
/*
 * CloseDevice. Commands still outstanding are completed first; the client then
 * sees VD_E_CLOSE.
 *   VD_E_CLOSE  it is closed already
 */
int vdi_server_close_device(struct vdi_server_device *device);
/*
 * ExecuteCompletionAgent: run completion routines on this thread until every
 * device is closed and no command is outstanding (NOERROR), or until the set is
 * aborted or another thread closes it (VD_E_ABORT). In the latter case all
 * outstanding commands are completed first: with what the client had recorded
 * before the abort, the others with 995.
 */
int vdi_server_execute_completion_agent(struct vdi_server *server);
/*
 * One step of the agent, for servers with a single thread: run the routines of
 * completed commands; if there are none, wait for the first. An extension.
 * *count (NULL allowed) = routines run; 0 with NOERROR: interrupted by a
 * signal.
 *   VD_E_TIMEOUT  no command completed in time
 *   VD_E_CLOSE    every device is closed, no command is outstanding
 *   VD_E_ABORT    aborted; all outstanding commands were completed, as by the
 *                 agent
 *   VD_E_BUSY     another thread runs the agent
 */
int vdi_server_run_completions(struct vdi_server *server, int64_t timeout_ms,
			       unsigned int *count);
/* The same as vdi_client_set_rate(). */
int vdi_server_set_rate(struct vdi_server *server, uint64_t bytes_per_second);
int vdi_server_signal_abort(struct vdi_server *server, uint32_t code,
			    const char *text);
/*
 * Close: release everything of the set.
 *   VD_E_PROTOCOL  devices were open: the set was aborted by it, and outstanding
 *                  commands were completed, as by the agent; or there was no set;
 *                  or the call came from a routine that the agent runs, and had
 *                  no effect. (In a routine that a failed send runs it closes.)
 */
int vdi_server_close(struct vdi_server *server);
/*
 * As vdi_client_set_spin(), for the agent; for sets opened from then on. An
 * extension.
 */
int vdi_server_set_spin(struct vdi_server *server, unsigned int iterations);
/* As vdi_client_set_lock(); to be called before EndConfiguration. An extension. */
int vdi_server_set_lock(struct vdi_server *server, int lock);
int vdi_server_fd(const struct vdi_server *server);
/*
 * Fill in the primary client of the set: a server that does not trust it aborts
 * the set before BeginConfiguration. An extension.
 *   VD_E_PROTOCOL  there is no set, or its primary client has left
 */
int vdi_server_get_peer(struct vdi_server *server, struct vdi_peer *peer);
/* The user whose process created the set. An extension. */
int vdi_server_get_creator(struct vdi_server *server, uid_t *creator);
/*
 * As vdi_client_abort_info(). After an Open that returned VD_E_ABORT, why that
 * set was aborted.
 */
int vdi_server_abort_info(struct vdi_server *server,
			  struct vdi_abort_info *info);
void vdi_server_message(struct vdi_server *server, char *buf, size_t size);

/* -------------------------------------------------------------- observer */

/**
 * enum vdi_state - state of a set
 * @VDI_STATE_CREATED: no server has joined yet
 * @VDI_STATE_CONNECTED: the server has joined
 * @VDI_STATE_CONFIGURABLE: the server has begun to configure the set
 * @VDI_STATE_INITIALIZING: configured; devices may be opened
 * @VDI_STATE_ACTIVE: a device was opened
 * @VDI_STATE_TERMINATED: the server has closed every device; final
 * @VDI_STATE_ABORTED: aborted; final
 */
enum vdi_state {
	VDI_STATE_CREATED	= 1,
	VDI_STATE_CONNECTED	= 2,
	VDI_STATE_CONFIGURABLE	= 3,
	VDI_STATE_INITIALIZING	= 4,
	VDI_STATE_ACTIVE	= 5,
	VDI_STATE_TERMINATED	= 6,
	VDI_STATE_ABORTED	= 7
};

/**
 * enum vdi_device_state - state of a device
 * @VDI_DEVICE_STATE_IDLE: the server has not opened it yet
 * @VDI_DEVICE_STATE_OPEN: the server has it open
 * @VDI_DEVICE_STATE_CLOSED: the server has closed it
 */
enum vdi_device_state {
	VDI_DEVICE_STATE_IDLE	= 0,
	VDI_DEVICE_STATE_OPEN	= 1,
	VDI_DEVICE_STATE_CLOSED	= 2
};

/**
 * struct vdi_set_entry - one set of a list
 * @id: number of the set; never 0, and never used again
 * @state: enum vdi_state
 * @creator: user whose process created the set
 * @name_len: length of @name in bytes; 0 = the set has no name
 * @name: the name, NUL-terminated. Sets that were not created by this library may
 *	have control characters and NULs in it: see vdi_name_escape()
 */
struct vdi_set_entry {
	uint64_t id;
	uint32_t state;
	uid_t creator;
	uint32_t name_len;
	char name[VDI_NAME_SIZE];
};

/**
 * struct vdi_set_status - status of a set
 * @id: number of the set
 * @age_ns: time since its creation, in nanoseconds
 * @area_bytes: size of the buffer area, 0 before it exists
 * @rate: rate limit in bytes per second, 0 = none; see vdi_observer_set_rate()
 * @state: enum vdi_state
 * @mode: permission bits
 * @uid: owner
 * @gid: group
 * @creator: user whose process created the set
 * @secondaries: secondary clients that have joined
 * @client_devices: devices that a client has opened
 * @server_devices: devices that the server has opened
 * @config: the configuration; what the server fixes is 0 before that
 * @primary: the primary client; role 0 when it has left
 * @server: the server; role 0 before it has joined and when it has left
 * @abort: the first abort; reason 0 when the set is not aborted
 * @name_len: length of @name in bytes; 0 = the set has no name
 * @name: the name, NUL-terminated, as in struct vdi_set_entry
 * @reserved: 0
 */
struct vdi_set_status {
	uint64_t id;
	uint64_t age_ns;
	uint64_t area_bytes;
	uint64_t rate;
	uint32_t state;
	uint32_t mode;
	uid_t uid;
	gid_t gid;
	uid_t creator;
	uint32_t secondaries;
	uint32_t client_devices;
	uint32_t server_devices;
	struct VDConfig config;
	struct vdi_peer primary;
	struct vdi_peer server;
	struct vdi_abort_info abort;
	uint32_t name_len;
	char name[VDI_NAME_SIZE];
	uint64_t reserved[3];
};

/**
 * struct vdi_device_status - status of a device
 * @commands: commands sent so far, as the server reports it
 * @completions: commands completed so far, as the client reports it
 * @bytes: bytes transferred so far, as the client reports it
 * @server_waited_ns: nanoseconds that the server has slept with commands
 *	outstanding on this device: the client is slow
 * @client_waited_ns: nanoseconds that the client has slept without a command: the
 *	server is slow
 * @state: enum vdi_device_state
 * @client: the client that has the device open; role 0 when there is none
 * @server: the server when it has the device open, else role 0
 * @name_len: length of @name in bytes; 0 = the device has no name yet
 * @name: the name, NUL-terminated, as in struct vdi_set_entry
 * @reserved: 0
 *
 * The counters are figures for people: a party may write anything there.
 */
struct vdi_device_status {
	uint64_t commands;
	uint64_t completions;
	uint64_t bytes;
	uint64_t server_waited_ns;
	uint64_t client_waited_ns;
	uint32_t state;
	struct vdi_peer client;
	struct vdi_peer server;
	uint32_t name_len;
	char name[VDI_NAME_SIZE];
	uint64_t reserved[4];
};

/**
 * struct vdi_module_info - the kernel module, its limits and their use
 * @max_set_bytes: largest buffer area of a set
 * @max_user_bytes: largest sum of the areas of one user's sets
 * @max_total_bytes: largest sum of all areas
 * @total_bytes: sum of all areas that exist
 * @version: version of the interface of the module
 * @max_devices: devices of a set
 * @max_depth: commands outstanding on a device, at most
 * @default_depth: the same, where the server does not choose
 * @max_sets: sets of one user
 * @sets: sets that exist, those that the caller may not see included
 * @reserved: 0
 */
struct vdi_module_info {
	uint64_t max_set_bytes;
	uint64_t max_user_bytes;
	uint64_t max_total_bytes;
	uint64_t total_bytes;
	uint32_t version;
	uint32_t max_devices;
	uint32_t max_depth;
	uint32_t default_depth;
	uint32_t max_sets;
	uint32_t sets;
	uint64_t reserved[4];
};

/*
 * An observer looks at sets without joining them. It sees the sets that the
 * caller may read; aborting one takes write permission. No set depends on an
 * observer: it may be freed, and its process may end, at any time. An observer
 * is for one thread at a time.
 */
struct vdi_observer;

/**
 * vdi_observer_new() - create an observer
 * @out: the observer, to be freed by vdi_observer_free(); NULL on error
 *
 * Return: NOERROR, VD_E_INVALID (@out is NULL) or VD_E_MEMORY.
 */
int vdi_observer_new(struct vdi_observer **out);
/**
 * vdi_observer_free() - close and free an observer
 * @observer: the observer; NULL is allowed
 */
void vdi_observer_free(struct vdi_observer *observer);
/**
 * vdi_observer_open() - open /dev/vdiset
 * @observer: the observer
 *
 * The other calls do this by themselves. The module is not loaded by it: where
 * it is not loaded there are no sets.
 *
 * Return: NOERROR, also when it is open already, or
 *   VD_E_INVALID     @observer is NULL
 *   VD_E_NOTOPEN     the kernel module is not loaded
 *   VD_E_SECURITY    it is loaded, but this process has no access to /dev/vdiset
 *   VD_E_UNEXPECTED  the system refused something; the message says what
 */
int vdi_observer_open(struct vdi_observer *observer);
/**
 * vdi_observer_next() - step through the sets that the caller may see
 * @observer: the observer
 * @entry: in: @id of the set before, 0 for the first; out: the next set
 *
 * Sets are listed in the order of their numbers. Those that come and go
 * meanwhile may be missing.
 *
 * Return: NOERROR, VD_E_CLOSE after the last set, or an error of
 * vdi_observer_open().
 */
int vdi_observer_next(struct vdi_observer *observer,
		      struct vdi_set_entry *entry);
/**
 * vdi_observer_find() - find the sets that a name stands for
 * @observer: the observer
 * @name: NAME, for sets of every user, or USER:NAME, for those that USER created;
 *	USER is a name or a number. A set that has a colon in its name is found by
 *	the whole of it, too
 * @sets: the first @max of the sets found; may be NULL with @max 0
 * @max: number of elements of @sets
 * @count: number of sets found, which may be more than @max; 0 on error
 *
 * Sets that have ended are found only when there is no live set, and then only
 * the last of them.
 *
 * Return: NOERROR: @count is 1 or more, and a caller that wants one set must check
 * it;
 *   VD_E_INVALID  there is no such set that the caller may see, or an argument is
 *                 NULL
 * or an error of vdi_observer_open().
 */
int vdi_observer_find(struct vdi_observer *observer, const char *name,
		      struct vdi_set_entry *sets, unsigned int max,
		      unsigned int *count);
/**
 * vdi_observer_status() - read the status of a set and its devices
 * @observer: the observer
 * @id: number of the set
 * @status: the status
 * @devices: status of the devices, in their order; may be NULL with @max 0
 * @max: number of elements of @devices. Those beyond the devices of the set,
 *	status->config.deviceCount, are zeroed
 *
 * Return: NOERROR, or
 *   VD_E_INVALID  there is no such set that the caller may see, or an argument is
 *                 NULL
 *   VD_E_MEMORY   the limit of memberships of the caller's user is reached
 * or an error of vdi_observer_open().
 */
int vdi_observer_status(struct vdi_observer *observer, uint64_t id,
			struct vdi_set_status *status,
			struct vdi_device_status *devices, unsigned int max);
/**
 * vdi_observer_abort() - abort a set
 * @observer: the observer
 * @id: number of the set
 * @code: any number; the parties find it in their abort information
 * @text: a short reason for people, NULL = none; what is beyond VDI_TEXT_SIZE - 1
 *	bytes is cut off
 *
 * Return: NOERROR: the set is aborted, by this call or by another party at the
 * same time; every call of its parties that waits has been woken. Or
 *   VD_E_ABORT     the set was aborted before
 *   VD_E_CLOSE     the set has terminated, and was not changed
 *   VD_E_SECURITY  the caller may see the set, but not abort it
 *   VD_E_INVALID   there is no such set that the caller may see
 *   VD_E_MEMORY    the limit of memberships of the caller's user is reached
 * or an error of vdi_observer_open().
 */
int vdi_observer_abort(struct vdi_observer *observer, uint64_t id,
		       uint32_t code, const char *text);
/**
 * vdi_observer_set_rate() - limit the throughput of a set
 * @observer: the observer
 * @id: number of the set
 * @bytes_per_second: limit for all devices together, in both directions; 0 = none
 *
 * As vdi_client_set_rate(). Requires write permission, as an abort does.
 *
 * Return: NOERROR, or
 *   VD_E_ABORT         the set is aborted
 *   VD_E_CLOSE         the set has terminated
 *   VD_E_SECURITY      the caller may see the set, but not change it
 *   VD_E_INVALID       there is no such set that the caller may see
 *   VD_E_MEMORY        the limit of memberships of the caller's user is reached
 *   VD_E_NOTSUPPORTED  the kernel module is too old
 * or an error of vdi_observer_open().
 */
int vdi_observer_set_rate(struct vdi_observer *observer, uint64_t id,
			  uint64_t bytes_per_second);
/**
 * vdi_observer_info() - read version, limits and use of the kernel module
 * @observer: the observer
 * @info: the values
 *
 * Return: NOERROR, VD_E_INVALID (an argument is NULL) or an error of
 * vdi_observer_open().
 */
int vdi_observer_info(struct vdi_observer *observer,
		      struct vdi_module_info *info);
/**
 * vdi_observer_message() - explain the last failure
 * @observer: the observer
 * @buf: the text, always NUL-terminated; "" when no call has failed
 * @size: size of @buf in bytes
 */
void vdi_observer_message(struct vdi_observer *observer, char *buf,
			  size_t size);
/**
 * vdi_state_name() - name of a state of a set
 * @state: enum vdi_state
 *
 * Return: static text such as "active"; "unknown" for other numbers.
 */
const char *vdi_state_name(int state);
/**
 * vdi_reason_name() - name of the reason of an abort
 * @reason: enum vdi_reason
 *
 * Return: static text such as "died"; "unknown" for other numbers.
 */
const char *vdi_reason_name(int reason);
/**
 * vdi_name_escape() - make a name printable
 * @name: bytes of a name or command name
 * @length: their number
 * @buf: the text, always NUL-terminated: space, backslash and control characters
 *	are written as \xNN, other bytes stay
 * @size: size of @buf in bytes; 4 * @length + 1 are enough, else the rest is left
 *	out
 */
void vdi_name_escape(const char *name, size_t length, char *buf, size_t size);

#ifdef __cplusplus
}
#endif

#endif /* LIBVDI_H */
