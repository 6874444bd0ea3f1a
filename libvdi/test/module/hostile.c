// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * hostile.c - libvdi against a peer that writes whatever it can, at any time
 *
 * In each round one process uses libvdi correctly. The other calls the module
 * directly. It behaves for a while, so that it reaches every state, and
 * meanwhile, at random times, writes garbage into the words that it may write:
 * indices, entries, flags, counters, the configuration, the buffers. The honest
 * side must end in time, by an abort with a reason or normally, and without an
 * invalid access. Build it with SAN=address,undefined: libvdi's mappings are
 * placed between guards, and stay guarded when they are unmapped.
 *
 *   VDISET_HOSTILE_SECONDS   for each side, 20 by default
 *   VDISET_HOSTILE_SEED      seed of the random numbers; printed
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <libvdi.h>
#include <linux/vdiset.h>

#include "channel.h"
#include "client.h"
#include "../ring_ops.h"

#define KIB		1024U
#define BUFFER		(16 * KIB)
#define BUFFERS		8
#define MAX_DEVICES	3
#define WAIT		600000	/* ms; a longer wait is a hang */
#define LIMIT		1200	/* seconds after which a round hangs */
#define GUARD		(64 * KIB)
#define NONE		(MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* ----------------------------------------------------------------- guards */

void *__real_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t o);
void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t o);
int __wrap_munmap(void *at, size_t size);

/* Page-aligned guards before and after; fixed mappings are inside already. */
void *__wrap_mmap64(void *at, size_t size, int prot, int flags, int fd, off_t o)
{
	size_t whole = (size + 4095) & ~(size_t)4095;
	char *base;

	if (at || flags & MAP_FIXED)
		return __real_mmap64(at, size, prot, flags, fd, o);
	base = __real_mmap64(NULL, whole + 2 * GUARD, PROT_NONE, NONE, -1, 0);
	if (base == MAP_FAILED)
		return base;
	return __real_mmap64(base + GUARD, size, prot, flags | MAP_FIXED, fd, o);
}

/* Keep the addresses, so that a late access is detected. */
int __wrap_munmap(void *at, size_t size)
{
	return __real_mmap64(at, size, PROT_NONE, NONE | MAP_FIXED, -1, 0) ==
	       MAP_FAILED ? -1 : 0;
}

/* ------------------------------------------------------------------ rounds */

enum outcome {
	NOTHING,
	BY_US,			/* aborted by the honest side: protocol */
	BY_THEM,		/* aborted by the hostile side */
	DIED,			/* the hostile side has ended */
	SILENT,			/* the hostile side did nothing until the time-out */
	CLOSED,			/* ended normally */
	REFUSED,		/* by rejecting the configuration */
	OUTCOMES
};

static const char *const outcome_name[OUTCOMES] = {
	"none", "protocol errors found", "aborted by the peer", "peer gone",
	"peer silent", "ended in order", "configuration refused"
};

struct round {
	uint64_t seed;
	char name[64];
	unsigned int devices;
	unsigned int mischief;	/* garbage steps of 1000 */
	unsigned int life_ms;	/* of the hostile side */
	bool odd_config;
	volatile int up;	/* the set exists */
	volatile int over;	/* the honest side has finished */
	int outcome;
	char text[VDI_TEXT_SIZE];
	unsigned long commands;
	unsigned long tricks;
};

static struct round *r;		/* shared by the three processes */
static uint64_t rng;

static uint64_t next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng * 0x2545f4914f6cdd1dULL >> 8;
}

static unsigned int below(unsigned int n)
{
	return next() % n;
}

static void nap_us(unsigned int us)
{
	struct timespec t = { 0, us * 1000L };

	nanosleep(&t, NULL);
}

static int64_t now_ms(void)
{
	return vdi_now_ns() / 1000000;
}

static void __attribute__((noreturn, format(printf, 1, 2)))
wrong(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "# seed %llu: ", (unsigned long long)r->seed);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	_exit(1);
}

static void device_name(char *buf, size_t size, unsigned int i)
{
	if (i)
		snprintf(buf, size, "%s-d%u", r->name, i);
	else
		snprintf(buf, size, "%s", r->name);
}

/* ------------------------------------------------------- the hostile side */

static struct vdi_set evil_set;
static struct vdi_channel evil[MAX_DEVICES];
static unsigned int evil_devices;
static uint8_t *evil_area;
static uint64_t evil_size;

static uint64_t odd_value(void)
{
	static const uint64_t values[] = {
		0, 1, 2, 31, 32, 33, 511, 512, 513, 0x7fffffff, 0x80000000,
		0xffffffff, 0x100000000, ~0ULL, ~0ULL - 511, 1ULL << 63,
	};

	switch (below(4)) {
	case 0:
		return values[below(sizeof(values) / sizeof(*values))];
	case 1:
		return below(64);
	case 2:
		return evil_size - 1024 + below(2048);
	default:
		return next();
	}
}

static uint32_t odd_index(const struct vdi_ring *ring, uint32_t now)
{
	switch (below(4)) {
	case 0:
		return now + below(4);
	case 1:
		return now - below(4);
	case 2:
		return now + ring->depth + below(3) - 1;
	default:
		return next();
	}
}

/* Any word of the region, of any width */
static void write_anywhere(struct vdi_channel *ch)
{
	size_t at = below(ch->rw_size / 8) * 8;

	/* the used part more often than the rest of the pages */
	if (below(4))
		at = below(vdi_ring_region_size(ch->ring.depth) / 8) * 8;
	if (below(2))
		*(volatile uint64_t *)((char *)ch->rw + at) = odd_value();
	else
		*(volatile uint8_t *)((char *)ch->rw + at + below(8)) = next();
}

static void write_index(struct vdi_channel *ch)
{
	struct vdiset_region *own = ch->ring.own;

	if (below(2))
		__atomic_store_n(&own->tail, odd_index(&ch->ring, own->tail),
				 __ATOMIC_RELEASE);
	else
		__atomic_store_n(&own->head, odd_index(&ch->ring, own->head),
				 __ATOMIC_RELEASE);
}

static void write_flag(struct vdi_channel *ch)
{
	struct vdiset_region *own = ch->ring.own;

	__atomic_store_n(&own->need_wakeup, below(2) ? below(4) : next(),
			 __ATOMIC_RELEASE);
	own->operations = odd_value();
	own->bytes = odd_value();
}

/* A field of an entry that was published, while the other side reads it */
static void write_entry(struct vdi_channel *ch)
{
	struct vdiset_region *own = ch->ring.own;
	volatile uint32_t *entry = (volatile uint32_t *)(own + 1) +
		((ch->ring.staged - 1 - below(3)) & (ch->ring.depth - 1)) * 8;
	unsigned int i, field = below(8), times = 1 + below(50);

	for (i = 0; i < times; i++)
		entry[field] = odd_value();
}

static void write_area(void)
{
	unsigned int i, n = below(256);
	size_t at;

	if (!evil_area)
		return;
	at = below(evil_size / 8 - n) * 8;
	for (i = 0; i < n; i++)
		((volatile uint64_t *)(evil_area + at))[i % 32] = next();
}

static void trick(struct vdi_channel *ch)
{
	r->tricks++;
	switch (below(6)) {
	case 0:
		write_anywhere(ch);
		break;
	case 1:
		write_index(ch);
		break;
	case 2:
		write_flag(ch);
		break;
	case 3:
		write_entry(ch);
		break;
	case 4:
		/* a spurious kick */
		vdi_channel_wait(ch, VDISET_WAIT_KICK, 0);
		break;
	default:
		write_area();
	}
}

static void notify(struct vdi_channel *ch)
{
	if (below(64))
		vdi_channel_wait(ch, VDISET_WAIT_KICK, 0);
}

/* One field of it is wrong. */
static void spoil(void *entry)
{
	uint32_t *word = entry;

	if (below(2))
		word[below(8)] = odd_value();
	else
		word[below(8)] ^= 1U << below(32);
}

static bool misbehaves(void)
{
	return below(1000) < r->mischief;
}

/* Mostly what an honest client does */
static void act_as_client(struct vdi_channel *ch)
{
	static struct vdiset_command held[MAX_DEVICES][4];
	static unsigned int n[MAX_DEVICES];
	unsigned int d = ch - evil, i;
	struct vdiset_completion done = { 0 };

	while (n[d] < 4 && vdi_ring_get_command(&ch->ring, &held[d][n[d]]) ==
			   VDI_RING_OK)
		n[d]++;
	if (!n[d])
		return;
	i = below(n[d]);
	done.tag = held[d][i].tag;
	if (vdi_command_has_data(held[d][i].code))
		done.bytes = below(8) ? (uint32_t)held[d][i].size :
					below(BUFFER);
	if (!below(32))
		done.code = below(8) ? ERROR_DISK_FULL : next();
	held[d][i] = held[d][--n[d]];
	if (misbehaves())
		spoil(&done);
	vdi_ring_put_completion(&ch->ring, &done);
	notify(ch);
}

/* Mostly what an honest server does */
static void act_as_server(struct vdi_channel *ch)
{
	static const uint8_t codes[] = {
		VDC_Write, VDC_Write, VDC_Read, VDC_Read, VDC_Flush,
		VDC_ClearError, VDC_GetError, VDC_Rewind, VDC_WriteMark,
	};
	static bool used[MAX_DEVICES][BUFFERS];
	unsigned int d = ch - evil, tag;
	struct vdiset_completion done;
	struct vdiset_command cmd = { .buffer = VDISET_NO_BUFFER };

	while (vdi_ring_get_completion(&ch->ring, &done) == VDI_RING_OK)
		if (done.tag < BUFFERS)
			used[d][done.tag] = false;
	tag = below(BUFFERS);
	if (used[d][tag] && !misbehaves())
		return;
	cmd.tag = tag;
	cmd.code = codes[below(sizeof(codes))];
	if (vdi_command_has_data(cmd.code) || !below(64)) {
		cmd.size = 512 * (1 + below(BUFFER / 512));
		cmd.buffer = (uint64_t)(d * BUFFERS + tag) * BUFFER;
	}
	if (misbehaves())
		spoil(&cmd);
	used[d][tag] = true;
	vdi_ring_put_command(&ch->ring, &cmd);
	notify(ch);
}

/* At any time, the area grows, or the set is aborted. */
static void unusual(void)
{
	struct vdiset_request_buffers more = {
		.size = sizeof(more), .bytes = BUFFER,
	};

	if (below(2))
		vdi_set_ioctl(&evil_set, VDISET_REQUEST_BUFFERS, &more);
	else if (!below(32))
		vdi_set_abort(&evil_set, VDISET_REASON_SIGNAL, next(), "evil");
}

static void close_some(void)
{
	struct vdiset_device_close end = { .size = sizeof(end) };
	unsigned int i;

	for (i = 0; i < evil_devices; i++)
		if (below(8))
			ioctl(evil[i].fd, VDISET_DEVICE_CLOSE, &end);
}

static void attack(bool as_server)
{
	int64_t end = now_ms() + r->life_ms;
	struct vdi_channel *ch;

	while (now_ms() < end && !r->over) {
		ch = &evil[below(evil_devices)];
		if (misbehaves())
			trick(ch);
		else if (as_server)
			act_as_server(ch);
		else
			act_as_client(ch);
		if (!below(256))
			unusual();
		if (!below(16))
			nap_us(below(300));
	}
	if (as_server && below(2))
		close_some();
}

/* As it was, with some fields changed */
static void spoil_config(void *config, size_t size)
{
	if (r->odd_config)
		((uint32_t *)config)[below(size / 4)] = odd_value();
}

static void open_all(void)
{
	char name[96];

	for (; evil_devices < r->devices; evil_devices++) {
		device_name(name, sizeof(name), evil_devices);
		if (vdi_channel_open(&evil_set, name, &evil[evil_devices]))
			break;
	}
}

static void map_area(void)
{
	struct vdiset_get_config get;

	if (vdi_set_get_config(&evil_set, 0, 0, &get))
		return;
	evil_size = get.out_config.buffer_area_size;
	evil_area = mmap(NULL, evil_size, PROT_READ | PROT_WRITE, MAP_SHARED,
			 evil_set.fd, VDISET_MMAP_AREA);
	if (evil_area == MAP_FAILED)
		evil_area = NULL;
}

static void begin_evil(void)
{
	if (vdi_set_init(&evil_set, NULL) || vdi_set_open(&evil_set))
		wrong("no set file");
	if (vdi_name_of_set(NULL, r->name, evil_set.name))
		wrong("no name");
}

static void evil_client(void)
{
	struct vdiset_create create = {
		.size = sizeof(create), .mode = 0600, .uid = -1, .gid = -1,
		.config.device_count = r->devices,
	};
	struct vdiset_get_config get;

	begin_evil();
	create.name = (uintptr_t)evil_set.name;
	create.name_len = strlen(evil_set.name);
	/* fields that the kernel passes on */
	if (r->odd_config)
		(&create.config.features)[below(6)] = odd_value();
	if (vdi_set_ioctl(&evil_set, VDISET_CREATE, &create))
		wrong("create: %d", errno);
	r->up = 1;
	if (vdi_set_get_config(&evil_set, VDISET_CONFIG_WAIT, -1, &get))
		return;
	map_area();
	open_all();
	if (evil_devices)
		attack(false);
}

static void evil_server(void)
{
	struct vdiset_configure configure = {
		.size = sizeof(configure),
		.features = VDF_WriteMedia | VDF_ReadMedia,
		.block_size = 512,
		.alignment = 512,
		.max_transfer_size = 64 * KIB,
		.depth = BUFFERS,
	};
	struct vdiset_request_buffers more = {
		.size = sizeof(more),
		.bytes = MAX_DEVICES * BUFFERS * BUFFER,
	};
	struct vdiset_end_config end = { .size = sizeof(end) };

	begin_evil();
	while (!r->up)
		nap_us(500);
	if (vdi_set_attach(&evil_set, VDISET_ROLE_SERVER, evil_set.name,
			   geteuid(), -1))
		wrong("attach: %d", errno);
	/* features to max_transfer_size */
	spoil_config(&configure.features, 16);
	if (vdi_set_ioctl(&evil_set, VDISET_CONFIGURE, &configure) ||
	    vdi_set_ioctl(&evil_set, VDISET_REQUEST_BUFFERS, &more) ||
	    vdi_set_ioctl(&evil_set, VDISET_END_CONFIG, &end))
		wrong("configure: %d", errno);
	map_area();
	open_all();
	if (evil_devices)
		attack(true);
}

/* -------------------------------------------------------- the honest side */

static void judge(const struct vdi_abort_info *info, uint32_t own_role)
{
	memcpy(r->text, info->text, sizeof(r->text));
	switch (info->reason) {
	case VDI_REASON_PROTOCOL:
		if (info->role != own_role || strlen(info->text) < 10)
			wrong("a protocol error of role %u: '%s'", info->role,
			      info->text);
		r->outcome = BY_US;
		break;
	case VDI_REASON_DIED:
		r->outcome = DIED;
		break;
	case VDI_REASON_TIMEOUT:
		/* a hostile client may set any serverTimeOut */
		if (!r->odd_config || info->role != own_role ||
		    own_role != VDI_ROLE_SERVER)
			wrong("a time-out of role %u", info->role);
		r->outcome = SILENT;
		break;
	case VDI_REASON_SIGNAL:
		r->outcome = BY_THEM;
		break;
	default:
		wrong("aborted for reason %u", info->reason);
	}
}

struct job {
	struct VDS_Command cmd;
	struct vdi_server_device *device;
	unsigned int sent, ran;
};

static void job_done(struct VDS_Command *cmd)
{
	struct job *job = cmd->completionContext;

	if (++job->ran != job->sent)
		wrong("a routine ran %u times for %u commands", job->ran,
		      job->sent);
	if (vdi_command_has_data(cmd->commandCode) &&
	    cmd->bytesTransferred > (uint32_t)cmd->size)
		wrong("%u bytes of %d", cmd->bytesTransferred, cmd->size);
	r->commands++;
}

static void send_job(struct job *job)
{
	static const uint8_t codes[] = {
		VDC_Write, VDC_Write, VDC_Read, VDC_Flush, VDC_GetError,
	};
	int code;

	job->cmd.commandCode = codes[below(sizeof(codes))];
	/* after an error only ClearError is accepted */
	if (job->ran && job->cmd.completionCode && below(2))
		job->cmd.commandCode = VDC_ClearError;
	job->cmd.size = 0;
	if (vdi_command_has_data(job->cmd.commandCode)) {
		job->cmd.size = 512 * (1 + below(BUFFER / 512));
		memset(job->cmd.buffer, next(), job->cmd.size);
	}
	job->sent++;
	code = vdi_server_send_command(job->device, &job->cmd);
	if (code && code != VD_E_IO_ERROR && code != VD_E_ABORT &&
	    code != VD_E_QUEUE_FULL)
		wrong("send: %s", vdi_strerror(code));
	if (code && job->ran != job->sent)
		wrong("a refused command's routine did not run");
}

static struct vdi_server *serve_open(void)
{
	struct vdi_server *server;
	struct VDConfig config;
	int code;

	if (vdi_server_new(&server))
		wrong("no server");
	while (!r->up)
		nap_us(500);
	code = vdi_server_open(server, NULL, r->name);
	if (!code)
		code = vdi_server_get_configuration(server, &config);
	if (!code)
		code = vdi_server_begin_configuration(server, config.features |
				VDF_WriteMedia, 512, 512, 64 * KIB, WAIT);
	if (code && !r->odd_config)
		wrong("begin: %s", vdi_strerror(code));
	if (!code)
		code = vdi_server_request_buffers(server, BUFFER, 0,
						  MAX_DEVICES * BUFFERS);
	if (!code)
		code = vdi_server_end_configuration(server);
	if (!code)
		return server;
	if (!r->odd_config)
		wrong("configuration: %s", vdi_strerror(code));
	r->outcome = REFUSED;
	vdi_server_close(server);
	vdi_server_free(server);
	return NULL;
}

static bool all_ran(const struct job *job, unsigned int n)
{
	while (n--)
		if (job[n].ran != job[n].sent)
			return false;
	return true;
}

/* Send and complete until the end of the set. */
static int serve_on(struct vdi_server *server, struct job *job,
		    unsigned int jobs, unsigned int rounds)
{
	unsigned int i, count;
	int code = NOERROR;

	while (!code) {
		for (i = 0; rounds && i < jobs; i++)
			if (job[i].ran == job[i].sent && below(2))
				send_job(&job[i]);
		if (rounds && !--rounds)
			for (i = 0; i < jobs; i += BUFFERS)
				vdi_server_close_device(job[i].device);
		if (rounds && all_ran(job, jobs))
			continue;
		code = vdi_server_run_completions(server, WAIT, &count);
	}
	return code;
}

static void honest_server(void)
{
	static struct job job[MAX_DEVICES * BUFFERS];
	struct vdi_server *server = serve_open();
	unsigned int i, jobs = r->devices * BUFFERS;
	struct vdi_server_device *device = NULL;
	struct vdi_abort_info info;
	char name[96];
	int code;

	if (!server)
		return;
	for (i = 0; i < jobs; i++) {
		device_name(name, sizeof(name), i / BUFFERS);
		code = i % BUFFERS ? NOERROR :
		       vdi_server_open_device(server, name, &device);
		if (!code)
			code = vdi_server_allocate_buffer(server,
					&job[i].cmd.buffer, BUFFER, 0);
		if (code == VD_E_ABORT)
			goto aborted;
		if (code)
			wrong("device or buffer: %s", vdi_strerror(code));
		job[i].device = device;
		job[i].cmd.completionRoutine = job_done;
		job[i].cmd.completionContext = &job[i];
	}
	code = serve_on(server, job, jobs, 1 + below(2000));
	if (code != VD_E_ABORT && code != VD_E_CLOSE)
		wrong("run: %s", vdi_strerror(code));
	if (!all_ran(job, jobs))
		wrong("outstanding after %s", vdi_strerror(code));
	if (code == VD_E_CLOSE)
		r->outcome = CLOSED;
aborted:
	if (code == VD_E_ABORT) {
		if (vdi_server_abort_info(server, &info))
			wrong("no abort information");
		judge(&info, VDI_ROLE_SERVER);
	}
	code = vdi_server_close(server);
	if (code && r->outcome == CLOSED)
		wrong("close: %s", vdi_strerror(code));
	vdi_server_free(server);
}

/* Read or write all of the buffer, as a client does that stores or sends it */
static void use_buffer(struct vdi_client *client, const struct VDC_Command *c)
{
	volatile uint8_t sum = 0;
	uint64_t offset;
	int32_t i;

	if (!c->buffer)
		return;
	if (c->size < 0 || !vdi_area_offset(&client->set.area, c->buffer,
				client->config.prefix_zone_size, c->size, &offset))
		wrong("a buffer outside of the area");
	if (c->commandCode == VDC_Read)
		memset(c->buffer, 1, c->size);
	for (i = 0; i < c->size; i += 64)
		sum += c->buffer[i];
	if (c->size)
		sum += c->buffer[c->size - 1];
}

struct client_thread {
	pthread_t thread;
	struct vdi_client *client;
	struct vdi_client_device *device;
	uint64_t rng;
	int code;
};

static unsigned int own_random(struct client_thread *t, unsigned int n)
{
	t->rng = t->rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (t->rng >> 33) % n;
}

static int complete_one(struct client_thread *t, struct VDC_Command *cmd)
{
	int code = own_random(t, 32) ? ERROR_SUCCESS : ERROR_DISK_FULL;
	uint32_t bytes = 0;

	if (vdi_command_has_data(cmd->commandCode))
		bytes = own_random(t, 8) ? (uint32_t)cmd->size :
					   own_random(t, cmd->size + 1U);
	return vdi_client_complete_command(t->device, cmd, code, bytes, 0);
}

static void *client_loop(void *arg)
{
	struct client_thread *t = arg;
	struct VDC_Command *held[4];
	unsigned int n = 0, i;
	int code;

	for (;;) {
		/*
		 * at most as many as it can hold; it waits only if it holds
		 * none
		 */
		code = vdi_client_get_command(t->device, n ? 0 : WAIT,
					      &held[n]);
		if (code && code != VD_E_TIMEOUT)
			break;
		if (code && !n)
			wrong("no command in %d ms", WAIT);
		if (!code) {
			use_buffer(t->client, held[n++]);
			__atomic_add_fetch(&r->commands, 1, __ATOMIC_RELAXED);
		}
		if (!code && n < 4 && own_random(t, 2))
			continue;
		i = own_random(t, n);
		code = complete_one(t, held[i]);
		if (code)
			break;
		held[i] = held[--n];
	}
	t->code = code;
	return NULL;
}

static void client_end(struct vdi_client *client, int code)
{
	struct vdi_abort_info info;

	if (code == VD_E_CLOSE) {
		r->outcome = CLOSED;
	} else if (code == VD_E_ABORT) {
		if (vdi_client_abort_info(client, &info))
			wrong("no abort information");
		judge(&info, VDI_ROLE_PRIMARY);
	} else {
		wrong("client: %s", vdi_strerror(code));
	}
	code = vdi_client_close(client);
	/* it may have closed only some devices */
	if (code && (code != VD_E_OPEN || r->outcome != CLOSED))
		wrong("close: %s", vdi_strerror(code));
	vdi_client_free(client);
}

static void honest_client(void)
{
	struct client_thread t[MAX_DEVICES] = { 0 };
	struct VDConfig config = { .deviceCount = r->devices };
	struct vdi_client *client;
	unsigned int i, n = 0;
	char name[96];
	int code;

	if (vdi_client_new(&client) ||
	    vdi_client_create(client, NULL, r->name, &config, NULL))
		wrong("no client");
	r->up = 1;
	code = vdi_client_get_configuration(client, WAIT, &config);
	for (; !code && n < r->devices; n++) {
		device_name(name, sizeof(name), n);
		code = vdi_client_open_device(client, name, &t[n].device);
		if (code)
			break;
		t[n].client = client;
		t[n].rng = next();
		pthread_create(&t[n].thread, NULL, client_loop, &t[n]);
	}
	/* each device may end differently; an abort ends all */
	for (i = 0; i < n; i++) {
		pthread_join(t[i].thread, NULL);
		if (t[i].code == VD_E_ABORT || !code)
			code = t[i].code;
	}
	client_end(client, code);
}

/* ------------------------------------------------------------------ trying */

static unsigned long outcomes[OUTCOMES], commands, tricks;

static pid_t start(void (*fn)(void), uint64_t seed, bool is_evil)
{
	pid_t test = getpid(), pid;

	fflush(NULL);
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != test)
		_exit(1);
	alarm(LIMIT);
	rng = seed | 1;
	next();
	fn();
	if (!is_evil)
		r->over = 1;
	_exit(0);
}

static bool ended_well(pid_t pid, const char *who)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return false;
	if (!status)
		return true;
	fprintf(stderr, "# seed %llu: the %s %s %d\n",
		(unsigned long long)r->seed, who,
		!WIFSIGNALED(status) ? "exits with" :
		WTERMSIG(status) == SIGALRM ? "hangs:" : "dies of signal",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	return false;
}

static bool one_round(uint64_t seed, bool evil_serves)
{
	static const unsigned int mischief[] = { 0, 1, 5, 30, 200, 700 };
	static unsigned int number;
	pid_t honest, hostile;
	bool good;

	memset(r, 0, sizeof(*r));
	r->seed = seed;
	rng = seed | 1;
	next();
	snprintf(r->name, sizeof(r->name), "hostile-%d-%u", getpid(), number++);
	r->devices = 1 + below(MAX_DEVICES);
	r->mischief = mischief[below(6)];
	r->odd_config = !below(6);
	r->life_ms = below(4) ? below(60) : below(300);

	honest = start(evil_serves ? honest_client : honest_server, next(),
		       false);
	hostile = start(evil_serves ? evil_server : evil_client, next(), true);
	good = ended_well(honest, "honest side");
	if (!good)
		kill(hostile, SIGKILL);
	good = ended_well(hostile, "hostile side") && good;
	if (good && r->outcome == NOTHING) {
		fprintf(stderr, "# seed %llu: no outcome\n",
			(unsigned long long)seed);
		good = false;
	}
	outcomes[r->outcome]++;
	commands += r->commands;
	tricks += r->tricks;
	return good;
}

static bool try_for(unsigned int seconds, uint64_t seed, bool evil_serves)
{
	int64_t end = now_ms() + seconds * 1000LL;
	unsigned long rounds = 0;
	bool good = true;
	int i;

	memset(outcomes, 0, sizeof(outcomes));
	commands = tricks = 0;
	while (good && now_ms() < end)
		good = one_round((seed + rounds++) * 0x9e3779b97f4a7c15ULL,
				 evil_serves);
	printf("# %lu rounds, %lu commands, %lu tricks:", rounds, commands,
	       tricks);
	for (i = 0; i < OUTCOMES; i++)
		if (outcomes[i])
			printf(" %s %lu;", outcome_name[i], outcomes[i]);
	printf("\n");
	return good;
}

static unsigned long env_number(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 0) : otherwise;
}

int main(void)
{
	unsigned int seconds = env_number("VDISET_HOSTILE_SECONDS", 20);
	uint64_t seed = env_number("VDISET_HOSTILE_SEED", time(NULL));
	bool client, server;

	r = __real_mmap64(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		return 1;
	printf("TAP version 13\n1..2\n# VDISET_HOSTILE_SEED=%llu\n",
	       (unsigned long long)seed);
	client = try_for(seconds, seed, false);
	printf("%s 1 an honest server and a hostile client\n",
	       client ? "ok" : "not ok");
	server = try_for(seconds, seed, true);
	printf("%s 2 an honest client and a hostile server\n",
	       server ? "ok" : "not ok");
	return !(client && server);
}
