/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the vdiset selftests: thin wrappers of the ioctls that return 0 or
 * -errno, the two sides of a ring, and parties that run in separate processes.
 * No wrapper hides a result: it never retries and never replaces one error by
 * another.
 */
#ifndef VDISET_TEST_H
#define VDISET_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include <linux/vdiset.h>

#define ARRAY_LEN(a)	(sizeof(a) / sizeof((a)[0]))
#define MS		1000000LL
#define SEC		1000000000LL
#define KIB		1024ULL
#define MIB		(1024ULL * 1024)

/*
 * A wait that has not ended after this time hangs. No result depends on a shorter time:
 * how long an abort takes is measured by bench/run --gate.
 */
#define VD_HANG		(120 * SEC)

/*
 * Requests
 */
int vd_ioctl(int fd, unsigned long request, void *arg);
int vd_open(void);
int vd_create(int fd, const char *name, unsigned int devices);
int vd_create_mode(int fd, const char *name, unsigned int devices,
		   unsigned int mode);
/* to a set that the user of the test has created */
int vd_attach(int fd, unsigned int role, const char *name);
int vd_attach_of(int fd, unsigned int role, uid_t creator, const char *name);
int vd_attach_id(int fd, unsigned int role, uint64_t id);
int vd_attach_fd(int fd, unsigned int role, int other);
int vd_configure(int fd, unsigned int depth);
int vd_name_device(int fd, const char *name, unsigned int index);
int vd_request_buffers(int fd, uint64_t bytes, uint64_t *area_size);
int vd_end_config(int fd);
int vd_get_config(int fd, unsigned int flags, int64_t timeout_ns,
		  struct vdiset_get_config *out);
int vd_open_device(int fd, const char *name, struct vdiset_open_device *out);
int vd_set_wait(int fd, unsigned int flags, int64_t timeout_ns, uint64_t kick,
		uint32_t *seen);
int vd_device_wait(int fd, unsigned int flags, int64_t timeout_ns,
		   uint32_t seen);
int vd_device_close(int fd);
int vd_abort(int fd, unsigned int reason, unsigned int code, const char *text);
int vd_set_rate(int fd, uint64_t rate);
int vd_status(int fd, struct vdiset_status *st);
int vd_device_status(int fd, unsigned int index,
		     struct vdiset_device_status *st);
int vd_close(int fd);

/* Derived from STATUS, LIST and INFO; negative is -errno. */
int vd_state(int fd);
int vd_listed(int fd, uint64_t id);	/* 1 if LIST returns the set */
int vd_count_listed(void);
uint64_t vd_bytes_at_rest(void);
int vd_sets(void);			/* INFO's out_sets */
struct vdiset_info vd_info(void);	/* zeros if INFO fails */
uint64_t vd_set_id(int fd);
int vd_wait_sets(int want);		/* waits 2 s at most; the last number */

/*
 * Names
 */
/* A name that is not in use; buf holds at least 64 bytes. */
const char *vd_name(char *buf, const char *what);
/* Device 0 has the name of its set, the name of device n is "SET/n". */
const char *vd_device_name(char *buf, const char *set, unsigned int index);

/*
 * Time, memory and system
 */
int64_t vd_now(void);
void vd_sleep_ms(unsigned int ms);
long vd_meminfo(const char *field);	/* kB, -1 if the field does not exist */
int vd_thread_state(pid_t pid, pid_t tid);	/* the state letter of stat, or 0 */
bool vd_wait_asleep(pid_t pid, pid_t tid);	/* waits 5 s at most */
bool vd_wait_word(const _Atomic int *word, int want, int64_t timeout_ns);
int vd_read_file(const char *path, char *buf, size_t size);
int vd_write_file(const char *path, const char *text);
void *vd_shared(size_t size);		/* zeroed, shared with child processes */

/*
 * A device, as one side sees it. Indices are private copies: memory that the peer
 * can write is only read.
 */
struct vd_dev {
	int fd;
	uint32_t index;
	uint32_t depth;
	uint32_t ro_size;
	uint32_t rw_size;
	const volatile struct vdiset_state_page *state;
	volatile struct vdiset_region *own;
	const volatile struct vdiset_region *peer;
	uint32_t tail;		/* of the ring that this side produces */
	uint32_t head;		/* of the ring that this side consumes */
};

int vd_dev_open(struct vd_dev *d, int set, const char *name);
int vd_dev_map(struct vd_dev *d, const struct vdiset_open_device *o);
void vd_dev_unmap(struct vd_dev *d);
void vd_dev_release(struct vd_dev *d);	/* unmap and close(2) */

/* Commands and completions have the same size. */
#define VD_ENTRY_SIZE	sizeof(struct vdiset_command)

/* 1: entry added, the peer needs a kick; 0: entry added; -EAGAIN: ring full */
int vd_produce(struct vd_dev *d, const void *entry);
/* 0; -EAGAIN: ring empty; -EPROTO: the peer's index is out of bounds */
int vd_consume(struct vd_dev *d, void *entry);
int vd_kick(struct vd_dev *d);
/* Adds an entry and kicks if the peer needs it; 0 or -errno */
int vd_put(struct vd_dev *d, const void *entry);
/* Spins @spins times, then sleeps as uapi/linux/vdiset.h describes; 0 or -errno */
int vd_get(struct vd_dev *d, void *entry, unsigned int spins,
	   int64_t timeout_ns);

/*
 * A whole set in one process, for tests that need no other process
 */
struct vd_set {
	int primary;
	int server;
	unsigned int devices;
	uint64_t id;
	char name[64];
};

/* Brings a new set to @state, at most INITIALIZING; 0 or -errno. */
int vd_set_up(struct vd_set *s, unsigned int devices, unsigned int depth,
	      uint64_t bytes, int state);
void vd_set_down(struct vd_set *s);
int vd_set_open_device(struct vd_set *s, int fd, unsigned int index,
		       struct vd_dev *d);

/*
 * Parties in separate processes. struct vd_party is in memory shared by the test
 * and the party; the test passes functions that the party's process calls. The
 * process is killed when the test ends.
 */
#define VD_MAX_SLEEPERS	64

enum vd_sleep {
	VD_SLEEP_DEVICE_WAIT,
	VD_SLEEP_SET_WAIT,
	VD_SLEEP_GET_CONFIG,
	VD_SLEEP_POLL_SET,
	VD_SLEEP_POLL_DEVICE,
};

struct vd_sleeper {
	enum vd_sleep kind;
	int fd;
	uint32_t seen;
	_Atomic int tid;	/* set just before the thread sleeps */
	_Atomic int done;
	int ret;		/* 0 or -errno; poll: revents */
	int64_t when;		/* vd_now() at the return */
};

struct vd_party {
	pid_t pid;
	int to_party;
	int to_test;
	bool reaped;
	/* members below are written by the party */
	int set;
	struct vd_dev dev[VDISET_MAX_DEVICES];
	char *area;
	uint64_t area_size;
	char name[64];
	int n_sleepers;
	struct vd_sleeper sleeper[VD_MAX_SLEEPERS];
	union {
		struct vdiset_status status;
		struct vdiset_device_status device_status;
		char bytes[512];
	} out;
};

typedef long (*vd_fn)(struct vd_party *me, long a, long b);

struct vd_party *vd_party_start(const char *comm);
int vd_party_post(struct vd_party *p, vd_fn fn, long a, long b);
long vd_party_finish(struct vd_party *p, int64_t timeout_ns);
long vd_party_call(struct vd_party *p, vd_fn fn, long a, long b);
void vd_party_kill(struct vd_party *p);		/* SIGKILL, then wait */
int vd_party_reap(struct vd_party *p);		/* wait status; -1: timed out */
#define VD_NO_ANSWER	(-100000L)

/* Functions that parties call */
long vd_p_create(struct vd_party *me, long devices, long unused);
long vd_p_attach(struct vd_party *me, long role, long unused);
long vd_p_configure(struct vd_party *me, long depth, long unused);
long vd_p_end_config(struct vd_party *me, long bytes, long unused);
long vd_p_open_device(struct vd_party *me, long index, long unused);
long vd_p_device_close(struct vd_party *me, long index, long unused);
long vd_p_close(struct vd_party *me, long unused, long unused2);
long vd_p_abort(struct vd_party *me, long reason, long code);
long vd_p_status(struct vd_party *me, long unused, long unused2);
long vd_p_map_area(struct vd_party *me, long bytes, long unused);
long vd_p_send(struct vd_party *me, long index, long tag);
long vd_p_sleeper(struct vd_party *me, long kind, long index);

/* Starts a sleeping thread in @p. Returns it once it sleeps, or NULL. */
struct vd_sleeper *vd_party_sleep(struct vd_party *p, enum vd_sleep kind,
				  long index);
bool vd_sleeper_join(struct vd_sleeper *s, int64_t timeout_ns);
/*
 * For n threads whose set has ended: the time from t to the last return. Negative: a call
 * did not return, or not as at the end of a set.
 */
int64_t vd_last_return(struct vd_sleeper *const *s, int n, int64_t t);

#endif
