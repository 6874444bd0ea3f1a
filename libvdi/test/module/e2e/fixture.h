/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fixture.h - shared by the parts of the end-to-end test
 *
 * In each test this process is the server, and forked children are clients. A
 * failed check in a child makes it exit with 1, which the server's join()
 * reports. An alarm ends tests that hang.
 */
#ifndef E2E_FIXTURE_H
#define E2E_FIXTURE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include <libvdi.h>
#include <linux/vdiset.h>

#include "channel.h"
#include "client.h"
#include "server.h"
#include "tests.h"

#define KIB	1024U
#define MIB	(1024U * KIB)
#define WAIT	600000		/* ms; longer than any call here takes */
#define LIMIT	1200		/* seconds after which a test hangs */
#define PIECE	(64 * KIB)	/* size of a transfer */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED	1		/* needs the whole address space */
#else
#define SANITIZED	0
#endif

/* test_NAME() of each test */
#define E2E_DECLARE(name)	void test_ ## name(void **state);
E2E_TESTS(E2E_DECLARE)
#undef E2E_DECLARE

/* --------------------------------------------------------------- checking */

extern bool in_child;

void failed(const char *file, int line, const char *what, long got, long want);

#define EQ(got, want) do {						\
	long g_ = (long)(got), w_ = (long)(want);			\
	if (g_ != w_)							\
		failed(__FILE__, __LINE__, #got, g_, w_);		\
} while (0)
#define OK(got)		EQ(got, NOERROR)
#define TRUE(got)	EQ(!!(got), 1)

/* -------------------------------------------------------------- processes */

struct peer {
	pid_t pid;
	int fd;			/* a socket to the other process */
};

typedef void client_fn(int fd);

/* name of the test's set; new_name() changes it */
extern char set_name[64];
extern unsigned int child_count;	/* children to kill after a failure */
extern volatile sig_atomic_t signals;	/* counted by on_signal() */

void new_name(void);
void device_name(char *buf, size_t size, unsigned int i);
void notify(int fd, char c);
void await(int fd, char want);
struct peer spawn(client_fn *fn);
void join(struct peer *peer);
void kill_peer(struct peer *peer);
void run_in_child(client_fn *fn);
void on_signal(int number);
void nap(int ms);
int64_t now_ms(void);
long status_kib(const char *name);

int set_up(void **state);
int tear_down(void **state);

/* ----------------------------------------------------------- client's part */

struct vdi_client *new_client(void);
struct vdi_client *client_up(int fd, const struct VDConfig *config);
struct vdi_client *client_up_n(int fd, unsigned int devices);
struct vdi_client_device *client_open(struct vdi_client *client,
				      unsigned int i);
void client_down(struct vdi_client *client);
void client_idle(int fd);
void client_waits(int fd);
void client_unconfigured(int fd);

struct VDC_Command *get(struct vdi_client_device *device);
struct VDC_Command *get_a(struct vdi_client_device *device, int code);
void done(struct vdi_client_device *device, struct VDC_Command *cmd, int code,
	  uint32_t bytes);
void expect_close(struct vdi_client_device *device);

void fill(uint8_t *buf, uint32_t size, uint64_t position);
bool filled(const uint8_t *buf, uint32_t size, uint64_t position);
uint64_t serve(struct vdi_client_device *device, uint64_t total);

/* ----------------------------------------------------------- server's part */

/* What a server requests. */
struct shape {
	uint32_t features;
	uint32_t depth;
	uint32_t size;
	uint32_t count;
	int lock;
};

extern const struct shape plain;

struct vdi_server *new_server(void);
struct vdi_server *server_up(struct peer *peer, const struct shape *shape);
struct vdi_server_device *server_open(struct vdi_server *server,
				      unsigned int i);
void server_down(struct vdi_server *server);
uint8_t *buffer(struct vdi_server *server, uint32_t size);

/* A command with a counter of the times its routine ran. */
struct job {
	struct VDS_Command cmd;
	int ran;
};

void job_done(struct VDS_Command *cmd);
void job_init(struct job *job, int code, uint8_t *buf, int32_t size);
int job_send(struct vdi_server_device *device, struct job *job, int code,
	     uint8_t *buf, int32_t size);
void job_wait(struct vdi_server *server, struct job *job);
int ask(struct vdi_server *server, struct vdi_server_device *device, int code,
	uint8_t *buf, int32_t size);
void run_out(struct vdi_server *server);
int run_to_end(struct vdi_server *server);
void *agent_thread(void *arg);
void await_agent(const struct vdi_server *server);

/* ---------------------------------------------------- without the library */

struct vdi_channel raw_open_named(int set_fd, const char *name);
struct vdi_channel raw_open(int set_fd);

/* ---------------------------------------------- both sides in one process */

/* Called before the library's next call of this kind, once. */
extern void (*before_mmap)(void);
extern void (*before_growth)(void);

struct both {
	struct vdi_client *client;
	struct vdi_server *server;
	struct vdi_client_device *cdev;
	struct vdi_server_device *sdev;
};

void both_up(struct both *b, int lock);
void both_down(struct both *b);
void both_free(struct both *b);

#endif /* E2E_FIXTURE_H */
