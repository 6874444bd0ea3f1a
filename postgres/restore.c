// SPDX-License-Identifier: GPL-2.0-only
/*
 * restore.c - vdi-pg-restore: restore a PostgreSQL data directory from a set
 *
 * This is the side of the database: it reads the devices that vdi restore serves
 * and unpacks their archives into DIR.partial. When all files are durable, the
 * devices are closed, which is success for vdi restore, and then DIR.partial is
 * renamed to DIR.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "beneath.h"
#include "unpack.h"

struct restore {
	struct database db;
	struct unpack unpack;
	char *target;
	char *partial;
	bool owner_given;
	uid_t owner;
	gid_t group;
};

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
	if (r->owner == 0) {
		vdi_error("cannot restore %s as root, because PostgreSQL does not run as root: use --owner USER with the user of the server",
			  r->target);
		return EXIT_USAGE;
	}
	pw = getpwuid(r->owner);
	if (!pw) {
		vdi_error("cannot restore %s as uid %lu: no such user; use --owner USER",
			  r->target, (unsigned long)r->owner);
		return EXIT_USAGE;
	}
	r->group = pw->pw_gid;
	return EXIT_OK;
}

/* Drop the privileges of root permanently, after the set was joined with them. */
static bool become_owner(struct restore *r)
{
	const struct passwd *pw;

	if (geteuid() != 0)
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

static bool check_interrupt(struct restore *r)
{
	return !vdi_signal_pending() ||
	       db_fail(&r->db, EXIT_INTERRUPTED, "interrupted (%s)",
		       strsignal(vdi_signal_take()));
}

/* All steps up to closing the devices. True: all files are durable. */
static bool run(struct restore *r)
{
	struct unpack *u = &r->unpack;
	struct restored *restored = &u->records.restored;
	bool ok;

	ok = db_connect(&r->db, VDF_ReadMedia) && become_owner(r) &&
	     place_make(&r->db, &u->base, r->partial, true) &&
	     restored_again(restored, &r->db) && unpack_records(u) &&
	     restored_check_end(restored) && unpack_finish(u) &&
	     unpack_sync(u) && check_interrupt(r) && db_close_devices(&r->db);
	restored_free(restored);
	return ok;
}

static int publish(struct restore *r)
{
	const struct place *base = &r->unpack.base;

	if (renameat(base->parent, base->name, base->parent,
		     strrchr(r->target, '/') + 1)) {
		vdi_error("cannot rename %s to %s: %s; the data is complete and durable, rename the directory to use it",
			  r->partial, r->target, strerror(errno));
		return EXIT_FAILED;
	}
	if (fsync(base->parent)) {
		vdi_error("%s is restored, but a crash may bring back the name %s: cannot flush the parent directory: %s",
			  r->target, r->partial, strerror(errno));
		return EXIT_FAILED;
	}
	return EXIT_OK;
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
	bool complete;
	int rc;

	raise_file_limit();
	/* other users get access only when the modes are set at the end */
	umask(077);
	vdi_catch_signals();
	vdi_progress_start(&r->db.progress, r->db.quiet);
	complete = run(r);
	rc = db_end(&r->db);
	if (!complete)
		unpack_remove(&r->unpack);
	else if (rc == EXIT_OK)
		rc = publish(r);
	else
		vdi_error("%s is complete and durable; to use it, rename it to %s",
			  r->partial, r->target);
	return rc;
}

static void usage(FILE *out)
{
	fputs("usage: vdi-pg-restore NAME -D DIR [OPTIONS]\n\n"
	      "Rebuilds a PostgreSQL data directory from the virtual device set NAME, which\n"
	      "'vdi restore NAME --from BACKUP' serves.\n\n"
	      "  -D, --pgdata DIR          data directory to create: an absolute path, absent or\n"
	      "                            an empty directory\n"
	      "  -T, --tablespace-mapping OLD=NEW  restore the tablespace at OLD to NEW, absent or\n"
	      "                            an empty directory; may be repeated\n"
	      "      --allow-tablespaces   restore tablespaces without -T to their old paths\n"
	      "      --owner USER          as root: owner of the files, by name or number\n"
	      "                            (default: the owner of DIR, or of its parent)\n"
	      "      --from USER           join a set that USER (name or number) created, instead\n"
	      "                            of you or root; may be a list with commas\n"
	      "  -t, --timeout SEC         time to wait for the set (default 60, 0 = no limit)\n"
	      "  -q, --quiet               no progress, no summary\n"
	      "  -h, --help                show this help\n\n"
	      "exit codes: as for vdi\n", out);
}

static bool add_mapping(struct unpack *u, char *text)
{
	struct mapping *m = &u->mapping[u->mappings];
	char *equals = strchr(text, '=');
	int i;

	if (!equals || u->mappings == MAX_MAPPINGS) {
		vdi_error(equals ? "-T: at most %d tablespaces can be mapped" :
				   "-T requires OLD=NEW", MAX_MAPPINGS);
		return false;
	}
	*equals = '\0';
	*m = (struct mapping){ unpack_clean_path(text),
			       unpack_clean_path(equals + 1), false };
	u->mappings++;
	if (!m->from || !m->to) {
		vdi_error("-T requires OLD=NEW with absolute paths without '..'");
		return false;
	}
	for (i = 0; i < u->mappings - 1; i++) {
		if (strcmp(u->mapping[i].from, m->from) &&
		    strcmp(u->mapping[i].to, m->to))
			continue;
		vdi_error("-T %s=%s: a path is mapped twice", m->from, m->to);
		return false;
	}
	return true;
}

static const struct option options[] = {
	{ "pgdata", required_argument, NULL, 'D' },
	{ "tablespace-mapping", required_argument, NULL, 'T' },
	{ "allow-tablespaces", no_argument, NULL, 'A' },
	{ "owner", required_argument, NULL, 'O' },
	{ "from", required_argument, NULL, 'F' },
	{ "timeout", required_argument, NULL, 't' },
	{ "quiet", no_argument, NULL, 'q' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 }
};

static int parse(struct restore *r, int argc, char **argv)
{
	int c;

	while ((c = getopt_long(argc, argv, "D:T:t:qh", options,
				NULL)) != -1) {
		switch (c) {
		case 'D':
			free(r->target);
			r->target = unpack_clean_path(optarg);
			if (r->target)
				break;
			return vdi_invalid("-D", optarg,
					   "an absolute path without '..'");
		case 'T':
			if (add_mapping(&r->unpack, optarg))
				break;
			return EXIT_USAGE;
		case 'A':
			r->unpack.allow_tablespaces = true;
			break;
		case 'O':
			r->owner_given = vdi_parse_user(optarg, &r->owner);
			if (r->owner_given)
				break;
			return vdi_invalid("--owner", optarg,
					   "an existing user");
		case 'F':
			if (vdi_users_add(&r->db.from, optarg))
				break;
			return EXIT_USAGE;
		case 't':
			if (vdi_parse_seconds(optarg, &r->db.timeout_ms))
				break;
			return vdi_invalid("--timeout", optarg,
					   "a number of seconds");
		case 'q':
			r->db.quiet = true;
			break;
		case 'h':
			usage(stdout);
			exit(EXIT_OK);
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind != argc - 1 || !r->target) {
		vdi_error("%s", optind != argc - 1 ?
			  "exactly one NAME is required" :
			  "-D DIR is required");
		usage(stderr);
		return EXIT_USAGE;
	}
	r->db.names.set = argv[optind];
	return EXIT_OK;
}

int main(int argc, char **argv)
{
	/* the target writes only to pipes */
	static const struct layout *const layouts[] = { &layout_pipe, NULL };
	static struct restore r = {
		.db = {
			.layouts = layouts,
			.verb = "restore",
			.block_size = 4096,
			.max_transfer = 1 << 20,
			.timeout_ms = 60 * 1000,
		},
	};
	char text[256];
	uid_t owner;
	int i, rc;

	vdi_occupy_standard_files();
	vdi_set_program("vdi-pg-restore");
	/* the program in messages of getopt(3) */
	argv[0] = (char *)vdi_program();
	r.unpack.db = &r.db;
	rc = parse(&r, argc, argv);
	if (rc != EXIT_OK)
		return rc;
	r.unpack.target = r.target;
	if (vdi_load_module(text, sizeof(text)) != NOERROR) {
		vdi_error("%s", text);
		return EXIT_NO_MODULE;
	}
	if (asprintf(&r.partial, "%s.partial", r.target) < 0 ||
	    !check_target_and_parent(&r, &owner))
		return EXIT_FAILED;
	rc = choose_owner(&r, owner);
	if (rc == EXIT_OK)
		rc = restore(&r);
	if (rc == EXIT_OK && !r.db.quiet) {
		vdi_format_transfer(r.db.count, "", r.db.moved,
				    vdi_now() - r.db.started, text, sizeof(text));
		printf("%s: restored %s: %s\n", vdi_program(), r.target, text);
	}
	unpack_free(&r.unpack);
	for (i = 0; i < r.unpack.mappings; i++) {
		free(r.unpack.mapping[i].from);
		free(r.unpack.mapping[i].to);
	}
	free(r.partial);
	free(r.target);
	return rc;
}
