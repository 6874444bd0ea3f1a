// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_publish.c - publishing a backup, and the files left after a failure
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/publish.h"
#include "media.h"

struct fixture {
	struct place *place;
	struct publication publication;
	struct manifest manifest;
	char target[80];
};

/* Called after the last command and before the rename. */
static const char *step_before_rename;

static bool run_step(void *context)
{
	struct fixture *f = context;

	if (step_before_rename) {
		char command[512];

		snprintf(command, sizeof(command), "cd %s && %s",
			 f->place->path, step_before_rename);
		assert_int_equal(system(command), 0);
	}
	return false;
}

/* A device with two media, written to DIR.partial. */
static void write_media(struct fixture *f)
{
	struct manifest *m = &f->manifest;
	struct drive_config config = writing(VDF_LikePipe | VDF_Removable);
	uint8_t block[BLOCK];
	struct drive d;
	int i;

	fill(block, sizeof(block), 1);
	assert_true(drive_open(&d, &config, f->publication.dir, NULL));
	for (i = 0; i < 2; i++) {
		assert_int_equal(run(&d, VDC_Load, i + 1, 0, NULL).code, 0);
		assert_int_equal(run(&d, VDC_Write, BLOCK, 0, block).code, 0);
	}
	assert_true(drive_finish(&d));
	*m = (struct manifest){
		.set = strdup("set"),
		.profile = MEDIUM_PIPE,
		.removable = true,
		.count = 1,
	};
	m->device[0].name = strdup("set");
	assert_true(medium_list_copy(&m->device[0].media, &d.media));
	drive_close(&d);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	void *place;

	place_setup(&place);
	f->place = place;
	snprintf(f->target, sizeof(f->target), "%s/b", f->place->path);
	assert_true(publication_prepare(&f->publication, f->target));
	write_media(f);
	step_before_rename = NULL;
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[128];
	void *place = f->place;

	publication_release(&f->publication);
	manifest_free(&f->manifest);
	snprintf(command, sizeof(command), "rm -rf %s/*", f->place->path);
	assert_int_equal(system(command), 0);
	place_teardown(&place);
	free(f);
	return 0;
}

static bool publish(struct fixture *f)
{
	return publication_publish(&f->publication, &f->manifest, run_step, f);
}

static bool there(const struct fixture *f, const char *name)
{
	struct stat st;

	return !fstatat(f->place->dir, name, &st, AT_SYMLINK_NOFOLLOW);
}

static void make(const struct fixture *f, const char *directory)
{
	assert_int_equal(mkdirat(f->place->dir, directory, 0700), 0);
}

static void test_published(void **state)
{
	struct fixture *f = *state;

	assert_true(publish(f));
	assert_true(f->publication.published);
	assert_true(there(f, "b/" MANIFEST_FILE));
	assert_true(there(f, "b/device-00.medium-0002"));
	assert_false(there(f, "b.partial"));
}

static void test_discarded(void **state)
{
	struct fixture *f = *state;

	publication_discard(&f->publication, true);
	assert_false(there(f, "b"));
	assert_false(there(f, "b.partial"));
}

/* A failure after publishing: DIR.partial may belong to another run. */
static void test_discard_after_publishing(void **state)
{
	struct fixture *f = *state;

	assert_true(publish(f));
	make(f, "b.partial");
	make(f, "b.partial/of-another-run");
	publication_discard(&f->publication, true);
	assert_true(there(f, "b/" MANIFEST_FILE));
	assert_true(there(f, "b/device-00.medium-0001"));
	assert_true(there(f, "b/device-00.medium-0002"));
	assert_true(there(f, "b.partial/of-another-run"));
}

static void test_discard_of_replaced_partial(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(renameat(f->place->dir, "b.partial", f->place->dir,
				  "moved"), 0);
	make(f, "b.partial");
	publication_discard(&f->publication, true);
	assert_true(there(f, "b.partial"));
	assert_true(there(f, "moved/device-00.medium-0001"));
}

static void not_published(struct fixture *f, const char *step, const char *why)
{
	step_before_rename = step;
	assert_false(publish(f));
	assert_false(f->publication.published);
	assert_non_null(strstr(f->publication.why, why));
	assert_false(there(f, "b"));
}

static void test_partial_replaced(void **state)
{
	not_published(*state, "mv b.partial moved && mkdir b.partial",
		      "b.partial is not the directory");
}

static void test_partial_moved(void **state)
{
	not_published(*state, "mv b.partial moved",
		      "b.partial is not the directory");
}

static void test_file_removed(void **state)
{
	not_published(*state, "rm b.partial/device-00.medium-0002",
		      "b.partial/device-00.medium-0002 was removed");
}

static void test_manifest_removed(void **state)
{
	not_published(*state, "rm b.partial/" MANIFEST_FILE,
		      "b.partial/" MANIFEST_FILE " was removed");
}

/* Replaced by a file of the same size, which may get the same inode number. */
static void test_file_replaced(void **state)
{
	not_published(*state, "cp b.partial/device-00.medium-0002 copy && "
		      "rm b.partial/device-00.medium-0002 && "
		      "cp copy b.partial/device-00.medium-0002",
		      "b.partial/device-00.medium-0002 was replaced");
}

static void test_file_replaced_by_link(void **state)
{
	not_published(*state, "mv b.partial/device-00.medium-0001 moved && "
		      "ln -s ../moved b.partial/device-00.medium-0001",
		      "b.partial/device-00.medium-0001 was replaced");
}

static void test_file_changed(void **state)
{
	not_published(*state, "printf x | dd of=b.partial/device-00.medium-0001 "
		      "conv=notrunc status=none",
		      "b.partial/device-00.medium-0001 was replaced or changed");
}

static void test_file_extended(void **state)
{
	not_published(*state, "echo >> b.partial/device-00.medium-0002",
		      "b.partial/device-00.medium-0002 was replaced or changed");
}

static void test_manifest_replaced(void **state)
{
	not_published(*state, "cp b.partial/" MANIFEST_FILE " copy && "
		      "mv copy b.partial/" MANIFEST_FILE,
		      "b.partial/" MANIFEST_FILE " was replaced");
}

/* Neither changes the contents of the file. */
static void test_file_renamed_and_back(void **state)
{
	struct fixture *f = *state;

	step_before_rename = "mv b.partial/device-00.medium-0001 moved && "
		"chmod 640 moved && ln moved also && "
		"mv moved b.partial/device-00.medium-0001";
	assert_true(publish(f));
}

static void test_target_taken(void **state)
{
	struct fixture *f = *state;

	step_before_rename = "mkdir b && touch b/file";
	assert_false(publish(f));
	assert_non_null(strstr(f->publication.why, "cannot rename"));
	publication_discard(&f->publication, true);
	assert_true(there(f, "b/file"));
	assert_false(there(f, "b.partial"));
}

/* Names are looked up in the directory that was the parent at the start. */
static void test_working_directory_changes(void **state)
{
	struct fixture *f = *state;
	int here = open(".", O_RDONLY | O_DIRECTORY);
	struct publication p;

	assert_int_equal(fchdir(f->place->dir), 0);
	assert_true(publication_prepare(&p, "c"));
	assert_int_equal(fchdir(here), 0);
	publication_discard(&p, true);
	assert_false(there(f, "c.partial"));
	publication_release(&p);
	close(here);
}

/* As on a file system without locks. */
static bool no_locks;
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation)
{
	if (!no_locks)
		return __real_flock(fd, operation);
	errno = ENOLCK;
	return -1;
}

/* Can another run start? Its files are removed. */
static bool can_begin(const struct fixture *f)
{
	struct publication other;
	bool ok = publication_prepare(&other, f->target);

	if (ok)
		publication_discard(&other, true);
	publication_release(&other);
	return ok;
}

static void leave_lock(const struct fixture *f, const char *text)
{
	int fd = openat(f->place->dir, "b.partial.lock", O_WRONLY | O_CREAT |
			O_TRUNC, 0600);

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void test_lock(void **state)
{
	struct fixture *f = *state;

	assert_true(there(f, "b.partial.lock"));
	assert_false(can_begin(f));
	no_locks = true;
	assert_false(can_begin(f));
	no_locks = false;
	assert_true(there(f, "b.partial.lock"));
	assert_true(there(f, "b.partial/device-00.medium-0002"));
	assert_true(publish(f));
	publication_release(&f->publication);
	assert_false(there(f, "b.partial.lock"));
}

static void test_left_lock(void **state)
{
	static const char other[] = "vdi backup of host elsewhere process 1 "
		"machine 0123 boot 4567\n";
	struct fixture *f = *state;
	char boot[64], text[256];
	FILE *file;

	publication_discard(&f->publication, true);
	publication_release(&f->publication);
	assert_true(can_begin(f));
	/* a crash before the file was written */
	leave_lock(f, "");
	assert_true(can_begin(f));
	leave_lock(f, other);
	assert_false(can_begin(f));
	assert_true(there(f, "b.partial.lock"));
	leave_lock(f, "notes of a user\n");
	assert_false(can_begin(f));
	file = fopen("/proc/sys/kernel/random/boot_id", "r");
	assert_non_null(fgets(boot, sizeof(boot), file));
	fclose(file);
	snprintf(text, sizeof(text), "vdi backup of host x process 1 machine y boot %s",
		 boot);
	leave_lock(f, text);
	no_locks = true;
	assert_false(can_begin(f));
	no_locks = false;
	assert_true(can_begin(f));
	assert_false(there(f, "b.partial.lock"));
	no_locks = true;
	assert_true(can_begin(f));
	no_locks = false;
}

/* vdi list would take these for the remains of other runs. */
static void test_reserved_names(void **state)
{
	static const char *const names[] = { "c.partial", "c.expired", ".." };
	struct fixture *f = *state;
	struct publication p;
	char path[80];
	size_t i;

	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "%s/%s", f->place->path, names[i]);
		assert_false(publication_prepare(&p, path));
		publication_release(&p);
	}
	assert_false(there(f, "c.partial"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_published),
		TEST(test_discarded),
		TEST(test_discard_after_publishing),
		TEST(test_discard_of_replaced_partial),
		TEST(test_partial_replaced),
		TEST(test_partial_moved),
		TEST(test_file_removed),
		TEST(test_manifest_removed),
		TEST(test_file_replaced),
		TEST(test_file_replaced_by_link),
		TEST(test_file_changed),
		TEST(test_file_extended),
		TEST(test_manifest_replaced),
		TEST(test_file_renamed_and_back),
		TEST(test_target_taken),
		TEST(test_working_directory_changes),
		TEST(test_lock),
		TEST(test_left_lock),
		TEST(test_reserved_names),
	};

	return cmocka_run_group_tests_name("publish", tests, NULL, NULL);
}
