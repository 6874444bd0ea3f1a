// SPDX-License-Identifier: GPL-2.0-only
/*
 * ready.c - readiness of a service of systemd, see sd_notify(3)
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common.h"

/* False with errno. */
static bool send_text(const char *path, const char *text)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t length = strlen(path);
	socklen_t size = offsetof(struct sockaddr_un, sun_path) + length;
	bool sent;
	int fd;

	if (length >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(address.sun_path, path, length);
	/* an abstract name begins with a zero */
	if (*path == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL,
		      (struct sockaddr *)&address, size) >= 0;
	close(fd);
	return sent;
}

void vdi_notify_ready(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	if (path && (*path == '/' || *path == '@') && !send_text(path, "READY=1"))
		vdi_error("warning: cannot tell %s that the set exists: %s", path, strerror(errno));
}
