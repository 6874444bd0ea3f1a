// SPDX-License-Identifier: GPL-2.0
/* Shows that a name is any 1 to 255 bytes except NUL, in every request. */
#define _GNU_SOURCE
#include "vdiset_test.h"
#include "harness.h"

FIXTURE(name) {
	struct vd_set s;
	int fd;
	char bytes[512];
};

enum takes { CREATE, ATTACH, NAME_DEVICE, OPEN_DEVICE };

FIXTURE_VARIANT(name) {
	enum takes takes;
	int unknown;		/* result for a valid name that does not exist */
};

FIXTURE_VARIANT_ADD(name, create) { CREATE, 0 };
FIXTURE_VARIANT_ADD(name, attach) { ATTACH, -ENOENT };
FIXTURE_VARIANT_ADD(name, name_device) { NAME_DEVICE, 0 };
FIXTURE_VARIANT_ADD(name, open_device) { OPEN_DEVICE, 0 };

FIXTURE_SETUP(name)
{
	int state = variant->takes == OPEN_DEVICE ? VDISET_STATE_INITIALIZING :
						    VDISET_STATE_CONFIGURABLE;

	self->fd = vd_open();
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, vd_set_up(&self->s, 2, 4, 4096, state));
	memset(self->bytes, 'n', sizeof(self->bytes));
}

FIXTURE_TEARDOWN(name)
{
	vd_set_down(&self->s);
	close(self->fd);
}

static int call(FIXTURE_DATA(name) *self, const FIXTURE_VARIANT(name) *variant,
		const void *name, __u32 len)
{
	struct vdiset_create c = {
		.size = sizeof(c), .name = (uintptr_t)name, .name_len = len,
		.mode = 0600, .uid = -1, .gid = -1, .config.device_count = 1,
	};
	struct vdiset_attach a = {
		.size = sizeof(a), .name = (uintptr_t)name, .name_len = len,
		.flags = VDISET_ATTACH_BY_NAME, .role = VDISET_ROLE_OBSERVER,
		.creator = geteuid(),
	};
	struct vdiset_name_device n = {
		.size = sizeof(n), .name = (uintptr_t)name, .name_len = len,
		.index = 1,
	};
	struct vdiset_open_device o = {
		.size = sizeof(o), .name = (uintptr_t)name, .name_len = len,
	};
	int ret;

	switch (variant->takes) {
	case CREATE:
		return vd_ioctl(self->fd, VDISET_CREATE, &c);
	case ATTACH:
		return vd_ioctl(self->fd, VDISET_ATTACH, &a);
	case NAME_DEVICE:
		return vd_ioctl(self->s.server, VDISET_NAME_DEVICE, &n);
	case OPEN_DEVICE:
		break;
	}
	ret = vd_ioctl(self->s.server, VDISET_OPEN_DEVICE, &o);
	if (!ret)
		close(o.out_fd);
	return ret;
}

TEST_F(name, empty)
{
	/* CREATE accepts an empty name: a set without a name */
	if (variant->takes == CREATE) {
		EXPECT_EQ(0, call(self, variant, NULL, 0));
	} else
		EXPECT_EQ(-EINVAL, call(self, variant, self->bytes, 0));
}

TEST_F(name, one_byte)
{
	EXPECT_EQ(variant->unknown, call(self, variant, "\x01", 1));
}

TEST_F(name, longest)
{
	EXPECT_EQ(variant->unknown,
		  call(self, variant, self->bytes, VDISET_NAME_MAX));
}

TEST_F(name, too_long)
{
	static const __u32 len[] = { 256, 257, 4096, 0x7fffffff, 0x80000000,
				     0xffffffff };
	size_t i;

	for (i = 0; i < ARRAY_LEN(len); i++) {
		EXPECT_EQ(-ENAMETOOLONG,
			  call(self, variant, self->bytes, len[i]))
			TH_LOG("length %u", len[i]);
	}
}

TEST_F(name, nul_inside)
{
	static const int at[] = { 0, 1, 17, 254 };
	size_t i;

	for (i = 0; i < ARRAY_LEN(at); i++) {
		memset(self->bytes, 'n', sizeof(self->bytes));
		self->bytes[at[i]] = 0;
		EXPECT_EQ(-EINVAL, call(self, variant, self->bytes, 255))
			TH_LOG("NUL at %d", at[i]);
	}
}

TEST_F(name, bad_pointer)
{
	EXPECT_EQ(-EFAULT, call(self, variant, NULL, 4));
	EXPECT_EQ(-EFAULT, call(self, variant, (void *)~0xfffUL, 4));
	EXPECT_EQ(variant->unknown, call(self, variant, "good", 4));
}

/* Exactly name_len bytes are read, none after them. */
TEST_F(name, at_the_end_of_a_page)
{
	long page = sysconf(_SC_PAGESIZE);
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, p);
	ASSERT_EQ(0, munmap(p + page, page));
	memset(p, 'p', page);
	EXPECT_EQ(-EFAULT, call(self, variant, p + page - 10, 11));
	EXPECT_EQ(variant->unknown, call(self, variant, p + page - 10, 10));
}

/* Every byte value except NUL is preserved. */
TEST_F(name, all_bytes)
{
	struct vdiset_device_status ds;
	struct vdiset_status st;
	const char *out = NULL;
	__u32 len = 0;
	int i;

	for (i = 0; i < 255; i++)
		self->bytes[i] = i + 1;
	EXPECT_EQ(variant->unknown, call(self, variant, self->bytes, 255));
	switch (variant->takes) {
	case ATTACH:
		ASSERT_EQ(0, vd_create(self->fd, "x", 1));
		return;
	case CREATE:
		ASSERT_EQ(0, vd_status(self->fd, &st));
		out = st.out_name;
		len = st.out_name_len;
		break;
	case NAME_DEVICE:
	case OPEN_DEVICE:
		ASSERT_EQ(0, vd_device_status(self->s.primary, 1, &ds));
		out = ds.out_name;
		len = ds.out_name_len;
		break;
	}
	EXPECT_EQ(255, len);
	EXPECT_EQ(0, memcmp(out, self->bytes, 255));
	EXPECT_EQ(0, out[255]);
}

/* Names are compared as bytes: prefixes, case and paths have no meaning. */
TEST_F(name, compared_as_bytes)
{
	static const char *const name[] = { "Set", "set", "set ", "set/", "/set",
					    "../set", "se", "\xc3\xa4" };
	size_t i;

	if (variant->takes != CREATE)
		SKIP(return, "CREATE is used to set up the others");
	for (i = 0; i < ARRAY_LEN(name); i++) {
		int fd = vd_open(), other = vd_open();

		EXPECT_EQ(0, vd_create(fd, name[i], 1));
		EXPECT_EQ(-EEXIST, vd_create(other, name[i], 1));
		close(other);
		/* fd stays open: all the sets exist at the same time */
	}
	for (i = 0; i < ARRAY_LEN(name); i++) {
		int fd = vd_open();

		EXPECT_EQ(0, vd_attach(fd, VDISET_ROLE_SERVER, name[i]));
		close(fd);
	}
}

TEST_HARNESS_MAIN
