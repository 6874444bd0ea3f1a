/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the vdiset selftests share: thin wrappers of the ioctls that return
 * 0 or -errno, the two sides of a ring, and parties that run in processes of
 * their own. Nothing here hides a check: a wrapper never retries and never
 * turns one error into another.
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
 * The contract's bound for everybody to have noticed an abort or a death. A
 * kernel that checks each of its steps takes longer: VDISET_SLOWNESS times.
 */
#define ABORT_BOUND	(100 * MS * vd_slowness())
int vd_slowness(void);

/*
 * The clock of an emulated guest runs on while its host does something else.
 * Who is late, but only that, gets two more chances: what is slow by itself is
 * slow each time, and who is not woken at all fails at once. Every miss is
 * printed.
 */
#define VD_ATTEMPTS	3

/* "For ever" in tests that expect to be woken; a lost wake-up must show. */
#define LONG_WAIT	(20 * SEC)

/*
 * Requests
 */
int vd_ioctl(int fd, unsigned long request, void *arg);
int vd_open(void);
int vd_create(int fd, const char *name, unsigned int devices);
int vd_create_mode(int fd, const char *name, unsigned int devices,
		   unsigned int mode);
/* to a set that the user who runs the test has created */
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
int vd_status(int fd, struct vdiset_status *st);
int vd_device_status(int fd, unsigned int index,
		     struct vdiset_device_status *st);
int vd_close(int fd);

/* Derived from STATUS, LIST and INFO; negative is -errno. */
int vd_state(int fd);
int vd_listed(int fd, uint64_t id);	/* 1 when LIST shows the set */
int vd_count_listed(void);
uint64_t vd_bytes_at_rest(void);
int vd_sets(void);			/* INFO's out_sets */
struct vdiset_info vd_info(void);	/* zeros where it fails */
uint64_t vd_set_id(int fd);
int vd_wait_sets(int want);		/* deadline 2 s; the number seen last */

/*
 * Names
 */
/* A name nobody else uses; buf holds at least 64 bytes. */
const char *vd_name(char *buf, const char *what);
/* Device 0 has the name of its set, device n "SET/n". */
const char *vd_device_name(char *buf, const char *set, unsigned int index);

/*
 * Time, memory and system
 */
int64_t vd_now(void);
void vd_sleep_ms(unsigned int ms);
long vd_meminfo(const char *field);	/* kB, -1 when there is no such line */
int vd_thread_state(pid_t pid, pid_t tid);	/* the letter of stat, or 0 */
bool vd_wait_asleep(pid_t pid, pid_t tid);	/* deadline 5 s */
bool vd_wait_word(const _Atomic int *word, int want, int64_t timeout_ns);
int vd_read_file(const char *path, char *buf, size_t size);
int vd_write_file(const char *path, const char *text);
void *vd_shared(size_t size);		/* zeroed, shared with children */

/*
 * A device, as one side sees it. Indices are the side's own copies: what the
 * peer can write is only ever read.
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
	uint32_t tail;		/* of the ring this side produces */
	uint32_t head;		/* of the ring this side consumes */
};

int vd_dev_open(struct vd_dev *d, int set, const char *name);
int vd_dev_map(struct vd_dev *d, const struct vdiset_open_device *o);
void vd_dev_unmap(struct vd_dev *d);
void vd_dev_release(struct vd_dev *d);	/* unmap and close(2) */

/* Both kinds of entry have this size. */
#define VD_ENTRY_SIZE	sizeof(struct vdiset_command)

/* 1: put, kick the peer; 0: put, no kick needed; -EAGAIN: ring full */
int vd_produce(struct vd_dev *d, const void *entry);
/* 0, -EAGAIN when empty, -EPROTO when the peer's index is out of bounds */
int vd_consume(struct vd_dev *d, void *entry);
int vd_kick(struct vd_dev *d);
/* produce and kick when asked to; 0 or -errno */
int vd_put(struct vd_dev *d, const void *entry);
/* spin (that many times), then sleep as the contract says; 0 or -errno */
int vd_get(struct vd_dev *d, void *entry, unsigned int spins,
	   int64_t timeout_ns);

/*
 * A whole set in one process, for what needs no others
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
 * Parties in processes of their own. struct vd_party lies in memory shared by
 * both; the test names functions for the party's process to run. The process
 * dies with the test.
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
	_Atomic int tid;	/* set just before it goes to sleep */
	_Atomic int done;
	int ret;		/* 0 or -errno; poll: revents */
	int64_t when;		/* vd_now() on return */
};

struct vd_party {
	pid_t pid;
	int to_party;
	int to_test;
	bool reaped;
	/* the rest is the party's */
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
void vd_party_kill(struct vd_party *p);		/* SIGKILL, and reap */
int vd_party_reap(struct vd_party *p);		/* wait status; -1: deadline */
#define VD_NO_ANSWER	(-100000L)

/* Functions for parties */
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

/* Starts a sleeper in @p and returns it once it sleeps, or NULL. */
struct vd_sleeper *vd_party_sleep(struct vd_party *p, enum vd_sleep kind,
				  long index);
bool vd_sleeper_join(struct vd_sleeper *s, int64_t timeout_ns);

#endif
