// SPDX-License-Identifier: GPL-2.0
/* Shows that data of many shapes arrives unchanged, and which I/O the area permits. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif
#include "traffic.h"
#include "harness.h"

FIXTURE(traffic) {
	int sets;
};

FIXTURE_VARIANT(traffic) {
	struct vd_traffic t;
};

#define TRAFFIC(name, ...) \
	FIXTURE_VARIANT_ADD(traffic, name) { .t = { __VA_ARGS__ } }

/* Hand-overs that sleep each time, and hand-overs that rarely sleep */
TRAFFIC(one_at_a_time, .devices = 1, .depth = 1, .inflight = 1,
	.commands = 3000, .bytes = 4096);
TRAFFIC(one_at_a_time_spinning, .devices = 1, .depth = 1, .inflight = 1,
	.commands = 3000, .bytes = 4096, .spins = 2000);
TRAFFIC(full_ring, .devices = 1, .depth = 32, .inflight = 32,
	.commands = 20000, .bytes = 1024, .spins = 100);
TRAFFIC(full_deepest_ring, .devices = 1, .depth = 1024, .inflight = 1024,
	.commands = 30000, .bytes = 512, .spins = 100);
TRAFFIC(reverse_order, .devices = 2, .depth = 16, .inflight = 16,
	.commands = 5000, .bytes = 2048, .spins = 50, .reverse = true);
/* 32-bit indices that wrap during the run, in both rings */
TRAFFIC(indices_wrap, .devices = 2, .depth = 8, .inflight = 8,
	.commands = 3000, .bytes = 512, .start = -1000);
TRAFFIC(indices_wrap_at_sign, .devices = 2, .depth = 8, .inflight = 5,
	.commands = 3000, .bytes = 512, .start = 0x7fffff00, .spins = 20);
TRAFFIC(eight_devices, .devices = 8, .depth = 16, .inflight = 8,
	.commands = 1500, .bytes = 8192, .spins = 20);
TRAFFIC(all_devices, .devices = VDISET_MAX_DEVICES, .depth = 4, .inflight = 4,
	.commands = 100, .bytes = 512);
/* one server thread for all devices, which sleeps in WAIT */
TRAFFIC(one_server_thread, .devices = 4, .depth = 8, .inflight = 8,
	.commands = 2000, .bytes = 4096, .one_thread = true);
TRAFFIC(one_server_thread_all_devices, .devices = VDISET_MAX_DEVICES,
	.depth = 4, .inflight = 2, .commands = 100, .bytes = 512,
	.one_thread = true, .spins = 10);

FIXTURE_SETUP(traffic)
{
	self->sets = vd_sets();
}

FIXTURE_TEARDOWN(traffic)
{
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
}

TEST_F(traffic, checksums_agree)
{
	struct vd_run run;

	ASSERT_EQ(0, vd_traffic_run(&variant->t, &run));
	EXPECT_EQ(run.server_total, run.client_total);
	EXPECT_NE(0, run.server_total);
	TH_LOG("%u commands in %lld ms", variant->t.devices * variant->t.commands,
	       (long long)(run.ns / MS));
}

/*
 * Operations of other subsystems on the area
 */
#define AREA	(4 * MIB)

FIXTURE(area) {
	struct vd_set s;
	char *p;
	int file;
	char path[256];
};

FIXTURE_SETUP(area)
{
	const char *dir = getenv("VDISET_SCRATCH");

	if (!dir)
		dir = getenv("TMPDIR");
	snprintf(self->path, sizeof(self->path), "%s/vdiset-test-%d",
		 dir ? dir : "/tmp", getpid());
	self->file = open(self->path, O_RDWR | O_CREAT | O_TRUNC | O_DIRECT |
			  O_CLOEXEC, 0600);
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, AREA,
			       VDISET_STATE_INITIALIZING));
	self->p = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_SHARED,
		       self->s.primary, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, self->p);
}

FIXTURE_TEARDOWN(area)
{
	if (self->file >= 0) {
		close(self->file);
		unlink(self->path);
	}
	vd_set_down(&self->s);
}

static void paint(char *p, size_t n, unsigned int seed)
{
	size_t i;

	for (i = 0; i < n / 4; i++)
		((uint32_t *)p)[i] = i * 2654435761U + seed;
}

TEST_F(area, o_direct)
{
	char *p = self->p;

	if (self->file < 0)
		SKIP(return, "no O_DIRECT in the scratch directory");
	paint(p, MIB, 1);
	ASSERT_EQ(MIB, pwrite(self->file, p, MIB, 0));
	ASSERT_EQ(MIB, pread(self->file, p + MIB, MIB, 0));
	EXPECT_EQ(0, memcmp(p, p + MIB, MIB));
	/* also a range that crosses the boundary of two huge pages */
	paint(p, MIB, 2);
	ASSERT_EQ(65536, pwrite(self->file, p + 4096, 65536, 0));
	ASSERT_EQ(65536, pread(self->file, p + 2 * MIB - 32768, 65536, 0));
	EXPECT_EQ(0, memcmp(p + 4096, p + 2 * MIB - 32768, 65536));
}

/* A write that is in progress when the set is aborted writes the original data. */
TEST_F(area, o_direct_after_abort_and_close)
{
	if (self->file < 0)
		SKIP(return, "no O_DIRECT in the scratch directory");
	paint(self->p, MIB, 3);
	ASSERT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 0, ""));
	vd_set_down(&self->s);
	ASSERT_EQ(MIB, pwrite(self->file, self->p, MIB, 0));
	ASSERT_EQ(MIB, pread(self->file, self->p + 3 * MIB, MIB, 0));
	EXPECT_EQ(0, memcmp(self->p, self->p + 3 * MIB, MIB));
}

#ifdef HAVE_LIBURING
TEST_F(area, io_uring_fixed_buffers)
{
	struct iovec iov[2] = {
		{ self->p, 2 * MIB }, { self->p + 2 * MIB, 2 * MIB }
	};
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int ret;

	if (self->file < 0)
		SKIP(return, "no O_DIRECT in the scratch directory");
	ret = io_uring_queue_init(4, &ring, 0);
	if (ret == -ENOSYS || ret == -EPERM)
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, io_uring_register_buffers(&ring, iov, 2));
	paint(self->p, MIB, 4);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_write_fixed(sqe, self->file, self->p, MIB, 0, 0);
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
	EXPECT_EQ(MIB, cqe->res);
	io_uring_cqe_seen(&ring, cqe);
	/* the set may be closed while its pages are registered */
	vd_set_down(&self->s);
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_read_fixed(sqe, self->file, self->p + 2 * MIB, MIB, 0, 1);
	ASSERT_EQ(1, io_uring_submit(&ring));
	ASSERT_EQ(0, io_uring_wait_cqe(&ring, &cqe));
	EXPECT_EQ(MIB, cqe->res);
	io_uring_cqe_seen(&ring, cqe);
	EXPECT_EQ(0, memcmp(self->p, self->p + 2 * MIB, MIB));
	io_uring_queue_exit(&ring);
}

/* poll of a device file through io_uring: a kick wakes it like poll(2) */
TEST_F(area, io_uring_poll)
{
	struct __kernel_timespec ts = { .tv_sec = 10 };
	struct vdiset_command cmd = { .code = 1 };
	struct vd_dev client, server;
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	struct io_uring ring;
	int ret;

	ret = io_uring_queue_init(4, &ring, 0);
	if (ret == -ENOSYS || ret == -EPERM)
		SKIP(return, "no io_uring");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, 0, &client));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0, &server));
	client.own->need_wakeup = 1;
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_poll_add(sqe, client.fd, POLLIN);
	ASSERT_EQ(1, io_uring_submit(&ring));
	EXPECT_EQ(-EAGAIN, io_uring_peek_cqe(&ring, &cqe));
	ASSERT_EQ(1, vd_produce(&server, &cmd));
	ASSERT_EQ(0, vd_kick(&server));
	ASSERT_EQ(0, io_uring_wait_cqe_timeout(&ring, &cqe, &ts));
	EXPECT_EQ(POLLIN, cqe->res & (POLLIN | POLLERR));
	io_uring_queue_exit(&ring);
	vd_dev_release(&client);
	vd_dev_release(&server);
}
#endif /* HAVE_LIBURING */

TEST_F(area, futex)
{
	_Atomic unsigned int *word = (void *)(self->p + 4096);
	struct timespec ts = { .tv_sec = 10 };
	int status, i;
	pid_t pid;

	pid = fork();
	if (!pid) {
		unsigned int *mine = mmap(NULL, AREA, PROT_READ | PROT_WRITE,
					  MAP_SHARED, self->s.server, 0);

		alarm(1200);
		while (!atomic_load(word))
			if (syscall(SYS_futex, mine + 1024, FUTEX_WAIT, 0, &ts,
				    NULL, 0) && errno != EAGAIN)
				_exit(1);
		_exit(0);
	}
	vd_wait_asleep(pid, pid);
	atomic_store(word, 1);
	for (i = 0; i < 1000; i++) {
		if (syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) == 1)
			break;
		vd_sleep_ms(1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(area, send_without_copy)
{
	int pipe_fd[2];
	struct iovec iov = { self->p, 65536 };
	static char back[65536];
	size_t got = 0;
	ssize_t n;

	paint(self->p, 65536, 5);
	ASSERT_EQ(0, pipe2(pipe_fd, O_CLOEXEC));
	ASSERT_LE(65536, fcntl(pipe_fd[1], F_SETPIPE_SZ, 1 << 20));
	ASSERT_EQ(65536, vmsplice(pipe_fd[1], &iov, 1, 0));
	while (got < 65536) {
		n = read(pipe_fd[0], back + got, sizeof(back) - got);
		ASSERT_LT(0, n);
		got += n;
	}
	EXPECT_EQ(0, memcmp(back, self->p, 65536));
}

TEST_HARNESS_MAIN
