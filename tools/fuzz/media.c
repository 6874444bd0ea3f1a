// SPDX-License-Identifier: GPL-2.0-only
/*
 * media.c - drives: untrusted files, and any commands
 *
 * An input is one of:
 *
 *	the bytes of a file of any kind, to be read
 *	the frames of a tape with valid checksums but arbitrary fields, to be read
 *	commands that write; the result must verify, and is read again
 *
 * Commands are those that libvdi accepts. A tape that was written here is compared
 * with a list of blocks.
 */
#include <endian.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "../../libvdi/fuzz/fuzz.h"
#include "media/medium.h"

#define BLOCK		512U
#define MAX_BLOCKS	1024
#define MAX_SIZE	(64 * BLOCK)	/* of a command */
#define MAX_MEDIA	8

static int dir = -1;
static char path[64];

/* Expected contents of a tape: 0 = a filemark, otherwise the value of the bytes. */
struct model {
	uint8_t block[MAX_BLOCKS];
	unsigned int count;
	unsigned int position;
};

static void empty_directory(void)
{
	char name[48];
	int i;

	unlinkat(dir, "device-00.data", 0);
	for (i = 1; i <= MAX_MEDIA + 1; i++) {
		snprintf(name, sizeof(name), "device-00.medium-%04d", i);
		unlinkat(dir, name, 0);
	}
}

static void remove_directory(void)
{
	empty_directory();
	rmdir(path);
}

static void make_directory(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(path, sizeof(path), "%.40s/media.XXXXXX", tmp ? tmp : "/tmp");
	fuzz_assert(mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY);
	fuzz_assert(dir >= 0);
	atexit(remove_directory);
	/* as in vdi: write(2) reports the limit on file sizes */
	signal(SIGXFSZ, SIG_IGN);
}

static struct drive_config make_config(struct fuzz_input *in, bool writing)
{
	static const uint32_t profiles[] = {
		VDF_LikeTape, VDF_LikeTape, VDF_LikeDisk, VDF_LikePipe,
		VDF_LikePipe | VDF_Removable, VDF_LikeDisk | VDF_Removable,
	};
	uint32_t features = profiles[fuzz_below(in, 6)] | VDF_Discard;
	struct drive_config config = {
		.profile = medium_profile_of(features),
		.writing = writing,
		.features = features,
		.block_size = BLOCK,
	};

	if (!writing)
		return config;
	config.family = 1 + fuzz_below(in, 256);
	config.soft_mark_size = fuzz_below(in, 3) ? 0 : fuzz_below(in, 4096);
	config.capacity = fuzz_below(in, 3) ? 0 : 1 + fuzz_below(in, 1 << 16);
	config.eom_warning = fuzz_below(in, 3) ? 0 : fuzz_below(in, 1 << 14);
	return config;
}

/* ---------------------------------------------------------------- commands */

static struct VDC_Command make_command(struct fuzz_input *in)
{
	static const uint8_t codes[] = {
		VDC_Read, VDC_Write, VDC_Read, VDC_Write, VDC_ClearError,
		VDC_Rewind, VDC_WriteMark, VDC_SkipMarks, VDC_SkipBlocks,
		VDC_GetPosition, VDC_SetPosition, VDC_Flush, VDC_Load,
		VDC_Discard, VDC_SetPosition, VDC_Snapshot,
	};
	struct VDC_Command cmd = { .commandCode = codes[fuzz_below(in, 16)] };

	switch (cmd.commandCode) {
	case VDC_Read:
	case VDC_Write:
		cmd.size = fuzz_below(in, 8) ? fuzz_below(in, 64) * BLOCK :
					       fuzz_below(in, MAX_SIZE);
		break;
	case VDC_Load:
		cmd.size = (int32_t)fuzz_below(in, MAX_MEDIA + 2) - 1;
		break;
	default:
		cmd.size = fuzz_below(in, 2) ? (int32_t)fuzz_below(in, 3) :
					       (int32_t)fuzz_number(in);
	}
	cmd.position = fuzz_below(in, 3) ? fuzz_below(in, 65536) :
					   fuzz_number(in);
	return cmd;
}

/* Memory of the exact size, so that overruns are detected. */
static struct outcome execute(struct drive *d, struct VDC_Command *cmd,
			      uint8_t fill)
{
	bool data = cmd->commandCode == VDC_Read ||
		    cmd->commandCode == VDC_Write;
	struct outcome out;

	cmd->buffer = NULL;
	if (data) {
		cmd->buffer = malloc(cmd->size ? cmd->size : 1);
		fuzz_assert(cmd->buffer);
		memset(cmd->buffer, fill, cmd->size);
	}
	drive_execute(d, cmd, &out);
	fuzz_assert(!data || out.bytes <= (uint32_t)cmd->size);
	fuzz_assert(data || !out.bytes);
	fuzz_assert(out.code >= 0);
	if (d->trouble != DRIVE_FINE)
		fuzz_assert(*d->why && d->trouble_code);
	if (d->loaded && d->config.profile == MEDIUM_TAPE)
		fuzz_assert(d->medium.position <= tape_length(&d->medium.tape));
	return out;
}

/* --------------------------------------------------- a tape, block by block */

static void model_read(struct model *m, const struct VDC_Command *cmd,
		       const struct outcome *out)
{
	unsigned int wanted = cmd->size / BLOCK, n;

	if (cmd->size % BLOCK) {
		fuzz_assert(out->code == ERROR_INVALID_BLOCK_LENGTH);
		return;
	}
	for (n = 0; n < wanted; n++) {
		unsigned int i, at = m->position;

		if (at == m->count || !m->block[at])
			break;
		for (i = 0; i < BLOCK; i++)
			fuzz_assert(cmd->buffer[n * BLOCK + i] ==
				    m->block[at]);
		m->position++;
	}
	fuzz_assert(out->bytes == n * BLOCK);
	if (n == wanted) {
		fuzz_assert(out->code == ERROR_SUCCESS);
	} else if (m->position == m->count) {
		fuzz_assert(out->code == ERROR_NO_DATA_DETECTED);
	} else {
		fuzz_assert(out->code == ERROR_FILEMARK_DETECTED);
		m->position++;
	}
}

static void model_write(struct model *m, const struct VDC_Command *cmd,
			const struct outcome *out, uint8_t fill)
{
	unsigned int i, n = out->bytes / BLOCK;

	if (cmd->size % BLOCK) {
		fuzz_assert(out->code == ERROR_INVALID_BLOCK_LENGTH);
		return;
	}
	fuzz_assert(out->bytes % BLOCK == 0);
	fuzz_assert(n * BLOCK == (unsigned int)cmd->size ||
		    out->code == ERROR_END_OF_MEDIA ||
		    out->code == ERROR_EOM_OVERFLOW);
	if (cmd->size)
		m->count = m->position;
	for (i = 0; i < n; i++)
		m->block[m->count++] = fill;
	m->position += n;
}

static void model_mark(struct model *m, const struct outcome *out)
{
	m->count = m->position;
	if (out->code) {
		fuzz_assert(out->code == ERROR_EOM_OVERFLOW);
		return;
	}
	m->block[m->count++] = 0;
	m->position++;
}

static void model_skip_blocks(struct model *m, int64_t count,
			      const struct outcome *out)
{
	for (; count > 0; count--) {
		if (m->position == m->count) {
			fuzz_assert(out->code == ERROR_NO_DATA_DETECTED);
			return;
		}
		if (!m->block[m->position++]) {
			fuzz_assert(out->code == ERROR_FILEMARK_DETECTED);
			return;
		}
	}
	for (; count < 0; count++) {
		if (!m->position) {
			fuzz_assert(out->code == ERROR_BEGINNING_OF_MEDIA);
			return;
		}
		if (!m->block[--m->position]) {
			fuzz_assert(out->code == ERROR_FILEMARK_DETECTED);
			return;
		}
	}
	fuzz_assert(out->code == ERROR_SUCCESS);
}

static void model_skip_marks(struct model *m, int64_t count,
			     const struct outcome *out)
{
	while (count > 0) {
		if (m->position == m->count) {
			fuzz_assert(out->code == ERROR_NO_DATA_DETECTED);
			return;
		}
		if (!m->block[m->position++])
			count--;
	}
	while (count < 0) {
		if (!m->position) {
			fuzz_assert(out->code == ERROR_BEGINNING_OF_MEDIA);
			return;
		}
		if (!m->block[--m->position])
			count++;
	}
	fuzz_assert(out->code == ERROR_SUCCESS);
}

static void model_seek(struct model *m, int64_t to, const struct outcome *out)
{
	int code = ERROR_SUCCESS;

	if (to < 0)
		code = ERROR_BEGINNING_OF_MEDIA;
	else if (to > m->count)
		code = ERROR_NO_DATA_DETECTED;
	fuzz_assert(out->code == code);
	m->position = to < 0 ? 0 : to > m->count ? m->count : to;
	fuzz_assert(out->position == m->position);
}

static void model_command(struct model *m, const struct drive *d,
			  const struct VDC_Command *cmd,
			  const struct outcome *out, uint8_t fill)
{
	switch (cmd->commandCode) {
	case VDC_Read:
		model_read(m, cmd, out);
		break;
	case VDC_Write:
		if (d->config.writing)
			model_write(m, cmd, out, fill);
		break;
	case VDC_WriteMark:
		if (d->config.writing)
			model_mark(m, out);
		break;
	case VDC_Rewind:
		m->position = 0;
		break;
	case VDC_SkipBlocks:
		model_skip_blocks(m, cmd->size, out);
		break;
	case VDC_SkipMarks:
		model_skip_marks(m, cmd->size, out);
		break;
	case VDC_GetPosition:
		fuzz_assert(out->position == m->position);
		break;
	case VDC_SetPosition:
		model_seek(m, cmd->position, out);
		break;
	case VDC_Discard:
		if (d->config.writing)
			m->count = m->position = 0;
		break;
	}
	fuzz_assert(d->medium.position == m->position);
	fuzz_assert(tape_length(&d->medium.tape) == m->count);
}

/* ---------------------------------------------------------------- reading */

/* There is no model for a medium of unknown contents. */
static void command_all(struct fuzz_input *in, struct drive *d,
			struct model *m)
{
	unsigned int n;

	for (n = 0; in->left && n < 100; n++) {
		struct VDC_Command cmd = make_command(in);
		uint8_t fill = 1 + n;
		struct outcome out;

		/* the model is limited to a single medium of this size */
		if (m && (cmd.commandCode == VDC_Load ||
			  m->count + MAX_SIZE / BLOCK >= MAX_BLOCKS))
			break;
		out = execute(d, &cmd, fill);
		if (m && d->trouble == DRIVE_FINE &&
		    out.code != ERROR_NOT_SUPPORTED)
			model_command(m, d, &cmd, &out, fill);
		free(cmd.buffer);
	}
}

static bool go_on(void *context, uint64_t bytes)
{
	(void)context;
	(void)bytes;
	return true;
}

static struct medium_list one_medium(const char *name, uint64_t bytes)
{
	struct medium_list list = { 0 };

	fuzz_assert(medium_list_add(&list, name));
	list.file[0].bytes = bytes;
	list.file[0].summed = true;
	return list;
}

static void write_file(const void *data, size_t size)
{
	int fd = openat(dir, "device-00.data", O_WRONLY | O_CREAT | O_TRUNC,
			0600);

	fuzz_assert(fd >= 0);
	fuzz_assert(write(fd, data, size) == (ssize_t)size);
	close(fd);
}

/* Size and checksum in the manifest may be right. */
static void read_file(struct fuzz_input *in, const uint8_t *data, size_t size,
		      bool bad)
{
	struct drive_config config = make_config(in, false);
	uint64_t bytes = fuzz_below(in, 4) ? size : fuzz_number(in);
	struct medium_list list = one_medium("device-00.data", bytes);
	struct drive d;

	write_file(data, size);
	if (fuzz_below(in, 2))
		list.file[0].xxh3 = XXH3_64bits(data, size);
	if (drive_verify(&d, &config, dir, &list, go_on, NULL))
		fuzz_assert(bytes == size);
	else
		fuzz_assert(d.trouble != DRIVE_FINE && *d.why);
	if (drive_open(&d, &config, dir, &list)) {
		fuzz_assert(!bad || config.profile != MEDIUM_TAPE);
		command_all(in, &d, NULL);
	} else {
		fuzz_assert(d.trouble != DRIVE_FINE && *d.why);
	}
	drive_close(&d);
	medium_list_free(&list);
}

static void read_any(struct fuzz_input *in)
{
	const uint8_t *data = in->at;
	size_t size = in->left - in->left / 4;

	in->at += size;
	in->left -= size;
	read_file(in, data, size, false);
}

/* ---------------------------------------------------------- crafted frames */

struct image {
	uint8_t data[64 << 10];
	size_t size;
	uint64_t family, number, address, previous;
	bool bad;	/* an error that open must detect */
};

static void put_label(struct fuzz_input *in, struct image *image)
{
	struct tape_label label = {
		.magic = htole64(TAPE_LABEL_MAGIC),
		.family = htole64(image->family),
		.medium = htole32(1),
		.block_size = htole32(BLOCK),
	};

	if (!fuzz_below(in, 16))
		((uint8_t *)&label)[fuzz_below(in, 48)] = fuzz_take(in, 1);
	label.xxh3 = XXH3_64bits(&label, offsetof(struct tape_label, xxh3));
	image->previous = label.xxh3;
	label.xxh3 = htole64(label.xxh3);
	memcpy(image->data, &label, sizeof(label));
	image->size = sizeof(label);
}

/*
 * A wrong value of these fields must be rejected. Another kind may be valid, and a
 * payload is checked only when it is read.
 */
static void spoil(struct fuzz_input *in, struct tape_frame *frame)
{
	switch (fuzz_below(in, 8)) {
	case 0:
		frame->kind = htole32(fuzz_number(in));
		break;
	case 1:
		frame->size = htole32(fuzz_number(in));
		break;
	case 2:
		frame->address = htole64(fuzz_number(in));
		break;
	case 3:
		frame->number = htole64(fuzz_number(in));
		break;
	case 4:
		frame->previous = htole64(fuzz_number(in));
		break;
	case 5:
		frame->payload_xxh3 = htole64(fuzz_number(in));
		break;
	case 6:
		frame->medium = htole32(fuzz_number(in));
		break;
	default:
		frame->family = htole64(fuzz_number(in));
	}
}

static bool put_frame(struct fuzz_input *in, struct image *image,
		      uint32_t kind)
{
	uint32_t size = 0;
	uint8_t *payload = image->data + image->size + TAPE_FRAME_SIZE;
	struct tape_frame frame = {
		.magic = htole32(TAPE_FRAME_MAGIC),
		.kind = htole32(kind),
		.number = htole64(image->number++),
		.address = htole64(image->address),
		.family = htole64(image->family),
		.medium = htole32(1),
		.previous = htole64(image->previous),
	};

	if (kind == TAPE_DATA)
		size = fuzz_below(in, 24) ? (1 + fuzz_below(in, 8)) * BLOCK :
					    1 + fuzz_below(in, 8 * BLOCK);
	else if (kind == TAPE_SOFT_MARK)
		size = 1 + fuzz_below(in, 4096);
	if (image->size + TAPE_FRAME_SIZE + size > sizeof(image->data))
		return false;
	memset(payload, image->number, size);
	image->bad |= kind == TAPE_DATA && size % BLOCK;
	frame.size = htole32(size);
	frame.payload_xxh3 = htole64(XXH3_64bits(payload, size));
	if (!fuzz_below(in, 24)) {
		struct tape_frame good = frame;

		spoil(in, &frame);
		good.kind = frame.kind;
		good.payload_xxh3 = frame.payload_xxh3;
		image->bad |= memcmp(&good, &frame, sizeof(good)) != 0;
	}
	image->previous = XXH3_64bits(&frame,
				      offsetof(struct tape_frame, xxh3));
	frame.xxh3 = htole64(image->previous);
	memcpy(image->data + image->size, &frame, sizeof(frame));
	image->size += TAPE_FRAME_SIZE + size;
	image->address += kind == TAPE_DATA ? size / BLOCK : 1;
	return true;
}

static void read_frames(struct fuzz_input *in)
{
	static struct image image;
	unsigned int n;

	memset(&image, 0, sizeof(image));
	image.family = 1 + fuzz_below(in, 4);
	put_label(in, &image);
	for (n = fuzz_below(in, 24); n--; )
		if (!put_frame(in, &image, TAPE_DATA + fuzz_below(in, 3)))
			break;
	if (fuzz_below(in, 16))
		put_frame(in, &image, TAPE_END);
	if (!fuzz_below(in, 8))
		image.data[fuzz_below(in, image.size)] ^= 1 + fuzz_below(in, 255);
	if (!fuzz_below(in, 8))
		image.size = fuzz_below(in, image.size);
	read_file(in, image.data, image.size, image.bad);
}

/* ---------------------------------------------------------------- writing */

/* A finished medium verifies, and a restore reads what was written. */
static void read_back(struct fuzz_input *in, struct drive *d, struct model *m)
{
	struct drive_config config = d->config;
	struct medium_list list = { 0 };
	struct drive reader;
	unsigned int i;

	config.writing = false;
	config.family = 0;
	for (i = 0; i < d->media.count; i++) {
		const struct medium_file *file = &d->media.file[i];

		fuzz_assert(file->summed);
		fuzz_assert(medium_list_add(&list, file->name));
		list.file[i].bytes = file->bytes;
		list.file[i].xxh3 = file->xxh3;
	}
	fuzz_assert(drive_verify(&reader, &config, dir, &list, go_on, NULL));
	fuzz_assert(drive_open(&reader, &config, dir, &list));
	if (m)
		m->position = 0;
	command_all(in, &reader, m);
	fuzz_assert(reader.trouble == DRIVE_FINE);
	drive_close(&reader);
}

static void write_media(struct fuzz_input *in)
{
	struct drive_config config = make_config(in, true);
	static struct model model;
	struct model *m = NULL;
	struct drive d;

	empty_directory();
	if (config.profile == MEDIUM_TAPE && fuzz_below(in, 4)) {
		memset(&model, 0, sizeof(model));
		m = &model;
	}
	fuzz_assert(drive_open(&d, &config, dir, NULL));
	command_all(in, &d, m);
	/* system errors are possible, but nothing is damaged here */
	if (d.trouble == DRIVE_FINE && drive_finish(&d))
		read_back(in, &d, m);
	if (d.trouble == DRIVE_DAMAGED)
		fprintf(stderr, "%s\n", d.why);
	fuzz_assert(d.trouble != DRIVE_DAMAGED);
	drive_close(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	/* limits the size of files; EFBIG is a valid result */
	struct rlimit limit = { 1 << 20, 1 << 20 };

	if (dir < 0)
		make_directory();
	setrlimit(RLIMIT_FSIZE, &limit);
	switch (fuzz_below(&in, 4)) {
	case 0:
		read_any(&in);
		break;
	case 1:
		read_frames(&in);
		break;
	default:
		write_media(&in);
	}
	return 0;
}
