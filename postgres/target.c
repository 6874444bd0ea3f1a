// SPDX-License-Identifier: GPL-2.0-only
/*
 * target.c - the base-backup target "vdiset"
 *
 *   pg_basebackup --target=vdiset:NAME[,devices=N] -X fetch
 *
 * The server process writes the backup (the archive of every tablespace, and the
 * manifest) into the buffers of the virtual device set NAME. The module is loaded
 * by shared_preload_libraries.
 */
#include "postgres.h"

#include <limits.h>
#include <pwd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/resowner.h"
#include "port/pg_bswap.h"

#include "bbsink.h"
#include "records.h"
#include "writer.h"

PG_MODULE_MAGIC;

void _PG_init(void);

static int connect_timeout;
static int max_transfer_size;
static int buffer_count;
static char *trusted_users;
static char *required_role;

/* The value of vdiset.trusted_users, as resolved by the check hook. */
struct trusted {
	int count;
	uid_t user[VDI_MAX_TRUSTED_USERS];
};
static struct trusted trusted;

struct vdiset_sink {
	bbsink base;			/* must be first */
	struct vdiset_writer *writer;
	bool succeeded;			/* the server has reported no error */
};

/* The sink, between end_backup and cleanup. */
static struct vdiset_sink *ending;

static void put_record(bbsink *sink, enum record_type type, const void *payload,
		       size_t length)
{
	struct vdiset_writer *writer = ((struct vdiset_sink *)sink)->writer;
	struct record_header header = {
		.magic = htole32(RECORD_MAGIC),
		.type = htole32(type),
		.length = htole64(length),
	};

	vdiset_writer_put(writer, &header, sizeof(header));
	if (length)
		vdiset_writer_put(writer, payload, length);
}

static void sink_begin_backup(bbsink *sink)
{
	struct record_begin begin = {
		.version = htole32(1),
		.pg_version = htole32(PG_VERSION_NUM),
		.system_id = htole64(GetSystemIdentifier()),
	};

	bbsink_forward_begin_backup(sink);
	/* the sizes of files; a compressed backup, or an increment, is smaller */
	if (sink->bbs_state->bytes_total_is_valid)
		vdiset_writer_expect(((struct vdiset_sink *)sink)->writer,
				     sink->bbs_state->bytes_total);
	put_record(sink, RECORD_BEGIN_BACKUP, &begin, sizeof(begin));
}

/* Path of the tablespace of the current archive; "" = data directory. */
static const char *tablespace_path(const bbsink *sink)
{
	const bbsink_state *state = sink->bbs_state;
	const tablespaceinfo *ti = list_nth(state->tablespaces,
					    state->tablespace_num);

	return ti->path ? ti->path : "";
}

static void sink_begin_archive(bbsink *sink, const char *archive_name)
{
	const char *path = tablespace_path(sink);
	size_t name_size = strlen(archive_name) + 1;
	size_t path_size = strlen(path) + 1;
	char *payload = palloc(name_size + path_size);

	memcpy(payload, archive_name, name_size);
	memcpy(payload + name_size, path, path_size);
	put_record(sink, RECORD_BEGIN_ARCHIVE, payload, name_size + path_size);
	pfree(payload);
	bbsink_forward_begin_archive(sink, archive_name);
}

static void sink_archive_contents(bbsink *sink, size_t len)
{
	put_record(sink, RECORD_DATA, sink->bbs_buffer, len);
	bbsink_forward_archive_contents(sink, len);
}

static void sink_end_archive(bbsink *sink)
{
	put_record(sink, RECORD_END_ARCHIVE, NULL, 0);
	bbsink_forward_end_archive(sink);
}

static void sink_begin_manifest(bbsink *sink)
{
	put_record(sink, RECORD_BEGIN_MANIFEST, NULL, 0);
	bbsink_forward_begin_manifest(sink);
}

static void sink_manifest_contents(bbsink *sink, size_t len)
{
	put_record(sink, RECORD_DATA, sink->bbs_buffer, len);
	bbsink_forward_manifest_contents(sink, len);
}

static void sink_end_manifest(bbsink *sink)
{
	put_record(sink, RECORD_END_MANIFEST, NULL, 0);
	bbsink_forward_end_manifest(sink);
}

/*
 * The server may still fail the backup after this callback, for example because of
 * damaged pages. The data is made durable here; the backup is completed in
 * sink_cleanup().
 */
static void sink_end_backup(bbsink *sink, XLogRecPtr endptr, TimeLineID endtli)
{
	struct record_end end = {
		.end_lsn = htole64(endptr),
		.end_timeline = htole32(endtli),
	};

	put_record(sink, RECORD_END_BACKUP, &end, sizeof(end));
	vdiset_writer_flush(((struct vdiset_sink *)sink)->writer);
	bbsink_forward_end_backup(sink, endptr, endtli);
	ending = (struct vdiset_sink *)sink;
}

/*
 * As the last step of a successful backup, the server releases its resource owner
 * as for a commit, before sink_cleanup(). After an error it releases it as for an
 * abort, after sink_cleanup().
 */
static void resources_released(ResourceReleasePhase phase, bool commit,
			       bool top_level, void *arg)
{
	if (ending && commit && top_level)
		ending->succeeded = true;
}

/*
 * Runs at the end of every backup, after success and failure. The result of the
 * command is sent to pg_basebackup after this, so the command fails if the backup
 * program does not confirm the backup.
 */
static void sink_cleanup(bbsink *sink)
{
	struct vdiset_sink *vsink = (struct vdiset_sink *)sink;

	ending = NULL;
	bbsink_forward_cleanup(sink);
	if (vsink->succeeded)
		vdiset_writer_complete(vsink->writer);
	else
		vdiset_writer_abandon(vsink->writer);
}

static const bbsink_ops sink_ops = {
	.begin_backup = sink_begin_backup,
	.begin_archive = sink_begin_archive,
	.archive_contents = sink_archive_contents,
	.end_archive = sink_end_archive,
	.begin_manifest = sink_begin_manifest,
	.manifest_contents = sink_manifest_contents,
	.end_manifest = sink_end_manifest,
	.end_backup = sink_end_backup,
	.cleanup = sink_cleanup,
};

static void take_option(struct vdiset_options *options, const char *option)
{
	static const char devices[] = "devices=";
	char *end;
	long value;

	if (strncmp(option, devices, strlen(devices)))
		ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("target \"vdiset\" has no option \"%s\"", option),
			errhint("The target detail is NAME[,devices=N]."));
	value = strtol(option + strlen(devices), &end, 10);
	if (end == option + strlen(devices) || *end || value < 1 || value > 64)
		ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("the number of devices must be 1 to 64, not \"%s\"",
			       option + strlen(devices)));
	options->devices = value;
}

/*
 * Every role with REPLICATION can make a base backup; the administrator can restrict this
 * target, which sends it to another program of this machine. Replication connections have
 * no transaction yet. A role that does not exist has no members.
 */
static void check_role(void)
{
	Oid role;

	if (!*required_role)
		return;
	StartTransactionCommand();
	role = get_role_oid(required_role, true);
	if (!has_privs_of_role(GetUserId(), role))
		ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("permission denied for target \"vdiset\""),
			errdetail("Only members of the role \"%s\" (vdiset.required_role) can use it.",
				  required_role));
	CommitTransactionCommand();
}

static void *check_detail(char *target, char *detail)
{
	struct vdiset_options *options;
	char *rest, *option;

	/* the transaction would free what was allocated before it */
	check_role();
	options = palloc0(sizeof(*options));
	rest = detail ? pstrdup(detail) : NULL;
	options->set = rest ? strsep(&rest, ",") : NULL;
	if (!options->set || !*options->set)
		ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("target \"%s\" needs the name of a virtual device set",
			       target),
			errhint("Use --target=%s:NAME[,devices=N].", target));
	while ((option = strsep(&rest, ",")) != NULL)
		take_option(options, option);
	return options;
}

static bbsink *get_sink(bbsink *next_sink, void *detail_arg)
{
	struct vdiset_options *options = detail_arg;
	struct vdiset_sink *sink = palloc0(sizeof(*sink));

	/* bbs_ops is declared const by the server */
	*((const bbsink_ops **)&sink->base.bbs_ops) = &sink_ops;
	sink->base.bbs_next = next_sink;

	options->connect_timeout = connect_timeout;
	options->max_transfer_size = max_transfer_size;
	options->buffer_count = buffer_count;
	memcpy(options->trusted, trusted.user, sizeof(trusted.user));
	options->trusted_count = trusted.count;
	/* before the checkpoint, so that a missing set is reported at once */
	sink->writer = vdiset_writer_open(options);
	return &sink->base;
}

/* The interface requires multiples of 64 KiB. */
static bool check_transfer_size(int *newval, void **extra, GucSource source)
{
	if (*newval % 64 == 0)
		return true;
	GUC_check_errdetail("The size must be a multiple of 64 kB.");
	return false;
}

/* A user by name or number. */
static bool find_user(const char *name, uid_t *user)
{
	const struct passwd *pw = getpwnam(name);
	unsigned long long value;
	char *end;

	if (pw) {
		*user = pw->pw_uid;
		return true;
	}
	if (*name < '0' || *name > '9')
		return false;
	errno = 0;
	value = strtoull(name, &end, 10);
	if (errno || *end || value >= (uid_t)-1)
		return false;
	*user = value;
	return true;
}

/* Remove blanks around a name. */
static char *trim(char *name)
{
	char *end;

	while (*name == ' ' || *name == '\t')
		name++;
	end = name + strlen(name);
	while (end > name && (end[-1] == ' ' || end[-1] == '\t'))
		*--end = '\0';
	return name;
}

static bool parse_users(char *list, struct trusted *users)
{
	char *name;

	while ((name = strsep(&list, ",")) != NULL) {
		name = trim(name);
		if (users->count == VDI_MAX_TRUSTED_USERS) {
			GUC_check_errdetail("There are more than %d users.",
					    VDI_MAX_TRUSTED_USERS);
			return false;
		}
		if (!find_user(name, &users->user[users->count])) {
			GUC_check_errdetail("There is no operating-system user \"%s\".",
					    name);
			return false;
		}
		users->count++;
	}
	return true;
}

/* The server frees it: with free(3) up to version 15. */
static struct trusted *allocate_users(void)
{
#if PG_VERSION_NUM >= 160000
	return guc_malloc(LOG, sizeof(struct trusted));
#else
	return malloc(sizeof(struct trusted));
#endif
}

static bool check_trusted_users(char **newval, void **extra, GucSource source)
{
	struct trusted *result, users = { 0 };
	char *list = pstrdup(*newval ? *newval : "");
	bool ok = !*trim(list) || parse_users(list, &users);

	pfree(list);
	if (!ok)
		return false;
	result = allocate_users();
	if (!result)
		return false;
	*result = users;
	*extra = result;
	return true;
}

static void assign_trusted_users(const char *newval, void *extra)
{
	trusted = *(const struct trusted *)extra;
}

void _PG_init(void)
{
	DefineCustomIntVariable("vdiset.connect_timeout",
		"Time to wait for the device set of the backup program.", NULL,
		&connect_timeout, 10, 0, 86400, PGC_SIGHUP, GUC_UNIT_S,
		NULL, NULL, NULL);
	DefineCustomIntVariable("vdiset.max_transfer_size",
		"Size of one transfer, a multiple of 64 kB.", NULL,
		&max_transfer_size, 1024, 64, 4096, PGC_SIGHUP, GUC_UNIT_KB,
		check_transfer_size, NULL, NULL);
	DefineCustomIntVariable("vdiset.buffer_count",
		"Number of buffers; 0 means four for each device.", NULL,
		&buffer_count, 0, 0, 65536, PGC_SIGHUP, 0,
		NULL, NULL, NULL);
	/* configuration only: clients must not change it */
	DefineCustomStringVariable("vdiset.trusted_users",
		"Operating-system users whose device sets the server joins.",
		"Names or numbers; empty means the server's own user and root.",
		&trusted_users, "", PGC_SIGHUP, GUC_LIST_INPUT,
		check_trusted_users, assign_trusted_users, NULL);
	DefineCustomStringVariable("vdiset.required_role",
		"Role whose members can use the target.",
		"Empty means every role that can make a base backup.",
		&required_role, "", PGC_SIGHUP, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("vdiset");
	RegisterResourceReleaseCallback(resources_released, NULL);
	BaseBackupAddTarget("vdiset", check_detail, get_sink);
}
