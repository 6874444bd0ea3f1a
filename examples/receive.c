// SPDX-License-Identifier: MIT
/*
 * receive.c - the receiver for "send": stores a stream in a file
 *
 * usage: receive FILE [PORT]
 *
 * Listens on PORT of the loopback interface. The default is a free port, which is
 * printed. Exit status 0 if the stream was complete; otherwise FILE is removed.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "frame.h"

static int listen_on(unsigned int port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	socklen_t size = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) ||
	    listen(fd, 1) || getsockname(fd, (struct sockaddr *)&a, &size)) {
		perror("receive: listen");
		exit(1);
	}
	printf("%u\n", ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static bool store(int out, const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(out, data, size);

		if (n <= 0)
			return false;
		data += n;
		size -= n;
	}
	return true;
}

static bool copy(int in, int out, uint32_t size)
{
	static char data[65536];

	while (size) {
		ssize_t n = recv(in, data, size < sizeof(data) ? size :
				 sizeof(data), 0);

		if (n <= 0 || !store(out, data, n))
			return false;
		size -= n;
	}
	return true;
}

static bool confirm(int in, int out)
{
	return !fdatasync(out) && send(in, "", 1, MSG_NOSIGNAL) == 1;
}

/* True: the stream was complete. */
static bool receive(int in, int out)
{
	struct frame f;

	while (recv(in, &f, sizeof(f), MSG_WAITALL) == sizeof(f)) {
		switch (le32toh(f.kind)) {
		case FRAME_DATA:
			if (!copy(in, out, le32toh(f.size)))
				return false;
			break;
		case FRAME_FLUSH:
			if (!confirm(in, out))
				return false;
			break;
		case FRAME_END:
			return confirm(in, out);
		default:
			return false;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	int server, in, out;
	bool whole;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: receive FILE [PORT]\n");
		return 2;
	}
	out = open(argv[1], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0) {
		perror(argv[1]);
		return 1;
	}
	server = listen_on(argc > 2 ? atoi(argv[2]) : 0);
	in = accept(server, NULL, NULL);
	whole = in >= 0 && receive(in, out);
	if (!whole) {
		fprintf(stderr, "receive: the stream is incomplete\n");
		unlink(argv[1]);
	}
	return !whole;
}
