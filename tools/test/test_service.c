// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_service.c - readiness and priorities of messages for systemd
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <setjmp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/common.h"

struct fixture {
	char dir[40];
	int saved;		/* stderr of the test */
	int err;		/* what stderr is written to */
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	strcpy(f->dir, "/tmp/service.XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	assert_int_equal(chdir(f->dir), 0);
	f->err = fileno(tmpfile());
	f->saved = dup(STDERR_FILENO);
	assert_int_equal(dup2(f->err, STDERR_FILENO), STDERR_FILENO);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dup2(f->saved, STDERR_FILENO);
	unsetenv("JOURNAL_STREAM");
	unsetenv("NOTIFY_SOCKET");
	unlink("socket");
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(f->dir), 0);
	free(f);
	return 0;
}

/* What was written to stderr since the last call. */
static void expect_errors(struct fixture *f, const char *wanted)
{
	char text[512];
	ssize_t n = pread(f->err, text, sizeof(text) - 1, 0);

	assert_true(n >= 0);
	text[n] = '\0';
	assert_string_equal(text, wanted);
	assert_int_equal(ftruncate(f->err, 0), 0);
	assert_int_equal(lseek(f->err, 0, SEEK_SET), 0);
}

static void name_journal(int fd)
{
	struct stat st;
	char text[80];

	assert_int_equal(fstat(fd, &st), 0);
	snprintf(text, sizeof(text), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino);
	setenv("JOURNAL_STREAM", text, 1);
}

static void priorities_in_the_journal(void **state)
{
	struct fixture *f = *state;

	name_journal(f->err);
	vdi_error("cannot open %s", "x");
	vdi_error("warning: slow");
	expect_errors(f, "<3>vdi: cannot open x\n<4>vdi: warning: slow\n");
}

static void no_priorities_elsewhere(void **state)
{
	struct fixture *f = *state;

	vdi_error("without a journal");
	name_journal(f->saved);
	vdi_error("another file");
	setenv("JOURNAL_STREAM", "x", 1);
	vdi_error("no numbers");
	expect_errors(f, "vdi: without a journal\nvdi: another file\nvdi: no numbers\n");
}

/* A socket as that of systemd; `name` begins with @ if it is abstract. */
static int listen_as(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, name);
	if (*name == '@')
		address.sun_path[0] = '\0';
	assert_int_equal(bind(fd, (struct sockaddr *)&address,
			      offsetof(struct sockaddr_un, sun_path) + strlen(name)), 0);
	return fd;
}

static void expect_ready(int fd)
{
	char text[64];
	ssize_t n = recv(fd, text, sizeof(text), 0);

	assert_int_equal(n, strlen("READY=1"));
	assert_memory_equal(text, "READY=1", n);
	assert_int_equal(recv(fd, text, sizeof(text), 0), -1);
	close(fd);
}

static void ready(void **state)
{
	struct fixture *f = *state;
	char path[80];
	int fd;

	snprintf(path, sizeof(path), "%s/socket", f->dir);
	fd = listen_as(path);
	setenv("NOTIFY_SOCKET", path, 1);
	vdi_notify_ready();
	expect_ready(fd);
	snprintf(path, sizeof(path), "@%s", f->dir);
	fd = listen_as(path);
	setenv("NOTIFY_SOCKET", path, 1);
	vdi_notify_ready();
	expect_ready(fd);
	expect_errors(f, "");
}

static void not_a_service(void **state)
{
	struct fixture *f = *state;

	vdi_notify_ready();
	setenv("NOTIFY_SOCKET", "", 1);
	vdi_notify_ready();
	expect_errors(f, "");
}

static void nothing_listens(void **state)
{
	struct fixture *f = *state;
	char name[200];

	setenv("NOTIFY_SOCKET", "/none/socket", 1);
	vdi_notify_ready();
	expect_errors(f, "vdi: warning: cannot tell /none/socket that the set exists: No such file or directory\n");
	memset(name, '/', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	setenv("NOTIFY_SOCKET", name, 1);
	vdi_notify_ready();
	assert_true(lseek(f->err, 0, SEEK_END) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(priorities_in_the_journal, setup, teardown),
		cmocka_unit_test_setup_teardown(no_priorities_elsewhere, setup, teardown),
		cmocka_unit_test_setup_teardown(ready, setup, teardown),
		cmocka_unit_test_setup_teardown(not_a_service, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_listens, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
