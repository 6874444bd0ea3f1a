// SPDX-License-Identifier: GPL-2.0
/*
 * Shows who may map which page with which access, and that the access cannot be
 * extended: both sides of a ring rely on one writer per page.
 */
#define _GNU_SOURCE
#include <setjmp.h>
#include <sys/wait.h>
#include "vdiset_test.h"
#include "harness.h"

#define AREA	(16 * 4096UL)
#define RW	(PROT_READ | PROT_WRITE)

enum side { CLIENT, SERVER };

static int map_errno(int fd, size_t len, int prot, int flags, off_t offset)
{
	void *p = mmap(NULL, len, prot, flags, fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	munmap(p, len);
	return 0;
}

/* Runs fn(arg) in a child. Returns the signal that killed it, or minus its status. */
static int in_child(int (*fn)(void *), void *arg)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		alarm(1200);
		_exit(fn(arg));
	}
	if (waitpid(pid, &status, 0) != pid)
		return -1000;
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static int poke(void *p)
{
	signal(SIGSEGV, SIG_DFL);
	*(volatile char *)p = 1;
	return 0;
}

static int peek(void *p)
{
	signal(SIGSEGV, SIG_DFL);
	return *(volatile char *)p ? 1 : 0;
}

/*
 * Device files
 */
FIXTURE(ring) {
	struct vd_set s;
	struct vd_dev dev[2];
	struct vd_dev *d, *other;
};

FIXTURE_VARIANT(ring) {
	enum side side;
	unsigned int depth;
};

FIXTURE_VARIANT_ADD(ring, client) { CLIENT, 4 };
FIXTURE_VARIANT_ADD(ring, server) { SERVER, 4 };
FIXTURE_VARIANT_ADD(ring, client_deepest) { CLIENT, VDISET_MAX_DEPTH };
FIXTURE_VARIANT_ADD(ring, server_deepest) { SERVER, VDISET_MAX_DEPTH };

FIXTURE_SETUP(ring)
{
	self->dev[0].fd = self->dev[1].fd = -1;
	ASSERT_EQ(0, vd_set_up(&self->s, 1, variant->depth, AREA,
			       VDISET_STATE_INITIALIZING));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.primary, 0,
					&self->dev[CLIENT]));
	ASSERT_EQ(0, vd_set_open_device(&self->s, self->s.server, 0,
					&self->dev[SERVER]));
	self->d = &self->dev[variant->side];
	self->other = &self->dev[!variant->side];
}

FIXTURE_TEARDOWN(ring)
{
	vd_dev_release(&self->dev[CLIENT]);
	vd_dev_release(&self->dev[SERVER]);
	vd_set_down(&self->s);
}

TEST_F(ring, zeroed)
{
	const char *ro = (const char *)self->d->peer;
	const char *rw = (const char *)self->d->own;
	size_t i, dirty = 0;

	for (i = 0; i < self->d->rw_size; i++)
		dirty += rw[i] != 0;
	for (i = 0; i < self->d->ro_size - 4096; i++)
		dirty += ro[i] != 0;
	EXPECT_EQ(0, dirty);
	EXPECT_EQ(0, self->d->state->reserved);
	/* the rest of the state page contains no kernel data */
	for (i = sizeof(*self->d->state); i < 4096; i++)
		dirty += ((const char *)self->d->state)[i] != 0;
	EXPECT_EQ(0, dirty);
}

TEST_F(ring, holds_depth_entries)
{
	size_t need = sizeof(struct vdiset_region) +
		      variant->depth * VD_ENTRY_SIZE;

	EXPECT_LE(need, self->d->rw_size);
	EXPECT_LE(4096 + need, self->d->ro_size);
	EXPECT_EQ(0, self->d->rw_size % 4096);
	EXPECT_EQ(0, self->d->ro_size % 4096);
}

/* Each side reads all bytes that the other writes. */
TEST_F(ring, coherent)
{
	size_t size = self->d->rw_size, i;
	char *own = (char *)self->d->own;
	const char *seen = (const char *)self->other->peer;

	ASSERT_LE(size, self->other->ro_size - 4096);
	for (i = 0; i < size; i += 64) {
		own[i] = i / 64;
		own[i + 63] = ~(i / 64);
	}
	for (i = 0; i < size; i += 64) {
		EXPECT_EQ((char)(i / 64), seen[i]);
		EXPECT_EQ((char)~(i / 64), seen[i + 63]);
	}
}

TEST_F(ring, read_only_is_enforced)
{
	size_t n = self->d->ro_size;

	EXPECT_EQ(-EACCES, map_errno(self->d->fd, n, RW, MAP_SHARED,
				     VDISET_MMAP_RO));
	EXPECT_EQ(-EACCES, map_errno(self->d->fd, n, PROT_WRITE, MAP_SHARED,
				     VDISET_MMAP_RO));
	EXPECT_EQ(0, map_errno(self->d->fd, n, PROT_READ, MAP_SHARED,
			       VDISET_MMAP_RO));
}

TEST_F(ring, mprotect)
{
	void *ro = (void *)self->d->state, *rw = (void *)self->d->own;

	EXPECT_EQ(-1, mprotect(ro, self->d->ro_size, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(ro, 4096, RW));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(ro, 4096, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, mprotect(rw, self->d->rw_size, RW | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	/* less access is permitted, and the original access again */
	EXPECT_EQ(0, mprotect(rw, self->d->rw_size, PROT_READ));
	EXPECT_EQ(0, mprotect(rw, self->d->rw_size, RW));
	self->d->own->tail = 1;
	EXPECT_EQ(1, self->other->peer->tail);
}

/*
 * The module returns EACCES. If the file is on a file system mounted noexec, the kernel
 * returns EPERM before it calls the module (7.3: all anonymous inodes).
 */
static bool no_exec(int fd, size_t len, int prot, off_t offset)
{
	int ret = map_errno(fd, len, prot | PROT_EXEC, MAP_SHARED, offset);

	return ret == -EACCES || ret == -EPERM;
}

TEST_F(ring, not_executable)
{
	EXPECT_TRUE(no_exec(self->d->fd, self->d->ro_size, PROT_READ,
			    VDISET_MMAP_RO));
	EXPECT_TRUE(no_exec(self->d->fd, self->d->rw_size, RW,
			    VDISET_MMAP_RW));
}

TEST_F(ring, not_private)
{
	EXPECT_EQ(-EINVAL, map_errno(self->d->fd, self->d->ro_size, PROT_READ,
				     MAP_PRIVATE, VDISET_MMAP_RO));
	EXPECT_EQ(-EINVAL, map_errno(self->d->fd, self->d->rw_size, RW,
				     MAP_PRIVATE, VDISET_MMAP_RW));
}

TEST_F(ring, partial_mapping_refused)
{
	size_t ro = self->d->ro_size, rw = self->d->rw_size;
	static const off_t bad[] = { 4096, VDISET_MMAP_RW - 4096,
				     VDISET_MMAP_RW + 4096,
				     2LL * VDISET_MMAP_RW, 1LL << 40, 1LL << 62 };
	size_t i;

	EXPECT_EQ(-EINVAL, map_errno(self->d->fd, ro + 4096, PROT_READ,
				     MAP_SHARED, VDISET_MMAP_RO));
	EXPECT_EQ(-EINVAL, map_errno(self->d->fd, ro - 4096, PROT_READ,
				     MAP_SHARED, VDISET_MMAP_RO));
	EXPECT_EQ(-EINVAL, map_errno(self->d->fd, rw + 4096, RW, MAP_SHARED,
				     VDISET_MMAP_RW));
	if (rw > 4096) {
		EXPECT_EQ(-EINVAL, map_errno(self->d->fd, rw - 4096, RW,
					     MAP_SHARED, VDISET_MMAP_RW));
	}
	for (i = 0; i < ARRAY_LEN(bad); i++) {
		EXPECT_EQ(-EINVAL, map_errno(self->d->fd, ro, PROT_READ,
					     MAP_SHARED, bad[i]))
			TH_LOG("offset %lx", bad[i]);
		EXPECT_EQ(-EINVAL, map_errno(self->d->fd, rw, PROT_READ,
					     MAP_SHARED, bad[i]))
			TH_LOG("offset %lx", bad[i]);
	}
}

TEST_F(ring, mremap)
{
	void *ro = (void *)self->d->state, *rw = (void *)self->d->own;
	size_t n = self->d->ro_size, w = self->d->rw_size;

	EXPECT_EQ(MAP_FAILED, mremap(ro, n, n + 4096, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(rw, w, w + 4096, MREMAP_MAYMOVE));
	/* an old size of 0 would duplicate the mapping */
	EXPECT_EQ(MAP_FAILED, mremap(ro, 0, n, MREMAP_MAYMOVE));
	EXPECT_EQ(MAP_FAILED, mremap(rw, 0, w, MREMAP_MAYMOVE));
}

TEST_F(ring, write_faults)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	char byte = 1;

	ASSERT_LE(0, fd);
	/* /proc/self/mem does not bypass the protection */
	EXPECT_EQ(-1, pwrite(fd, &byte, 1, (uintptr_t)self->d->state));
	EXPECT_EQ(-1, pwrite(fd, &byte, 1, (uintptr_t)self->d->peer));
	close(fd);
	EXPECT_EQ(VDISET_STATE_ACTIVE, self->d->state->set_state);
	EXPECT_EQ(0, self->d->peer->tail);
}

static sigjmp_buf segv_env;

static void on_segv(int sig)
{
	siglongjmp(segv_env, sig);
}

TEST_F(ring, store_is_sigsegv)
{
	volatile char *page[] = { (volatile char *)self->d->state,
				  (volatile char *)self->d->peer };
	volatile size_t i;

	signal(SIGSEGV, on_segv);
	for (i = 0; i < ARRAY_LEN(page); i++) {
		int sig = sigsetjmp(segv_env, 1);

		if (!sig)
			*page[i] = 1;
		EXPECT_EQ(SIGSEGV, sig);
	}
	signal(SIGSEGV, SIG_DFL);
}

TEST_F(ring, fork_does_not_inherit)
{
	EXPECT_EQ(SIGSEGV, in_child(peek, (void *)self->d->state));
	EXPECT_EQ(SIGSEGV, in_child(peek, (void *)self->d->peer));
	EXPECT_EQ(SIGSEGV, in_child(poke, (void *)self->d->own));
	EXPECT_EQ(0, self->d->own->tail);
	EXPECT_EQ(VDISET_STATE_ACTIVE, vd_state(self->s.primary));
}

/* A mapping stays readable after the set and both files are closed. */
TEST_F(ring, mapping_outlives_set_and_files)
{
	const volatile struct vdiset_state_page *state = self->d->state;

	self->other->own->tail = 3;
	close(self->dev[CLIENT].fd);
	close(self->dev[SERVER].fd);
	vd_set_down(&self->s);
	self->dev[CLIENT].fd = self->dev[SERVER].fd = -1;
	EXPECT_EQ(VDISET_STATE_ABORTED, state->set_state);
	EXPECT_EQ(3, self->d->peer->tail);
	self->d->own->head = 3;
	EXPECT_EQ(3, self->other->peer->head);
}

/*
 * The area
 */
FIXTURE(area) {
	struct vd_set s;
	int secondary;
	int observer;
	int fd;
};

FIXTURE_VARIANT(area) {
	int role;
};

FIXTURE_VARIANT_ADD(area, primary) { VDISET_ROLE_PRIMARY };
FIXTURE_VARIANT_ADD(area, secondary) { VDISET_ROLE_SECONDARY };
FIXTURE_VARIANT_ADD(area, server) { VDISET_ROLE_SERVER };

FIXTURE_SETUP(area)
{
	ASSERT_EQ(0, vd_set_up(&self->s, 1, 4, AREA,
			       VDISET_STATE_INITIALIZING));
	self->secondary = vd_open();
	self->observer = vd_open();
	ASSERT_EQ(0, vd_attach(self->secondary, VDISET_ROLE_SECONDARY,
			       self->s.name));
	ASSERT_EQ(0, vd_attach(self->observer, VDISET_ROLE_OBSERVER,
			       self->s.name));
	self->fd = variant->role == VDISET_ROLE_PRIMARY ? self->s.primary :
		   variant->role == VDISET_ROLE_SERVER ? self->s.server :
		   self->secondary;
}

FIXTURE_TEARDOWN(area)
{
	close(self->secondary);
	close(self->observer);
	vd_set_down(&self->s);
}

TEST_F(area, zeroed_and_writable)
{
	char *p = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, VDISET_MMAP_AREA);
	size_t i, dirty = 0;

	ASSERT_NE(MAP_FAILED, p);
	for (i = 0; i < AREA; i++)
		dirty += p[i] != 0;
	EXPECT_EQ(0, dirty);
	memset(p, 1, AREA);
	EXPECT_EQ(0, munmap(p, AREA));
}

TEST_F(area, coherent_with_every_party)
{
	int fd[] = { self->s.primary, self->s.server, self->secondary };
	unsigned int *mine, *p;
	size_t i;

	mine = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, mine);
	for (i = 0; i < ARRAY_LEN(fd); i++) {
		p = mmap(NULL, AREA, RW, MAP_SHARED, fd[i], VDISET_MMAP_AREA);
		ASSERT_NE(MAP_FAILED, p);
		mine[0] = 100 + i;
		mine[AREA / 4 - 1] = 200 + i;
		EXPECT_EQ(100 + i, p[0]);
		EXPECT_EQ(200 + i, p[AREA / 4 - 1]);
		p[5000] = 300 + i;
		EXPECT_EQ(300 + i, mine[5000]);
	}
}

TEST_F(area, any_part)
{
	unsigned int *all, *part;

	all = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, all);
	part = mmap(NULL, 4096, RW, MAP_SHARED, self->fd,
		    VDISET_MMAP_AREA + AREA - 4096);
	ASSERT_NE(MAP_FAILED, part);
	all[(AREA - 4096) / 4] = 77;
	EXPECT_EQ(77, part[0]);
	EXPECT_EQ(0, map_errno(self->fd, 100, RW, MAP_SHARED, 4096));
	EXPECT_EQ(0, map_errno(self->fd, AREA, PROT_READ, MAP_SHARED, 0));
}

TEST_F(area, sigbus_beyond_end)
{
	EXPECT_EQ(-EINVAL, map_errno(self->fd, AREA + 4096, RW, MAP_SHARED, 0));
	EXPECT_EQ(-EINVAL, map_errno(self->fd, 4096, RW, MAP_SHARED, AREA));
	EXPECT_EQ(-EINVAL, map_errno(self->fd, AREA, RW, MAP_SHARED, 4096));
	EXPECT_EQ(-EINVAL, map_errno(self->fd, 4096, RW, MAP_SHARED,
				     VDISET_MMAP_RW));
	EXPECT_EQ(-EINVAL, map_errno(self->fd, 8192, RW, MAP_SHARED,
				     0x7ffffffffffff000));
	/* after growth the access is valid */
	ASSERT_EQ(0, vd_request_buffers(self->s.server, 4096, NULL));
	EXPECT_EQ(0, map_errno(self->fd, AREA + 4096, RW, MAP_SHARED, 0));
	EXPECT_EQ(0, map_errno(self->fd, 4096, RW, MAP_SHARED, AREA));
}

TEST_F(area, not_private_not_executable)
{
	char *p;

	EXPECT_EQ(-EINVAL, map_errno(self->fd, AREA, RW, MAP_PRIVATE, 0));
	EXPECT_EQ(-EINVAL, map_errno(self->fd, AREA, PROT_READ, MAP_PRIVATE, 0));
	EXPECT_TRUE(no_exec(self->fd, AREA, RW, VDISET_MMAP_AREA));
	p = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(-1, mprotect(p, AREA, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(0, mprotect(p, AREA, PROT_READ));
	EXPECT_EQ(0, mprotect(p, AREA, RW));
}

TEST_F(area, refused)
{
	struct vd_set s;
	int fd = vd_open();

	EXPECT_EQ(-EPERM, map_errno(self->observer, AREA, PROT_READ,
				    MAP_SHARED, 0));
	EXPECT_EQ(-ENOTCONN, map_errno(fd, AREA, RW, MAP_SHARED, 0));
	ASSERT_EQ(0, vd_set_up(&s, 1, 4, AREA, VDISET_STATE_CONFIGURABLE));
	EXPECT_EQ(-EBADFD, map_errno(s.primary, AREA, RW, MAP_SHARED, 0));
	EXPECT_EQ(-EBADFD, map_errno(s.server, AREA, RW, MAP_SHARED, 0));
	vd_set_down(&s);
	close(fd);
	/* a file opened read-only cannot be mapped writable */
	fd = open(VDISET_DEVICE_PATH, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && !vd_attach(fd, VDISET_ROLE_SECONDARY, self->s.name)) {
		EXPECT_EQ(-EACCES, map_errno(fd, AREA, RW, MAP_SHARED, 0));
		close(fd);
	}
}

TEST_F(area, survives_close_and_abort)
{
	char *p = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, VDISET_MMAP_AREA);
	char *q = mmap(NULL, AREA, RW, MAP_SHARED, self->s.server,
		       VDISET_MMAP_AREA);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_NE(MAP_FAILED, q);
	p[1] = 1;
	ASSERT_EQ(0, vd_abort(self->observer, VDISET_REASON_SIGNAL, 0, ""));
	p[2] = 2;
	EXPECT_EQ(1, q[1]);
	close(self->secondary);
	close(self->observer);
	vd_set_down(&self->s);
	self->secondary = self->observer = -1;
	memset(q, 0x33, AREA);
	EXPECT_EQ(0x33, p[AREA - 1]);
	/* a part can be unmapped, the rest stays */
	EXPECT_EQ(0, munmap(q, AREA / 2));
	EXPECT_EQ(0x33, q[AREA / 2]);
	EXPECT_EQ(0, madvise(p, AREA, MADV_DONTNEED));
	EXPECT_EQ(0x33, p[AREA / 2]);
}

/* Unlike the rings, the area is inherited by fork: a child may use it. */
TEST_F(area, fork_inherits)
{
	char *p = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, VDISET_MMAP_AREA);

	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, in_child(poke, p + 4096));
	EXPECT_EQ(1, p[4096]);
	EXPECT_EQ(VDISET_STATE_INITIALIZING, vd_state(self->fd));
}

/* Sum of one field over the mappings in [p, p + len) */
static long smaps_kb(void *p, size_t len, const char *field)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from = 0, to = 0;
	char line[512];
	long sum = 0;

	while (f && fgets(line, sizeof(line), f)) {
		unsigned long a, b;

		if (sscanf(line, "%lx-%lx ", &a, &b) == 2) {
			from = a;
			to = b;
		} else if (from >= (uintptr_t)p && to <= (uintptr_t)p + len &&
			   !strncmp(line, field, strlen(field)) &&
			   line[strlen(field)] == ':') {
			sum += strtol(line + strlen(field) + 1, NULL, 10);
		}
	}
	if (f)
		fclose(f);
	return sum;
}

TEST_F(area, mlock)
{
	char *p = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, VDISET_MMAP_AREA);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, mlock(p, AREA));
	/* an mlock without effect would succeed too */
	EXPECT_EQ(AREA / 1024, smaps_kb(p, AREA, "Locked"));
	EXPECT_EQ(0, munlock(p, AREA));
	EXPECT_EQ(0, smaps_kb(p, AREA, "Locked"));
}

/* No party can free pages that were allocated for the set. */
TEST_F(area, no_holes)
{
	char *p = mmap(NULL, AREA, RW, MAP_SHARED, self->fd, VDISET_MMAP_AREA);

	ASSERT_NE(MAP_FAILED, p);
	memset(p, 0x5a, AREA);
	EXPECT_EQ(-1, madvise(p, AREA, MADV_REMOVE));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(0x5a, p[0]);
	EXPECT_EQ(0x5a, p[AREA - 1]);
}

TEST_F(area, read_only_descriptor)
{
	int fd;

	fd = open(VDISET_DEVICE_PATH, O_RDONLY);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, vd_attach_fd(fd, VDISET_ROLE_SECONDARY, self->fd));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, AREA, PROT_READ, MAP_SHARED, fd,
				   VDISET_MMAP_AREA));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, AREA, PROT_READ, MAP_PRIVATE, fd,
				   VDISET_MMAP_AREA));
	EXPECT_EQ(EINVAL, errno);
	close(fd);
}

TEST_F(area, huge_pages)
{
	uint64_t size = 8 * MIB;
	struct vd_set s;
	char *p;

	if (access("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", R_OK))
		SKIP(return, "kernel without transparent huge pages");
	ASSERT_EQ(0, vd_set_up(&s, 1, 4, size, VDISET_STATE_INITIALIZING));
	p = mmap(NULL, size, RW, MAP_SHARED, s.primary, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, (uintptr_t)p % (2 * MIB));
	memset(p, 1, size);
	EXPECT_EQ(size / 1024, smaps_kb(p, size, "ShmemPmdMapped"));
	munmap(p, size);
	vd_set_down(&s);
}

/* A large area, 1 GiB if possible: it consists of huge pages; prints the times. */
TEST(large_area)
{
	struct vdiset_info info = { .size = sizeof(info) };
	uint64_t size = 1024 * MIB, i;
	int64_t start, ready, mapped;
	struct vd_set s;
	char *p;

	if (access("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", R_OK))
		SKIP(return, "kernel without transparent huge pages");
	i = vd_open();
	ASSERT_EQ(0, ioctl(i, VDISET_INFO, &info));
	close(i);
	if (info.out_max_set_bytes < size)
		size /= 2;
	if (info.out_max_set_bytes < size ||
	    vd_meminfo("MemAvailable") < (long)(size / 1024 * 2))
		SKIP(return, "needs 1 GiB of free memory");
	ASSERT_EQ(0, vd_set_up(&s, 1, 4, 0, VDISET_STATE_CONFIGURABLE));
	ASSERT_EQ(0, vd_request_buffers(s.server, size, NULL));
	start = vd_now();
	ASSERT_EQ(0, vd_end_config(s.server));
	ready = vd_now();
	p = mmap(NULL, size, RW, MAP_SHARED, s.primary, VDISET_MMAP_AREA);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_EQ(0, (uintptr_t)p % (2 * MIB));
	for (i = 0; i < size; i += 2 * MIB)
		p[i] = 1;
	mapped = vd_now();
	EXPECT_EQ(size / 1024, smaps_kb(p, size, "ShmemPmdMapped"));
	TH_LOG("%llu MiB: allocated in %lld ms, mapped in %lld us",
	       (unsigned long long)(size / MIB), (long long)((ready - start) / MS),
	       (long long)((mapped - ready) / 1000));
	munmap(p, size);
	vd_set_down(&s);
}

TEST_HARNESS_MAIN
