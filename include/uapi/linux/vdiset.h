/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * vdiset: virtual device sets, the kernel's part of the Virtual Device
 * Interface (VDI) between a database and its backup program.
 */
#ifndef _UAPI_LINUX_VDISET_H
#define _UAPI_LINUX_VDISET_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: overview
 *
 * A *virtual device set* has one primary client (the backup program, which
 * creates it), at most one server (the database, which attaches to it), any
 * number of secondary clients (further processes of the backup program) and
 * observers (tools that show it and may abort it). It has 1 to 64 *devices*;
 * the server sends commands on a device, a client executes and completes them.
 * The data of the commands is in one buffer *area*, which all parties except
 * observers may map.
 *
 * The kernel manages names, access, states, memory, sleeping and waking, abort
 * and the death of a party. It never reads a command or data.
 *
 * Files: open("/dev/vdiset") returns an unbound *set file*. CREATE or ATTACH
 * binds it permanently to one set in one role. OPEN_DEVICE on a set file
 * returns a *device file*. The process that binds a set file, or opens a device
 * file, is the party. When it closes its last descriptor of that file (by
 * close(2), exec or exit) without CLOSE or DEVICE_CLOSE, the set is aborted with
 * %VDISET_REASON_DIED, even if another process has inherited or received the
 * descriptor. After the server's ATTACH, a process is treated as dead at most two
 * seconds after the fatal signal or exit(2), even if its exit is delayed by
 * freeing its memory, a core dump, asynchronous I/O or a thread in
 * uninterruptible sleep. (Precisely, a party is a table of descriptors: processes
 * that share one through clone(CLONE_FILES) are one party; a process that leaves
 * it with unshare(2) is not part of it.)
 *
 * Life of a set::
 *
 *   CREATE         ATTACH (server)   CONFIGURE          END_CONFIG
 *     -> CREATED  ->  CONNECTED  ->  CONFIGURABLE  ->  INITIALIZING
 *        first OPEN_DEVICE      last DEVICE_CLOSE (server)
 *     ->      ACTIVE        ->  TERMINATED
 *   and from each of these except TERMINATED, by ABORT, by the death of a
 *   party or by an early CLOSE:  ABORTED
 *
 * Names belong to users: the key of a set is the name together with the effective
 * user id of the process that created it. Two users may have sets of the same
 * name at the same time; one user may not. A name is in use from CREATE until the
 * set is TERMINATED or ABORTED.
 */

/**
 * DOC: rules of the ioctls
 *
 * The argument is a pointer to the structure named with the request. Its first
 * member, size, is the size that the caller was compiled with. A structure larger
 * than the kernel's is accepted if the additional members are zero and it is not
 * larger than a page (else %E2BIG), a smaller one if it contains the members of
 * the first version (else %EINVAL). Members called out_* are written by the
 * kernel; reserved members and unknown flags must be zero. Names are 1 to 255
 * bytes of any value except NUL (%EINVAL, %ENAMETOOLONG); the kernel does not
 * interpret them.
 *
 * Errors of every request. A request that fails changes nothing; the exception is
 * %EFAULT when another thread unmaps the structure during the request:
 *
 * - %ENOTTY: this kind of file does not have the request
 * - %EFAULT: the structure, or memory it points to, cannot be accessed
 * - %EINVAL, %E2BIG: see above, or a value out of range
 * - %ENOTCONN: the set file is not bound to a set
 * - %EPERM: the role of the file does not permit the request
 * - %EBADFD: the state of the set or device does not permit it (VD_E_PROTOCOL)
 * - %ECANCELED: the set is aborted (VD_E_ABORT); STATUS has the abort record
 * - %ENOMEM: out of memory
 *
 * Further errors are listed with each request. Sizes are in bytes, time spans in
 * nanoseconds; a negative time-out waits indefinitely, 0 does not wait. %EINTR
 * may have causes other than a signal (the freezer, io_uring work for the
 * caller): repeat the request.
 */

/**
 * DOC: rings
 *
 * Each device has two rings of the same depth, a power of two: commands, produced
 * by the server, and completions, produced by the client. Each side has a region
 * that only it can write, and a read-only mapping of the other's:
 *
 * - server region: command tail, completion head, the command entries
 * - client region: completion tail, command head, the completion entries
 *
 * So &vdiset_region.tail belongs to the ring that the owner of the region
 * produces, &vdiset_region.head to the ring that it consumes. Indices are
 * free-running 32-bit counters; an entry is at index modulo depth. The server
 * keeps at most depth commands outstanding (sent and not yet completed), so
 * neither ring can overflow.
 *
 * Order of accesses, producer (P) and consumer (C) of one ring::
 *
 *   P  write entry                     C  load-acquire tail       (B)
 *   P  store-release tail      (A)     C  copy entry, use the copy
 *   P  full barrier            (C)     C  store-release head      (E)
 *   P  if C's need_wakeup: kick
 *   P  load-acquire head       (F)     and before sleeping:
 *      before it reuses a slot         C  store need_wakeup = 1
 *                                      C  full barrier            (D)
 *                                      C  load-acquire tail; if it has
 *                                         changed, do not sleep
 *                                      C  DEVICE_WAIT or WAIT
 *                                      C  store need_wakeup = 0
 *
 * A pairs with B: an entry is complete before its index is visible. C pairs with
 * D: either the producer sees need_wakeup or the consumer sees the new tail.
 * E pairs with F: a slot is not reused before its entry was copied. The kernel
 * queues the thread before it compares the tail with @seen (G), and a kick wakes
 * after the tail was stored (H), so no wake-up is lost between D and the sleep.
 *
 * Several threads may produce on one ring. They write entries and store the tail
 * one at a time, under a lock of their own; unlocking does not replace barrier C.
 * Each of them then executes C and checks need_wakeup, with or without the lock,
 * and kicks if it is set. A kick may be deferred, and one kick may serve several
 * entries, if C is executed after the last of them.
 *
 * A producer may omit a kick for a need_wakeup greater than 1 if the same
 * number was kicked before, under these conditions:
 *
 * - The consumer does not store the same number again, and does not sleep
 *   with it after it has taken an entry. It stores need_wakeup with release,
 *   after its head. A consumer that does not do so stores 1, and is always
 *   kicked.
 * - The earlier kick was made with an entry in the ring that the kernel can see
 *   and the consumer has not taken: after need_wakeup, the thread loaded the
 *   head (acquire), then the tail, and they differed. It reads the tail from
 *   its own region, not from a private copy that is stored before or after the
 *   tail. A kick without such an entry does not end the sleep, and other
 *   threads must not rely on it. If head and tail are equal, no kick is needed.
 * - A thread on whose kick others rely makes it immediately.
 *
 * Neither side trusts the other: keep private copies of the indices you write,
 * read each word of the other side once, check tail - head <= depth, and copy an
 * entry before you validate it. Respond to a violation with ABORT and
 * %VDISET_REASON_PROTOCOL.
 */

#define VDISET_VERSION		1
#define VDISET_DEVICE_PATH	"/dev/vdiset"

#define VDISET_MAX_DEVICES	64
#define VDISET_DEFAULT_DEPTH	32
#define VDISET_MAX_DEPTH	1024
#define VDISET_NAME_MAX		255
#define VDISET_TEXT_SIZE	128
#define VDISET_COMM_SIZE	16

/**
 * enum vdiset_set_state - state of a set
 * @VDISET_STATE_CREATED: created, no server yet
 * @VDISET_STATE_CONNECTED: the server is attached
 * @VDISET_STATE_CONFIGURABLE: the server has set features and sizes and may
 *	request buffers
 * @VDISET_STATE_INITIALIZING: buffers and rings exist, devices may be opened
 * @VDISET_STATE_ACTIVE: a device was opened
 * @VDISET_STATE_TERMINATED: the server has closed every device; final
 * @VDISET_STATE_ABORTED: aborted; final
 */
enum vdiset_set_state {
	VDISET_STATE_CREATED = 1,
	VDISET_STATE_CONNECTED = 2,
	VDISET_STATE_CONFIGURABLE = 3,
	VDISET_STATE_INITIALIZING = 4,
	VDISET_STATE_ACTIVE = 5,
	VDISET_STATE_TERMINATED = 6,
	VDISET_STATE_ABORTED = 7
};

/**
 * enum vdiset_device_state - state of a device
 * @VDISET_DEVICE_IDLE: not opened by the server yet
 * @VDISET_DEVICE_OPEN: opened by the server
 * @VDISET_DEVICE_CLOSED: closed by the server. A load-acquire of this value from
 *	the state page is ordered before loads of the server's last tail
 */
enum vdiset_device_state {
	VDISET_DEVICE_IDLE = 0,
	VDISET_DEVICE_OPEN = 1,
	VDISET_DEVICE_CLOSED = 2
};

/**
 * enum vdiset_role - role of a set file in its set
 * @VDISET_ROLE_PRIMARY: created the set
 * @VDISET_ROLE_SECONDARY: further client process
 * @VDISET_ROLE_SERVER: the database
 * @VDISET_ROLE_OBSERVER: may read the state of the set and, with write access,
 *	abort it; its death does not abort the set
 */
enum vdiset_role {
	VDISET_ROLE_PRIMARY = 1,
	VDISET_ROLE_SECONDARY = 2,
	VDISET_ROLE_SERVER = 3,
	VDISET_ROLE_OBSERVER = 4
};

/**
 * enum vdiset_reason - why a set was aborted
 * @VDISET_REASON_SIGNAL: SignalAbort
 * @VDISET_REASON_PROTOCOL: the peer violated the rules of the rings
 * @VDISET_REASON_TIMEOUT: the peer did not respond in time
 * @VDISET_REASON_CLOSED: a party called CLOSE before the set had ended (set by the
 *	kernel only)
 * @VDISET_REASON_DIED: a party dropped its file without CLOSE (set by the kernel
 *	only)
 */
enum vdiset_reason {
	VDISET_REASON_SIGNAL = 1,
	VDISET_REASON_PROTOCOL = 2,
	VDISET_REASON_TIMEOUT = 3,
	VDISET_REASON_CLOSED = 4,
	VDISET_REASON_DIED = 5
};

/**
 * struct vdiset_config - configuration of a set, the fields of VDConfig
 * @device_count: number of devices, 1 to %VDISET_MAX_DEVICES
 * @features: VDF_* bits; those that the client requests until CONFIGURE, then
 *	those that the server has set
 * @prefix_zone_size: set by the client
 * @alignment: set by the client, then by the server
 * @soft_file_mark_block_size: set by the client
 * @eom_warning_size: set by the client
 * @server_timeout: set by the client, milliseconds
 * @block_size: set by the server
 * @max_io_depth: depth of the rings, once they exist
 * @max_transfer_size: set by the server
 * @buffer_area_size: size of the whole area, once it exists
 *
 * The kernel uses only @device_count, @max_io_depth and @buffer_area_size; it
 * passes the other fields to the other side, which checks them.
 */
struct vdiset_config {
	__u32 device_count;
	__u32 features;
	__u32 prefix_zone_size;
	__u32 alignment;
	__u32 soft_file_mark_block_size;
	__u32 eom_warning_size;
	__u32 server_timeout;
	__u32 block_size;
	__u32 max_io_depth;
	__u32 max_transfer_size;
	__aligned_u64 buffer_area_size;
};

/**
 * struct vdiset_peer - a party, as seen by the caller
 * @role: enum vdiset_role; 0 if there is no such party
 * @pid: process id in the caller's pid namespace; 0 if it is not visible there
 * @uid: effective user id at the time it joined, in the caller's namespace
 * @gid: effective group id, likewise
 * @comm: command name of the process when it joined, NUL-terminated
 */
struct vdiset_peer {
	__u32 role;
	__u32 pid;
	__u32 uid;
	__u32 gid;
	char comm[VDISET_COMM_SIZE];
};

/**
 * struct vdiset_abort_record - the first abort of a set
 * @time_ns: CLOCK_REALTIME
 * @reason: enum vdiset_reason; 0 if the set is not aborted
 * @code: @code of ABORT, not interpreted
 * @by: the party
 * @text: @text of ABORT, NUL-terminated, not interpreted
 */
struct vdiset_abort_record {
	__aligned_u64 time_ns;
	__u32 reason;
	__u32 code;
	struct vdiset_peer by;
	char text[VDISET_TEXT_SIZE];
};

#define VDISET_IOC_TYPE		0xD5

/**
 * struct vdiset_info - ioctl(VDISET_INFO), any file
 * @size: sizeof(struct vdiset_info)
 * @flags: 0
 * @out_version: %VDISET_VERSION of the module
 * @out_max_devices: devices in one set
 * @out_max_depth: largest ring depth
 * @out_default_depth: ring depth for a @depth of 0 in CONFIGURE
 * @out_max_sets: limit: sets of one user
 * @out_sets: sets that exist
 * @out_features: 0; for features of later versions
 * @out_max_set_bytes: limit: area of one set
 * @out_max_user_bytes: limit: areas of one user
 * @out_max_total_bytes: limit: all areas
 * @out_total_bytes: all areas that exist
 */
struct vdiset_info {
	__u32 size;
	__u32 flags;
	__u32 out_version;
	__u32 out_max_devices;
	__u32 out_max_depth;
	__u32 out_default_depth;
	__u32 out_max_sets;
	__u32 out_sets;
	__aligned_u64 out_features;
	__aligned_u64 out_max_set_bytes;
	__aligned_u64 out_max_user_bytes;
	__aligned_u64 out_max_total_bytes;
	__aligned_u64 out_total_bytes;
};
#define VDISET_INFO		_IO(VDISET_IOC_TYPE, 0x00)

/**
 * struct vdiset_create - ioctl(VDISET_CREATE), unbound set file
 * @size: sizeof(struct vdiset_create)
 * @flags: 0
 * @name: pointer to the name; 0 with @name_len 0
 * @name_len: its length; 0 = a set without a name, joined by passing a file, or by
 *	its number where @mode admits the caller
 * @mode: permission bits, applied as for a file. Read permission is needed to see
 *	the set (LIST, STATUS of an observer), write permission to join and to
 *	abort it
 * @uid: owner, or -1 = the caller's effective user id
 * @gid: group, or -1 = the caller's effective group id
 * @reserved: 0
 * @config: device_count and the client's other fields; block_size,
 *	max_io_depth, max_transfer_size and buffer_area_size must be 0
 * @out_id: number of the set, never reused
 *
 * The caller becomes primary client; the first device has the name of the set.
 * An owner other than the caller, or a group that the caller is not in, requires
 * CAP_CHOWN. Regardless of @uid, the name belongs to the caller's effective user
 * id: that is the creator that ATTACH names.
 *
 * Errors: %EISCONN the file is bound already; %EEXIST the caller's user has a
 * set of this name that has not ended; %EPERM uid or gid not permitted; %EDQUOT
 * the limit of sets or memberships of the user, or of all sets, is reached.
 */
struct vdiset_create {
	__u32 size;
	__u32 flags;
	__aligned_u64 name;
	__u32 name_len;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u32 reserved[2];
	struct vdiset_config config;
	__aligned_u64 out_id;
};
#define VDISET_CREATE		_IO(VDISET_IOC_TYPE, 0x01)

/* flags of struct vdiset_attach: how the set is named; exactly one */
#define VDISET_ATTACH_BY_NAME	(1U << 0)
#define VDISET_ATTACH_BY_ID	(1U << 1)
#define VDISET_ATTACH_BY_FD	(1U << 2)

/**
 * struct vdiset_attach - ioctl(VDISET_ATTACH), unbound set file
 * @size: sizeof(struct vdiset_attach)
 * @flags: one VDISET_ATTACH_BY_*
 * @role: %VDISET_ROLE_SERVER, %VDISET_ROLE_SECONDARY or %VDISET_ROLE_OBSERVER
 * @fd: BY_FD: a bound set file, which grants its own access. Else 0
 * @id: BY_ID: number of the set. Else 0
 * @name: BY_NAME: pointer to the name. Else 0
 * @name_len: BY_NAME: its length. Else 0
 * @creator: BY_NAME: effective user id of the process that created the set, in
 *	the caller's namespace. Else 0
 * @out_id: number of the set
 *
 * BY_NAME searches only the sets that @creator has created: privilege
 * (CAP_IPC_OWNER) grants access to a set, but does not change which set is found.
 * The owner of a set is not considered. The result is the live set of the name
 * or, if there is none, the last one of that name while it exists, so that a
 * server that attaches too late gets an error that says how the set ended.
 *
 * Errors: %EISCONN the file is bound already; %EINVAL @creator is no user of
 * the caller's namespace; %ENOENT there is no such set, or the caller may not see
 * it; %EACCES the caller may see the set but not join it; %EBADF @fd is not open;
 * %EINVAL @fd is not a bound set file; %EBUSY the set has or had a server;
 * %EAGAIN secondary: the set is not configured yet; %EPIPE the set has
 * terminated; %EDQUOT the limit of memberships of the user is reached.
 */
struct vdiset_attach {
	__u32 size;
	__u32 flags;
	__u32 role;
	__s32 fd;
	__aligned_u64 id;
	__aligned_u64 name;
	__u32 name_len;
	__u32 creator;
	__aligned_u64 out_id;
};
#define VDISET_ATTACH		_IO(VDISET_IOC_TYPE, 0x02)

/* flags of struct vdiset_get_config */
#define VDISET_CONFIG_WAIT	(1U << 0)

/**
 * struct vdiset_get_config - ioctl(VDISET_GET_CONFIG), set file
 * @size: sizeof(struct vdiset_get_config)
 * @flags: VDISET_CONFIG_WAIT: wait until the server has ended configuration
 * @timeout_ns: longest wait; 0 without VDISET_CONFIG_WAIT
 * @out_config: the configuration, as requested by the client or set by the server
 * @out_state: enum vdiset_set_state that @out_config belongs to
 * @reserved: 0
 *
 * Errors: %ETIMEDOUT; %EINTR.
 */
struct vdiset_get_config {
	__u32 size;
	__u32 flags;
	__s64 timeout_ns __attribute__((aligned(8)));
	struct vdiset_config out_config;
	__u32 out_state;
	__u32 reserved;
};
#define VDISET_GET_CONFIG	_IO(VDISET_IOC_TYPE, 0x03)

/**
 * struct vdiset_configure - ioctl(VDISET_CONFIGURE), server
 * @size: sizeof(struct vdiset_configure)
 * @flags: 0
 * @features: VDF_* bits
 * @block_size: block size
 * @alignment: alignment of buffers
 * @max_transfer_size: largest transfer
 * @depth: entries of each ring, rounded up to a power of two; at most
 *	%VDISET_MAX_DEPTH; 0 = %VDISET_DEFAULT_DEPTH
 * @reserved: 0
 *
 * CONNECTED -> CONFIGURABLE. The values are reported by GET_CONFIG; only @depth is
 * interpreted.
 */
struct vdiset_configure {
	__u32 size;
	__u32 flags;
	__u32 features;
	__u32 block_size;
	__u32 alignment;
	__u32 max_transfer_size;
	__u32 depth;
	__u32 reserved;
};
#define VDISET_CONFIGURE	_IO(VDISET_IOC_TYPE, 0x04)

/**
 * struct vdiset_name_device - ioctl(VDISET_NAME_DEVICE), server
 * @size: sizeof(struct vdiset_name_device)
 * @flags: 0
 * @name: pointer to the name
 * @name_len: its length
 * @index: the device, 0 to device_count - 1
 *
 * Names a device before it is opened; only in CONFIGURABLE. An unnamed device
 * gets the first unknown name that OPEN_DEVICE is called with.
 *
 * Errors: %EEXIST another device has the name; %EBUSY the device has another
 * name.
 */
struct vdiset_name_device {
	__u32 size;
	__u32 flags;
	__aligned_u64 name;
	__u32 name_len;
	__u32 index;
};
#define VDISET_NAME_DEVICE	_IO(VDISET_IOC_TYPE, 0x05)

/**
 * struct vdiset_request_buffers - ioctl(VDISET_REQUEST_BUFFERS), server
 * @size: sizeof(struct vdiset_request_buffers)
 * @flags: 0
 * @bytes: bytes to add to the area, not 0; the area is rounded up to whole
 *	pages, a large one to whole huge pages
 * @out_area_size: size the area has, or will have after END_CONFIG
 *
 * In CONFIGURABLE the requests are added up for END_CONFIG. In INITIALIZING and
 * ACTIVE the area grows immediately; existing mappings stay valid. It then grows
 * by at least its own size, up to 2 MiB, so that a server that grows it in small
 * steps cannot exhaust the number of mappings of its clients' processes.
 * The request allocates the memory and charges it to the caller's memory cgroup,
 * on the NUMA nodes of the caller's memory policy (see set_mempolicy(2)), by
 * default on the node of the processor that it runs on. Pages that are not locked
 * (mlock(2)) may be swapped out.
 *
 * Memory is allocated in steps of at most 4 MiB. A signal, or io_uring work for
 * the caller, ends the request with %EINTR between two steps; the allocated memory
 * is kept, charged to the user, and a repeated request continues from there. An
 * abort ends the request with %ECANCELED after the current step, and its memory is
 * freed. During the first step of a request signals are blocked in the calling
 * thread, so that a signal for the process may be handled by another thread.
 *
 * Errors: %ENOMEM out of memory, or beyond the limit of the set or of all sets
 * (the OOM killer is not called); %EDQUOT beyond the limit of the user; %EINTR
 * interrupted as described: repeat the request.
 */
struct vdiset_request_buffers {
	__u32 size;
	__u32 flags;
	__aligned_u64 bytes;
	__aligned_u64 out_area_size;
};
#define VDISET_REQUEST_BUFFERS	_IO(VDISET_IOC_TYPE, 0x06)

/**
 * struct vdiset_end_config - ioctl(VDISET_END_CONFIG), server
 * @size: sizeof(struct vdiset_end_config)
 * @flags: 0
 * @out_config: the configuration as the client will see it
 *
 * CONFIGURABLE -> INITIALIZING, which GET_CONFIG of the clients waits for.
 * Allocates the rings (which have a limit of their own) and the area (as
 * REQUEST_BUFFERS does). Both are charged to the caller's user; if the server's
 * files are released before those of the clients, the charge moves to the user of
 * one of them. On %ENOMEM or %EDQUOT the set stays CONFIGURABLE and earlier
 * REQUEST_BUFFERS are discarded; on %EINTR (see there) the set stays CONFIGURABLE
 * and a repeated request continues the allocation.
 */
struct vdiset_end_config {
	__u32 size;
	__u32 flags;
	struct vdiset_config out_config;
};
#define VDISET_END_CONFIG	_IO(VDISET_IOC_TYPE, 0x07)

/**
 * struct vdiset_open_device - ioctl(VDISET_OPEN_DEVICE), server and clients
 * @size: sizeof(struct vdiset_open_device)
 * @flags: 0
 * @name: pointer to the name of the device
 * @name_len: its length
 * @out_fd: the device file, close-on-exec
 * @out_index: index of the device in the set
 * @out_depth: entries of each ring
 * @out_ro_size: size of the read-only mapping at %VDISET_MMAP_RO
 * @out_rw_size: size of the read-write mapping at %VDISET_MMAP_RW
 * @out_peer_offset: offset of the peer's region in the read-only mapping
 * @reserved: 0
 *
 * The server may open each device once, and one client may open it once. A client
 * may still open a device that the server has closed.
 *
 * Errors: %ENOENT all devices have names, and none has this one; %EBUSY this side
 * has opened the device before; %ENOSPC this side has opened all devices;
 * %EMFILE, %ENFILE too many open files.
 */
struct vdiset_open_device {
	__u32 size;
	__u32 flags;
	__aligned_u64 name;
	__u32 name_len;
	__s32 out_fd;
	__u32 out_index;
	__u32 out_depth;
	__u32 out_ro_size;
	__u32 out_rw_size;
	__u32 out_peer_offset;
	__u32 reserved;
};
#define VDISET_OPEN_DEVICE	_IO(VDISET_IOC_TYPE, 0x08)

/* flags of struct vdiset_wait and struct vdiset_device_wait; at least one */
#define VDISET_WAIT_KICK	(1U << 0)
#define VDISET_WAIT_SLEEP	(1U << 1)

/**
 * struct vdiset_wait - ioctl(VDISET_WAIT), server: all devices at once
 * @size: sizeof(struct vdiset_wait)
 * @flags: VDISET_WAIT_KICK: wake the clients of the devices in @kick;
 *	VDISET_WAIT_SLEEP: then wait until any client kicks
 * @timeout_ns: longest wait; 0 without VDISET_WAIT_SLEEP
 * @kick: bit n = device n; 0 without VDISET_WAIT_KICK
 * @seen: @out_events of the previous call; 0 in the first one
 * @out_events: number of kicks by clients, modulo 2^32; written on success only
 *
 * From INITIALIZING on. Sleeps only while the count equals @seen, so that a kick
 * between two calls is not missed.
 *
 * Errors: %ETIMEDOUT; %EINTR; %EPIPE the set has TERMINATED and there was no kick
 * since @seen.
 */
struct vdiset_wait {
	__u32 size;
	__u32 flags;
	__s64 timeout_ns __attribute__((aligned(8)));
	__aligned_u64 kick;
	__u32 seen;
	__u32 out_events;
};
#define VDISET_WAIT		_IO(VDISET_IOC_TYPE, 0x09)

/**
 * struct vdiset_abort - ioctl(VDISET_ABORT), bound set file or device file
 * @size: sizeof(struct vdiset_abort)
 * @flags: 0
 * @reason: %VDISET_REASON_SIGNAL, %VDISET_REASON_PROTOCOL or
 *	%VDISET_REASON_TIMEOUT
 * @code: any number, stored in the abort record
 * @text: a short explanation for the other parties, NUL-terminated
 *
 * In every state. The first abort is recorded, moves the set to ABORTED and wakes
 * all waiting threads of all processes, whose requests return %ECANCELED. The
 * request does not wait for them. Later aborts, and aborts of a TERMINATED set,
 * succeed without effect.
 *
 * Errors: %EACCES an observer without write access.
 */
struct vdiset_abort {
	__u32 size;
	__u32 flags;
	__u32 reason;
	__u32 code;
	char text[VDISET_TEXT_SIZE];
};
#define VDISET_ABORT		_IO(VDISET_IOC_TYPE, 0x0a)

/**
 * struct vdiset_status - ioctl(VDISET_STATUS), bound set file or device file
 * @size: sizeof(struct vdiset_status)
 * @flags: 0
 * @out_id: number of the set
 * @out_age_ns: time since CREATE
 * @out_state: enum vdiset_set_state
 * @out_role: enum vdiset_role of this file
 * @out_mode: permission bits
 * @out_uid: owner
 * @out_gid: group
 * @out_secondaries: secondary clients that are attached
 * @out_client_devices: devices a client has opened
 * @out_server_devices: devices the server has opened
 * @out_config: the configuration
 * @out_primary: primary client; role 0 after it has left
 * @out_server: server; role 0 before it has attached and after it has left
 * @out_abort: abort record
 * @out_name_len: length of the name
 * @out_name: the name, then zeros
 * @out_creator: effective user id of the process that created the set
 * @out_rate: rate limit in bytes per second, 0 = none; see SET_RATE
 *
 * Works in every state, also after CLOSE. User and group ids are in the caller's
 * namespace.
 */
struct vdiset_status {
	__u32 size;
	__u32 flags;
	__aligned_u64 out_id;
	__aligned_u64 out_age_ns;
	__u32 out_state;
	__u32 out_role;
	__u32 out_mode;
	__u32 out_uid;
	__u32 out_gid;
	__u32 out_secondaries;
	__u32 out_client_devices;
	__u32 out_server_devices;
	struct vdiset_config out_config;
	struct vdiset_peer out_primary;
	struct vdiset_peer out_server;
	struct vdiset_abort_record out_abort;
	__u32 out_name_len;
	char out_name[VDISET_NAME_MAX + 1];
	__u32 out_creator;
	__aligned_u64 out_rate;
};
#define VDISET_STATUS		_IO(VDISET_IOC_TYPE, 0x0b)

/**
 * struct vdiset_device_status - ioctl(VDISET_DEVICE_STATUS), bound set file
 * @size: sizeof(struct vdiset_device_status)
 * @flags: 0
 * @index: the device, 0 to device_count - 1
 * @out_state: enum vdiset_device_state
 * @out_client: the client that has it open; role 0 if there is none
 * @out_server: the server if it has it open; role 0 otherwise
 * @out_commands: commands sent, as reported by the server's region
 * @out_completions: commands completed, as reported by the client's region
 * @out_bytes: bytes transferred, as reported by the client's region
 * @out_server_waited_ns: how long the server slept with commands outstanding
 *	on this device, which means that the client is slow
 * @out_client_waited_ns: how long the client slept without a command, which means
 *	that the server is slow
 * @out_name_len: length of the name; 0 while it has none
 * @out_name: the name, then zeros
 * @reserved: 0
 *
 * Works in every state.
 */
struct vdiset_device_status {
	__u32 size;
	__u32 flags;
	__u32 index;
	__u32 out_state;
	struct vdiset_peer out_client;
	struct vdiset_peer out_server;
	__aligned_u64 out_commands;
	__aligned_u64 out_completions;
	__aligned_u64 out_bytes;
	__aligned_u64 out_server_waited_ns;
	__aligned_u64 out_client_waited_ns;
	__u32 out_name_len;
	char out_name[VDISET_NAME_MAX + 1];
	__u32 reserved;
};
#define VDISET_DEVICE_STATUS	_IO(VDISET_IOC_TYPE, 0x0c)

/**
 * struct vdiset_list - ioctl(VDISET_LIST), any set file
 * @size: sizeof(struct vdiset_list)
 * @flags: 0
 * @cursor: in: 0, or the number that the previous call returned; out: the number
 *	of the next set that the caller may see
 * @out_creator: effective user id of the process that created it, in the caller's
 *	namespace
 * @out_state: enum vdiset_set_state
 * @out_name_len: length of the name
 * @out_name: the name, then zeros
 * @reserved: 0
 *
 * Errors: %ENOENT no more sets; %EINTR a fatal signal.
 */
struct vdiset_list {
	__u32 size;
	__u32 flags;
	__aligned_u64 cursor;
	__u32 out_creator;
	__u32 out_state;
	__u32 out_name_len;
	char out_name[VDISET_NAME_MAX + 1];
	__u32 reserved;
};
#define VDISET_LIST		_IO(VDISET_IOC_TYPE, 0x0d)

/**
 * struct vdiset_close - ioctl(VDISET_CLOSE), bound set file
 * @size: sizeof(struct vdiset_close)
 * @flags: 0
 *
 * The party leaves the set in order; close(2) follows. The primary client and the
 * server may leave when the set has TERMINATED, a secondary client when the server
 * has closed each device that it opened, an observer at any time; afterwards
 * the death of the process does not affect the set. An earlier CLOSE aborts the set
 * with %VDISET_REASON_CLOSED and fails with %EBUSY; in an aborted set it succeeds.
 * The party has left in each of these cases. A second call returns %EBADFD.
 */
struct vdiset_close {
	__u32 size;
	__u32 flags;
};
#define VDISET_CLOSE		_IO(VDISET_IOC_TYPE, 0x0e)

/**
 * struct vdiset_set_rate - ioctl(VDISET_SET_RATE), bound set file
 * @size: sizeof(struct vdiset_set_rate)
 * @flags: 0
 * @rate: bytes per second of all devices together; 0 = no limit
 *
 * The kernel publishes the rate in the state page of each device and in STATUS, and
 * does nothing else with it: the clients delay their completions so that all of them
 * together keep to it. It may be changed at any time until the set ends, and affects
 * commands that are outstanding.
 *
 * Errors: %EACCES an observer without write access; %EBADFD the set is TERMINATED.
 */
struct vdiset_set_rate {
	__u32 size;
	__u32 flags;
	__aligned_u64 rate;
};
#define VDISET_SET_RATE		_IO(VDISET_IOC_TYPE, 0x0f)

/**
 * struct vdiset_device_wait - ioctl(VDISET_DEVICE_WAIT), device file
 * @size: sizeof(struct vdiset_device_wait)
 * @flags: VDISET_WAIT_KICK: wake the other side of the device;
 *	VDISET_WAIT_SLEEP: then wait until the peer's tail is not @seen
 * @timeout_ns: longest wait; 0 without VDISET_WAIT_SLEEP
 * @seen: the peer's tail up to which the caller has read the ring
 * @reserved: 0
 *
 * Entries in the ring take precedence over the end of the device: after
 * DEVICE_CLOSE the request succeeds until the tail equals @seen, then it returns
 * %EPIPE.
 *
 * Errors: %ETIMEDOUT; %EINTR; %EPIPE the device was closed.
 */
struct vdiset_device_wait {
	__u32 size;
	__u32 flags;
	__s64 timeout_ns __attribute__((aligned(8)));
	__u32 seen;
	__u32 reserved;
};
#define VDISET_DEVICE_WAIT	_IO(VDISET_IOC_TYPE, 0x20)

/**
 * struct vdiset_device_close - ioctl(VDISET_DEVICE_CLOSE), server's device file
 * @size: sizeof(struct vdiset_device_close)
 * @flags: 0
 *
 * The server closes a device in order. After the last device the set becomes
 * TERMINATED.
 *
 * Errors: %EPIPE the device was closed before.
 */
struct vdiset_device_close {
	__u32 size;
	__u32 flags;
};
#define VDISET_DEVICE_CLOSE	_IO(VDISET_IOC_TYPE, 0x21)

/**
 * DOC: poll
 *
 * Device file: %EPOLLIN if the peer's tail differs from the head that the caller
 * has stored; %EPOLLHUP after the server has closed the device; %EPOLLERR and
 * %EPOLLHUP in an aborted set. Store need_wakeup before polling, as before a wait:
 * only a kick wakes a polling thread.
 *
 * Set file: %EPOLLIN for a client after the set was configured, for the server if
 * any device has a completion to read; %EPOLLHUP after the set has TERMINATED;
 * %EPOLLERR and %EPOLLHUP in an aborted set. Bind the file before adding it to an
 * epoll instance: an unbound file reports %EPOLLERR and never wakes a thread.
 */

/**
 * DOC: mappings
 *
 * All mappings are MAP_SHARED and not executable.
 *
 * Set file, server and clients, from INITIALIZING on: the area at offset
 * %VDISET_MMAP_AREA, any page-aligned part of it, readable and writable. The
 * mapping stays valid until munmap(2), even after the end of the set and of the
 * file, and its memory stays charged until then. It can be used for O_DIRECT,
 * io_uring fixed buffers, futexes and mlock(2).
 *
 * Device file: at %VDISET_MMAP_RO, as a whole and permanently read-only: one page
 * that begins with struct vdiset_state_page, then the peer's region; at
 * %VDISET_MMAP_RW, as a whole: the caller's region. Children do not inherit these
 * mappings, unless after madvise(MADV_DOFORK).
 *
 * Errors of mmap(2): %EINVAL not MAP_SHARED, or another offset or length than
 * listed here; %EACCES write or execute access that is not permitted (%EPERM for
 * execute access on some kernels); %EBADFD the set has no area yet; %ENOTCONN,
 * %EPERM as for the ioctls.
 */
#define VDISET_MMAP_AREA	0x0
#define VDISET_MMAP_RO		0x0
#define VDISET_MMAP_RW		0x10000000

/**
 * struct vdiset_state_page - state of a set and device, written by the kernel
 * @set_state: enum vdiset_set_state
 * @device_state: enum vdiset_device_state
 * @depth: entries of each ring
 * @reserved: 0
 * @area_size: current size of the area, a multiple of the page size
 * @rate: rate limit in bytes per second, 0 = none; see SET_RATE
 */
struct vdiset_state_page {
	__u32 set_state;
	__u32 device_state;
	__u32 depth;
	__u32 reserved;
	__aligned_u64 area_size;
	__aligned_u64 rate;
};

/**
 * struct vdiset_region - head of a side's region; its ring's entries follow
 * @tail: next entry the owner will produce
 * @head: next entry the owner will consume
 * @need_wakeup: not 0 if the owner sleeps or is about to sleep and needs a kick.
 *	Either always 1, or a different number above 1 for each sleep, so that the
 *	peer needs to kick each sleep only once; see "DOC: rings"
 * @operations: server: commands sent; client: commands completed
 * @bytes: client: bytes transferred; server: bytes requested
 * @expected: server: bytes that it will request on this device in all, 0 = unknown;
 *	a hint for people that wait
 * @reserved0: fills the cache line
 * @reserved1: fills the cache line
 * @reserved2: fills the cache line
 * @reserved3: fills the cache line
 *
 * Members that are written at different times are in cache lines of their own.
 * @operations and @bytes are statistics for DEVICE_STATUS.
 */
struct vdiset_region {
	__u32 tail;
	__u32 reserved0[15];
	__u32 head;
	__u32 reserved1[15];
	__u32 need_wakeup;
	__u32 reserved2[15];
	__aligned_u64 operations;
	__aligned_u64 bytes;
	__aligned_u64 expected;
	__u32 reserved3[10];
};

#define VDISET_NO_BUFFER	(~0ULL)

/**
 * struct vdiset_command - entry of the command ring
 * @code: VDC_* command code
 * @tag: chosen by the server, less than the depth, not in use by another
 *	outstanding command
 * @size: size of the transfer, or what the command defines
 * @reserved: 0
 * @position: input of positioning commands
 * @buffer: offset in the area of the first data byte, %VDISET_NO_BUFFER when
 *	the command has none
 */
struct vdiset_command {
	__u32 code;
	__u32 tag;
	__s32 size;
	__u32 reserved;
	__s64 position __attribute__((aligned(8)));
	__aligned_u64 buffer;
};

/**
 * struct vdiset_completion - entry of the completion ring
 * @tag: that of the command
 * @code: completion code, a Win32 error number
 * @bytes: bytes transferred
 * @position: output of positioning commands
 * @reserved: 0
 */
struct vdiset_completion {
	__u32 tag;
	__u32 code;
	__aligned_u64 bytes;
	__s64 position __attribute__((aligned(8)));
	__aligned_u64 reserved;
};

#endif /* _UAPI_LINUX_VDISET_H */
