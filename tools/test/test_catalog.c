// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_catalog.c - places: what is a backup, which are kept, and how they are removed
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "catalog/place.h"
#include "catalog/publish.h"
#include "catalog/retention.h"
#include "common/age.h"
#include "media.h"

#define DAY	86400
#define NOW	(INT64_C(20000) * DAY)

static bool never(void *context)
{
	(void)context;
	return false;
}

static char *path_of(const struct place *place, const char *name)
{
	char *path;

	assert_true(asprintf(&path, "%s/%s", place->path, name) > 0);
	return path;
}

static void command(const struct place *place, const char *text)
{
	char *line;

	assert_true(asprintf(&line, "cd %s && %s", place->path, text) > 0);
	assert_int_equal(system(line), 0);
	free(line);
}

static void write_device(struct publication *p, struct manifest *m)
{
	struct drive_config config = writing(VDF_LikePipe);
	uint8_t block[BLOCK];
	struct drive d;

	fill(block, sizeof(block), 1);
	assert_true(drive_open(&d, &config, p->dir, NULL));
	assert_int_equal(run(&d, VDC_Write, BLOCK, 0, block).code, 0);
	assert_true(drive_finish(&d));
	m->device[0].name = strdup("device");
	assert_true(medium_list_copy(&m->device[0].media, &d.media));
	drive_close(&d);
}

static struct backup_place look(const struct place *place, const char *set);
static size_t index_of(const struct backup_place *p, const char *name);

static uint64_t sum_of(const struct place *place, const char *name)
{
	struct backup_place p = look(place, NULL);
	uint64_t sum = p.entry[index_of(&p, name)].manifest.sum;

	place_close(&p);
	return sum;
}

/*
 * A backup, finished at a time of the test's clock. `base` is the name of that which it is
 * based on, or NULL.
 */
static void make_based(const struct place *place, const char *name, const char *set,
		       int64_t finished, const char *base)
{
	struct manifest m = {
		.set = strdup(set),
		.profile = MEDIUM_PIPE,
		.started = finished - 60,
		.finished = finished,
		.duration_ms = 60000,
		.given = BLOCK,
		.base = base ? strdup(base) : NULL,
		.base_sum = base ? sum_of(place, base) : 0,
		.count = 1,
	};
	char *path = path_of(place, name);
	struct publication p;

	assert_true(publication_prepare(&p, path));
	write_device(&p, &m);
	assert_true(publication_publish(&p, &m, never, NULL));
	publication_release(&p);
	manifest_free(&m);
	free(path);
}

static void make(const struct place *place, const char *name, const char *set,
		 int64_t finished)
{
	make_based(place, name, set, finished, NULL);
}

static struct backup_place look(const struct place *place, const char *set)
{
	struct backup_place p;

	assert_int_equal(place_open(&p, place->path, set), EXIT_OK);
	return p;
}

static size_t index_of(const struct backup_place *p, const char *name)
{
	size_t i;

	for (i = 0; i < p->count; i++) {
		if (!strcmp(p->entry[i].name, name))
			return i;
	}
	fail_msg("%s is not listed", name);
	return 0;
}

static enum backup_state state_of(const struct place *place, const char *name)
{
	struct backup_place p = look(place, NULL);
	enum backup_state state = p.entry[index_of(&p, name)].state;

	place_close(&p);
	return state;
}

static int setup(void **state)
{
	return place_setup(state);
}

static int teardown(void **state)
{
	command(*state, "rm -rf ./*");
	return place_teardown(state);
}

/* The state of a backup, and the beginning of what is said about it. */
static void expect_state(const struct place *place, const char *name, enum backup_state state,
			 const char *why)
{
	struct backup_place p = look(place, NULL);
	const struct place_entry *e = &p.entry[index_of(&p, name)];

	assert_int_equal(e->state, state);
	assert_memory_equal(e->why, why, strlen(why));
	place_close(&p);
}

/* The same if the place is the backup itself. */
static void expect_alone(const struct place *place, const char *name, enum backup_state state,
			 const char *why)
{
	char *path = path_of(place, name);
	struct backup_place p;

	assert_int_equal(place_open(&p, path, NULL), EXIT_OK);
	assert_int_equal(p.count, 1);
	assert_int_equal(p.entry[0].state, state);
	assert_memory_equal(p.entry[0].why, why, strlen(why));
	place_close(&p);
	free(path);
}

static void make_chain(const struct place *place)
{
	make(place, "full", "nightly", NOW - 3 * DAY);
	make_based(place, "inc1", "increments", NOW - 2 * DAY, "full");
	make_based(place, "inc2", "increments", NOW - 1 * DAY, "inc1");
	make(place, "later", "nightly", NOW);
	make(place, "last", "increments", NOW);
}

/* ------------------------------------------------------------------ listing */

static void test_base_is_missing(void **state)
{
	make_chain(*state);
	expect_state(*state, "inc2", BACKUP_WHOLE, "");
	expect_alone(*state, "inc2", BACKUP_WHOLE, "");
	command(*state, "mv full elsewhere");
	expect_state(*state, "inc1", BACKUP_DAMAGED, "its base full is missing");
	expect_alone(*state, "inc1", BACKUP_DAMAGED, "its base full is missing");
	expect_state(*state, "inc2", BACKUP_DAMAGED, "its base inc1 is damaged");
	expect_alone(*state, "inc2", BACKUP_DAMAGED, "its base inc1 is damaged");
	/* a backup that has got the name */
	make(*state, "full", "nightly", NOW);
	expect_state(*state, "inc1", BACKUP_DAMAGED, "its base full is missing: another");
	expect_alone(*state, "inc1", BACKUP_DAMAGED, "its base full is missing: another");
	command(*state, "rm -r full && mv elsewhere full");
	expect_state(*state, "inc2", BACKUP_WHOLE, "");
	command(*state, "truncate -s 100 full/device-00.data");
	expect_state(*state, "inc1", BACKUP_DAMAGED, "its base full is damaged");
	expect_alone(*state, "inc1", BACKUP_DAMAGED, "its base full is damaged");
}

/* The selection of a set does not hide the base, which is of another one. */
static void test_base_of_another_set(void **state)
{
	struct backup_place p;

	make_chain(*state);
	p = look(*state, "increments");
	assert_int_equal(p.count, 3);
	assert_int_equal(p.entry[index_of(&p, "inc1")].state, BACKUP_WHOLE);
	place_close(&p);
}

static void test_chain_of_a_restore(void **state)
{
	struct place *place = *state;
	char wanted[512], *text;

	make_chain(place);
	snprintf(wanted, sizeof(wanted), "%s/full %s/inc1 %s/inc2", place->path, place->path,
		 place->path);
	text = place_chain(place->path, "inc2");
	assert_string_equal(text, wanted);
	free(text);
	command(place, "rm -r full");
	assert_null(place_chain(place->path, "inc2"));
}

static void test_whole(void **state)
{
	struct backup_place p;
	struct place_entry *e;

	make(*state, "b", "nightly", NOW);
	p = look(*state, NULL);
	assert_int_equal(p.count, 1);
	e = &p.entry[0];
	assert_int_equal(e->state, BACKUP_WHOLE);
	assert_string_equal(e->name, "b");
	assert_string_equal(e->manifest.set, "nightly");
	assert_int_equal(e->manifest.finished, NOW);
	assert_int_equal(e->manifest.started, NOW - 60);
	assert_int_equal(e->manifest.duration_ms, 60000);
	assert_int_equal(e->manifest.given, BLOCK);
	assert_true(e->stored > BLOCK);
	place_close(&p);
}

static void test_sorted_by_set_and_time(void **state)
{
	static const char *const order[] = { "z", "c", "a" };
	struct backup_place p;
	size_t i;

	make(*state, "a", "two", NOW);
	make(*state, "c", "one", NOW);
	make(*state, "z", "one", NOW - 1);
	p = look(*state, NULL);
	assert_int_equal(p.count, 3);
	for (i = 0; i < 3; i++)
		assert_string_equal(p.entry[i].name, order[i]);
	place_close(&p);
	p = look(*state, "two");
	assert_int_equal(p.count, 1);
	assert_string_equal(p.entry[0].name, "a");
	place_close(&p);
}

static void test_not_whole(void **state)
{
	static const struct {
		const char *change;
		enum backup_state state;
	} cases[] = {
		{ "rm b/device-00.data", BACKUP_DAMAGED },
		{ "truncate -s 511 b/device-00.data", BACKUP_DAMAGED },
		{ "truncate -s 513 b/device-00.data", BACKUP_DAMAGED },
		{ "truncate -s 100 b/manifest.json", BACKUP_DAMAGED },
		{ "rm b/device-00.data && ln -s ../x b/device-00.data",
		  BACKUP_DAMAGED },
		{ "sed -i s/nightly/nightlx/ b/manifest.json", BACKUP_DAMAGED },
		{ "rm b/manifest.json", BACKUP_INCOMPLETE },
	};
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		make(*state, "b", "nightly", NOW);
		assert_int_equal(state_of(*state, "b"), BACKUP_WHOLE);
		command(*state, cases[i].change);
		assert_int_equal(state_of(*state, "b"), cases[i].state);
		command(*state, "rm -r b");
	}
}

static void test_whole_files_under_other_names(void **state)
{
	make(*state, "b", "nightly", NOW);
	command(*state, "mv b b.partial");
	assert_int_equal(state_of(*state, "b.partial"), BACKUP_REMAINS);
	command(*state, "mv b.partial b.expired");
	assert_int_equal(state_of(*state, "b.expired"), BACKUP_EXPIRED);
}

static void test_being_written(void **state)
{
	char *path = path_of(*state, "b");
	struct publication p;

	assert_true(publication_prepare(&p, path));
	assert_int_equal(state_of(*state, "b.partial"), BACKUP_WRITING);
	/* looking has not disturbed the lock: */
	assert_int_equal(state_of(*state, "b.partial"), BACKUP_WRITING);
	/* the directory itself is locked, too */
	command(*state, "rm b.partial.lock");
	assert_int_equal(state_of(*state, "b.partial"), BACKUP_WRITING);
	publication_release(&p);
	assert_int_equal(state_of(*state, "b.partial"), BACKUP_REMAINS);
	free(path);
}

#define ELSEWHERE "vdi backup of host elsewhere process 1 machine 0 boot 1"

static void test_lock_of_another_host(void **state)
{
	command(*state, "mkdir b.partial && echo " ELSEWHERE
		" > b.partial.lock");
	assert_int_equal(state_of(*state, "b.partial"), BACKUP_WRITING);
}

static void test_lock_without_directory(void **state)
{
	struct backup_place p;

	command(*state, ": > b.partial.lock");
	assert_int_equal(state_of(*state, "b.partial.lock"), BACKUP_LOCK);
	command(*state, "echo " ELSEWHERE " > b.partial.lock");
	p = look(*state, NULL);
	assert_int_equal(p.count, 0);
	place_close(&p);
}

static void test_files_of_others(void **state)
{
	struct backup_place p;

	make(*state, "hidden", "nightly", NOW);
	command(*state, "mv hidden .hidden && mkdir empty x.partial y.expired && "
		"touch x.partial/notes y.expired/notes file device-00.data2 && "
		"ln -s .hidden link && mkdir web && touch web/index.html && "
		"echo '{}' > web/manifest.json");
	p = look(*state, NULL);
	assert_int_equal(p.count, 0);
	place_close(&p);
}

static void test_place_is_a_backup(void **state)
{
	char *path = path_of(*state, "b");
	struct backup_place p;

	make(*state, "b", "nightly", NOW);
	make(*state, "c", "nightly", NOW);
	assert_int_equal(place_open(&p, path, NULL), EXIT_OK);
	assert_int_equal(p.count, 1);
	assert_string_equal(p.only, "b");
	assert_int_equal(p.entry[0].state, BACKUP_WHOLE);
	place_close(&p);
	free(path);
}

/* The backup is published after its name was read. */
static void test_renamed_meanwhile(void **state)
{
	struct backup_place p = { .dir = -1 };
	struct place *place = *state;
	struct place_entry *e;

	make(place, "b", "nightly", NOW);
	assert_int_equal(place_dir_open(&p, place->path), EXIT_OK);
	assert_true(place_add(&p, "b.partial"));
	assert_false(p.ops->examine(&p, &p.entry[0]));
	assert_int_equal(p.count, 2);
	e = &p.entry[1];
	assert_string_equal(e->name, "b");
	assert_true(p.ops->examine(&p, e));
	assert_int_equal(e->state, BACKUP_WHOLE);
	place_close(&p);
}

static void test_no_place(void **state)
{
	struct backup_place p;
	char *path = path_of(*state, "missing");

	assert_int_equal(place_open(&p, path, NULL), EXIT_FAILED);
	place_close(&p);
	free(path);
}

/* ---------------------------------------------------------------- decisions */

static struct decision *decide(struct backup_place *p, uint64_t last,
			       int64_t within)
{
	struct decision *d = calloc(p->count + 1, sizeof(*d));
	struct retention rules = {
		.last = last, .within = within, .remains = DAY,
	};

	retention_decide(p, &rules, NOW, d);
	return d;
}

/* The names of removed entries, in the order of the place. */
static void removes(const struct place *place, uint64_t last, int64_t within,
		    const char *names)
{
	struct backup_place p = look(place, NULL);
	struct decision *d = decide(&p, last, within);
	char found[256] = "";
	size_t i;

	for (i = 0; i < p.count; i++) {
		if (d[i].remove)
			snprintf(found + strlen(found),
				 sizeof(found) - strlen(found), "%s ",
				 p.entry[i].name);
		assert_true(*d[i].reason);
	}
	assert_string_equal(found, names);
	free(d);
	place_close(&p);
}

static void make_week(const struct place *place)
{
	char name[8];
	int i;

	for (i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "d%d", i);
		make(place, name, "daily", NOW - i * DAY);
	}
}

static void test_keep_last(void **state)
{
	make_week(*state);
	make(*state, "w", "weekly", NOW - 90 * DAY);
	removes(*state, 2, -1, "d6 d5 d4 d3 d2 ");
	removes(*state, 7, -1, "");
	removes(*state, 100, -1, "");
}

static void test_keep_within(void **state)
{
	make_week(*state);
	removes(*state, 0, 3 * DAY, "d6 d5 d4 ");
	removes(*state, 0, 3 * DAY - 1, "d6 d5 d4 d3 ");
	/* any rule keeps */
	removes(*state, 5, 2 * DAY, "d6 d5 ");
	removes(*state, 1, 5 * DAY, "d6 ");
}

static void expect_kept_for(const struct place *place, const char *name, const char *reason)
{
	struct backup_place p = look(place, NULL);
	struct decision *d = decide(&p, 1, -1);
	size_t i = index_of(&p, name);

	assert_false(d[i].remove);
	assert_string_equal(d[i].reason, reason);
	free(d);
	place_close(&p);
}

static void test_bases_are_kept(void **state)
{
	make_chain(*state);
	make(*state, "old", "nightly", NOW - 4 * DAY);
	/* nothing is based on these */
	removes(*state, 1, -1, "inc1 inc2 old full ");
	/* the second youngest of its set keeps all that it is based on */
	removes(*state, 2, -1, "old ");
	command(*state, "rm -r last");
	removes(*state, 1, -1, "old ");
	expect_kept_for(*state, "inc1", "inc2, which is kept, is based on it");
	expect_kept_for(*state, "full", "inc2, which is kept, is based on it");
	/* so does a damaged one, which a person may repair */
	make(*state, "last", "increments", NOW);
	command(*state, "truncate -s 100 inc1/device-00.data");
	removes(*state, 1, -1, "old ");
	expect_kept_for(*state, "full", "inc1, which is kept, is based on it");
}

static void test_another_set_keeps_its_bases(void **state)
{
	struct retention rules = { .last = 1, .within = -1, .remains = DAY, .set = "nightly" };
	struct decision d[8];
	struct backup_place p;

	make_chain(*state);
	p = look(*state, NULL);
	retention_decide(&p, &rules, NOW, d);
	assert_false(d[index_of(&p, "inc2")].remove);
	assert_false(d[index_of(&p, "full")].remove);
	place_close(&p);
}

static void test_last_one_stays(void **state)
{
	make(*state, "a", "one", NOW - 1000 * DAY);
	make(*state, "b", "one", NOW - 999 * DAY);
	removes(*state, 0, DAY, "a ");
}

/* What is not whole does not count, and is kept. */
static void test_damaged_does_not_count(void **state)
{
	make_week(*state);
	command(*state, "rm d0/device-00.data d2/device-00.data");
	removes(*state, 2, -1, "d6 d5 d4 ");
	command(*state, "rm d*/device-00.data");
	removes(*state, 1, -1, "");
}

static void test_future_does_not_count(void **state)
{
	make_week(*state);
	make(*state, "f", "daily", NOW + DAY);
	removes(*state, 6, -1, "d6 ");
	removes(*state, 0, 0, "d6 d5 d4 d3 d2 d1 ");
}

static void test_remains_by_age(void **state)
{
	static const struct {
		int64_t date;
		const char *removed;
	} cases[] = {
		{ NOW - DAY, "x.expired x.partial y.partial.lock " },
		{ NOW - DAY + 1, "x.expired " },
		{ NOW + DAY, "x.expired " },
	};
	char line[256];
	size_t i;

	command(*state, "mkdir x.partial x.expired && "
		"touch x.partial/device-00.data y.partial.lock");
	for (i = 0; i < 3; i++) {
		snprintf(line, sizeof(line), "touch -d @%lld x.partial/* x.partial y.partial.lock",
			 (long long)cases[i].date);
		command(*state, line);
		removes(*state, 1, -1, cases[i].removed);
	}
	/* a file that is still written, in an old directory */
	command(*state, "touch -d @0 x.partial");
	removes(*state, 1, -1, "x.expired ");
}

/* ------------------------------------------------------------------ removal */

static enum place_removal remove_entry(const struct place *place,
				       const char *name, const char *before,
				       char *why, size_t size)
{
	struct backup_place p = look(place, NULL);
	enum place_removal result;

	if (before)
		command(place, before);
	result = p.ops->remove(&p, &p.entry[index_of(&p, name)], why, size);
	place_close(&p);
	return result;
}

static void is_gone(const struct place *place)
{
	command(place, "test -z \"$(ls -A)\"");
}

static void test_remove(void **state)
{
	char why[300];

	make(*state, "b", "nightly", NOW);
	assert_int_equal(remove_entry(*state, "b", NULL, why, sizeof(why)),
			 PLACE_REMOVED);
	is_gone(*state);
	command(*state, "mkdir b.partial && touch b.partial/device-00.data "
		"b.partial.lock");
	assert_int_equal(remove_entry(*state, "b.partial", NULL, why,
				      sizeof(why)), PLACE_REMOVED);
	is_gone(*state);
	command(*state, "touch b.partial.lock");
	assert_int_equal(remove_entry(*state, "b.partial.lock", NULL, why,
				      sizeof(why)), PLACE_REMOVED);
	is_gone(*state);
	command(*state, "mkdir b.expired && touch b.expired/device-00.data");
	assert_int_equal(remove_entry(*state, "b.expired", NULL, why,
				      sizeof(why)), PLACE_REMOVED);
	is_gone(*state);
}

static void test_files_of_others_stay(void **state)
{
	static const char *const names[] = { "b", "b.partial", "b.expired" };
	char line[64], why[300];
	size_t i;

	for (i = 0; i < 3; i++) {
		make(*state, "b", "nightly", NOW);
		command(*state, "touch b/notes");
		snprintf(line, sizeof(line), "[ b = %s ] || mv b %s", names[i],
			 names[i]);
		command(*state, line);
		assert_int_equal(remove_entry(*state, names[i], NULL, why,
					      sizeof(why)), PLACE_KEPT);
		assert_non_null(strstr(why, "notes"));
		snprintf(line, sizeof(line), "ls %s/device-00.data && rm -r %s",
			 names[i], names[i]);
		command(*state, line);
	}
}

/* The backup that was judged must be the one that is removed. */
static void test_replaced_meanwhile(void **state)
{
	char why[300];

	make(*state, "b", "nightly", NOW - DAY);
	make(*state, "new", "nightly", NOW);
	assert_int_equal(remove_entry(*state, "b", "rm -r b && mv new b", why,
				      sizeof(why)), PLACE_KEPT);
	assert_int_equal(state_of(*state, "b"), BACKUP_WHOLE);
}

static void test_in_use(void **state)
{
	struct place *place = *state;
	char why[300];
	int fd;

	make(place, "b", "nightly", NOW);
	fd = openat(place->dir, "b", O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(fd, LOCK_SH), 0);
	assert_int_equal(remove_entry(place, "b", NULL, why, sizeof(why)),
			 PLACE_IN_USE);
	assert_int_equal(state_of(place, "b"), BACKUP_WHOLE);
	close(fd);
	assert_int_equal(remove_entry(place, "b", NULL, why, sizeof(why)),
			 PLACE_REMOVED);
}

static void test_backup_began_meanwhile(void **state)
{
	char *path = path_of(*state, "b"), why[300];
	struct backup_place place;
	struct publication p;

	command(*state, "mkdir b.partial");
	place = look(*state, NULL);
	assert_true(publication_prepare(&p, path));
	assert_int_equal(place.ops->remove(&place, &place.entry[0], why,
					   sizeof(why)), PLACE_KEPT);
	place_close(&place);
	command(*state, "test -d b.partial");
	publication_discard(&p, true);
	publication_release(&p);
	free(path);
}

/* ------------------------------------------------------- kills and full disks */

/* The process is killed before this one of its calls, or the call fails. */
static unsigned int calls_left;
static int call_error;

/* True: the call fails with errno. */
static bool call_fails(void)
{
	if (!calls_left || --calls_left)
		return false;
	if (!call_error)
		raise(SIGKILL);
	errno = call_error;
	return true;
}

#define WRAP(name, parameters, arguments)				\
int __real_##name parameters;						\
int __wrap_##name parameters;						\
int __wrap_##name parameters						\
{									\
	return call_fails() ? -1 : __real_##name arguments;		\
}

WRAP(unlinkat, (int dir, const char *name, int flags), (dir, name, flags))
WRAP(renameat, (int from, const char *old, int to, const char *name),
     (from, old, to, name))
WRAP(renameat2, (int from, const char *old, int to, const char *name,
		 unsigned int flags), (from, old, to, name, flags))
WRAP(mkdirat, (int dir, const char *name, mode_t mode), (dir, name, mode))
WRAP(fsync, (int fd), (fd))
WRAP(fdatasync, (int fd), (fd))

static void remove_b(const struct place *place)
{
	char why[300];

	remove_entry(place, "b", NULL, why, sizeof(why));
}

static void make_b(const struct place *place)
{
	make(place, "b", "nightly", NOW);
}

/* Runs in a process of its own until the given call; true if it was killed. */
static bool killed_at(const struct place *place, unsigned int call,
		      void (*action)(const struct place *place))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (!child) {
		calls_left = call;
		action(place);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	else
		assert_int_equal(WTERMSIG(status), SIGKILL);
	return WIFSIGNALED(status);
}

/* Does a backup that is called whole have all its data? Returns how many there are. */
static unsigned int check_whole(const struct place *place)
{
	struct backup_place p = look(place, NULL);
	unsigned int count = 0;
	size_t i;

	for (i = 0; i < p.count; i++) {
		assert_true(p.entry[i].state == BACKUP_WHOLE ||
			    p.entry[i].state == BACKUP_EXPIRED ||
			    p.entry[i].state == BACKUP_REMAINS ||
			    p.entry[i].state == BACKUP_LOCK);
		if (p.entry[i].state != BACKUP_WHOLE)
			continue;
		count++;
		assert_string_equal(p.entry[i].name, "b");
		command(place, "test $(stat -c %s b/device-00.data) = 512");
	}
	place_close(&p);
	return count;
}

static void remove_remains(const struct place *place)
{
	struct backup_place p = look(place, NULL);
	char why[300];
	size_t i;

	for (i = 0; i < p.count; i++)
		assert_int_equal(p.ops->remove(&p, &p.entry[i], why,
					       sizeof(why)), PLACE_REMOVED);
	place_close(&p);
	is_gone(place);
}

static void test_remove_killed_at_every_call(void **state)
{
	unsigned int call, whole = 0;
	bool killed = true;

	for (call = 1; killed; call++) {
		make(*state, "b", "nightly", NOW);
		killed = killed_at(*state, call, remove_b);
		whole += check_whole(*state);
		remove_remains(*state);
	}
	/* only before the first call, the rename */
	assert_int_equal(whole, 1);
	/* rename, flush, manifest, flush, data, directory, flush */
	assert_int_equal(call - 2, 7);
}

static void test_backup_killed_at_every_call(void **state)
{
	unsigned int call, whole = 0;
	bool killed = true;

	for (call = 1; killed; call++) {
		killed = killed_at(*state, call, make_b);
		whole += check_whole(*state);
		remove_remains(*state);
	}
	/* before the last flush, before the removal of the lock, and at the end */
	assert_int_equal(whole, 3);
	assert_true(call > 8);
}

static void test_remove_fails_at_every_call(void **state)
{
	unsigned int call;
	char why[300];

	for (call = 1; call <= 7; call++) {
		make(*state, "b", "nightly", NOW);
		calls_left = call;
		call_error = EIO;
		assert_int_equal(remove_entry(*state, "b", NULL, why,
					      sizeof(why)), PLACE_KEPT);
		assert_int_equal(calls_left, 0);
		call_error = 0;
		assert_non_null(strstr(why, "Input/output error"));
		assert_int_equal(check_whole(*state), call == 1);
		remove_remains(*state);
	}
}

/* -------------------------------------------------------- names, ages, dates */

static void test_latest(void **state)
{
	struct place *place = *state;
	char *path, *expected = path_of(place, "b");
	int rc;

	make(place, "a", "nightly", NOW - 2);
	make(place, "b", "nightly", NOW - 1);
	make(place, "c", "nightly", NOW);
	make(place, "d", "other", NOW + 1);
	make(place, "f", "nightly", INT64_C(4000000000));
	command(place, "rm c/device-00.data");
	path = place_latest(place->path, "nightly", &rc);
	assert_int_equal(rc, EXIT_OK);
	assert_string_equal(path, expected);
	free(path);
	free(expected);
	assert_null(place_latest(place->path, "none", &rc));
	assert_int_equal(rc, EXIT_FAILED);
}

static void is_path(const struct place *place, const char *set,
		    const char *name)
{
	char *path = place_new_path(place->path, set, 1796000523);
	char *expected = path_of(place, name);

	assert_string_equal(path, expected);
	free(path);
	free(expected);
}

static void test_new_path(void **state)
{
	is_path(*state, "nightly", "nightly-20261130T010203Z");
	is_path(*state, "../a b\n/c", "_._a_b__c-20261130T010203Z");
	is_path(*state, "-x\xff\xc3\xa4", "_x_\xc3\xa4-20261130T010203Z");
	command(*state, "mkdir nightly-20261130T010203Z "
		"nightly-20261130T010203Z-2.partial "
		"nightly-20261130T010203Z-3.expired");
	is_path(*state, "nightly", "nightly-20261130T010203Z-4");
}

static void test_long_name(void **state)
{
	struct place *place = *state;
	char set[256], *path;

	memset(set, 'x', 255);
	set[255] = '\0';
	path = place_new_path(place->path, set, NOW);
	make(place, strrchr(path, '/') + 1, set, NOW);
	assert_int_equal(state_of(place, strrchr(path, '/') + 1), BACKUP_WHOLE);
	free(path);
}

static void test_ages(void **state)
{
	static const char *const wrong[] = {
		"", "1", "-1d", "1x", "1dd", "d", "1.5h", " 1d", "1 d",
		"99999999999999999999d", "9223372036854775807w", "1001000w"
	};
	int64_t s;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(vdi_parse_age(wrong[i], &s));
	assert_true(vdi_parse_age("0", &s) && s == 0);
	assert_true(vdi_parse_age("90s", &s) && s == 90);
	assert_true(vdi_parse_age("5m", &s) && s == 300);
	assert_true(vdi_parse_age("36h", &s) && s == 36 * 3600);
	assert_true(vdi_parse_age("30d", &s) && s == 30 * DAY);
	assert_true(vdi_parse_age("2w", &s) && s == 14 * DAY);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_whole),
		TEST(test_sorted_by_set_and_time),
		TEST(test_not_whole),
		TEST(test_whole_files_under_other_names),
		TEST(test_being_written),
		TEST(test_lock_of_another_host),
		TEST(test_lock_without_directory),
		TEST(test_files_of_others),
		TEST(test_place_is_a_backup),
		TEST(test_renamed_meanwhile),
		TEST(test_no_place),
		TEST(test_keep_last),
		TEST(test_keep_within),
		TEST(test_base_is_missing),
		TEST(test_base_of_another_set),
		TEST(test_chain_of_a_restore),
		TEST(test_bases_are_kept),
		TEST(test_another_set_keeps_its_bases),
		TEST(test_last_one_stays),
		TEST(test_damaged_does_not_count),
		TEST(test_future_does_not_count),
		TEST(test_remains_by_age),
		TEST(test_remove),
		TEST(test_files_of_others_stay),
		TEST(test_replaced_meanwhile),
		TEST(test_in_use),
		TEST(test_backup_began_meanwhile),
		TEST(test_remove_killed_at_every_call),
		TEST(test_backup_killed_at_every_call),
		TEST(test_remove_fails_at_every_call),
		TEST(test_latest),
		TEST(test_new_path),
		TEST(test_long_name),
		TEST(test_ages),
	};

	return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
