// SPDX-License-Identifier: GPL-2.0
/*
 * Shows what counts as the death of a party and what does not: duplicated, inherited
 * and passed descriptors, threads, exec, and the normal end of a set.
 */
#define _GNU_SOURCE
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "vdiset_test.h"
#include "harness.h"

#define SETTLE	50	/* ms, enough to detect a death */

FIXTURE(fd_ownership) {
	struct vd_party *primary, *server, *secondary;
	int fd;
	int sets;
};

FIXTURE_SETUP(fd_ownership)
{
	self->sets = vd_sets();
	self->primary = vd_party_start("vd-primary");
	self->server = vd_party_start("vd-server");
	self->secondary = vd_party_start("vd-secondary");
	ASSERT_NE(NULL, self->primary);
	ASSERT_NE(NULL, self->server);
	ASSERT_NE(NULL, self->secondary);
	vd_name(self->primary->name, "ownership");
	strcpy(self->server->name, self->primary->name);
	strcpy(self->secondary->name, self->primary->name);
	ASSERT_EQ(0, vd_party_call(self->primary, vd_p_create, 2, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_attach,
				   VDISET_ROLE_SERVER, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_configure, 4, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_end_config, 4096, 0));
	ASSERT_EQ(0, vd_party_call(self->secondary, vd_p_attach,
				   VDISET_ROLE_SECONDARY, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_open_device, 0, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_open_device, 1, 0));
	ASSERT_EQ(0, vd_party_call(self->primary, vd_p_open_device, 0, 0));
	ASSERT_EQ(0, vd_party_call(self->secondary, vd_p_open_device, 1, 0));
	self->fd = vd_open();
	ASSERT_EQ(0, vd_attach(self->fd, VDISET_ROLE_OBSERVER,
			       self->primary->name));
}

FIXTURE_TEARDOWN(fd_ownership)
{
	vd_party_kill(self->primary);
	vd_party_kill(self->server);
	vd_party_kill(self->secondary);
	close(self->fd);
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
}

/* The set is still ACTIVE after the time in which a death is detected. */
static bool lives(FIXTURE_DATA(fd_ownership) *self)
{
	vd_sleep_ms(SETTLE);
	return vd_state(self->fd) == VDISET_STATE_ACTIVE;
}

static bool died(FIXTURE_DATA(fd_ownership) *self, struct vd_party *p)
{
	/* the cause is tested here, the delay in death.c */
	int64_t end = vd_now() + SEC;
	struct vdiset_status st;

	do {
		if (vd_status(self->fd, &st))
			return false;
	} while (st.out_state != VDISET_STATE_ABORTED && vd_now() < end);
	return st.out_abort.reason == VDISET_REASON_DIED &&
	       (pid_t)st.out_abort.by.pid == p->pid;
}

static long p_close_fd(struct vd_party *me, long fd, long unused)
{
	(void)me;
	(void)unused;
	return close(fd);
}

static long p_dup(struct vd_party *me, long fd, long unused)
{
	(void)unused;
	return fcntl(fd < 0 ? me->set : fd, F_DUPFD_CLOEXEC, 0);
}

/* A file of the party: the set file if device is -1, else the device file */
static long file_of(struct vd_party *p, int device)
{
	return device < 0 ? p->set : p->dev[device].fd;
}

TEST_F(fd_ownership, one_of_two_descriptors)
{
	struct vd_party *who[] = { self->server, self->primary, self->secondary };
	size_t i;

	for (i = 0; i < 3; i++) {
		long set = file_of(who[i], -1);
		long dev = file_of(who[i], who[i] == self->secondary);
		long dup_set = vd_party_call(who[i], p_dup, set, 0);
		long dup_dev = vd_party_call(who[i], p_dup, dev, 0);

		ASSERT_LT(0, dup_set);
		ASSERT_LT(0, dup_dev);
		/* close the originals and keep the duplicates */
		EXPECT_EQ(0, vd_party_call(who[i], p_close_fd, set, 0));
		EXPECT_EQ(0, vd_party_call(who[i], p_close_fd, dev, 0));
		EXPECT_TRUE(lives(self));
		who[i]->set = dup_set;
		EXPECT_EQ(0, vd_party_call(who[i], vd_p_status, 0, 0));
	}
	/* closing the last descriptor is the death */
	EXPECT_EQ(0, vd_party_call(self->server, p_close_fd, self->server->set, 0));
	EXPECT_TRUE(died(self, self->server));
}

static long p_dup_over(struct vd_party *me, long fd, long unused)
{
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)me;
	(void)unused;
	return dup2(null, fd) == fd ? 0 : -errno;
}

TEST_F(fd_ownership, descriptor_replaced_by_dup2)
{
	EXPECT_EQ(0, vd_party_call(self->primary, p_dup_over,
				   self->primary->set, 0));
	EXPECT_TRUE(died(self, self->primary));
}

static long p_close_range(struct vd_party *me, long fd, long unused)
{
	(void)me;
	(void)unused;
	return close_range(fd, fd, 0);
}

TEST_F(fd_ownership, descriptor_closed_by_close_range)
{
	EXPECT_EQ(0, vd_party_call(self->secondary, p_close_range,
				   self->secondary->dev[1].fd, 0));
	EXPECT_TRUE(died(self, self->secondary));
}

/* A child closes what it inherited, and exits: it is not the party. */
static long p_child_closes(struct vd_party *me, long unused, long unused2)
{
	int status;
	pid_t pid = fork();

	(void)unused;
	(void)unused2;
	if (!pid) {
		close(me->set);
		close(me->dev[0].fd);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1;
	/* again, with the descriptors closed by exit */
	pid = fork();
	if (!pid)
		_exit(0);
	return waitpid(pid, &status, 0) == pid ? 0 : -1;
}

/* The processor's time in ns for closing n descriptors of one file, or -1. */
static int64_t cost_of_closing(int fd, int n)
{
	struct timespec from, to;
	int first = dup(fd), last = -1, i;

	for (i = 1; i < n; i++)
		last = dup(fd);
	if (last - first < n - 1)
		return -1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
	if (syscall(SYS_close_range, first, last, 0))
		return -1;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
	return (to.tv_sec - from.tv_sec) * SEC + to.tv_nsec - from.tv_nsec;
}

/*
 * Each close searches for other descriptors of the file. Eight times as many cost eight
 * times as much, not 64 times.
 */
TEST(many_descriptors)
{
	struct rlimit old, many = { 50000, 50000 };
	int64_t few, lot;
	int fd = vd_open(), i;

	getrlimit(RLIMIT_NOFILE, &old);
	if (setrlimit(RLIMIT_NOFILE, &many))
		SKIP(return, "RLIMIT_NOFILE is too low for this test");
	ASSERT_EQ(0, vd_create(fd, NULL, 1));
	/* a quadratic cost exceeds the limit each time, an interruption does not */
	for (i = 0; i < 5; i++) {
		few = cost_of_closing(fd, 5000);
		lot = cost_of_closing(fd, 40000);
		ASSERT_LE(0, few);
		ASSERT_LE(0, lot);
		TH_LOG("5,000: %lld us, 40,000: %lld us", (long long)few / 1000,
		       (long long)lot / 1000);
		if (lot < 24 * few)
			break;
	}
	EXPECT_GT(24 * few, lot);
	EXPECT_EQ(VDISET_STATE_CREATED, vd_state(fd));
	setrlimit(RLIMIT_NOFILE, &old);
	close(fd);
}

TEST_F(fd_ownership, child_closes_and_exits)
{
	EXPECT_EQ(0, vd_party_call(self->primary, p_child_closes, 0, 0));
	EXPECT_EQ(0, vd_party_call(self->server, p_child_closes, 0, 0));
	EXPECT_TRUE(lives(self));
}

/* The process that opens a device is a party, although another joined the set. */
TEST(child_opens_a_device_and_dies)
{
	struct vdiset_open_device o;
	struct vdiset_status st;
	struct vd_set s;
	int64_t end;
	pid_t pid;

	ASSERT_EQ(0, vd_set_up(&s, 1, 4, 4096, VDISET_STATE_INITIALIZING));
	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid)
		_exit(vd_open_device(s.primary, s.name, &o) < 0);
	ASSERT_EQ(pid, waitpid(pid, NULL, 0));
	end = vd_now() + SEC;
	do {
		ASSERT_EQ(0, vd_status(s.server, &st));
	} while (st.out_state != VDISET_STATE_ABORTED && vd_now() < end);
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_DIED, st.out_abort.reason);
	EXPECT_EQ(VDISET_ROLE_PRIMARY, st.out_abort.by.role);
	EXPECT_EQ(pid, (pid_t)st.out_abort.by.pid);
	vd_set_down(&s);
}

static long p_child_execs(struct vd_party *me, long unused, long unused2)
{
	int status;
	pid_t pid = fork();

	(void)me;
	(void)unused;
	(void)unused2;
	if (!pid) {
		execlp("true", "true", NULL);
		_exit(1);
	}
	return waitpid(pid, &status, 0) == pid ? status : -1;
}

TEST_F(fd_ownership, child_runs_another_program)
{
	EXPECT_EQ(0, vd_party_call(self->server, p_child_execs, 0, 0));
	EXPECT_EQ(0, vd_party_call(self->primary, p_child_execs, 0, 0));
	EXPECT_TRUE(lives(self));
}

static void *open_in_thread(void *arg)
{
	struct vd_party *me = arg;
	char name[64];

	me->set = vd_open();
	return vd_create(me->set, vd_name(name, "thread"), 1) ? arg : NULL;
}

static long p_thread_creates(struct vd_party *me, long unused, long unused2)
{
	pthread_t thread;
	void *ret;

	(void)unused;
	(void)unused2;
	pthread_create(&thread, NULL, open_in_thread, me);
	pthread_join(thread, &ret);
	return ret ? -1 : 0;
}

/* The process is the party, not the thread that opened the file. */
TEST_F(fd_ownership, thread_ends)
{
	struct vd_party *p = vd_party_start("vd-thread");

	ASSERT_EQ(0, vd_party_call(p, p_thread_creates, 0, 0));
	vd_sleep_ms(SETTLE);
	EXPECT_EQ(0, vd_party_call(p, vd_p_status, 0, 0));
	EXPECT_EQ(VDISET_STATE_CREATED, p->out.status.out_state);
	EXPECT_EQ(p->pid, p->out.status.out_primary.pid);
	vd_party_kill(p);
}

/* A descriptor kept over exec is not closed: the party continues. */
static long p_exec_keeping(struct vd_party *me, long unused, long unused2)
{
	(void)unused;
	(void)unused2;
	fcntl(me->set, F_SETFD, 0);
	fcntl(me->dev[0].fd, F_SETFD, 0);
	alarm(1200);
	execlp("sleep", "sleep", "20", NULL);
	return -errno;
}

TEST_F(fd_ownership, descriptor_kept_over_exec)
{
	char path[64], buf[64] = "";
	int64_t end = vd_now() + VD_HANG;

	ASSERT_EQ(0, vd_party_post(self->primary, p_exec_keeping, 0, 0));
	snprintf(path, sizeof(path), "/proc/%d/comm", self->primary->pid);
	while (strncmp(buf, "sleep", 5) && vd_now() < end) {
		vd_read_file(path, buf, sizeof(buf));
		vd_sleep_ms(2);
	}
	ASSERT_EQ(0, strncmp(buf, "sleep", 5));
	EXPECT_TRUE(lives(self));
	kill(self->primary->pid, SIGKILL);
	EXPECT_TRUE(died(self, self->primary));
}

TEST_F(fd_ownership, stopped_party_is_not_dead)
{
	ASSERT_EQ(0, kill(self->server->pid, SIGSTOP));
	EXPECT_TRUE(lives(self));
	ASSERT_EQ(0, kill(self->server->pid, SIGCONT));
	EXPECT_EQ(0, vd_party_call(self->server, vd_p_status, 0, 0));
	ASSERT_EQ(0, kill(self->server->pid, SIGSTOP));
	kill(self->server->pid, SIGKILL);
	EXPECT_TRUE(died(self, self->server));
}

/*
 * Passed descriptors
 */
static int channel[2];

static long p_send_fd(struct vd_party *me, long fd, long unused)
{
	char byte = 0, buf[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = buf, .msg_controllen = sizeof(buf),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	int n = fd < 0 ? me->set : fd;

	(void)unused;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &n, sizeof(n));
	return sendmsg(channel[0], &msg, 0) == 1 ? 0 : -errno;
}

static int receive_fd(void)
{
	char byte, buf[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = buf, .msg_controllen = sizeof(buf),
	};
	struct cmsghdr *c;
	int fd = -1;

	if (recvmsg(channel[1], &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

FIXTURE(passed) {
	struct vd_party *p;
	int fd;
};

FIXTURE_SETUP(passed)
{
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel));
	self->p = vd_party_start("vd-giver");
	ASSERT_NE(NULL, self->p);
	vd_name(self->p->name, "passed");
	ASSERT_EQ(0, vd_party_call(self->p, vd_p_create, 1, 0));
	self->fd = vd_open();
	ASSERT_EQ(0, vd_attach(self->fd, VDISET_ROLE_OBSERVER, self->p->name));
}

FIXTURE_TEARDOWN(passed)
{
	vd_party_kill(self->p);
	close(self->fd);
}

/* A passed descriptor works; the owner's close is still the death of the owner. */
TEST_F(passed, owner_closes)
{
	struct vdiset_status st;
	int fd;

	ASSERT_EQ(0, vd_party_call(self->p, p_send_fd, -1, 0));
	fd = receive_fd();
	ASSERT_LE(0, fd);
	EXPECT_EQ(VDISET_STATE_CREATED, vd_state(fd));
	ASSERT_EQ(0, vd_party_call(self->p, p_close_fd, self->p->set, 0));
	ASSERT_EQ(0, vd_status(fd, &st));
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_DIED, st.out_abort.reason);
	EXPECT_EQ(self->p->pid, st.out_abort.by.pid);
	EXPECT_EQ(0, st.out_primary.role);
	close(fd);
}

TEST_F(passed, owner_closes_while_in_flight)
{
	ASSERT_EQ(0, vd_party_call(self->p, p_send_fd, -1, 0));
	ASSERT_EQ(0, vd_party_call(self->p, p_close_fd, self->p->set, 0));
	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(self->fd));
	close(receive_fd());
}

TEST_F(passed, owner_is_killed)
{
	struct vdiset_status st;
	int fd;

	ASSERT_EQ(0, vd_party_call(self->p, p_send_fd, -1, 0));
	fd = receive_fd();
	vd_party_kill(self->p);
	ASSERT_EQ(0, vd_status(fd, &st));
	EXPECT_EQ(VDISET_REASON_DIED, st.out_abort.reason);
	/* the process has exited, its pid is still reported */
	EXPECT_EQ(self->p->pid, st.out_abort.by.pid);
	EXPECT_STREQ("vd-giver", st.out_abort.by.comm);
	close(fd);
}

TEST_F(passed, receiver_closes)
{
	int fd;

	ASSERT_EQ(0, vd_party_call(self->p, p_send_fd, -1, 0));
	fd = receive_fd();
	ASSERT_LE(0, fd);
	close(fd);
	vd_sleep_ms(SETTLE);
	EXPECT_EQ(VDISET_STATE_CREATED, vd_state(self->fd));
	/* the same for a descriptor that was never received */
	ASSERT_EQ(0, vd_party_call(self->p, p_send_fd, -1, 0));
	close(channel[1]);
	close(channel[0]);
	vd_sleep_ms(SETTLE);
	EXPECT_EQ(VDISET_STATE_CREATED, vd_state(self->fd));
}

/* The process that binds a file is the party, although another opened the file. */
static long p_open(struct vd_party *me, long unused, long unused2)
{
	(void)unused;
	(void)unused2;
	me->set = vd_open();
	return me->set < 0 ? me->set : 0;
}

TEST_F(passed, binder_is_the_party)
{
	struct vd_party *opener = vd_party_start("vd-opener");
	struct vdiset_status st;
	char name[64];
	int fd;

	ASSERT_EQ(0, vd_party_call(opener, p_open, 0, 0));
	ASSERT_EQ(0, vd_party_call(opener, p_send_fd, -1, 0));
	fd = receive_fd();
	ASSERT_EQ(0, vd_create(fd, vd_name(name, "bound"), 1));
	vd_party_kill(opener);
	vd_sleep_ms(SETTLE);
	ASSERT_EQ(0, vd_status(fd, &st));
	EXPECT_EQ(VDISET_STATE_CREATED, st.out_state);
	EXPECT_EQ(getpid(), st.out_primary.pid);
	close(fd);
}

/*
 * The normal end, and death after it
 */
static int orderly(FIXTURE_DATA(fd_ownership) *self)
{
	long ret = vd_party_call(self->server, vd_p_device_close, 0, 0);

	if (!ret)
		ret = vd_party_call(self->server, vd_p_device_close, 1, 0);
	return ret;
}

TEST_F(fd_ownership, death_after_termination)
{
	struct vdiset_status st;

	ASSERT_EQ(0, orderly(self));
	ASSERT_EQ(VDISET_STATE_TERMINATED, vd_state(self->fd));
	vd_party_kill(self->server);
	vd_party_kill(self->primary);
	vd_party_kill(self->secondary);
	vd_sleep_ms(SETTLE);
	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(VDISET_STATE_TERMINATED, st.out_state);
	EXPECT_EQ(0, st.out_abort.reason);
	EXPECT_EQ(0, st.out_primary.role);
	EXPECT_EQ(0, st.out_server.role);
	EXPECT_EQ(0, st.out_secondaries);
}

TEST_F(fd_ownership, death_after_close)
{
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_device_close, 1, 0));
	/* its only device is closed: the secondary may CLOSE, then it is killed */
	ASSERT_EQ(0, vd_party_call(self->secondary, vd_p_close, 0, 0));
	vd_party_kill(self->secondary);
	EXPECT_TRUE(lives(self));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_device_close, 0, 0));
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_close, 0, 0));
	ASSERT_EQ(0, vd_party_call(self->primary, vd_p_close, 0, 0));
	vd_party_kill(self->server);
	vd_party_kill(self->primary);
	EXPECT_EQ(VDISET_STATE_TERMINATED, vd_state(self->fd));
}

/* A secondary that exits without CLOSE has died, although its device is closed. */
TEST_F(fd_ownership, secondary_dies_without_close)
{
	ASSERT_EQ(0, vd_party_call(self->server, vd_p_device_close, 1, 0));
	kill(self->secondary->pid, SIGKILL);
	EXPECT_TRUE(died(self, self->secondary));
}

TEST_F(fd_ownership, observer_dies)
{
	struct vd_party *p = vd_party_start("vd-observer");

	strcpy(p->name, self->primary->name);
	ASSERT_EQ(0, vd_party_call(p, vd_p_attach, VDISET_ROLE_OBSERVER, 0));
	vd_party_kill(p);
	EXPECT_TRUE(lives(self));
}

/* Two parties die: one death is recorded, and no call hangs. */
TEST_F(fd_ownership, all_die)
{
	kill(self->server->pid, SIGKILL);
	kill(self->primary->pid, SIGKILL);
	kill(self->secondary->pid, SIGKILL);
	EXPECT_TRUE(died(self, self->server) || died(self, self->primary) ||
		    died(self, self->secondary));
}

TEST_HARNESS_MAIN
