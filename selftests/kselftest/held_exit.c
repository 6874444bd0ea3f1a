// SPDX-License-Identifier: GPL-2.0
/*
 * Shows that the death of a party is detected while its exit is blocked: by a thread
 * in uninterruptible sleep, which writes to a frozen file system, or by a core dump
 * to a helper that does not read. The other parties must return before the exit can
 * continue. Only the order of events is checked; the time-outs are for kernels that
 * never detect the death.
 */
#define _GNU_SOURCE
#include <linux/fs.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "vdiset_test.h"
#include "harness.h"

#define END		(POLLERR | POLLHUP)
#define AREA		MIB
#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
#define CORE_HELPER	"--hold-core"

/* CHILD is forked from the secondary client and opens a device on its set file. */
enum who { PRIMARY, SERVER, SECONDARY, CHILD, CLOCK, N_PARTIES };

static const char *const comm[N_PARTIES] = {
	"vd-primary", "vd-server", "vd-secondary", "vd-child", "vd-clock",
};

static const unsigned int role[N_PARTIES] = {
	VDISET_ROLE_PRIMARY, VDISET_ROLE_SERVER, VDISET_ROLE_SECONDARY,
	VDISET_ROLE_SECONDARY, VDISET_ROLE_SERVER,
};

/*
 * A process that undoes the changes that this test makes to the system, even if the
 * test is killed: it waits for EOF of its pipe.
 */
struct guard {
	pid_t pid;
	int pipe;		/* the end of the pipe that the test holds */
	int dir;		/* in the frozen file system, or -1 */
	char core_pattern[256];	/* the value to restore, or empty */
};

static int thaw(int dir)
{
	return ioctl(dir, FITHAW, 0) ? -errno : 0;
}

static void guard_main(const struct guard *guard, int pipe)
{
	int fd;
	char byte;

	/* the test may be killed with its process group */
	setsid();
	/* close the inherited files of the parties */
	for (fd = 3; fd < 256; fd++)
		if (fd != pipe && fd != guard->dir)
			close(fd);
	while (read(pipe, &byte, 1) < 0 && errno == EINTR)
		;
	if (guard->core_pattern[0])
		vd_write_file(CORE_PATTERN, guard->core_pattern);
	if (guard->dir >= 0)
		thaw(guard->dir);
	_exit(0);
}

/* Must be called after all other forks: a child would hold the pipe open. */
static int guard_start(struct guard *guard)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	fflush(NULL);
	guard->pid = fork();
	if (guard->pid < 0)
		return -errno;
	if (!guard->pid)
		guard_main(guard, fds[0]);
	close(fds[0]);
	guard->pipe = fds[1];
	return 0;
}

static void guard_end(struct guard *guard)
{
	if (guard->pid <= 0)
		return;
	close(guard->pipe);
	waitpid(guard->pid, NULL, 0);
	guard->pid = 0;
}

/*
 * The kernel starts this program for a core dump. It reports that it runs and reads
 * nothing until it is released. The test holds both ends of both FIFOs.
 */
static void core_fifo(char *path, size_t size, int test, bool report)
{
	snprintf(path, size, "/tmp/vdiset-core-%d-%s", test,
		 report ? "report" : "release");
}

static void __attribute__((constructor)) core_helper(int argc, char **argv)
{
	char path[64], byte = 1;
	int fd;

	if (argc != 3 || strcmp(argv[1], CORE_HELPER))
		return;
	core_fifo(path, sizeof(path), atoi(argv[2]), true);
	fd = open(path, O_WRONLY | O_NONBLOCK);
	if (fd < 0 || write(fd, &byte, 1) != 1)
		_exit(1);
	core_fifo(path, sizeof(path), atoi(argv[2]), false);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, &byte, 1) != 1)
		_exit(1);
	_exit(0);
}

/* Shared with the process that shares a party's descriptor table */
enum { SHARER_STAYS, SHARER_EXITS, SHARER_CLOSES };

struct shared {
	_Atomic int sharer;
};

FIXTURE(held_exit) {
	struct shared *shared;
	struct guard guard;
	struct vd_party *p[N_PARTIES];
	int file[N_PARTIES];		/* descriptors in the parties */
	int secondary;			/* set file of CHILD's parent */
	struct vd_sleeper *s[16];
	int n;
	int fd;				/* observer */
	int clock;			/* primary of CLOCK's set */
	int report, release;		/* FIFOs of the core helper */
	pid_t sharer;
	int sets;
	uint64_t bytes;
	uint64_t id;
};

enum how { FROZEN, CORE };

FIXTURE_VARIANT(held_exit) {
	enum who who;
	enum how how;
	int sharer;			/* how the sharer ends; SHARER_STAYS: no sharer */
};

#define HELD_EXIT(who, how) \
	FIXTURE_VARIANT_ADD(held_exit, who##_##how) { who, how, SHARER_STAYS };
HELD_EXIT(PRIMARY, FROZEN)
HELD_EXIT(SERVER, FROZEN)
HELD_EXIT(SECONDARY, FROZEN)
HELD_EXIT(CHILD, FROZEN)
HELD_EXIT(PRIMARY, CORE)
HELD_EXIT(SERVER, CORE)
HELD_EXIT(SECONDARY, CORE)
HELD_EXIT(CHILD, CORE)
/* Another process shares the descriptor table, and so belongs to the party. */
FIXTURE_VARIANT_ADD(held_exit, shared_files_exit) {
	SERVER, FROZEN, SHARER_EXITS
};
FIXTURE_VARIANT_ADD(held_exit, shared_files_close) {
	SERVER, FROZEN, SHARER_CLOSES
};

/* Opens VDISET_SCRATCH, a separate file system that can be frozen. */
static int open_scratch(const char **why)
{
	const char *path = getenv("VDISET_SCRATCH");
	struct stat own, parent, root;
	int dir, ret;

	*why = "VDISET_SCRATCH is not set";
	if (!path)
		return -1;
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*why = "VDISET_SCRATCH cannot be opened";
	if (dir < 0)
		return -1;
	*why = "VDISET_SCRATCH is not a separate file system";
	if (fstat(dir, &own) || fstatat(dir, "..", &parent, 0) ||
	    stat("/", &root) || own.st_dev == parent.st_dev ||
	    own.st_dev == root.st_dev)
		goto err;
	*why = "VDISET_SCRATCH cannot be frozen";
	ret = ioctl(dir, FIFREEZE, 0);
	if (ret)
		goto err;
	thaw(dir);
	return dir;
err:
	close(dir);
	return -1;
}

static int make_fifo(bool report)
{
	char path[64];

	core_fifo(path, sizeof(path), getpid(), report);
	unlink(path);
	if (mkfifo(path, 0600))
		return -1;
	return open(path, O_RDWR | O_CLOEXEC);
}

static const char *core_pattern(char *pattern, size_t size)
{
	char exe[256];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	if (n < 0)
		return "there is no /proc/self/exe";
	exe[n] = 0;
	/* core_pattern is limited to 127 bytes and split at blanks */
	if (snprintf(pattern, size, "|%s " CORE_HELPER " %d", exe, getpid()) >
	    126 || strchr(exe, ' '))
		return "the path of this program is too long for core_pattern";
	return access(CORE_PATTERN, W_OK) ? "core_pattern cannot be set" : NULL;
}

static const char *prepare(FIXTURE_DATA(held_exit) *self, enum how how)
{
	char pattern[300];
	const char *why = NULL;
	char *end;

	if (geteuid())
		return "not root";
	if (how == FROZEN) {
		self->guard.dir = open_scratch(&why);
		return why && self->guard.dir < 0 ? why : NULL;
	}
	why = core_pattern(pattern, sizeof(pattern));
	if (why)
		return why;
	if (vd_read_file(CORE_PATTERN, self->guard.core_pattern,
			 sizeof(self->guard.core_pattern)) <= 0)
		return "core_pattern cannot be read";
	end = strchr(self->guard.core_pattern, '\n');
	if (end)
		*end = 0;
	return NULL;
}

static struct vd_party *start(FIXTURE_DATA(held_exit) *self, enum who who,
			      const char *name)
{
	struct vd_party *p = vd_party_start(comm[who]);

	if (p)
		strcpy(p->name, name);
	self->p[who] = p;
	return p;
}

/* Not CHILD, which has another parent. */
static int start_parties(FIXTURE_DATA(held_exit) *self)
{
	char name[64];
	int i;

	vd_name(name, "held");
	for (i = 0; i < CHILD; i++)
		if (!start(self, i, name))
			return -ENOMEM;
	vd_name(name, "clock");
	return start(self, CLOCK, name) ? 0 : -ENOMEM;
}

FIXTURE_SETUP(held_exit)
{
	struct vdiset_info info = vd_info();
	const char *why;

	self->guard.dir = self->fd = self->secondary = self->clock = -1;
	self->report = self->release = -1;
	self->sets = info.out_sets;
	self->bytes = info.out_total_bytes;
	why = prepare(self, variant->how);
	if (why)
		SKIP(return, "%s", why);
	self->shared = vd_shared(sizeof(*self->shared));
	ASSERT_NE(NULL, self->shared);
	ASSERT_EQ(0, start_parties(self));
}

/* Lets blocked exits continue. Harmless if none is blocked. */
static void let_go(FIXTURE_DATA(held_exit) *self)
{
	char byte[N_PARTIES] = "";

	if (self->guard.dir >= 0)
		thaw(self->guard.dir);
	if (self->release >= 0 &&
	    write(self->release, byte, sizeof(byte)) < 0)
		perror("# write");
}

FIXTURE_TEARDOWN(held_exit)
{
	char path[64];
	int i;

	let_go(self);
	if (self->sharer > 0)
		kill(self->sharer, SIGKILL);
	for (i = 0; i < N_PARTIES; i++)
		if (self->p[i])
			vd_party_kill(self->p[i]);
	guard_end(&self->guard);
	close(self->fd);
	close(self->secondary);
	close(self->clock);
	for (i = 0; i < 2; i++) {
		core_fifo(path, sizeof(path), getpid(), i);
		unlink(path);
	}
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	EXPECT_EQ(self->bytes, vd_info().out_total_bytes);
	self->fd = vd_open();
	EXPECT_EQ(0, vd_listed(self->fd, self->id));
	close(self->fd);
}

/*
 * Actions of the parties
 */
static long open_file(struct vd_party *me, long unused, long unused2)
{
	char path[256];
	int fd;

	(void)me;
	(void)unused;
	(void)unused2;
	snprintf(path, sizeof(path), "%s/held-exit-%d",
		 getenv("VDISET_SCRATCH"), getpid());
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	unlink(path);
	return fd < 0 ? -errno : fd;
}

struct writer {
	int file;
	_Atomic int tid;
};

static void *writer_main(void *arg)
{
	struct writer *w = arg;
	char byte = 1;

	atomic_store(&w->tid, syscall(SYS_gettid));
	if (write(w->file, &byte, 1) != 1)
		abort();
	return NULL;
}

/* Starts the thread that writes to the frozen file system. */
static long write_file(struct vd_party *me, long file, long unused)
{
	static struct writer w;
	pthread_t thread;

	(void)me;
	(void)unused;
	w.file = file;
	if (pthread_create(&thread, NULL, writer_main, &w) ||
	    !vd_wait_word(&w.tid, 1, VD_HANG))
		return -EAGAIN;
	return w.tid;
}

/* True once the thread is in write(2), where it sleeps until the thaw. */
static bool in_write(pid_t pid, pid_t tid)
{
	char path[64], buf[256];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	if (vd_read_file(path, buf, sizeof(buf)) <= 0)
		return false;
	return strtol(buf, NULL, 0) == SYS_write && buf[0] != 'r';
}

static bool wait_blocked(pid_t pid, pid_t tid)
{
	int64_t end = vd_now() + VD_HANG;

	while (vd_now() < end) {
		if (vd_thread_state(pid, tid) == 'D' && in_write(pid, tid))
			return true;
		vd_sleep_ms(1);
	}
	return false;
}

/* A process that shares the party's descriptor table and nothing else */
static long share_files(struct vd_party *me, long shared, long unused)
{
	struct shared *s = (struct shared *)shared;
	pid_t pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

	(void)unused;
	if (pid)
		return pid < 0 ? -errno : pid;
	alarm(1200);
	while (s->sharer == SHARER_STAYS)
		vd_sleep_ms(1);
	if (s->sharer == SHARER_EXITS)
		_exit(0);
	close(me->set);
	for (;;)
		pause();
}

/*
 * Brings the set to ACTIVE: device 0 is open on both sides, device 1 is opened by the
 * server and by the secondary client or its child.
 */
static int set_up(FIXTURE_DATA(held_exit) *self, enum who who)
{
	struct vd_party **p = self->p;
	long ret;

	ret = vd_party_call(p[PRIMARY], vd_p_create, 2, 0);
	if (!ret)
		ret = vd_party_call(p[SERVER], vd_p_attach, VDISET_ROLE_SERVER, 0);
	if (!ret)
		ret = vd_party_call(p[SERVER], vd_p_configure, 4, 0);
	if (!ret)
		ret = vd_party_call(p[SERVER], vd_p_end_config, AREA, 0);
	if (!ret && who == CHILD) {
		self->secondary = vd_open();
		ret = vd_attach(self->secondary, VDISET_ROLE_SECONDARY,
				p[PRIMARY]->name);
		if (!ret && !start(self, CHILD, p[PRIMARY]->name))
			ret = -ENOMEM;
		if (!ret)
			p[CHILD]->set = self->secondary;
	} else if (!ret) {
		ret = vd_party_call(p[SECONDARY], vd_p_attach,
				    VDISET_ROLE_SECONDARY, 0);
	}
	if (!ret)
		ret = vd_party_call(p[PRIMARY], vd_p_open_device, 0, 0);
	if (!ret)
		ret = vd_party_call(p[SERVER], vd_p_open_device, 0, 0);
	if (!ret)
		ret = vd_party_call(p[SERVER], vd_p_open_device, 1, 0);
	if (!ret)
		ret = vd_party_call(p[who == CHILD ? CHILD : SECONDARY],
				    vd_p_open_device, 1, 0);
	if (ret)
		return ret;
	self->fd = vd_open();
	ret = vd_attach(self->fd, VDISET_ROLE_OBSERVER, p[PRIMARY]->name);
	self->id = vd_set_id(self->fd);
	return ret;
}

static int sleep_in(FIXTURE_DATA(held_exit) *self, enum who who,
		    enum vd_sleep kind, int index)
{
	struct vd_sleeper *s = vd_party_sleep(self->p[who], kind, index);

	if (!s)
		return -1;
	self->s[self->n++] = s;
	return 0;
}

/* Each party except the victim has two waiting threads. */
static int others_sleep(FIXTURE_DATA(held_exit) *self, enum who victim)
{
	int i, ret = 0;

	for (i = 0; !ret && i < CLOCK; i++) {
		if (i == (int)victim || !self->p[i] || self->p[i]->set < 0)
			continue;
		ret = sleep_in(self, i, VD_SLEEP_POLL_SET, 0);
		if (!ret)
			ret = sleep_in(self, i, VD_SLEEP_DEVICE_WAIT,
				       i == SECONDARY || i == CHILD);
		if (!ret && i == SERVER)
			ret = sleep_in(self, i, VD_SLEEP_SET_WAIT, 0);
	}
	return ret;
}

/* Number of calls that did not return, or returned a value other than that of an abort */
static int not_aborted(FIXTURE_DATA(held_exit) *self)
{
	int64_t end = vd_now() + VD_HANG;
	int i, bad = 0;

	for (i = 0; i < self->n; i++) {
		struct vd_sleeper *s = self->s[i];
		int want = s->kind == VD_SLEEP_POLL_SET ? END : -ECANCELED;

		if (!vd_sleeper_join(s, end - vd_now())) {
			printf("# sleeper %d (kind %d) still sleeps\n", i,
			       s->kind);
			bad++;
		} else if (s->ret != want) {
			printf("# sleeper %d (kind %d) got %d\n", i, s->kind,
			       s->ret);
			bad++;
		}
	}
	return bad;
}

/* Kills the party so that its exit blocks. Returns the blocked thread, or -errno. */
static long kill_blocked(FIXTURE_DATA(held_exit) *self, enum who who)
{
	struct vd_party *p = self->p[who];
	long tid = vd_party_call(p, write_file, self->file[who], 0);

	if (tid < 0)
		return tid;
	if (!wait_blocked(p->pid, tid))
		return -ETIMEDOUT;
	kill(p->pid, SIGKILL);
	return tid;
}

static void check_record(struct __test_metadata *_metadata,
			 FIXTURE_DATA(held_exit) *self, enum who who)
{
	struct vdiset_status st;

	ASSERT_EQ(0, vd_status(self->fd, &st));
	EXPECT_EQ(VDISET_STATE_ABORTED, st.out_state);
	EXPECT_EQ(VDISET_REASON_DIED, st.out_abort.reason);
	EXPECT_EQ(role[who], st.out_abort.by.role);
	EXPECT_EQ(self->p[who]->pid, st.out_abort.by.pid);
	EXPECT_STREQ(comm[who], st.out_abort.by.comm);
}

/* The other parties CLOSE, then the victim's exit continues. */
static void check_end(struct __test_metadata *_metadata,
		      FIXTURE_DATA(held_exit) *self, enum who who, int sig)
{
	int i, status;

	for (i = 0; i < CHILD; i++) {
		if (i != (int)who && self->p[i]->set >= 0)
			EXPECT_EQ(0, vd_party_call(self->p[i], vd_p_close, 0, 0));
	}
	let_go(self);
	status = vd_party_reap(self->p[who]);
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(sig, WTERMSIG(status));
}

static void frozen(struct __test_metadata *_metadata,
		   FIXTURE_DATA(held_exit) *self, enum who who)
{
	struct vd_party *victim = self->p[who];
	int64_t since;
	long tid;

	self->file[who] = vd_party_call(victim, open_file, 0, 0);
	ASSERT_LE(0, self->file[who]);
	ASSERT_EQ(0, ioctl(self->guard.dir, FIFREEZE, 0));
	tid = kill_blocked(self, who);
	ASSERT_LT(0, tid);

	since = vd_now();
	EXPECT_EQ(0, not_aborted(self));
	TH_LOG("detected after %lld ms", (long long)((vd_now() - since) / MS));
	check_record(_metadata, self, who);
	/* the thread is still in write(2): the detection came before the exit */
	EXPECT_EQ('D', vd_thread_state(victim->pid, tid));
	EXPECT_EQ(0, waitpid(victim->pid, NULL, WNOHANG));
	check_end(_metadata, self, who, SIGKILL);
}

/* Waits until the helper reports. If the victim exits first, no helper was started. */
static bool wait_helper(FIXTURE_DATA(held_exit) *self, struct vd_party *victim)
{
	struct pollfd pfd = { .fd = self->report, .events = POLLIN };
	int64_t end = vd_now() + VD_HANG;
	siginfo_t info;

	while (vd_now() < end) {
		if (poll(&pfd, 1, 10) == 1)
			return true;
		info.si_pid = 0;
		if (waitid(P_PID, victim->pid, &info,
			   WEXITED | WNOHANG | WNOWAIT) || info.si_pid)
			break;
	}
	return poll(&pfd, 1, 0) == 1;
}

static void core(struct __test_metadata *_metadata,
		 FIXTURE_DATA(held_exit) *self, enum who who)
{
	struct vd_party *victim = self->p[who];
	char pattern[300];

	self->report = make_fifo(true);
	self->release = make_fifo(false);
	ASSERT_LE(0, self->report);
	ASSERT_LE(0, self->release);
	ASSERT_EQ(NULL, core_pattern(pattern, sizeof(pattern)));
	ASSERT_EQ(0, vd_write_file(CORE_PATTERN, pattern));
	kill(victim->pid, SIGABRT);
	if (!wait_helper(self, victim))
		SKIP(return, "no core dump through a pipe here");

	EXPECT_EQ(0, not_aborted(self));
	check_record(_metadata, self, who);
	/* the helper is not released yet: the detection came before the exit */
	EXPECT_EQ(0, waitpid(victim->pid, NULL, WNOHANG));
	check_end(_metadata, self, who, SIGABRT);
	EXPECT_EQ(0, vd_write_file(CORE_PATTERN, self->guard.core_pattern));
}

/*
 * Creates a set whose server dies in the same way. When that death is detected, all
 * older sets have been checked.
 */
static int clock_tick(FIXTURE_DATA(held_exit) *self)
{
	struct vd_party *p = self->p[CLOCK];
	struct pollfd pfd;
	int ret;

	self->clock = vd_open();
	ret = vd_create(self->clock, p->name, 1);
	if (!ret)
		ret = vd_party_call(p, vd_p_attach, VDISET_ROLE_SERVER, 0);
	if (ret)
		return ret;
	ret = kill_blocked(self, CLOCK);
	if (ret < 0)
		return ret;
	pfd = (struct pollfd){ .fd = self->clock };
	if (poll(&pfd, 1, VD_HANG / MS) != 1)
		return -ETIMEDOUT;
	return (pfd.revents & END) == END ? 0 : -EPROTO;
}

static void shared(struct __test_metadata *_metadata,
		   FIXTURE_DATA(held_exit) *self, int sharer)
{
	struct vd_party *server = self->p[SERVER];
	long tid;

	self->file[SERVER] = vd_party_call(server, open_file, 0, 0);
	self->file[CLOCK] = vd_party_call(self->p[CLOCK], open_file, 0, 0);
	ASSERT_LE(0, self->file[SERVER]);
	ASSERT_LE(0, self->file[CLOCK]);
	self->sharer = vd_party_call(server, share_files, (long)self->shared, 0);
	ASSERT_LT(0, self->sharer);
	ASSERT_EQ(0, ioctl(self->guard.dir, FIFREEZE, 0));
	tid = kill_blocked(self, SERVER);
	ASSERT_LT(0, tid);

	ASSERT_EQ(0, clock_tick(self));
	EXPECT_EQ(VDISET_STATE_ACTIVE, vd_state(self->fd));
	EXPECT_EQ('D', vd_thread_state(server->pid, tid));

	self->shared->sharer = sharer;
	EXPECT_EQ(0, not_aborted(self));
	check_record(_metadata, self, SERVER);
	EXPECT_EQ('D', vd_thread_state(server->pid, tid));
	check_end(_metadata, self, SERVER, SIGKILL);
}

TEST_F(held_exit, is_detected)
{
	enum who who = variant->who;

	ASSERT_EQ(0, set_up(self, who));
	ASSERT_EQ(0, guard_start(&self->guard));
	ASSERT_EQ(0, others_sleep(self, who));
	if (variant->sharer != SHARER_STAYS)
		shared(_metadata, self, variant->sharer);
	else if (variant->how == FROZEN)
		frozen(_metadata, self, who);
	else
		core(_metadata, self, who);
}

TEST_HARNESS_MAIN
