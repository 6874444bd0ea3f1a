// SPDX-License-Identifier: GPL-2.0
/*
 * Shows how the allocation of the area behaves when a signal, io_uring work, an abort
 * or a death interrupts it, and which state remains. The point of interruption is
 * fixed: userfaultfd(2) supplies the page of the argument, so that the signal or the
 * work is pending before the allocation begins. Calls are counted, not time.
 */
#define _GNU_SOURCE
#include <linux/userfaultfd.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#ifdef HAVE_LIBURING
#include <liburing.h>
#endif
#include "vdiset_test.h"
#include "harness.h"

#define PAGE		4096
#define LARGE		(256 * MIB)
#define TOO_SMALL	"needs 256 MiB for a set, and twice as much free memory"

/* In each test, because old harnesses run it even if the fixture was skipped. */
#define NEEDS(self)					\
	do {						\
		if ((self)->why)			\
			SKIP(return, "%s", (self)->why);\
	} while (0)
#define LEAST_STEP	PAGE
#define HUGE_STEP	(2 * MIB)
#define SLACK_KB	(32 * 1024)

static uint64_t total(void)
{
	return vd_info().out_total_bytes;
}

static uint64_t area_size(int fd)
{
	struct vdiset_status st;

	return vd_status(fd, &st) ? 0 : st.out_config.buffer_area_size;
}

/* Are areas of 2 MiB and more made of huge pages? */
static bool has_huge_pages(void)
{
	return !access("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
		       R_OK);
}

/* Do the limits and the free memory permit a set of that size? */
static bool has_room(uint64_t size)
{
	return vd_info().out_max_set_bytes >= size &&
	       vd_meminfo("MemAvailable") > (long)(2 * size / KIB);
}

/* Returns the number of words that are not zero, then writes to each page. */
static long dirty_words(int fd, uint64_t size)
{
	uint64_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   VDISET_MMAP_AREA);
	uint64_t i;
	long n = 0;

	if (p == MAP_FAILED)
		return -errno;
	for (i = 0; i < size / sizeof(*p); i++)
		n += p[i] != 0;
	for (i = 0; i < size / sizeof(*p); i += PAGE / sizeof(*p))
		p[i] = ~i;
	munmap(p, size);
	return n;
}

/*
 * Interrupted calls. A thread supplies the page of the argument after it has
 * interrupted the caller.
 */
enum interrupt { NOTHING, SIGNAL, TASK_WORK };

struct interrupter {
	enum interrupt by;
	int uffd;
	int event;		/* polled by the caller's io_uring */
#ifdef HAVE_LIBURING
	struct io_uring ring;
#endif
	bool has_ring;
	pthread_t caller, thread;
	_Atomic bool armed;	/* no call was interrupted yet */
	void *page;		/* of the argument */
	char copy[PAGE];
};

static void on_signal(int sig)
{
	(void)sig;
}

static void interrupt(struct interrupter *in)
{
	uint64_t one = 1;

	if (in->by == SIGNAL)
		pthread_kill(in->caller, SIGUSR1);
	else if (in->by == TASK_WORK &&
		 write(in->event, &one, sizeof(one)) != sizeof(one))
		abort();
}

static void *interrupter_main(void *arg)
{
	struct interrupter *in = arg;
	struct uffdio_copy copy = {
		.dst = (uintptr_t)in->page, .src = (uintptr_t)in->copy,
		.len = PAGE,
	};
	struct uffd_msg msg;

	while (read(in->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		if (msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		/* after a signal the caller faults on the page again */
		if (atomic_exchange(&in->armed, false))
			interrupt(in);
		if (ioctl(in->uffd, UFFDIO_COPY, &copy) && errno != EEXIST)
			abort();
	}
	return NULL;
}

/* io_uring polls the eventfd: an event creates task work for the submitter. */
#ifdef HAVE_LIBURING
static int ring_start(struct interrupter *in)
{
	return io_uring_queue_init(8, &in->ring, 0);
}

static int poll_event(struct interrupter *in)
{
	struct io_uring_cqe *cqe;
	struct io_uring_sqe *sqe;
	uint64_t count;

	while (!io_uring_peek_cqe(&in->ring, &cqe))
		io_uring_cqe_seen(&in->ring, cqe);
	if (read(in->event, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return -errno;
	sqe = io_uring_get_sqe(&in->ring);
	io_uring_prep_poll_add(sqe, in->event, POLLIN);
	return io_uring_submit(&in->ring) == 1 ? 0 : -EIO;
}

static void ring_end(struct interrupter *in)
{
	io_uring_queue_exit(&in->ring);
}
#else
static int ring_start(struct interrupter *in)
{
	(void)in;
	return -ENOSYS;
}

static int poll_event(struct interrupter *in)
{
	(void)in;
	return -ENOSYS;
}

static void ring_end(struct interrupter *in)
{
	(void)in;
}
#endif

/* Returns NULL, or the reason why the tests cannot run. */
static const char *interrupter_start(struct interrupter *in, enum interrupt by)
{
	struct sigaction sa = { .sa_handler = on_signal };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	struct uffdio_api api = { .api = UFFD_API };

	memset(in, 0, sizeof(*in));
	in->by = by;
	in->caller = pthread_self();
	in->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (by == TASK_WORK && ring_start(in))
		return "no io_uring";
	in->has_ring = by == TASK_WORK;
	in->uffd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (in->uffd < 0 || ioctl(in->uffd, UFFDIO_API, &api))
		return "no userfaultfd";
	in->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	reg.range.start = (uintptr_t)in->page;
	reg.range.len = PAGE;
	if (in->page == MAP_FAILED || ioctl(in->uffd, UFFDIO_REGISTER, &reg))
		return "no userfaultfd";
	sigaction(SIGUSR1, &sa, NULL);
	return pthread_create(&in->thread, NULL, interrupter_main, in) ?
		"no thread" : NULL;
}

static void interrupter_end(struct interrupter *in)
{
	if (in->thread) {
		pthread_cancel(in->thread);
		pthread_join(in->thread, NULL);
	}
	if (in->has_ring)
		ring_end(in);
	if (in->uffd > 0)
		close(in->uffd);
	if (in->event > 0)
		close(in->event);
}

static int call(struct interrupter *in, int fd, unsigned long request,
		const void *arg, size_t size)
{
	int ret = in->has_ring ? poll_event(in) : 0;

	if (ret)
		return ret;
	memcpy(in->copy, arg, size);
	if (madvise(in->page, PAGE, MADV_DONTNEED))
		return -errno;
	atomic_store(&in->armed, true);
	return vd_ioctl(fd, request, in->page);
}

/* END_CONFIG, or growth by @bytes, interrupted when it begins */
static int interrupted_end_config(struct interrupter *in, int fd)
{
	struct vdiset_end_config e = { .size = sizeof(e) };

	return call(in, fd, VDISET_END_CONFIG, &e, sizeof(e));
}

static int interrupted_growth(struct interrupter *in, int fd, uint64_t bytes)
{
	struct vdiset_request_buffers r = { .size = sizeof(r), .bytes = bytes };

	return call(in, fd, VDISET_REQUEST_BUFFERS, &r, sizeof(r));
}

FIXTURE(allocation) {
	struct vd_set s;
	struct interrupter in;
	uint64_t bytes;
	int sets;
	const char *why;	/* reason to skip the tests, or NULL */
};

FIXTURE_VARIANT(allocation) {
	bool grows;		/* true: growth; false: END_CONFIG */
};

FIXTURE_VARIANT_ADD(allocation, end_config) { false };
FIXTURE_VARIANT_ADD(allocation, growth) { true };

FIXTURE_SETUP(allocation)
{
	struct vdiset_info info = vd_info();

	self->bytes = info.out_total_bytes;
	self->sets = info.out_sets;
	self->s.primary = self->s.server = -1;
	if (!has_room(LARGE))
		self->why = TOO_SMALL;
}

FIXTURE_TEARDOWN(allocation)
{
	interrupter_end(&self->in);
	vd_set_down(&self->s);
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	EXPECT_EQ(self->bytes, total());
}

/* Prepares the set for the call that allocates @size; returns the size before. */
static long prepare(FIXTURE_DATA(allocation) *self,
		    const FIXTURE_VARIANT(allocation) *variant, uint64_t size)
{
	uint64_t first = variant->grows ? HUGE_STEP : 0;
	int ret = vd_set_up(&self->s, 2, 4, first,
			    variant->grows ? VDISET_STATE_INITIALIZING :
					     VDISET_STATE_CONFIGURABLE);

	if (!ret && !variant->grows)
		ret = vd_request_buffers(self->s.server, size, NULL);
	return ret ? ret : (long)first;
}

static int allocate(FIXTURE_DATA(allocation) *self,
		    const FIXTURE_VARIANT(allocation) *variant, uint64_t size)
{
	return variant->grows ?
		vd_request_buffers(self->s.server, size, NULL) :
		vd_end_config(self->s.server);
}

static int allocate_interrupted(FIXTURE_DATA(allocation) *self,
				const FIXTURE_VARIANT(allocation) *variant,
				uint64_t size)
{
	return variant->grows ?
		interrupted_growth(&self->in, self->s.server, size) :
		interrupted_end_config(&self->in, self->s.server);
}

/*
 * Each call is interrupted as soon as it begins. Each call allocates at least one
 * step, so the number of calls is bounded. Without huge pages the size is that of the
 * smallest growth, because one call for each page of 256 MiB takes minutes.
 */
static void each_call(struct __test_metadata *_metadata,
		      FIXTURE_DATA(allocation) *self,
		      const FIXTURE_VARIANT(allocation) *variant,
		      enum interrupt by)
{
	uint64_t step = has_huge_pages() ? HUGE_STEP : LEAST_STEP, now, before;
	uint64_t size = has_huge_pages() ? LARGE : HUGE_STEP;
	int first, calls, ret = -EINTR;
	const char *why = interrupter_start(&self->in, by);

	if (why)
		SKIP(return, "%s", why);
	first = prepare(self, variant, size);
	ASSERT_LE(0, first);
	before = total();
	for (calls = 0; ret == -EINTR && calls <= (int)(size / step); calls++) {
		ret = allocate_interrupted(self, variant, size);
		now = total();
		ASSERT_LT(before, now)
			TH_LOG("call %d returned %d", calls, ret);
		before = now;
		if (ret == -EINTR) {
			ASSERT_EQ(first, area_size(self->s.primary));
			ASSERT_EQ(variant->grows ? VDISET_STATE_INITIALIZING :
						   VDISET_STATE_CONFIGURABLE,
				  vd_state(self->s.primary));
		}
	}
	TH_LOG("%d calls", calls);
	ASSERT_EQ(0, ret);
	EXPECT_EQ(first + size, area_size(self->s.primary));
	EXPECT_EQ(self->bytes + first + size, total());
	EXPECT_EQ(0, dirty_words(self->s.primary, first + size));
	vd_set_down(&self->s);
	vd_wait_sets(self->sets);
	EXPECT_EQ(self->bytes, total());
}

TEST_F(allocation, signal_in_each_call)
{
	NEEDS(self);
	each_call(_metadata, self, variant, SIGNAL);
}

TEST_F(allocation, io_uring_work_in_each_call)
{
	NEEDS(self);
	each_call(_metadata, self, variant, TASK_WORK);
}

/*
 * The interval of the timer grows with each signal. At first it is too short for a
 * system call on any machine; in the end it is long enough.
 */
static volatile sig_atomic_t ticks;

static void on_tick(int sig)
{
	struct itimerval it = { .it_value.tv_usec = 1 + ticks++ % 900000 };

	(void)sig;
	setitimer(ITIMER_REAL, &it, NULL);
}

TEST_F(allocation, interval_timer)
{
	struct sigaction sa = { .sa_handler = on_tick };
	struct itimerval none = { 0 };
	uint64_t before, now;
	int first, calls, ret;

	NEEDS(self);
	first = prepare(self, variant, LARGE);
	ASSERT_LE(0, first);
	before = total();
	sigaction(SIGALRM, &sa, NULL);
	ticks = 0;
	on_tick(SIGALRM);
	for (calls = 1; ; calls++) {
		ret = allocate(self, variant, LARGE);
		now = total();
		if (ret != -EINTR)
			break;
		if (now <= before)
			break;
		before = now;
	}
	setitimer(ITIMER_REAL, &none, NULL);
	TH_LOG("%d calls, %d signals", calls, (int)ticks);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(first + LARGE, area_size(self->s.primary));
	EXPECT_EQ(self->bytes + first + LARGE, total());
	EXPECT_EQ(0, dirty_words(self->s.primary, first + LARGE));
}

/*
 * Aborts
 */
struct aborter {
	int fd;
	uint64_t before;	/* abort once more than this is charged */
	_Atomic bool stop;
	unsigned int spins;
	pthread_t thread;
};

static void *aborter_main(void *arg)
{
	struct aborter *a = arg;
	struct vdiset_info info = { .size = sizeof(info) };
	volatile unsigned int i;

	do {
		vd_ioctl(a->fd, VDISET_INFO, &info);
	} while (info.out_total_bytes <= a->before && !a->stop);
	for (i = 0; i < a->spins; i++)
		;
	vd_abort(a->fd, VDISET_REASON_SIGNAL, 1, "");
	return NULL;
}

/* One allocation that another thread aborts; returns its result, or -EAGAIN. */
static int abort_round(FIXTURE_DATA(allocation) *self,
		       const FIXTURE_VARIANT(allocation) *variant,
		       uint64_t size, unsigned int spins)
{
	struct aborter a = { .spins = spins };
	long first = prepare(self, variant, size);
	int ret;

	if (first < 0)
		return -EAGAIN;
	a.fd = self->s.primary;
	a.before = total();
	if (pthread_create(&a.thread, NULL, aborter_main, &a))
		return -EAGAIN;
	ret = allocate(self, variant, size);
	a.stop = true;
	pthread_join(a.thread, NULL);
	return ret;
}

/*
 * Memory that the request had allocated is freed before the call returns, although
 * all files of the set are open. If the allocation ended before the abort, the area
 * remains.
 */
static void check_abort(struct __test_metadata *_metadata,
			FIXTURE_DATA(allocation) *self,
			const FIXTURE_VARIANT(allocation) *variant,
			uint64_t size, int ret)
{
	uint64_t want = self->bytes + (variant->grows ? HUGE_STEP : 0);

	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(self->s.primary));
	if (!ret)
		want += size;
	else
		EXPECT_EQ(-ECANCELED, ret);
	EXPECT_EQ(want, total())
		TH_LOG("the call returned %d", ret);
}

TEST_F(allocation, abort)
{
	long shmem = vd_meminfo("Shmem");
	int i, ret, aborted = 0;

	NEEDS(self);
	for (i = 0; i < 20; i++) {
		ret = abort_round(self, variant, LARGE, 0);
		ASSERT_NE(-EAGAIN, ret);
		check_abort(_metadata, self, variant, LARGE, ret);
		if (ret) {
			aborted++;
			EXPECT_GT(shmem + SLACK_KB, vd_meminfo("Shmem"));
		}
		vd_set_down(&self->s);
		vd_wait_sets(self->sets);
		if (aborted == 5 || !_metadata->passed)
			break;
	}
	TH_LOG("%d of %d were aborted", aborted, i + 1);
	if (!aborted)
		SKIP(return, "every allocation ended before the abort");
}

/* An allocation of one step has no later step that checks for the abort. */
TEST_F(allocation, abort_in_the_only_step)
{
	unsigned int seed = 1;
	int i, ret, aborted = 0;

	NEEDS(self);
	for (i = 0; i < 300; i++) {
		ret = abort_round(self, variant, HUGE_STEP, rand_r(&seed) % 3000);
		ASSERT_NE(-EAGAIN, ret);
		aborted += ret == -ECANCELED;
		check_abort(_metadata, self, variant, HUGE_STEP, ret);
		vd_set_down(&self->s);
		vd_wait_sets(self->sets);
		if (!_metadata->passed)
			break;
	}
	TH_LOG("%d of %d were aborted", aborted, i);
}

/* A repeated call after an interruption returns ECANCELED if the set is aborted. */
TEST_F(allocation, abort_after_an_interruption)
{
	const char *why = interrupter_start(&self->in, SIGNAL);
	int first;

	NEEDS(self);
	if (why)
		SKIP(return, "%s", why);
	first = prepare(self, variant, LARGE);
	ASSERT_LE(0, first);
	ASSERT_EQ(-EINTR, allocate_interrupted(self, variant, LARGE));
	EXPECT_LT(self->bytes + first, total());
	ASSERT_EQ(0, vd_abort(self->s.primary, VDISET_REASON_SIGNAL, 1, ""));
	EXPECT_EQ(-ECANCELED, allocate(self, variant, LARGE));
	EXPECT_EQ(self->bytes + first, total());
}

/* The server closes or dies during the allocation; a client keeps the set open. */
TEST_F(allocation, close_after_an_interruption)
{
	const char *why = interrupter_start(&self->in, SIGNAL);
	int first;

	NEEDS(self);
	if (why)
		SKIP(return, "%s", why);
	first = prepare(self, variant, LARGE);
	ASSERT_LE(0, first);
	ASSERT_EQ(-EINTR, allocate_interrupted(self, variant, LARGE));
	close(self->s.server);
	self->s.server = -1;
	EXPECT_EQ(VDISET_STATE_ABORTED, vd_state(self->s.primary));
	vd_set_down(&self->s);
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	EXPECT_EQ(self->bytes, total());
}

/*
 * After an interruption: requests that differ from the interrupted one
 */
FIXTURE(changed) {
	struct vd_set s;
	struct interrupter in;
	uint64_t bytes;
	int sets;
	const char *why;
};

FIXTURE_SETUP(changed)
{
	struct vdiset_info info = vd_info();

	self->bytes = info.out_total_bytes;
	self->sets = info.out_sets;
	self->s.primary = self->s.server = -1;
	self->why = has_room(LARGE) ? interrupter_start(&self->in, SIGNAL) :
				      TOO_SMALL;
}

FIXTURE_TEARDOWN(changed)
{
	interrupter_end(&self->in);
	vd_set_down(&self->s);
	EXPECT_EQ(self->sets, vd_wait_sets(self->sets));
	EXPECT_EQ(self->bytes, total());
}

TEST_F(changed, smaller_growth)
{
	uint64_t size = HUGE_STEP;
	int i;

	NEEDS(self);
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, size, VDISET_STATE_INITIALIZING));
	for (i = 0; i < 4; i++)
		ASSERT_EQ(-EINTR, interrupted_growth(&self->in, self->s.server,
						     LARGE));
	EXPECT_EQ(size, area_size(self->s.primary));
	EXPECT_LT(self->bytes + size, total());
	EXPECT_GT(self->bytes + size + LARGE, total());

	ASSERT_EQ(0, vd_request_buffers(self->s.server, HUGE_STEP, NULL));
	size += HUGE_STEP;
	EXPECT_EQ(size, area_size(self->s.primary));
	EXPECT_LE(self->bytes + size, total());
	EXPECT_EQ(0, dirty_words(self->s.server, size));

	/* an error does not change the area */
	EXPECT_EQ(-ENOMEM, vd_request_buffers(self->s.server,
					      vd_info().out_max_set_bytes,
					      NULL));
	EXPECT_EQ(size, area_size(self->s.primary));
	EXPECT_EQ(self->bytes + size, total());

	ASSERT_EQ(0, vd_request_buffers(self->s.server, LARGE, NULL));
	EXPECT_EQ(self->bytes + size + LARGE, total());
}

/* A larger request uses the memory that was allocated already. */
TEST_F(changed, more_requests_before_end_config)
{
	struct vdiset_get_config g;
	uint64_t size = LARGE / 2;

	NEEDS(self);
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	ASSERT_EQ(0, vd_request_buffers(self->s.server, size, NULL));
	ASSERT_EQ(-EINTR, interrupted_end_config(&self->in, self->s.server));
	ASSERT_EQ(0, vd_request_buffers(self->s.server, LARGE / 2, &size));
	EXPECT_EQ(LARGE, size);
	ASSERT_EQ(-EINTR, interrupted_end_config(&self->in, self->s.server));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	ASSERT_EQ(0, vd_get_config(self->s.primary, 0, 0, &g));
	EXPECT_EQ(LARGE, g.out_config.buffer_area_size);
	EXPECT_EQ(self->bytes + LARGE, total());
	EXPECT_EQ(0, dirty_words(self->s.primary, LARGE));
}

/* If a limit refuses the rest, the requests and the allocated memory are dropped. */
TEST_F(changed, refused_after_an_interruption)
{
	uint64_t most = vd_info().out_max_set_bytes;

	NEEDS(self);
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	ASSERT_EQ(0, vd_request_buffers(self->s.server, LARGE, NULL));
	ASSERT_EQ(-EINTR, interrupted_end_config(&self->in, self->s.server));
	EXPECT_LT(self->bytes, total());
	ASSERT_EQ(0, vd_request_buffers(self->s.server, most, NULL));
	EXPECT_EQ(-ENOMEM, vd_end_config(self->s.server));
	EXPECT_EQ(VDISET_STATE_CONFIGURABLE, vd_state(self->s.primary));
	EXPECT_EQ(self->bytes, total());
	ASSERT_EQ(0, vd_request_buffers(self->s.server, HUGE_STEP, NULL));
	ASSERT_EQ(0, vd_end_config(self->s.server));
	EXPECT_EQ(self->bytes + HUGE_STEP, total());
}

/*
 * Growth by the smallest requests: up to 2 MiB each adds at least the size of the
 * area, so that no party needs more mappings than the area has MiB.
 */
TEST(smallest_growth)
{
	uint64_t want = 64 * MIB, size = PAGE, before, least;
	struct vd_set s;
	int growths = 0;

	if (!has_room(want))
		SKIP(return, "needs 64 MiB for a set, and twice as much free memory");
	ASSERT_EQ(0, vd_set_up(&s, 1, 4, size, VDISET_STATE_INITIALIZING));
	while (size < want && growths < 1000) {
		before = size;
		least = before < HUGE_STEP ? before : HUGE_STEP;
		ASSERT_EQ(0, vd_request_buffers(s.server, PAGE, &size));
		ASSERT_LE(before + least, size);
		growths++;
	}
	EXPECT_GE(9 + want / HUGE_STEP, growths);
	EXPECT_EQ(size, area_size(s.primary));
	EXPECT_EQ(0, dirty_words(s.primary, size));
	TH_LOG("%d growths", growths);
	vd_set_down(&s);
}

/*
 * The death of the server ends its allocation.
 */
static long grow(struct vd_party *me, long bytes, long unused)
{
	(void)unused;
	return vd_request_buffers(me->set, bytes, NULL);
}

TEST_F(changed, killed_while_allocating)
{
	struct vd_party *server = vd_party_start("vd-server");
	int64_t end = vd_now() + VD_HANG;
	struct pollfd pfd;
	int status;

	NEEDS(self);
	ASSERT_NE(NULL, server);
	vd_name(server->name, "killed");
	self->s.primary = vd_open();
	ASSERT_EQ(0, vd_create(self->s.primary, server->name, 1));
	ASSERT_EQ(0, vd_party_call(server, vd_p_attach, VDISET_ROLE_SERVER, 0));
	ASSERT_EQ(0, vd_party_call(server, vd_p_configure, 4, 0));
	ASSERT_EQ(0, vd_party_call(server, vd_p_end_config, PAGE, 0));
	ASSERT_EQ(0, vd_party_post(server, grow, LARGE, 0));
	/* memory is charged before it is allocated */
	while (total() < self->bytes + LARGE && vd_now() < end)
		;
	kill(server->pid, SIGKILL);
	pfd = (struct pollfd){ .fd = self->s.primary };
	EXPECT_EQ(1, poll(&pfd, 1, VD_HANG / MS));
	EXPECT_EQ(POLLERR | POLLHUP, pfd.revents);
	status = vd_party_reap(server);
	ASSERT_TRUE(WIFSIGNALED(status));
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

TEST_HARNESS_MAIN
