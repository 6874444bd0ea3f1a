// SPDX-License-Identifier: GPL-2.0-only
/*
 * staged.c - a medium like a pipe whose data is compressed or filtered
 *
 * Commands are executed one after the other. The medium has two sums: that of the
 * file or chunks, as of any medium, and that of the data that the database wrote. A
 * restore hands over the last byte only if both match.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stage.h"

#define PIECE	(1U << 20)	/* size of a read by a check */

struct staged {
	struct stage *top;	/* the list of all stages */
	struct filesum plain;
	bool ended;		/* writing: no more data is accepted */
	bool complete;		/* and all stages have passed on everything */
};

static const struct codec *const codecs[] = { &codec_zstd, &codec_lz4 };

const struct codec *codec_find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(codecs) / sizeof(codecs[0]); i++) {
		if (!strcmp(codecs[i]->name, name))
			return codecs[i];
	}
	return NULL;
}

const char *codec_name(const struct codec *codec)
{
	return codec->name;
}

int codec_max_level(const struct codec *codec)
{
	return codec->max_level;
}

void staged_file_name(const struct medium_stages *stages, unsigned int device,
		      char *out, size_t size)
{
	snprintf(out, size, "device-%02u.data%s%s", device,
		 stages && stages->codec ? stages->codec->suffix : "",
		 stages && stages->command ? ".filtered" : "");
}

bool stage_stopped(const struct stage *s)
{
	return vdi_signal_received() || drive_stopped(s->drive);
}

bool stage_blames_itself(struct stage *s)
{
	struct stage *next = s->next;
	uint8_t *data = malloc(PIECE);
	size_t done = PIECE;
	bool good = data;

	if (!data)
		drive_failed(s->drive, "read", ENOMEM);
	while (good && done == PIECE)
		good = !stage_stopped(s) &&
		       next->ops->pull(next, data, PIECE, &done);
	free(data);
	return good;
}

/* ---------------------------------------------------------------- the store */

static bool store_push(struct stage *s, const void *data, size_t size)
{
	struct drive *d = s->drive;
	struct iovec iov = { .iov_base = (void *)data, .iov_len = size };

	if (d->config.chunks)
		return chunked_append(d, data, size);
	if (!medium_write(d, d->medium.end, &iov, 1))
		return false;
	d->medium.end += size;
	return true;
}

/* Durability is the matter of drive.c. */
static bool store_nothing(struct stage *s)
{
	(void)s;
	return true;
}

static bool file_pull(struct drive *d, void *data, size_t size, size_t *done)
{
	struct medium_file *file = drive_current_file(d);
	struct medium *m = &d->medium;
	ssize_t n = medium_read(d, m->position, data, size);

	if (n < 0)
		return false;
	*done = n;
	filesum_add(&m->sum, m->position, data, n);
	m->position += n;
	if (*done == size)
		return true;
	if (m->position != file->bytes ||
	    filesum_digest(&m->sum, NULL, 0) != file->xxh3) {
		drive_damaged(d, "its checksum does not match");
		return false;
	}
	return true;
}

static bool store_pull(struct stage *s, void *data, size_t size, size_t *done)
{
	*done = 0;
	if (s->drive->config.chunks)
		return chunked_fetch(s->drive, data, size, done);
	return file_pull(s->drive, data, size, done);
}

static void store_free(struct stage *s)
{
	free(s);
}

struct stage *stage_store(struct drive *d)
{
	static const struct stage_ops ops = {
		.push = store_push,
		.flush = store_nothing,
		.end = store_nothing,
		.pull = store_pull,
		.free = store_free,
	};
	struct stage *s = calloc(1, sizeof(*s));

	if (s)
		*s = (struct stage){ .ops = &ops, .drive = d };
	else
		drive_failed(d, "open", ENOMEM);
	return s;
}

/* --------------------------------------------------------- open, end, close */

static struct stage *codec_stage(struct drive *d, struct stage *next)
{
	const struct medium_stages *stages = d->config.stages;

	return d->config.writing ? stage_compress(d, stages->pool, next) :
		stage_decompress(d, stages->codec, next);
}

static bool open_stages(struct drive *d)
{
	const struct medium_stages *stages = d->config.stages;
	struct staged *s = d->staged;
	struct stage *top;

	top = stage_store(d);
	s->top = top;
	if (top && stages->command)
		top = stage_command(d, stages->command, s->top);
	if (top)
		s->top = top;
	if (top && stages->codec)
		top = codec_stage(d, s->top);
	if (top)
		s->top = top;
	return top;
}

bool staged_open(struct drive *d)
{
	struct medium *m = &d->medium;

	m->position = 0;
	m->end = d->config.writing ? 0 : drive_current_file(d)->bytes;
	filesum_begin(&m->sum, 0);
	d->staged = calloc(1, sizeof(*d->staged));
	if (!d->staged) {
		drive_failed(d, "open", ENOMEM);
		return false;
	}
	filesum_begin(&d->staged->plain, 0);
	return open_stages(d);
}

static bool staged_begin(struct drive *d, bool empty)
{
	(void)empty;
	return staged_open(d);
}

void staged_close(struct drive *d)
{
	struct staged *s = d->staged;
	struct stage *stage, *next;

	if (!s)
		return;
	for (stage = s->top; stage; stage = next) {
		next = stage->next;
		stage->ops->free(stage);
	}
	XXH3_freeState(s->plain.state);
	free(s);
	d->staged = NULL;
}

bool staged_end(struct drive *d)
{
	struct medium_file *file = drive_current_file(d);
	struct staged *s = d->staged;

	if (s->ended)
		return s->complete;
	s->ended = true;
	file->given = s->plain.upto;
	file->given_xxh3 = filesum_digest(&s->plain, NULL, 0);
	s->complete = s->top->ops->end(s->top);
	return s->complete;
}

/*
 * A command keeps a part of the data until its input ends. If VDC_Complete follows,
 * which waits for that, a Flush only passes on what is there. Otherwise the database
 * takes the Flush for the end of the backup.
 */
bool staged_flush(struct drive *d)
{
	struct staged *s = d->staged;

	if (s->ended)
		return s->complete;
	if (d->config.stages->command &&
	    !(d->config.features & VDF_CompleteEnabled))
		return staged_end(d);
	return s->top->ops->flush(s->top);
}

uint64_t drive_data_bytes(const struct drive *d)
{
	return d->config.stages ? medium_list_given(&d->media) :
				  medium_list_bytes(&d->media);
}

/* ----------------------------------------------------------------- commands */

static bool append(struct drive *d, const void *data, size_t size)
{
	struct staged *s = d->staged;

	if (s->ended)
		drive_trouble(d, DRIVE_FAILED,
			      "the database wrote to '%s' after a Flush, which has ended the command of --filter",
			      drive_medium_name(d));
	if (s->ended || !s->top->ops->push(s->top, data, size))
		return false;
	filesum_add(&s->plain, s->plain.upto, data, size);
	return true;
}

/* All data was read: is there nothing else, and do all checksums match? */
static bool check_end(struct drive *d)
{
	struct medium_file *file = drive_current_file(d);
	struct staged *s = d->staged;
	size_t done = 0;
	uint8_t more;
	bool good = s->top->ops->pull(s->top, &more, 1, &done);

	/* the store sets this at the end of what is stored */
	file->whole = false;
	if (!good)
		return false;
	if (s->plain.upto + done != file->given) {
		drive_damaged(d, "it contains %llu%s bytes of data, not %llu",
			      (unsigned long long)s->plain.upto,
			      done ? " and more" : "",
			      (unsigned long long)file->given);
		return false;
	}
	file->whole = filesum_digest(&s->plain, NULL, 0) == file->given_xxh3;
	if (!file->whole)
		drive_damaged(d, "the checksum of its data does not match");
	return file->whole;
}

static bool fetch(struct drive *d, void *data, size_t size, size_t *done)
{
	struct medium_file *file = drive_current_file(d);
	struct staged *s = d->staged;
	bool good = s->top->ops->pull(s->top, data, size, done);

	file->whole = false;
	if (!good)
		return false;
	filesum_add(&s->plain, s->plain.upto, data, *done);
	if (*done == size && s->plain.upto < file->given)
		return true;
	return check_end(d);
}

static void staged_execute(struct drive *d, const struct VDC_Command *cmd,
			   struct outcome *out)
{
	static const struct sequence sequence = { append, fetch };

	sequence_execute(d, &sequence, cmd, out);
}

/* The progress is that of what is stored. */
bool staged_verify(struct drive *d, medium_tick *tick, void *context)
{
	uint8_t *data = malloc(PIECE);
	uint64_t counted = 0;
	bool good = data;
	size_t done = PIECE;

	if (!data)
		drive_failed(d, "read", ENOMEM);
	while (good && done == PIECE) {
		good = fetch(d, data, PIECE, &done);
		if (good)
			good = !drive_stopped(d) &&
			       tick(context, d->medium.position - counted);
		counted = d->medium.position;
	}
	free(data);
	return good;
}

const struct medium_ops staged_ops = {
	.begin = staged_begin,
	.execute = staged_execute,
	.seal = medium_seal_bytes,
	.blank = medium_blank_bytes,
	.release = medium_release_bytes,
};
