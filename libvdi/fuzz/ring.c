// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ring.c - one side of a device against a peer that writes anything
 *
 * The peer's region, mapped read-only, and the own one end exactly where
 * nothing is mapped. Between two calls the input changes words and entries of
 * the peer's region, and tail and head of the own one, which are written for
 * the peer and must not be read back. The oracle is a model with its own
 * indices: what each call returns, what it writes, and that it changes nothing
 * else.
 */
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vditypes.h>

#include "../area.h"
#include "../check.h"
#include "../ring.h"
#include "../test/ring_ops.h"
#include "fuzz.h"

#define ENTRY		32
#define MAX_REGION	(256 + VDISET_MAX_DEPTH * ENTRY)
#define ROOM		((MAX_REGION + 4095) & ~4095UL)
#define MAX_AREA	(1 << 20)

/* One piece of memory at two addresses, each followed by unmapped memory. */
struct shared {
	uint8_t *mine;
	uint8_t *theirs;
};

static struct shared own, peer;
static int area_fd;
static uint8_t image[MAX_REGION];	/* expected content of the own region */

struct model {
	struct vdi_ring ring;
	struct vdiset_region *peer;	/* as the peer sees it */
	uint32_t depth;
	uint32_t tail;
	uint32_t head;
	uint32_t kicked;
	size_t size;
	struct vdi_area area;
	struct vdi_ring_limits limits;
};

static uint8_t *map_twin(int fd, int prot)
{
	uint8_t *at = mmap(NULL, ROOM + 8192, PROT_NONE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fuzz_assert(at != MAP_FAILED);
	at = mmap(at + 4096, ROOM, prot, MAP_SHARED | MAP_FIXED, fd, 0);
	fuzz_assert(at != MAP_FAILED);
	return at;
}

static void make_shared(struct shared *s, int prot)
{
	int fd = memfd_create("ring", 0);

	fuzz_assert(fd >= 0 && !ftruncate(fd, ROOM));
	s->mine = map_twin(fd, prot);
	s->theirs = map_twin(fd, PROT_READ | PROT_WRITE);
	close(fd);
}

static void set_up(void)
{
	if (own.mine)
		return;
	make_shared(&own, PROT_READ | PROT_WRITE);
	make_shared(&peer, PROT_READ);
	area_fd = memfd_create("area", 0);
	fuzz_assert(area_fd >= 0 && !ftruncate(area_fd, MAX_AREA));
}

/* Compare the own region with the model. */
static void check_own(struct model *m)
{
	fuzz_assert(!memcmp(m->ring.own, image, m->size));
	fuzz_assert(m->ring.staged == m->tail && m->ring.head == m->head);
	fuzz_assert(m->ring.kicked == m->kicked);
}

static struct vdiset_region *own_image(void)
{
	return (struct vdiset_region *)image;
}

static size_t slot(const struct model *m, uint32_t index)
{
	return 256 + (size_t)(index % m->depth) * ENTRY;
}

/* --------------------------------------------------- what the peer may do */

static uint32_t near_index(struct fuzz_input *in, uint32_t to,
			   const struct model *m)
{
	switch (fuzz_below(in, 4)) {
	case 0:
		return to;
	case 1:
		return to + fuzz_below(in, m->depth + 2);
	case 2:
		return to - fuzz_below(in, m->depth + 2);
	default:
		return fuzz_number(in);
	}
}

static void peer_writes(struct fuzz_input *in, struct model *m)
{
	uint8_t *entry;

	switch (fuzz_below(in, 5)) {
	case 0:
		m->peer->tail = near_index(in, m->head, m);
		break;
	case 1:
		m->peer->head = near_index(in, m->tail, m);
		break;
	case 2:
		m->peer->need_wakeup = fuzz_below(in, 2) ? fuzz_below(in, 8) :
							   fuzz_number(in);
		break;
	case 3:
		entry = (uint8_t *)m->peer + slot(m, fuzz_number(in));
		fuzz_bytes(in, entry, ENTRY);
		break;
	default:
		((uint8_t *)m->peer)[fuzz_number(in) % m->size] =
			fuzz_take(in, 1);
	}
}

/*
 * What is written for the peer is not read back, so its content has no effect,
 * except that the tail decides about a kick.
 */
static void spoil_own(struct fuzz_input *in, struct model *m)
{
	uint32_t n = fuzz_number(in);

	if (fuzz_below(in, 2))
		m->ring.own->tail = own_image()->tail = n;
	else
		m->ring.own->head = own_image()->head = n;
}

/* ------------------------------------------------------------------ rings */

static void put(struct fuzz_input *in, struct model *m)
{
	bool room = m->tail - m->peer->head < m->depth;
	union {
		struct vdiset_command cmd;
		struct vdiset_completion done;
	} entry;
	enum vdi_ring_result got;

	fuzz_bytes(in, &entry, sizeof(entry));
	if (fuzz_below(in, 2))
		got = vdi_ring_put_command(&m->ring, &entry.cmd);
	else
		got = vdi_ring_put_completion(&m->ring, &entry.done);
	fuzz_assert(got == (room ? VDI_RING_OK : VDI_RING_BROKEN));
	if (!room)
		return;
	memcpy(image + slot(m, m->tail), &entry, ENTRY);
	own_image()->tail = ++m->tail;
}

static void check_command(struct fuzz_input *in, const struct model *m,
			  const struct vdiset_command *cmd);
static void check_completion(struct fuzz_input *in,
			     const struct vdiset_completion *done);

static void get(struct fuzz_input *in, struct model *m)
{
	uint32_t ahead = m->peer->tail - m->head;
	uint8_t want[ENTRY], untouched[ENTRY];
	bool command = fuzz_below(in, 2);
	union {
		struct vdiset_command cmd;
		struct vdiset_completion done;
	} entry;
	enum vdi_ring_result got;

	memset(&entry, 0xa5, sizeof(entry));
	memset(untouched, 0xa5, sizeof(untouched));
	memcpy(want, (uint8_t *)m->peer + slot(m, m->head), ENTRY);
	fuzz_assert(vdi_ring_ready(&m->ring) == (ahead != 0));
	if (command)
		got = vdi_ring_get_command(&m->ring, &entry.cmd);
	else
		got = vdi_ring_get_completion(&m->ring, &entry.done);
	if (!ahead || ahead > m->depth) {
		fuzz_assert(got == (ahead ? VDI_RING_BROKEN : VDI_RING_EMPTY));
		fuzz_assert(!memcmp(&entry, untouched, ENTRY));
		return;
	}
	fuzz_assert(got == VDI_RING_OK);
	fuzz_assert(!memcmp(&entry, want, ENTRY));
	own_image()->head = ++m->head;
	if (command)
		check_command(in, m, &entry.cmd);
	else
		check_completion(in, &entry.done);
}

/*
 * There is one kick for each sleep that it can end; see vdi_ring_wants_kick().
 */
static void kick(struct fuzz_input *in, struct model *m)
{
	uint32_t sleep_seq = m->peer->need_wakeup;
	uint32_t want = sleep_seq;

	if (sleep_seq > 1 &&
	    (sleep_seq == m->kicked || m->peer->head == own_image()->tail))
		want = 0;
	fuzz_assert(vdi_ring_wants_kick(&m->ring) == want);
	if (want && fuzz_below(in, 4)) {
		vdi_ring_was_kicked(&m->ring, want);
		m->kicked = want;
	}
}

static void sleep_and_count(struct fuzz_input *in, struct model *m)
{
	uint32_t sleep_seq = fuzz_number(in), next;
	uint64_t bytes = fuzz_number(in);

	next = vdi_ring_next_sleep_seq(sleep_seq);
	fuzz_assert(next > 1 && next != sleep_seq);
	vdi_ring_set_wakeup(&m->ring, sleep_seq);
	own_image()->need_wakeup = sleep_seq;
	fuzz_assert(vdi_ring_own_wakeup(&m->ring) == sleep_seq);
	vdi_ring_count(&m->ring, next & 31, bytes);
	own_image()->operations += next & 31;
	own_image()->bytes += bytes;
}

/* ------------------------------------------------- commands and completions */

/* Address of a buffer, or NULL; it must be in one piece of the area. */
static void check_buffer(struct fuzz_input *in, const struct model *m,
			 const struct vdiset_command *cmd)
{
	uint32_t prefix = fuzz_below(in, 2) ? fuzz_below(in, 8192) : 0;
	const struct vdi_segment *seg;
	uint64_t at = cmd->buffer, back;
	uint8_t *address, *want = NULL;
	uint32_t size = cmd->size;

	for (seg = m->area.first; seg; seg = seg->next)
		if (at >= seg->offset && at - seg->offset <= seg->size &&
		    at - seg->offset >= prefix &&
		    size <= seg->offset + seg->size - at)
			want = want ? want : seg->base + (at - seg->offset);
	address = vdi_area_address(&m->area, at, prefix, size);
	fuzz_assert(address == want);
	if (!address)
		return;
	fuzz_assert(((uintptr_t)address - at) % VDI_AREA_ALIGN == 0);
	if (prefix)
		memset(address - prefix, 1, prefix);
	memset(address, 2, size);
	if (!size)
		return;
	fuzz_assert(vdi_area_offset(&m->area, address, prefix, size, &back));
	fuzz_assert(back == at);
}

static bool good_command(const struct vdiset_command *cmd,
			 const struct vdi_ring_limits *limits)
{
	bool data = cmd->code == VDC_Read || cmd->code == VDC_Write;
	bool buffer = cmd->buffer != VDISET_NO_BUFFER;

	if (cmd->tag >= limits->depth || cmd->reserved)
		return false;
	if (cmd->code == VDC_Complete)
		return (limits->features & VDF_CompleteEnabled) &&
		       (!buffer || cmd->size >= 0);
	if (data)
		return cmd->size >= 0 && (buffer || !cmd->size) &&
		       (uint32_t)cmd->size <= limits->max_transfer &&
		       !(cmd->size % (limits->part_block + 1));
	return !buffer || cmd->size >= 0;
}

static void check_command(struct fuzz_input *in, const struct model *m,
			  const struct vdiset_command *cmd)
{
	const char *wrong = vdi_command_check(cmd, &m->limits);

	fuzz_assert(!wrong == good_command(cmd, &m->limits));
	fuzz_assert(!wrong || *wrong);
	if (!wrong && cmd->buffer != VDISET_NO_BUFFER)
		check_buffer(in, m, cmd);
}

/* Completions of a command that was valid. */
static void check_completion(struct fuzz_input *in,
			     const struct vdiset_completion *done)
{
	uint32_t command = fuzz_below(in, 20);
	bool data = command == VDC_Read || command == VDC_Write;
	int32_t size = data ? (int32_t)fuzz_below(in, 1U << 31) :
			      (int32_t)fuzz_take(in, 4);
	const char *wrong = vdi_completion_check(done, command, size);
	bool error = vdi_completion_is_error(command, size, done->code,
					     done->bytes);

	fuzz_assert(!wrong == (!done->reserved && done->bytes <= UINT32_MAX &&
			       (!data || done->bytes <= (uint64_t)size)));
	fuzz_assert(vdi_command_has_data(command) == data);
	if (done->code == ERROR_SUCCESS)
		fuzz_assert(!error);
	else if (done->code != ERROR_END_OF_MEDIA)
		fuzz_assert(error);
	else
		fuzz_assert(error == (data && done->bytes < (uint64_t)size));
}

/* Offsets around that of a buffer which ends where a segment does. */
static uint64_t near_end(struct fuzz_input *in, const struct model *m,
			 uint32_t size)
{
	const struct vdi_segment *seg = m->area.first;

	while (seg->next && fuzz_below(in, 2))
		seg = seg->next;
	return seg->offset + seg->size - size + fuzz_below(in, 3) - 1;
}

/* Entries that do not come from a ring. */
static void check_some(struct fuzz_input *in, struct model *m)
{
	struct vdiset_completion done;
	struct vdiset_command cmd = {
		.code = fuzz_below(in, 24),
		.tag = fuzz_below(in, 2 * m->depth),
		.size = fuzz_number(in),
		.buffer = fuzz_below(in, 4) ? fuzz_below(in, 2 * MAX_AREA) :
					      fuzz_number(in),
	};

	if (fuzz_below(in, 2)) {
		cmd.size = fuzz_below(in, 65536);
		cmd.buffer = near_end(in, m, cmd.size);
	}
	check_command(in, m, &cmd);
	fuzz_bytes(in, &done, sizeof(done));
	if (fuzz_below(in, 2))
		done.reserved = 0;
	if (fuzz_below(in, 2))
		done.code = ERROR_END_OF_MEDIA;
	done.bytes = fuzz_number(in);
	check_completion(in, &done);
}

static void grow_area(struct fuzz_input *in, struct model *m)
{
	uint64_t size = vdi_area_size(&m->area) +
			(1 + fuzz_below(in, 32)) * 4096;
	bool locking;

	if (size > MAX_AREA)
		return;
	fuzz_assert(!vdi_area_map(&m->area, area_fd, size, &locking));
	fuzz_assert(vdi_area_size(&m->area) == size);
}

/* -------------------------------------------------------------------- runs */

static void begin(struct fuzz_input *in, struct model *m)
{
	uint32_t start;

	memset(m, 0, sizeof(*m));
	m->depth = 1U << fuzz_below(in, 11);
	m->size = vdi_ring_region_size(m->depth);
	fuzz_assert(m->size == 256 + m->depth * ENTRY);
	memset(own.mine, 0, ROOM);
	memset(peer.theirs, 0, ROOM);
	memset(image, 0, sizeof(image));
	vdi_ring_init(&m->ring, own.mine + ROOM - m->size,
		      peer.mine + ROOM - m->size, m->depth);
	m->peer = (struct vdiset_region *)(peer.theirs + ROOM - m->size);
	/* after so many commands */
	start = fuzz_number(in);
	m->ring.staged = m->ring.head = m->tail = m->head = start;
	m->ring.own->tail = own_image()->tail = start;
	m->peer->tail = m->peer->head = start;
	m->limits.depth = m->depth;
	m->limits.max_transfer = (1 + fuzz_below(in, 64)) * 65536;
	m->limits.part_block = (1U << fuzz_below(in, 17)) - 1;
	m->limits.features = fuzz_below(in, 2) ? VDF_CompleteEnabled : 0;
	vdi_area_init(&m->area);
	grow_area(in, m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct model m;

	set_up();
	begin(&in, &m);
	while (in.left) {
		switch (fuzz_below(&in, 10)) {
		case 0:
		case 1:
			put(&in, &m);
			break;
		case 2:
		case 3:
			get(&in, &m);
			break;
		case 4:
			kick(&in, &m);
			break;
		case 5:
			sleep_and_count(&in, &m);
			break;
		case 6:
			check_some(&in, &m);
			break;
		case 7:
			grow_area(&in, &m);
			break;
		case 8:
			spoil_own(&in, &m);
			break;
		default:
			peer_writes(&in, &m);
		}
		check_own(&m);
	}
	vdi_area_unmap(&m.area);
	return 0;
}
