// SPDX-License-Identifier: GPL-2.0-only
/*
 * restore.c - vdi-pg-restore: restore a PostgreSQL data directory from a set
 *
 * This is the side of the database: it reads the devices that vdi restore serves
 * and unpacks their archives into DIR.partial. When all files are durable, the
 * devices are closed, which is success for vdi restore, and then DIR.partial is
 * renamed to DIR. See chain.c about increments.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "restore.h"

/* An existing DIR must be an empty directory that can be replaced. */
static bool check_target(struct restore *r, const struct stat *st)
{
	struct statx mount;
	int dir, empty = 0;

	if (S_ISDIR(st->st_mode)) {
		dir = open(r->target, O_RDONLY | O_DIRECTORY | O_NOFOLLOW |
			   O_CLOEXEC);
		empty = dir < 0 ? -1 : beneath_is_empty(dir);
		if (dir >= 0)
			close(dir);
	} else {
		errno = ENOTDIR;
		empty = -1;
	}
	if (empty != 1) {
		vdi_error("cannot restore to %s: not an empty directory%s%s", r->target,
			  empty ? ": " : "", empty ? strerror(errno) : "");
		return false;
	}
	if (!statx(AT_FDCWD, r->target, AT_SYMLINK_NOFOLLOW, 0, &mount) &&
	    (mount.stx_attributes & STATX_ATTR_MOUNT_ROOT)) {
		vdi_error("cannot restore to %s: a mount point cannot be replaced; name a directory below it",
			  r->target);
		return false;
	}
	return true;
}

static bool check_target_and_parent(struct restore *r, uid_t *owner)
{
	char *slash = strrchr(r->target, '/');
	struct stat st, parent;
	bool absent, ok = true;

	*slash = '\0';
	if (stat(slash == r->target ? "/" : r->target, &parent)) {
		vdi_error("cannot restore to %s: %s", r->target, strerror(errno));
		return false;
	}
	*slash = '/';
	absent = lstat(r->target, &st);
	if (absent && errno != ENOENT) {
		vdi_error("cannot restore to %s: %s", r->target, strerror(errno));
		return false;
	}
	if (!absent)
		ok = check_target(r, &st);
	*owner = absent ? parent.st_uid : st.st_uid;
	if (ok && !lstat(r->partial, &st)) {
		vdi_error("%s exists, from an earlier restore: remove it first",
			  r->partial);
		ok = false;
	}
	return ok;
}

/*
 * The server runs as the owner of its data directory, and never as root. Nothing is
 * created as root, because names and data of the stream are not trusted.
 */
static int choose_owner(struct restore *r, uid_t owner)
{
	const struct passwd *pw;

	if (geteuid() != 0) {
		if (!r->owner_given || r->owner == geteuid())
			return EXIT_OK;
		vdi_error("--owner: only root can restore as another user");
		return EXIT_USAGE;
	}
	if (!r->owner_given)
		r->owner = owner;
	/* a file whose name is given, in a directory of root */
	if (r->owner == 0 && r->manifest)
		return EXIT_OK;
	if (r->owner == 0) {
		vdi_error("cannot restore %s as root, because PostgreSQL does not run as root: use --owner USER with the user of the server",
			  r->target);
		return EXIT_USAGE;
	}
	pw = getpwuid(r->owner);
	if (!pw) {
		vdi_error("cannot restore %s as uid %lu: no such user; use --owner USER",
			  r->target ? : r->manifest, (unsigned long)r->owner);
		return EXIT_USAGE;
	}
	r->group = pw->pw_gid;
	return EXIT_OK;
}

/* Drop the privileges of root permanently, after the set was joined with them. */
static bool become_owner(struct restore *r)
{
	const struct passwd *pw;

	if (geteuid() != 0 || r->owner == 0)
		return true;
	pw = getpwuid(r->owner);
	if (pw && !initgroups(pw->pw_name, r->group) &&
	    !setresgid(r->group, r->group, r->group) &&
	    !setresuid(r->owner, r->owner, r->owner))
		return true;
	return db_fail(&r->db, EXIT_FAILED, "cannot become user %lu: %s",
		       (unsigned long)r->owner,
		       pw ? strerror(errno) : "no such user");
}

bool restore_check_interrupt(struct restore *r)
{
	return !vdi_signal_pending() ||
	       db_fail(&r->db, EXIT_INTERRUPTED, "interrupted (%s)",
		       strsignal(vdi_signal_take()));
}

void restore_begin_set(struct restore *r)
{
	r->db = r->options;
	r->db.names.set = r->set[r->current];
	vdi_progress_start(&r->db.progress, r->db.quiet);
}

int restore_end_set(struct restore *r)
{
	int rc = db_end(&r->db);

	r->moved += r->db.moved;
	r->seconds += vdi_now() - r->db.started;
	r->devices = r->db.count;
	return rc;
}

bool restore_join(struct restore *r)
{
	return db_connect(&r->db, VDF_ReadMedia) && become_owner(r);
}

/* One for each device, if there are several; more than processors are of no use. */
static unsigned int file_threads_of(const struct restore *r)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);

	if (r->db.count < 2 || r->manifest)
		return 0;
	return processors > 0 && (unsigned long)processors < r->db.count ?
	       (unsigned int)processors : r->db.count;
}

bool restore_read(struct restore *r, struct unpack *u)
{
	struct restored *restored = &u->records.restored;
	bool ok = restored_again(restored, &r->db) &&
		  unpack_records(u, file_threads_of(r)) && restored_check_end(restored);

	restored_free(restored);
	return ok;
}

/* All steps up to closing the devices. True: all files are durable. */
static bool run(struct restore *r)
{
	struct unpack *u = &r->unpack;

	u->labelled = chain_refuse_increment;
	return restore_join(r) && place_make(&r->db, &u->base, r->partial, true) &&
	       restore_read(r, u) && unpack_finish(u) && unpack_sync(u) &&
	       restore_check_interrupt(r) && db_close_devices(&r->db);
}

static int restore_one(struct restore *r, bool *complete)
{
	restore_begin_set(r);
	*complete = run(r);
	return restore_end_set(r);
}

/* The directory that is renamed is the only one in PARTIAL that is needed, if any is. */
static int remove_work(struct restore *r)
{
	return r->count == 1 || place_remove(&r->work) ? EXIT_OK : EXIT_FAILED;
}

static int publish(struct restore *r)
{
	const struct place *base = &r->unpack.base;
	const struct place *top = r->count > 1 ? &r->work : base;

	if (renameat(base->parent, base->name, top->parent,
		     strrchr(r->target, '/') + 1)) {
		vdi_error("cannot rename %s to %s: %s; the data is complete and durable, rename the directory to use it",
			  base->path, r->target, strerror(errno));
		return EXIT_FAILED;
	}
	if (fsync(top->parent)) {
		vdi_error("%s is restored, but a crash may bring back the name %s: cannot flush the parent directory: %s",
			  r->target, base->path, strerror(errno));
		return EXIT_FAILED;
	}
	return remove_work(r);
}

/* Every tablespace needs two descriptors. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int restore(struct restore *r)
{
	bool complete = false;
	int rc;

	rc = r->count > 1 ? chain_restore(r, &complete) : restore_one(r, &complete);
	if (!complete)
		chain_remove(r);
	else if (rc == EXIT_OK)
		rc = publish(r);
	else
		vdi_error("%s is complete and durable; to use it, rename it to %s",
			  r->unpack.base.path, r->target);
	return rc;
}

static int prepare(struct restore *r)
{
	char text[256];
	uid_t owner;

	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}
	if (asprintf(&r->partial, "%s.partial", r->target ? : r->manifest) < 0) {
		r->partial = NULL;
		vdi_error("out of memory");
		return EXIT_FAILED;
	}
	if (r->manifest ? !save_manifest_check(r, &owner) : !check_target_and_parent(r, &owner))
		return EXIT_FAILED;
	return choose_owner(r, owner);
}

static void summarize(const struct restore *r)
{
	char text[256];

	if (r->options.quiet)
		return;
	vdi_format_transfer(r->devices, "", r->moved, r->seconds, text, sizeof(text));
	printf("%s: %s %s: %s\n", vdi_program(), r->target ? "restored" : "read all to write",
	       r->target ? : r->manifest, text);
}

static void release(struct restore *r)
{
	int i;

	unpack_free(&r->unpack);
	chain_free(r);
	for (i = 0; i < r->unpack.mappings; i++) {
		free(r->unpack.mapping[i].from);
		free(r->unpack.mapping[i].to);
	}
	free(r->partial);
	free(r->target);
	free(r->manifest);
}

int main(int argc, char **argv)
{
	/* the target writes only to pipes */
	static const struct layout *const layouts[] = { &layout_pipe, NULL };
	static struct restore r = {
		.options = {
			.layouts = layouts,
			.verb = "restore",
			.block_size = 4096,
			.max_transfer = 1 << 20,
			.timeout_ms = 60 * 1000,
		},
	};
	int rc;

	vdi_occupy_standard_files();
	vdi_set_program("vdi-pg-restore");
	/* the program in messages of getopt(3) */
	argv[0] = (char *)vdi_program();
	r.unpack.db = &r.db;
	r.unpack.context = &r;
	rc = restore_parse(&r, argc, argv);
	if (rc == EXIT_OK) {
		r.unpack.target = r.target;
		r.unpack.recovery = &r.recovery;
		rc = prepare(&r);
	}
	if (rc == EXIT_OK) {
		raise_file_limit();
		/* other users get access only when the modes are set at the end */
		umask(077);
		vdi_catch_signals();
		rc = r.manifest ? save_manifest(&r) : restore(&r);
	}
	if (rc == EXIT_OK)
		summarize(&r);
	release(&r);
	return rc;
}
