// SPDX-License-Identifier: GPL-2.0-only
/*
 * stored.c - vdi backup and vdi restore without a set, for selftests/stores and bench/
 *
 * usage: stored backup WHERE [-n DEVICES] [-s CHUNK_SIZE] [-u UPLOADS] [-t TIMEOUT]
 *                            [-f FLUSH_EVERY] [-S SET] [-e AGE] [-c]
 *                            [-z CODEC:LEVEL] [-T THREADS] < DATA
 *        stored restore WHERE [-t TIMEOUT] > DATA
 *        stored list ADDRESS
 *        stored delete ADDRESS
 *
 * WHERE is an address or a directory. -z and -T are --compress and --compress-threads.
 *
 * It executes the commands that a database would send on drives. Blocks of the data go
 * to the devices in turn. With -f, a Flush follows each so many blocks of a device; with
 * -e, the manifest says that the backup was finished so many seconds ago. With -c, the
 * pauses between attempts take no time, and the clock of the retries counts nothing but
 * these pauses: how many attempts there are does not depend on the speed of the host.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "catalog/publish.h"
#include "catalog/source.h"

#define BLOCK	65536

static unsigned int devices = 1, flush_every, age;
static const char *set = "test";
static bool pauses_only;
static _Atomic uint64_t paused = 1;	/* milliseconds of all pauses; 0 means "no time" */
static struct chunk_options options;
static struct medium_stages stages;
static unsigned int level, threads;
static struct drive drive[VDI_MAX_DEVICES];
static uint8_t block[BLOCK];

/* In place of vdi_now() and chunk_session_sleep(), by options of the linker. */
double __real_vdi_now(void);
double __wrap_vdi_now(void);
bool __real_chunk_session_sleep(const struct chunk_session *s, double seconds);
bool __wrap_chunk_session_sleep(const struct chunk_session *s, double seconds);

double __wrap_vdi_now(void)
{
	return pauses_only ? paused / 1e3 : __real_vdi_now();
}

bool __wrap_chunk_session_sleep(const struct chunk_session *s, double seconds)
{
	if (!pauses_only)
		return __real_chunk_session_sleep(s, seconds);
	atomic_fetch_add(&paused, (uint64_t)(seconds * 1e3) + 1);
	return !chunk_session_stopped(s);
}

static bool interrupted(void *context)
{
	(void)context;
	return vdi_signal_received();
}

static void set_up(struct chunk_store *store, struct drive_config *config)
{
	config->chunks = store;
	config->stop = interrupted;
	if (store)
		chunk_stop_with(store, interrupted, NULL);
}

static int run(struct drive *d, int code, size_t size, uint32_t *done)
{
	struct VDC_Command cmd = {
		.commandCode = code,
		.size = size,
		.buffer = block,
	};
	struct outcome out;

	drive_execute(d, &cmd, &out);
	if (done)
		*done = out.bytes;
	return out.code;
}

/* A whole block unless the input ends. */
static size_t read_block(void)
{
	size_t done = 0;
	ssize_t n = 1;

	while (done < BLOCK && n > 0) {
		n = read(0, block + done, BLOCK - done);
		if (n > 0)
			done += n;
		else if (n < 0 && errno == EINTR && !vdi_signal_received())
			n = 1;
	}
	return done;
}

static bool write_all(void)
{
	unsigned int i, count[VDI_MAX_DEVICES] = { 0 };
	size_t n;

	for (i = 0; !vdi_signal_received() && (n = read_block()); i = (i + 1) % devices) {
		if (run(&drive[i], VDC_Write, n, NULL))
			return false;
		if (flush_every && ++count[i] % flush_every == 0 &&
		    run(&drive[i], VDC_Flush, 0, NULL))
			return false;
	}
	for (i = 0; i < devices; i++) {
		if (vdi_signal_received() || run(&drive[i], VDC_Flush, 0, NULL) ||
		    !drive_finish(&drive[i]))
			return false;
	}
	return true;
}

static bool publish(struct publication *p)
{
	struct manifest m = {
		.set = strdup(set),
		.started = time(NULL) - age,
		.finished = time(NULL) - age,
		.profile = MEDIUM_PIPE,
		.codec = stages.codec,
		.count = devices,
	};
	unsigned int i;
	bool ok;

	if (p->chunks) {
		strcpy(m.id, chunk_id(p->chunks));
		m.chunk_size = chunk_options(p->chunks)->chunk_size;
	}
	for (i = 0; i < devices; i++) {
		m.device[i].name = strdup("test");
		if (!medium_list_copy(&m.device[i].media, &drive[i].media))
			return false;
	}
	ok = publication_publish(p, &m, interrupted, NULL);
	if (!ok)
		vdi_error("%s", *p->why ? p->why : "interrupted");
	manifest_free(&m);
	return ok;
}

static bool write_devices(struct publication *p)
{
	struct drive_config config = { .profile = MEDIUM_PIPE, .writing = true };
	unsigned int i;
	bool ok = true;

	set_up(p->chunks, &config);
	config.stages = stages.codec ? &stages : NULL;
	for (i = 0; ok && i < devices; i++) {
		config.device = i;
		ok = drive_open(&drive[i], &config, p->dir, NULL);
	}
	ok = ok && write_all();
	for (i = 0; i < devices; i++) {
		if (drive[i].trouble != DRIVE_FINE)
			break;
	}
	if (!ok)
		vdi_error("%s", i < devices ? drive[i].why : "interrupted");
	return ok;
}

static bool open_pool(void)
{
	if (!stages.codec)
		return true;
	stages.pool = compress_pool_open(stages.codec, level, threads, devices);
	if (!stages.pool)
		vdi_error("cannot start the threads that compress: %s", strerror(errno));
	return stages.pool;
}

static int backup(const char *where)
{
	struct chunk_store *store = NULL;
	struct publication p;
	char why[CHUNK_WHY_SIZE];
	unsigned int i;
	bool ok;

	if (chunk_is_address(where)) {
		store = chunk_open(where, &options, why, sizeof(why));
		if (!store) {
			vdi_error("%s", why);
			return EXIT_USAGE;
		}
	}
	ok = store ? publication_prepare_chunks(&p, store) : publication_prepare(&p, where);
	if (ok) {
		ok = open_pool() && write_devices(&p) && publish(&p);
		for (i = 0; i < devices; i++)
			drive_close(&drive[i]);
		compress_pool_close(stages.pool);
		if (!ok)
			publication_discard(&p, false);
	}
	publication_release(&p);
	if (ok)
		return EXIT_OK;
	return vdi_signal_received() ? EXIT_INTERRUPTED : EXIT_FAILED;
}

static bool write_out(size_t size)
{
	size_t done = 0;
	ssize_t n;

	while (done < size) {
		n = write(1, block + done, size - done);
		if (n < 0)
			return false;
		done += n;
	}
	return true;
}

/* Blocks of the devices in turn, until all have ended. */
static bool read_all(unsigned int count)
{
	unsigned int i, ended = 0;
	uint32_t n;
	int code;

	for (i = 0; ended < count; i = (i + 1) % count) {
		code = run(&drive[i], VDC_Read, BLOCK, &n);
		if (code != ERROR_SUCCESS && code != ERROR_HANDLE_EOF)
			return false;
		ended += code == ERROR_HANDLE_EOF;
		if (n && !write_out(n))
			return false;
	}
	return true;
}

static int read_devices(struct source *s)
{
	struct drive_config config;
	struct medium_list media;
	unsigned int i;
	bool ok = true;
	int rc = EXIT_OK;

	for (i = 0; ok && i < s->manifest.count; i++) {
		source_drive_config(s, i, &config);
		set_up(s->chunks, &config);
		ok = source_media(s, i, &media) &&
		     drive_open(&drive[i], &config, s->dir, &media);
	}
	ok = ok && read_all(s->manifest.count);
	for (i = 0; !ok && i < s->manifest.count; i++) {
		if (drive[i].trouble == DRIVE_FINE)
			continue;
		vdi_error("%s", drive[i].why);
		rc = drive[i].trouble == DRIVE_DAMAGED ? EXIT_DAMAGED : EXIT_FAILED;
		break;
	}
	if (!ok && rc == EXIT_OK)
		rc = EXIT_INTERRUPTED;
	for (i = 0; i < s->manifest.count; i++)
		drive_close(&drive[i]);
	return rc;
}

static int restore(const char *where)
{
	struct source s;
	int rc = chunk_is_address(where) ? source_open_chunks(&s, where, &options) :
					   source_open(&s, where);

	source_unfilter(&s, NULL);
	if (rc == EXIT_OK)
		rc = read_devices(&s);
	source_close(&s);
	return rc;
}

static bool print_name(void *context, const char *name, uint64_t bytes, const char *changed)
{
	(void)context;
	(void)changed;
	printf("%s %llu\n", name, (unsigned long long)bytes);
	return true;
}

static int delete(const char *address)
{
	struct source s;
	int rc = source_open_chunks(&s, address, &options);

	if (rc == EXIT_OK && chunk_delete(s.chunks, s.manifest.id) != CHUNK_OK) {
		vdi_error("%s", chunk_why(s.chunks));
		rc = EXIT_FAILED;
	}
	source_close(&s);
	return rc;
}

static int list(const char *address)
{
	char why[CHUNK_WHY_SIZE];
	struct chunk_store *store = chunk_open(address, &options, why, sizeof(why));
	int rc = EXIT_OK;

	if (!store) {
		vdi_error("%s", why);
		return EXIT_USAGE;
	}
	if (chunk_walk(store, "", print_name, NULL) != CHUNK_OK) {
		vdi_error("%s", chunk_why(store));
		rc = EXIT_FAILED;
	}
	chunk_close(store);
	return rc;
}

/* CODEC or CODEC:LEVEL */
static bool set_codec(char *text)
{
	char *colon = strchr(text, ':');

	if (colon) {
		*colon = '\0';
		level = atoi(colon + 1);
	}
	stages.codec = codec_find(text);
	return stages.codec;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(const char *address);
	} commands[] = {
		{ "backup", backup }, { "restore", restore },
		{ "list", list }, { "delete", delete },
	};
	size_t i;
	int c;

	vdi_set_program("stored");
	while ((c = getopt(argc, argv, "n:s:u:t:f:S:e:cz:T:")) != -1) {
		if (c == 'n')
			devices = atoi(optarg);
		else if (c == 's')
			options.chunk_size = atoi(optarg);
		else if (c == 'u')
			options.transfers = atoi(optarg);
		else if (c == 't')
			options.timeout = atoi(optarg);
		else if (c == 'f')
			flush_every = atoi(optarg);
		else if (c == 'S')
			set = optarg;
		else if (c == 'e')
			age = atoi(optarg);
		else if (c == 'c')
			pauses_only = true;
		else if (c == 'T')
			threads = atoi(optarg);
		else if (c == 'z' && set_codec(optarg))
			continue;
		else
			return EXIT_USAGE;
	}
	vdi_catch_signals();
	for (i = 0; argc == optind + 2 && i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (!strcmp(argv[optind], commands[i].name))
			return commands[i].run(argv[optind + 1]);
	}
	fprintf(stderr, "usage: stored backup|restore|list|delete ADDRESS [OPTIONS]\n");
	return EXIT_USAGE;
}
