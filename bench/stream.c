// SPDX-License-Identifier: GPL-2.0-only
/*
 * stream.c - pipe and unix: the kernel copies the data twice
 *
 * A command is a header and its data in one writev(2). Completions return through a
 * second pipe, or the same socket.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "bench.h"

#define CAPACITY	(1 << 20)

struct message {	/* 32 bytes, like an entry of vdiset's rings */
	uint32_t tag;
	uint32_t size;
	uint64_t sum;
	uint64_t reserved[2];
};

struct stream {
	int commands[SIDES];	/* descriptors of the sides */
	int completions[SIDES];
	uint8_t *buffer;	/* one is enough: sent data was copied */
	struct message *back;	/* depth messages */
};

static void write_all(int fd, struct iovec *iov, int n)
{
	while (n) {
		ssize_t part = writev(fd, iov, n);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			err(1, "write");
		while (n && (size_t)part >= iov->iov_len) {
			part -= iov->iov_len;
			iov++;
			n--;
		}
		if (n) {
			iov->iov_base = (char *)iov->iov_base + part;
			iov->iov_len -= part;
		}
	}
}

static void read_all(int fd, void *to, size_t length)
{
	while (length) {
		ssize_t part = read(fd, to, length);

		if (part < 0 && errno == EINTR)
			continue;
		if (part < 0)
			err(1, "read");
		if (!part)
			errx(1, "the other side has exited");
		to = (char *)to + part;
		length -= part;
	}
}

static void make_pipe(int *from, int *to)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC))
		err(1, "pipe");
	if (fcntl(fd[1], F_SETPIPE_SZ, CAPACITY) < 0)
		err(1, "size of a pipe");
	*to = fd[0];
	*from = fd[1];
}

static struct stream *new_streams(struct run *run)
{
	struct stream *streams = calloc(run->c.devices, sizeof(*streams));

	if (!streams)
		err(1, "memory");
	run->priv = streams;
	return streams;
}

static void pipe_prepare(struct run *run)
{
	struct stream *s = new_streams(run);
	uint32_t i;

	for (i = 0; i < run->c.devices; i++, s++) {
		make_pipe(&s->commands[PRODUCER], &s->commands[CONSUMER]);
		make_pipe(&s->completions[CONSUMER], &s->completions[PRODUCER]);
	}
}

static void unix_prepare(struct run *run)
{
	struct stream *s = new_streams(run);
	int fd[2], capacity = CAPACITY, i;
	uint32_t d;

	for (d = 0; d < run->c.devices; d++, s++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd))
			err(1, "socketpair");
		for (i = 0; i < 2; i++) {
			/* privileged, if above the limit of the system */
			if (setsockopt(fd[i], SOL_SOCKET, SO_SNDBUFFORCE,
				       &capacity, sizeof(capacity)) &&
			    setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF,
				       &capacity, sizeof(capacity)))
				err(1, "size of a socket");
		}
		s->commands[PRODUCER] = s->completions[PRODUCER] = fd[0];
		s->commands[CONSUMER] = s->completions[CONSUMER] = fd[1];
	}
}

static void stream_open(struct run *run, enum side side)
{
	struct stream *s = run->priv;
	uint32_t i;

	for (i = 0; i < run->c.devices; i++, s++) {
		close(s->commands[!side]);
		if (s->completions[!side] != s->commands[!side])
			close(s->completions[!side]);
		s->buffer = malloc(run->size);
		s->back = malloc(run->c.depth * sizeof(*s->back));
		if (!s->buffer || !s->back)
			err(1, "memory");
		memset(s->buffer, 1, run->size);
	}
}

static struct stream *stream_at(struct run *run, uint32_t device)
{
	return (struct stream *)run->priv + device;
}

static uint8_t *stream_buffer(struct run *run, uint32_t device, uint32_t tag)
{
	(void)tag;
	return stream_at(run, device)->buffer;
}

static void stream_send(struct run *run, uint32_t device, uint32_t tag)
{
	struct stream *s = stream_at(run, device);
	struct message m = { .tag = tag, .size = run->c.size };
	struct iovec iov[] = {
		{ &m, sizeof(m) },
		{ s->buffer, run->c.size },
	};

	write_all(s->commands[PRODUCER], iov, run->c.size ? 2 : 1);
}

static uint32_t stream_reap(struct run *run, uint32_t device,
			    struct done *done)
{
	struct stream *s = stream_at(run, device);
	struct message *m = s->back;
	uint32_t i, n;
	ssize_t got;

	do
		got = read(s->completions[PRODUCER], m,
			   run->c.depth * sizeof(*m));
	while (got < 0 && errno == EINTR);
	if (got < 0)
		err(1, "read");
	if (!got)
		errx(1, "the other side has exited");
	if (got % sizeof(*m))
		read_all(s->completions[PRODUCER], (char *)m + got,
			 sizeof(*m) - got % sizeof(*m));
	n = (got + sizeof(*m) - 1) / sizeof(*m);
	for (i = 0; i < n; i++)
		done[i] = (struct done){ .tag = m[i].tag, .sum = m[i].sum };
	return n;
}

static uint32_t stream_receive(struct run *run, uint32_t device,
			       struct item *items)
{
	struct stream *s = stream_at(run, device);
	struct message m;

	read_all(s->commands[CONSUMER], &m, sizeof(m));
	if (m.size != run->c.size)
		errx(1, "command of wrong size");
	read_all(s->commands[CONSUMER], s->buffer, m.size);
	items[0] = (struct item){ .data = s->buffer, .tag = m.tag };
	return 1;
}

static void stream_complete(struct run *run, uint32_t device,
			    const struct item *items, const struct done *done,
			    uint32_t n)
{
	struct stream *s = stream_at(run, device);
	uint32_t i;

	(void)items;
	for (i = 0; i < n; i++) {
		struct message m = { .tag = done[i].tag, .sum = done[i].sum };
		struct iovec iov = { &m, sizeof(m) };

		write_all(s->completions[CONSUMER], &iov, 1);
	}
}

static void stream_finish(struct run *run)
{
	struct stream *s = run->priv;
	uint32_t i;
	int side;

	for (i = 0; i < run->c.devices; i++, s++) {
		for (side = 0; side < SIDES; side++) {
			close(s->commands[side]);
			if (s->completions[side] != s->commands[side])
				close(s->completions[side]);
		}
	}
	free(run->priv);
}

const struct transport transport_pipe = {
	.name = "pipe",
	.what = "two pipes of 1 MiB, one per direction",
	.prepare = pipe_prepare,
	.open = stream_open,
	.buffer = stream_buffer,
	.send = stream_send,
	.reap = stream_reap,
	.receive = stream_receive,
	.complete = stream_complete,
	.finish = stream_finish,
};

const struct transport transport_unix = {
	.name = "unix",
	.what = "a Unix stream socket with a send buffer of 1 MiB",
	.prepare = unix_prepare,
	.open = stream_open,
	.buffer = stream_buffer,
	.send = stream_send,
	.reap = stream_reap,
	.receive = stream_receive,
	.complete = stream_complete,
	.finish = stream_finish,
};
